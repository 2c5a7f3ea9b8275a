import Foundation
import GoldenRunner
import TestSupport
import Testing
import VTok

/// What must hold of every method of the list.
@Suite struct MethodListTests {
  private static let folder = repository + "/Tests/Methods"

  @Test func namesAreUniqueAndSummariesNameASource() {
    #expect(Set(Methods.names).count == Methods.all.count)
    for method in Methods.all {
      #expect(!method.summary.isEmpty && method.summary.count <= 120)
      let isBaseline = method.summary.contains("baseline")
      #expect(
        isBaseline || method.summary.contains(#/arXiv \d{4}\.\d{5}/#),
        "the summary of \(method.name) names no paper and does not say that it is a baseline")
    }
  }

  /// `Tests/Methods/NAMETests.swift`, named after the type.
  @Test func everyMethodHasASuite() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.hasSuffix(".swift") }
    #expect(Set(files) == Set(Methods.all.map { "\($0)Tests.swift" }))
  }

  /// A suite checks options and refusals. Goldens of a method run in its suite; a suite that runs them has some.
  @Test(.enabled(if: Goldens.outside == nil), arguments: Methods.names) func suitesAreWhole(_ name: String) throws {
    let method = try Methods.named(name)
    let suite = try String(contentsOfFile: "\(Self.folder)/\(method)Tests.swift", encoding: .utf8)
      .filter { !$0.isWhitespace }
    #expect(suite.contains("@Suitestruct\(method)Tests{"))
    #expect(suite.contains("expectOptions(") && suite.contains("expectRefusals(of:\(method).self"))
    #expect(suite.contains("Goldens.of(\(method).self)") == !Goldens.of(method).isEmpty)
  }
}
