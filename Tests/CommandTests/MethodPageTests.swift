import Foundation
import Testing
import VTok

/// `docs/methods`: a page for every method, whose frame is what `vtok methods NAME` prints.
///
/// `VTOK_WRITE_PAGES=1 swift test -c release --disable-testable-imports --filter MethodPage` writes the frames anew, and a
/// page for a method that has none.
@Suite struct MethodPageTests {
  static let folder = repository + "/docs/methods"
  static let isWriting = ProcessInfo.processInfo.environment["VTOK_WRITE_PAGES"] != nil

  @Test(arguments: Methods.names) func frameSaysWhatTheCodeSays(_ name: String) throws {
    let text = try vtok("methods", name).out
    let split = try #require(text.range(of: "\n## "))
    let frame = ["head": String(text[..<split.lowerBound]), "reference": String(text[split.lowerBound...].dropFirst())]
    let path = Self.folder + "/\(name).md"
    let present = try? String(contentsOfFile: path, encoding: .utf8)
    let current = try Self.filled(present ?? Self.empty(name), frame, name)
    if Self.isWriting { try current.write(toFile: path, atomically: true, encoding: .utf8) }
    let found = try String(contentsOfFile: path, encoding: .utf8)
    #expect(found == current, "\(name).md is not current: see MethodPageTests")
    for part in ["## What it does", "## Checked against", "<!-- results: method \(name) -->"] {
      #expect(found.contains(part), "\(name).md lacks '\(part)'")
    }
  }

  @Test func everyPageHasAMethodAndIsListed() throws {
    let path = Self.folder + "/README.md"
    let list = Methods.all.map { "| [`\($0.name)`](\($0.name).md) | \($0.summary) |\n" }.joined()
    let present = try String(contentsOfFile: path, encoding: .utf8)
    let current = try Self.filled(present, ["list": "| method | what it does |\n|---|---|\n" + list], "README")
    if Self.isWriting { try current.write(toFile: path, atomically: true, encoding: .utf8) }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == current, "README.md is not current")
    let pages = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
    #expect(Set(pages) == Set(Methods.names.map { $0 + ".md" } + ["README.md"]))
  }

  /// `text` with what stands between its marks replaced.
  static func filled(_ text: String, _ parts: [String: String], _ name: String) throws -> String {
    var text = text
    for (part, content) in parts {
      let start = try #require(text.range(of: "<!-- code: \(part) -->\n"), "\(name).md has no mark '\(part)'")
      let end = try #require(text.range(of: "<!-- end -->", range: start.upperBound..<text.endIndex))
      text.replaceSubrange(start.upperBound..<end.lowerBound, with: content)
    }
    return text
  }

  private static func empty(_ name: String) -> String {
    """
    <!-- code: head -->
    <!-- end -->

    ## What it does

    <!-- code: reference -->
    <!-- end -->

    ## Checked against

    ## In our tables

    <!-- results: method \(name) -->
    <!-- end -->

    """
  }
}
