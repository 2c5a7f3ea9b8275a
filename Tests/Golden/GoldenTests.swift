import Foundation
import Synchronization
import Testing
import VTok

/// Functions by the names the manifests use. A new golden family adds its table here.
let goldenFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] =
  [
    imageFunctions, visionFunctions, methodFunctions, reductionFunctions, calibrationFunctions, compressorFunctions,
    multimodalFunctions, textFunctions, processorFunctions, languageFunctions, stageFunctions, cacheFunctions,
    flexTokFunctions, tokenizerFunctions, trainedFunctions,
  ]
  .reduce(into: [:]) { $0.merge($1) { $1 } }

/// Runs every manifest below `VTOK_GOLDEN_DIR` (default: the cases beside this file). With `VTOK_GOLDEN_REPORT=FILE` a
/// JSON array with one object a case is written: function, method, case, status, maxAbsError, message.
@Suite(.serialized) struct GoldenTests {
  static let outside = ProcessInfo.processInfo.environment["VTOK_GOLDEN_DIR"]
  static let cases = GoldenCase.all(
    below: outside ?? (#filePath as NSString).deletingLastPathComponent + "/Cases")

  @Test(arguments: cases) func golden(_ golden: GoldenCase) throws {
    guard let function = goldenFunctions[golden.function] else {
      report(golden, "missing", 0, "no function registered")
      // The repository's own cases must all run; a folder given from outside may hold more than this version knows.
      if Self.outside == nil { Issue.record("no function '\(golden.function)'") }
      return
    }
    do {
      let (failures, worst) = try golden.compare(function(golden.inputs()))
      report(golden, failures.isEmpty ? "passed" : "failed", worst, failures.joined(separator: "; "))
      #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
    } catch let error as NeedsFile where Self.outside == nil {
      print("skipped \(golden.testDescription): \(error)")
    } catch {
      report(golden, "failed", 0, "\(error)")
      throw error
    }
  }

  @Test func thereAreCases() { #expect(!Self.cases.isEmpty) }
}

private let reported = Mutex<[JSON]>([])

/// The file is rewritten after every case, so that an interrupted run leaves what it found.
private func report(_ golden: GoldenCase, _ status: String, _ error: Double, _ message: String) {
  guard let path = ProcessInfo.processInfo.environment["VTOK_GOLDEN_REPORT"] else { return }
  reported.withLock { rows in
    rows.append([
      "function": JSON(golden.function), "method": JSON(golden.method), "case": JSON(golden.name),
      "status": JSON(status), "maxAbsError": JSON(error), "message": JSON(message),
    ])
    let text = JSON.array(rows).text(pretty: true) + "\n"
    try? Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
