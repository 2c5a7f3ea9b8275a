import Foundation
import Synchronization
import Testing
import VTok

/// Functions by the names the manifests use. A new golden family adds its table here.
let goldenFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] =
  [
    imageFunctions, visionFunctions, methodFunctions, reductionFunctions, calibrationFunctions, compressorFunctions,
    multimodalFunctions, textFunctions, processorFunctions, languageFunctions, stageFunctions, cacheFunctions,
    flexTokFunctions, tokenizerFunctions, trainedFunctions, templateFunctions, ggufFunctions,
  ]
  .reduce(into: [:]) { $0.merge($1) { $1 } }

/// What became of one case.
struct GoldenOutcome: Sendable {
  enum Status: String, Sendable {
    case passed, failed
    /// A function, a schema or a family of models that this version does not know.
    case missing
    /// A published file that can only be fetched is not there.
    case skipped
  }
  var status: Status
  var error = 0.0
  var message = ""
}

/// Runs every manifest below `VTOK_GOLDEN_DIR` (default: the cases beside this file). With `VTOK_GOLDEN_REPORT=FILE` a
/// JSON array with one object a case is written: function, method, case, status, maxAbsError, message.
///
/// A folder given from outside may hold more than this version knows: every case of it runs in a process of its own, so
/// that a trap fails that case alone, and what is not known is `missing` and fails nothing, unless `VTOK_GOLDEN_STRICT` is
/// set.
@Suite(.serialized) struct GoldenTests {
  static let outside = ProcessInfo.processInfo.environment["VTOK_GOLDEN_DIR"]
  static let isStrict = outside == nil || ProcessInfo.processInfo.environment["VTOK_GOLDEN_STRICT"] != nil
  static let cases = GoldenCase.all(
    below: outside ?? (#filePath as NSString).deletingLastPathComponent + "/Cases")

  @Test(arguments: cases) func golden(_ golden: GoldenCase) async throws {
    let outcome = Self.outside == nil ? golden.outcome() : try await golden.outcomeOfChild()
    report(golden, outcome)
    switch outcome.status {
    case .passed: break
    case .skipped: print("skipped \(golden.testDescription): \(outcome.message)")
    case .missing: if Self.isStrict { Issue.record("missing: \(outcome.message)") }
    case .failed: Issue.record("\(outcome.message)")
    }
  }

  @Test func thereAreCases() { #expect(!Self.cases.isEmpty) }
}

extension GoldenCase {
  func outcome() -> GoldenOutcome {
    if let unreadable { return GoldenOutcome(status: .failed, message: unreadable) }
    guard Self.schemas.contains(schema) else {
      return GoldenOutcome(status: .missing, message: "no reader for the schema '\(schema)'")
    }
    guard let function = goldenFunctions[function] else {
      return GoldenOutcome(status: .missing, message: "no function '\(function)' registered")
    }
    do {
      let (failures, worst) = try compare(function(inputs()))
      return GoldenOutcome(
        status: failures.isEmpty ? .passed : .failed, error: worst, message: failures.joined(separator: "; "))
    } catch let error as NeedsFile where GoldenTests.outside == nil {
      return GoldenOutcome(status: .skipped, message: "\(error)")
    } catch let error as ModelError {
      if case .unknownFamily = error { return GoldenOutcome(status: .missing, message: "\(error)") }
      return GoldenOutcome(status: .failed, message: "\(error)")
    } catch {
      return GoldenOutcome(status: .failed, message: "\(error)")
    }
  }

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

private let reported = Mutex<[JSON]>([])

/// The file is rewritten after every case, so that an interrupted run leaves what it found.
private func report(_ golden: GoldenCase, _ outcome: GoldenOutcome) {
  guard let path = ProcessInfo.processInfo.environment["VTOK_GOLDEN_REPORT"] else { return }
  reported.withLock { rows in
    rows.append([
      "function": JSON(golden.function), "method": JSON(golden.method), "case": JSON(golden.name),
      "status": JSON(outcome.status.rawValue), "maxAbsError": JSON(outcome.error), "message": JSON(outcome.message),
    ])
    let text = JSON.array(rows).text(pretty: true) + "\n"
    try? Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
