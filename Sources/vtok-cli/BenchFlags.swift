import ArgumentParser
import Foundation
import VTok

/// Flags of every bench.
struct BenchFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Class folders, list file, CIFAR-10 .bin, a folder of images, or questions (.jsonl).", valueName: "PATH"),
    completion: .file())
  var data: String

  @Option(
    help: ArgumentHelp("Only the first N images, or questions.", valueName: "N"), transform: whole(1...1_000_000_000))
  var limit: Int?

  @Option(help: ArgumentHelp("Write one HTML page with table, plots and images into DIR.", valueName: "DIR"))
  var report: String?

  @Option(
    help: ArgumentHelp("Images that the page shows; 0 leaves them out (default: 5).", valueName: "N"),
    transform: whole(0...1000))
  var gallery = 5

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @Option(name: .shortAndLong, help: ArgumentHelp("Write the table there instead of to stdout.", valueName: "FILE"))
  var output: String?

  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  func checkOutputs(_ more: [(flag: String, path: String?)] = []) throws {
    if let report { try OutputCheck.folder(report, "--report") }
    for (flag, path) in [("--output", output)] + more { if let path { try OutputCheck.file(path, flag) } }
  }

  /// What this command writes.
  var outputs: [String] { [report, output].compactMap(\.self) }

  /// Where results come from.
  func provenance(
    model: String, sha256: String, seed: UInt64?, threads: Int, more: [(key: String, value: JSON)] = []
  ) -> Provenance {
    Provenance(
      model: model, modelSHA256: sha256, seed: seed, threads: threads, more: more,
      arguments: ["vtok"] + commandLineArguments())
  }

  /// Times some items, runs all; an interrupted run writes nothing.
  /// - Parameter samples: items to time.
  func measure<Task: BenchTask>(_ bench: Bench<Task>, samples: Int, limit: Int?) throws -> BenchResults<Task> {
    let interruption = Interruption(patience: 2)
    let sample =
      samples == 0
      ? nil
      : try stage("bench: times") {
        try bench.sample(
          samples, limit: limit, progress: $0.update, isCancelled: { interruption.happened })
      }
    let results = try stage("bench") {
      try bench.run(limit: limit, sample: sample, progress: $0.update, isCancelled: { interruption.happened })
    }
    if interruption.happened {
      VTokCommand.warn(
        "interrupted after \(results.items.count + results.failures.count) pictures; nothing was written")
      throw ExitCode(130)
    }
    guard !results.items.isEmpty else {
      throw UsageError(
        "data '\(data)'", found: "no picture that can be read" + (results.failures.first.map { ": \($0)" } ?? ""),
        expected: "pictures", fix: "Check them.")
    }
    if !running.quiet { for reason in results.leftOut { VTokCommand.warn("Left out: \(reason)") } }
    return results
  }

  /// Prints the table, or writes it, and the report where one is asked for.
  /// - Parameters:
  ///   - text: in place of the table of rows.
  ///   - more: writes what else the report has into its folder, and names the file to open.
  func write<Task: BenchTask>(
    _ table: BenchReport<Task>, text: String? = nil, more: (String) throws -> String? = { _ in nil }
  ) throws {
    let text = text ?? table.text(format)
    if let output {
      try Folder.makeAbove(output)
      try WholeFile.write(text, to: output)
    } else {
      print(text, terminator: "")
    }
    guard let report else { return }
    let page = try table.write(to: report, gallery: gallery)
    let other = try more(report)
    if format == .md, output == nil { print("report \(other ?? page)") }
  }

  /// Names what could not be read.
  func end<Task: BenchTask>(_ results: BenchResults<Task>) throws {
    if results.failures.isEmpty { return }
    if !running.quiet { VTokCommand.warn(failures: results.failures, rest: "left out too") }
    throw ExitCode(3)
  }

  /// A part of the work with a progress bar of its own.
  private func stage<Result>(_ label: String, _ body: (Progress) throws -> Result) rethrows -> Result {
    let progress = Progress(label, quiet: running.quiet)
    defer { progress.finish() }
    return try body(progress)
  }
}

extension MethodBenchFlags {
  /// Predictions are of one model at a time.
  func refuseMemory(_ precisions: [Precision?], trained: [String] = []) throws {
    guard memory.maxMemory != nil, precisions.count > 1 || !trained.isEmpty else { return }
    throw UsageError(
      "--max-memory", found: "several models in one bench", expected: "one model in one precision",
      fix: "Run one bench for each.")
  }
}

/// Flags of a bench of methods.
struct MethodBenchFlags: ParsableArguments {
  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var mean: MeanFlag
  @OptionGroup var precision: PrecisionSweep
  @OptionGroup var memory: MemoryFlag

  @Option(
    help: ArgumentHelp(
      "Runs of methods that draw lots (random), each with other tokens; their row is the mean (default: 5).",
      valueName: "N"),
    transform: whole(1...1000))
  var seeds = 5

  @Option(
    help: ArgumentHelp(
      "Images that are timed, nothing shared (default: 100; the first questions of 16).", valueName: "N"),
    transform: whole(0...1_000_000))
  var timingSamples: Int?

  /// The flags that choose rows: where a mean is asked for, the fixed share stands beside it.
  func sweep(_ means: [Double]?) -> ReductionOptions {
    var swept = reduction
    if let means { swept.keepRatios = means.map { "\($0)" } }
    return swept
  }
}
