import ArgumentParser
import Foundation
import VTok

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Learn a method's settings for one model and one budget from images.",
    discussion: """
      vtok calibrate --model DIR --data photos/ --target-ratio 0.6 -o rates.json
      vtok prune photos/ --model DIR --method diffrate:rates=rates.json -o out

      DiffRate learns how many tokens every block prunes and merges; the model's weights stay as they are.
      Images come from class folders, a list file (path, tab, label) or CIFAR-10 .bin files; with --distil any will do.
      What DiffRate calls GFLOPs are multiply-adds (GMACs), here and in its papers' tables; true FLOPs are twice that.
      A run that was interrupted goes on where it stopped when it is started again; its state stands beside the output.
      """)

  @Option(help: ArgumentHelp("Method to calibrate: diffrate.", valueName: "NAME"))
  var method = DiffRate.name

  @Option(help: ArgumentHelp("Model directory as downloaded, or an embedded name.", valueName: "DIR|NAME"))
  var model = ProcessInfo.processInfo.environment["VTOK_MODEL"] ?? "vtok-tiny"

  @OptionGroup var preparation: ProcessorFlag

  @Option(
    help: ArgumentHelp("Class folders, list file, CIFAR-10 .bin; any images with --distil.", valueName: "PATH"),
    completion: .file())
  var data: String

  @Option(
    name: [.customLong("target-gflops"), .customLong("target-gmacs")],
    help: ArgumentHelp("GMACs of the reduced model, which DiffRate calls GFLOPs.", valueName: "X"),
    transform: number(above: 0))
  var targetGflops: Double?

  @Option(
    help: ArgumentHelp("The same as a share of the dense model's, in (0, 1).", valueName: "R"),
    transform: number(above: 0, below: 1))
  var targetRatio: Double?

  @Option(help: ArgumentHelp("Batches to learn from (default: 500).", valueName: "N"), transform: whole(1...10_000_000))
  var steps: Int?

  @Option(
    help: ArgumentHelp("Times to go through the data, instead of --steps.", valueName: "N"),
    transform: whole(1...100_000))
  var epochs: Int?

  @Option(help: ArgumentHelp("Images per batch (default: 16).", valueName: "N"), transform: whole(1...4096))
  var batch = 16

  @Option(
    help: ArgumentHelp("Distance of two token counts to choose from (default: 4).", valueName: "N"),
    transform: whole(1...100_000))
  var granularity = 4

  @Option(
    help: ArgumentHelp("Learning rate at the start; it falls to a tenth (default: 0.2).", valueName: "X"),
    transform: number(above: 0, upTo: 1000))
  var learningRate = 0.2

  @Option(
    help: ArgumentHelp(
      "Weight of a missed target in the loss. Small targets need more than DiffRate's (default: 5).", valueName: "X"),
    transform: number(above: 0))
  var lambda = 5.0

  @Flag(help: "Learn to answer as the dense model does, not as the labels say (not part of DiffRate).")
  var distil = false

  @Option(help: ArgumentHelp("Seed of everything random (default: 0).", valueName: "N"), transform: whole(seedRange))
  var seed: UInt64 = 0

  @Option(name: .shortAndLong, help: ArgumentHelp("The settings file to write.", valueName: "FILE.json"))
  var output: String

  @Flag(help: "Throw away what an earlier run left at the output.")
  var force = false

  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  func run() throws {
    guard method == DiffRate.name else {
      throw UsageError(
        "--method", found: "'\(method)'", expected: DiffRate.name, fix: "No other method has settings to learn.")
    }
    try OutputCheck.file(output, "--output")
    let threads = try running.threadCount()
    let loaded = try LoadedModel.load(model, processor: preparation.processor)
    let pictures = try LabelledImages(data, classes: loaded.vision.labels, outside: [output])
    if !distil, !pictures.isLabelled {
      throw UsageError(
        "--data '\(data)'", found: "pictures without labels",
        expected: "class folders, a list file or CIFAR-10 .bin files",
        fix: "Add --distil to learn from the dense model's answers.")
    }
    let job = try CalibrationJob(
      loaded, pictures, settings(loaded, pictures.count), output: output, decode: decoding.options())
    let lock = try job.lock()
    defer { withExtendedLifetime(lock) {} }
    if force { try job.clear() }
    if try job.isFinished() {
      if !running.quiet { VTokCommand.warn("'\(output)' is already made with these settings; --force makes it anew") }
      return
    }
    say(
      "\(loaded.name): \(pictures.count) pictures, \(job.settings.steps) steps of \(batch), "
        + "\(fixed(job.denseGMACs, 2)) GMACs dense, target \(fixed(job.settings.targetGMACs, 2))")
    let interruption = Interruption()
    let progress = Progress("", quiet: running.quiet)
    var start: (step: Int, time: ContinuousClock.Instant)?
    func show(_ step: DiffRateCalibration.Progress) {
      let now = ContinuousClock().now
      let since = start ?? (step.step, now)
      start = since
      let line = line(step, since: since.step, seconds: since.time.duration(to: now) / .seconds(1))
      progress.show(line)
      if running.verbose, step.step % max(1, step.steps / 20) == 0 { say(line) }
    }
    let summary = try job.run(threads: threads, isCancelled: { interruption.happened }, progress: show)
    progress.finish()
    guard summary.isDone else {
      let progress = summary.progress
      VTokCommand.warn(
        "interrupted after \(progress.step) of \(progress.steps) steps; the same command goes on from there")
      throw ExitCode(130)
    }
    report(summary, job)
    if !summary.failed.isEmpty {
      if !running.quiet {
        VTokCommand.warn(
          failures: summary.failed.lazy.map { "\(printable($0)): could not be read, left out" }, rest: "left out too")
      }
      throw ExitCode(3)
    }
  }

  private func settings(_ model: LoadedModel, _ pictures: Int) throws -> DiffRateCalibration.Settings {
    guard (targetGflops == nil) != (targetRatio == nil) else {
      throw UsageError(
        "--target-gflops and --target-ratio", found: targetRatio == nil ? "neither" : "both", expected: "one of them",
        fix: "For example --target-ratio 0.6.")
    }
    guard steps == nil || epochs == nil else {
      throw UsageError("--steps and --epochs", found: "both", expected: "one of them", fix: "Remove one.")
    }
    let target = try targetGflops ?? DiffRateCalibration.denseGMACs(of: model.vision) * targetRatio!
    var settings = DiffRateCalibration.Settings(targetGMACs: target)
    settings.steps = steps ?? epochs.map { max(1, $0 * pictures / batch) } ?? settings.steps
    settings.batch = batch
    settings.granularity = granularity
    settings.learningRate = learningRate
    settings.lambda = lambda
    settings.distils = distil
    settings.seed = seed
    return settings
  }

  private func say(_ line: String) {
    if !running.quiet { Output.note(line) }
  }

  /// A line of progress; the rate is that of the steps after `first`, which took so many seconds.
  private func line(_ step: DiffRateCalibration.Progress, since first: Int, seconds: Double) -> String {
    var line =
      "step \(step.step)/\(step.steps)  loss \(fixed(step.loss, 4))  \(fixed(step.gmacs, 3)) GMACs  "
      + "prune \(text(step.prune))  merge \(text(step.merge))"
    if step.step > first {
      let left = Int((seconds / Double(step.step - first) * Double(step.steps - step.step)).rounded(.up))
      line += "  ETA \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60)"
    }
    return line
  }

  private func report(_ summary: CalibrationJob.Summary, _ job: CalibrationJob) {
    let result = summary.progress
    print("prune \(text(result.prune))")
    print("merge \(text(result.merge))")
    print(
      "\(fixed(job.denseGMACs, 3)) → \(fixed(result.gmacs, 3)) GMACs (target \(fixed(job.settings.targetGMACs, 3))), "
        + "loss \(fixed(result.loss, 4)), written to \(output)")
    let target = job.settings.targetGMACs
    if result.gmacs > 1.03 * target, !running.quiet {
      VTokCommand.warn(
        "the target was missed by \(fixed(100 * (result.gmacs / target - 1), 0))%: every token more was worth its price; "
          + "--lambda \(fixed(10 * lambda, 0)) makes it dearer")
    }
  }

  private func text(_ counts: [Int]) -> String { counts.map(String.init).joined(separator: " ") }
}
