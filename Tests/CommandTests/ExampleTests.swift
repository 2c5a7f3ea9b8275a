import Foundation
import Testing

/// `make examples` builds what stands in Examples and runs its tests; pages show nothing else.
@Suite struct ExampleTests {
  @Test func theLibraryPageShowsTheExample() throws {
    let page = try String(contentsOfFile: repository + "/docs/library.md", encoding: .utf8)
    let section = try #require(page.range(of: "## A method of your own"))
    let folder = repository + "/Examples/OwnMethod/"
    let files = try [
      "Sources/OwnMethod/LargestNorm", "Sources/OwnMethod/OwnMethod", "Tests/OwnMethodTests/LargestNormTests",
    ]
    .map { try lines(String(contentsOfFile: "\(folder)\($0).swift", encoding: .utf8)) }
    let snippets = page[section.upperBound...].split(separator: "```swift").dropFirst().map { $0.prefix { $0 != "`" } }
    #expect(snippets.count == 3)
    for (snippet, file) in zip(snippets, files) {
      #expect(file.contains(lines(String(snippet))), "docs/library.md differs from Examples/OwnMethod")
    }
  }

  /// Without what comes of their depth.
  private func lines(_ text: String) -> [String] {
    text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
  }
}
