import Foundation
import Synchronization
import VTok

/// Functions by the names the manifests use. A new golden family adds its table here.
private let goldenFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] =
  [
    imageFunctions, visionFunctions, towerFunctions, methodFunctions, fusionFunctions, reductionFunctions,
    calibrationFunctions,
    compressorFunctions,
    multimodalFunctions, keptFunctions, textFunctions, processorFunctions, tilingFunctions, languageFunctions,
    stageFunctions, cacheFunctions,
    promptCacheFunctions,
    flexTokFunctions, tokenizerFunctions, imageTokenizerFunctions, trainedFunctions, templateFunctions, ggufFunctions,
    beforeLanguageFunctions, beforeLanguageRuns,
  ]
  .reduce(into: [:]) { $0.merge($1) { $1 } }

/// What became of one case.
package struct GoldenOutcome: Sendable {
  package enum Status: String, Sendable {
    case passed, failed
    /// A function, a schema or a family of models that this version does not know.
    case missing
    /// A published file that can only be fetched is not there.
    case skipped
  }
  package var status: Status
  package var error: Double
  package var message: String

  package init(status: Status, error: Double = 0, message: String = "") {
    self.status = status
    self.error = error
    self.message = message
  }
}

/// The cases: those of this repository, or the folder that `VTOK_GOLDEN_DIR` names.
package enum Goldens {
  package static let outside = ProcessInfo.processInfo.environment["VTOK_GOLDEN_DIR"]
  package static let isStrict = outside == nil || ProcessInfo.processInfo.environment["VTOK_GOLDEN_STRICT"] != nil
  package static let folder = outside ?? (#filePath as NSString).deletingLastPathComponent + "/Cases"
  package static let all = GoldenCase.all(below: folder)

  /// The cases of one method, which its own suite runs. Of a folder from outside none: `GoldenTests` runs all of it.
  package static func of(_ method: any Compressor.Type) -> [GoldenCase] {
    outside == nil ? all.filter { $0.method == method.name } : []
  }

  /// The cases that no suite of a method runs.
  package static let others = all.filter { outside != nil || !Methods.names.contains($0.method) }
}

extension GoldenCase {
  package func outcome() -> GoldenOutcome {
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
    } catch let error as NeedsFile where Goldens.outside == nil {
      return GoldenOutcome(status: .skipped, message: "\(error)")
    } catch let error as ModelError {
      if case .unknownFamily = error { return GoldenOutcome(status: .missing, message: "\(error)") }
      return GoldenOutcome(status: .failed, message: "\(error)")
    } catch {
      return GoldenOutcome(status: .failed, message: "\(error)")
    }
  }

  /// Runs the case, and reports it.
  /// - Throws: what failed.
  package func check() throws { try settle(outcome()) }

  /// Reports what became of the case.
  /// - Throws: what failed.
  package func settle(_ outcome: GoldenOutcome) throws {
    report(outcome)
    switch outcome.status {
    case .passed: break
    case .skipped: print("skipped \(testDescription): \(outcome.message)")
    case .missing: if Goldens.isStrict { throw GoldenError("missing: \(outcome.message)") }
    case .failed: throw GoldenError(outcome.message)
    }
  }

  /// The file is rewritten after every case, so that an interrupted run leaves what it found.
  private func report(_ outcome: GoldenOutcome) {
    guard let path = ProcessInfo.processInfo.environment["VTOK_GOLDEN_REPORT"] else { return }
    reported.withLock { rows in
      rows.append([
        "function": JSON(function), "method": JSON(method), "case": JSON(name),
        "status": JSON(outcome.status.rawValue), "maxAbsError": JSON(outcome.error), "message": JSON(outcome.message),
      ])
      let text = JSON.array(rows).text(pretty: true) + "\n"
      try? Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }
  }
}

private let reported = Mutex<[JSON]>([])
