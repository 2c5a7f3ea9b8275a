import Foundation
import Testing
import VTok

/// The matrix of methods and families in `docs/models.md` is what `vtok methods --model` prints.
///
/// `VTOK_WRITE_PAGES=1 swift test -c release --disable-testable-imports --filter MatrixPage` writes it anew.
@Suite struct MatrixPageTests {
  static let path = repository + "/docs/models.md"

  /// The first published model of every family stands for it.
  static let models = Families.models.compactMap { family in
    family.published.first.map { (family: family.name, model: $0.name) }
  }

  @Test func matrixIsCurrent() throws {
    let present = try String(contentsOfFile: Self.path, encoding: .utf8)
    let current = try MethodPageTests.filled(present, ["matrix": try Self.matrix()], "models")
    if MethodPageTests.isWriting { try current.write(toFile: Self.path, atomically: true, encoding: .utf8) }
    #expect(try String(contentsOfFile: Self.path, encoding: .utf8) == current, "models.md is not current")
  }

  @Test func reasonsAreSaidForOneModel() throws {
    let out = try vtok("methods", "fastv", "--model", "deit-s").out
    #expect(out.contains("no") && out.contains("expected"))
    #expect(try vtok("methods", "--model", "no-such-model").status == 1)
  }

  private static func matrix() throws -> String {
    let json = try JSON(
      parsing: vtok(["methods", "--format", "json"] + models.flatMap { ["--model", $0.model] }).out)
    var reasons: [String] = []
    var rows = ""
    for row in try #require(json.array) {
      let name = try #require(row.value(at: "method")?.string)
      let cells = try #require(row.value(at: "models")?.array).map { cell in
        guard let reason = cell.value(at: "reason")?.string else { return "✓" }
        if !reasons.contains(reason) { reasons.append(reason) }
        return "\(reasons.firstIndex(of: reason)! + 1)"
      }
      rows += "| [`\(name)`](methods/\(name).md) | " + cells.joined(separator: " | ") + " |\n"
    }
    let head = "| method | " + models.map(\.family).joined(separator: " | ") + " |\n"
    let rule = "|---|" + String(repeating: ":-:|", count: models.count) + "\n"
    let notes = reasons.enumerated().map { "\($0 + 1). \($1)\n" }.joined()
    return head + rule + rows + "\nWhy not, by number:\n\n" + notes
  }
}
