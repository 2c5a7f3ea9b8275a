import Foundation
import Testing
import VTokModels
import VTokTemplate
import VTokWeights

/// Published chat templates and what jinja2 makes of them. They are no part of the repository: the folder
/// `shared/golden/chat-template` beside it, or the one that `VTOK_CHAT_TEMPLATES` names.
private let folder: String = {
  let beside =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/shared/golden/chat-template"
  return ProcessInfo.processInfo.environment["VTOK_CHAT_TEMPLATES"] ?? beside
}()
private let cases = (FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? [])
  .filter { $0.hasSuffix(".json") }.sorted()

@Suite(.enabled(if: !cases.isEmpty, "no published templates in \(folder)")) struct PublishedTemplateTests {
  @Test(arguments: cases) func rendersAsJinja2(_ name: String) throws {
    let table = try JSON(parsing: [UInt8](try #require(FileManager.default.contents(atPath: folder + "/" + name))))
    let file = folder + "/" + table["template"]!.string!
    let template = try Template(
      String(decoding: try #require(FileManager.default.contents(atPath: file)), as: UTF8.self))
    let now = LocalTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5)
    for row in try #require(table["rows"]?.array) {
      let text = try? template.render(TemplateValue(row), now: now)
      #expect(text.map { Array($0.utf8) } == row["expected"]?.string.map { Array($0.utf8) }, "\(row["name"]!.string!)")
    }
  }
}
