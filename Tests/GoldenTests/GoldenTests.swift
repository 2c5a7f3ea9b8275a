import Foundation
import GoldenRunner
import Testing
import VTok

/// Runs every manifest below `VTOK_GOLDEN_DIR` (default: the cases in `Tests/Golden/Cases`, without those of methods, which
/// their suites in `Tests/Methods` run). With `VTOK_GOLDEN_REPORT=FILE` a JSON array with one object a case is written:
/// function, method, case, status, maxAbsError, message.
///
/// A folder given from outside may hold more than this version knows: every case of it runs in a process of its own, so
/// that a trap fails that case alone, and what is not known is `missing` and fails nothing, unless `VTOK_GOLDEN_STRICT` is
/// set.
@Suite(.serialized) struct GoldenTests {
  @Test(arguments: Goldens.others) func golden(_ golden: GoldenCase) async throws {
    try golden.settle(Goldens.outside == nil ? golden.outcome() : try await golden.outcomeOfChild())
  }

  @Test func thereAreCases() { #expect(!Goldens.all.isEmpty) }
}

extension GoldenCase {
  /// The same in a process of its own, whose trap is the outcome of this case and no more.
  func outcomeOfChild() async throws -> GoldenOutcome {
    let file = FileManager.default.temporaryDirectory.path + "/golden-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: file) }
    setenv("SWIFT_BACKTRACE", "enable=no", 1)  // the crash reporter takes longer than the case
    await #expect(processExitsWith: .success) { [path = path as String, file = file as String] in
      let outcome = GoldenCase(path: path)?.outcome() ?? GoldenOutcome(status: .failed, message: "no manifest")
      let row: JSON = [
        "status": JSON(outcome.status.rawValue), "error": JSON(outcome.error), "message": JSON(outcome.message),
      ]
      try Data(row.text().utf8).write(to: URL(fileURLWithPath: file))
    }
    guard let data = FileManager.default.contents(atPath: file), let row = try? JSON(parsing: [UInt8](data)),
      let status = row["status"]?.string.flatMap(GoldenOutcome.Status.init)
    else {
      return GoldenOutcome(
        status: .failed, message: "the function trapped: the case holds what it does not expect, or lacks what it needs"
      )
    }
    return GoldenOutcome(status: status, error: row["error"]?.double ?? 0, message: row["message"]?.string ?? "")
  }
}
