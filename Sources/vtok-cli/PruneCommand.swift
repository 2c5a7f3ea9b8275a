import ArgumentParser
import Foundation
import VTok

struct PruneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Folder of images in; kept tokens, token maps and a manifest out.",
    discussion: """
      Writes tokens-NNNNN.safetensors, manifest.jsonl and job.yaml into the output folder, and with --overlay one
      map per image. A job that was interrupted goes on where it stopped when it is started again. A finished one does
      what has changed: new contents, new inputs, inputs that failed; what is gone is dropped. Another model, method,
      budget or option is another job.
      Without --method it is tome; without a budget a method keeps half of the tokens, or what it publishes.
      Several methods or budgets make one folder each, named <method>@<budget>, or <method>@own where the method has an
      amount of its own.
      With --stream images come on standard input, a path or a JSON object a line, and for each a JSON line goes out,
      in the same order, as soon as it is done; docs/cli.md says what they hold.
      With a vision-language model the tokens are those of its images after projector and packing, for engines that
      run the language model: methods that act inside it are refused, methods that read the question need --prompt.
      """)

  @Argument(
    help: ArgumentHelp(
      "Folders (recursive, sorted), image files, and tar archives of them (WebDataset's shards).", valueName: "INPUT"),
    completion: .file())
  var inputs: [String] = []

  @Option(
    help: ArgumentHelp("Take inputs from a list, one path a line; - reads stdin.", valueName: "FILE|-"),
    completion: .file())
  var filesFrom: String?

  @OptionGroup var videos: VideoInputFlags

  @Flag(help: "Read records from standard input and write a row for each; with -o tensors go there, else into rows.")
  var stream = false

  @Flag(
    name: [.customShort("0"), .customLong("null")], help: "With --stream: records end with NUL, as of find -print0.")
  var nul = false

  @Option(name: .shortAndLong, help: ArgumentHelp("Output folder.", valueName: "DIR"), completion: .directory)
  var output: String?

  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var mean: MeanFlag
  @OptionGroup var decoding: DecodeFlags

  @Flag(help: "Write one map per image that shows what stayed.")
  var overlay = false

  @OptionGroup var drawing: DrawingFlags

  @OptionGroup var precision: PrecisionFlag
  @OptionGroup var memory: MemoryFlag

  @Option(help: ArgumentHelp("Type of the kept tokens in files: f32 or f16.", valueName: "TYPE"))
  var dtype = StoredType.f32

  @Option(help: ArgumentHelp("Inputs per token file (default: 256).", valueName: "N"), transform: whole(1...1_000_000))
  var shardSize: Int?

  @Option(help: ArgumentHelp("Do only part i of n (from 0), into DIR/shard-i-of-n.", valueName: "i/n"))
  var shard: String?

  @Option(
    name: .customLong("export"),
    help: ArgumentHelp(
      "Also write the tokens as arrays of NumPy (npy) or as shards of WebDataset (webdataset), beside the token files; repeat "
        + "it for both.", valueName: "FORM"))
  var exports: [ExportForm] = []

  @Option(
    help: ArgumentHelp("Put the parts of a finished job in DIR together.", valueName: "DIR"), completion: .directory)
  var merge: String?

  @Flag(help: "Write milliseconds into the manifest (its bytes then differ from run to run).")
  var timings = false

  @Option(help: ArgumentHelp("Form of the summary on stdout: md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @Flag(help: "Throw away what an earlier job left in the output folder.")
  var force = false

  @Option(help: ArgumentHelp("The question, for methods of a vision-language model that read it.", valueName: "TEXT"))
  var prompt: String?

  @OptionGroup var language: LanguageFlags

  @OptionGroup var running: RunOptions

  enum StoredType: String, ExpressibleByArgument, CaseIterable { case f32, f16 }

  func run() throws {
    if stream { return try runStream() }
    if let merge { return try mergeParts(merge) }
    let output = try outputFolder()
    let settings = try settings()
    let asked = try swept().combinations()
    let files = try listInputs(output)
    let model = try PruneModel(self)
    let solved = try reduction.solved(asked, quiet: running.quiet) { target, spec in
      // An interrupted job goes on with what it solved: a time would not come out the same twice.
      if asked.count == 1, !force, let earlier = JobFile.solution(in: output + "/job.yaml", for: target) {
        return earlier
      }
      return try model.solve(target, spec)
    }
    let combinations = try calibrated(solved, files, settings)
    // Everything that can be refused is refused before the first image is reduced.
    let jobs = try combinations.map { combination in
      let folder = combinations.count > 1 ? output + "/" + combination.label : output
      return (combination, try job(combination, model, files, in: folder, settings))
    }
    let locks = try jobs.map { combination, job in try claim(job, combination, model, files) }
    defer { withExtendedLifetime(locks) {} }
    let interruption = Interruption()
    let start = ContinuousClock().now
    var table = Table(["method", "budget", "tokens", "reached", "GMACs", "speed-up", "failed"])
    var (failures, failed, changes): ([String], Int, [String]) = ([], 0, [])
    for (combination, job) in jobs {
      let progress = Progress(combination.spec.description, quiet: running.quiet)
      let summary = try job.run(progress: progress.update, isCancelled: { interruption.happened })
      progress.finish()
      if summary.cancelled {
        VTokCommand.warn(
          "interrupted after \(summary.totals.images) of \(job.inputs.count) images; the same command goes on from there"
        )
        throw ExitCode(130)
      }
      for form in exports { try job.export(form) }
      add(summary, combination, to: &table)
      if summary.totals.failed > failed { (failures, failed) = (summary.failures, summary.totals.failed) }
      if summary.changes.isRerun {
        changes.append("inputs" + (jobs.count > 1 ? " of \(combination.label)" : "") + ": \(summary.changes.text)")
      }
      if running.verbose { describe(summary, combination) }
    }
    if format == .md {
      let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
      print(
        "model \(model.name) · \(jobs[0].1.inputs.count) \(videos.flag == nil ? "images" : "inputs") · \(settings.threads) thread\(settings.threads == 1 ? "" : "s")"
          + " · \(fixed(seconds, 1)) s")
    }
    print(table.text(format), terminator: "")
    if format == .md {
      for line in changes + (overlay ? jobs.map { "overlays \($0.1.folder)/overlays/" } : []) { print(line) }
    }
    if failed > 0 {
      if !running.quiet { VTokCommand.warn(failures: failures, count: failed, rest: "see manifest.jsonl") }
      throw ExitCode(3)
    }
  }

  private func outputFolder() throws -> String {
    if nul {
      throw UsageError("--null", found: "it without --stream", expected: "both", fix: "Add --stream, or remove --null.")
    }
    guard let output else {
      throw UsageError("--output", found: "nothing", expected: "a folder", fix: "Add -o DIR.")
    }
    try OutputCheck.folder(output, "--output")
    return output
  }

  private func job(
    _ combination: ReductionOptions.Combination, _ model: PruneModel, _ files: [InputFile], in folder: String,
    _ settings: PruneJob.Settings
  ) throws -> PruneJob {
    PruneJob(
      try model.reducer(combination), asked: combination.asked, inputs: files, output: folder, settings: settings)
  }

  func settings() throws -> PruneJob.Settings {
    var settings = PruneJob.Settings()
    settings.part = try part()
    if settings.part != nil, reduction.targetMs != nil {
      throw UsageError(
        "--target-ms with --shard", found: "a time that differs between machines", expected: "one budget for all parts",
        fix: "Solve it once without --shard and give the printed --keep-tokens.")
    }
    settings.shardSize = shardSize ?? 256
    settings.halfPrecision = dtype == .f16
    try drawing.require(overlay)
    settings.overlays = overlay
    settings.colours = drawing.colours
    settings.timings = timings
    settings.seed = reduction.seed
    settings.threads = try running.threadCount()
    settings.decode = try decoding.options()
    settings.frameRate = videos.rate.value
    return settings
  }

  private func part() throws -> PruneJob.Settings.Part? {
    guard let shard else { return nil }
    let numbers = shard.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let index = numbers[0], let count = numbers[1], count > 0, (0..<count).contains(index)
    else {
      throw UsageError("--shard", found: "'\(shard)'", expected: "i/n with i from 0 to n - 1", fix: "For example 0/4.")
    }
    return .init(index: index, count: count)
  }

  /// Takes the folder for this job: a new one, an interrupted one of the same configuration, or by force.
  private func claim(
    _ job: PruneJob, _ combination: ReductionOptions.Combination, _ model: PruneModel, _ files: [InputFile]
  ) throws -> FolderLock {
    let lock = try job.lock()
    let path = job.folder + "/job.yaml"
    let text = try configuration(job, combination, model, files)
    if force { try job.clear() }
    let now = JobFile.identity(text)
    let old = try FileBytes.readIfThere(path)
    if old == nil, let name = try job.leftover() {
      throw UsageError(
        "output '\(job.folder)'", found: "'\(name)' without a job.yaml that says whose it is",
        expected: "a free folder",
        fix: "Use another -o, or --force to remove what is there.")
    }
    let before = old.map { JobFile.identity(String(decoding: $0, as: UTF8.self)) }
    if let before, before != now {
      throw UsageError(
        "output '\(job.folder)'", found: "a job with \(JobFile.difference(before, now))",
        expected: "the same job, to go on with it",
        fix: "Use another -o, or --force to start anew.")
    }
    if old != Array(text.utf8) { try WholeFile.write(text, to: path) }
    return lock
  }

  /// Everything results depend on. The number of threads is left out: they do not depend on it.
  private func configuration(
    _ job: PruneJob, _ combination: ReductionOptions.Combination, _ model: PruneModel, _ files: [InputFile]
  ) throws -> String {
    var flags: [(String, JSON)] = [
      ("inputs", JSON(inputs)), ("files-from", filesFrom.map { JSON($0) } ?? .null), ("video", JSON(videos.videos)),
      ("videos-from", videos.videosFrom.map { JSON($0) } ?? .null), ("fps", videos.rate.fps.map { JSON($0) } ?? .null),
      ("model", JSON(reduction.model)),
      ("mmproj", reduction.mmproj.map { JSON($0) } ?? .null),
      ("processor", reduction.preparation.processor.map { JSON($0) } ?? .null),
      ("method", JSON(combination.spec.description)),
    ]
    if let mean = combination.mean {
      flags.append(("keep-mean", JSON(mean.mean)))
    } else if combination.ruled {
      switch combination.budget {
      case .ratio(let ratio): flags.append(("keep-ratio", JSON(ratio)))
      case .tokens(let tokens): flags.append(("keep-tokens", JSON(tokens)))
      }
    }
    flags += [
      ("precision", JSON(model.precision.rawValue)), ("seed", JSON(Int(truncatingIfNeeded: reduction.seed))),
      ("dtype", JSON(dtype.rawValue)),
      ("overlay", JSON(overlay)), ("tint", drawing.tint ? true : .null), ("shard-size", JSON(job.settings.shardSize)),
      ("shard", shard.map { JSON($0) } ?? .null),
      ("prompt", prompt.map { JSON($0) } ?? .null), ("template", try language.text().map { JSON($0) } ?? .null),
      ("companion", language.companion.map { JSON($0) } ?? .null),
      ("timings", JSON(timings)), ("max-memory", memory.maxMemory.map { JSON("\($0)B") } ?? .null),
      ("max-pixels", JSON(decoding.maxPixels)),
      ("raw-orientation", JSON(decoding.rawOrientation)), ("alpha", JSON(decoding.alpha.rawValue)),
    ]
    var run: [(String, JSON)] = [
      ("schema", "vtok-job/1"), ("vtok", JSON(vtokVersion)),
    ]
    run += try model.checksums()
    run += [
      ("cpu", JSON(cpuLevel)), ("blas", JSON(Machine.blas)), ("images", JSON(job.inputs.count)),
      ("inputs_sha256", JSON(SHA256.of(files.lazy.flatMap { FileName.bytes($0.name) + [0] }))),
    ]
    let read = try Set(combination.spec.files).sorted().map { JSON(SHA256.of(try FileBytes.read($0))) }
    if !read.isEmpty { run.append(("option_files_sha256", .array(read))) }
    if let pixels = model.mostPixels { run.append(("read_with_pixels", JSON(pixels))) }
    if let mean = combination.mean {
      run += [("mean-threshold", JSON(mean.threshold)), ("mean-scale", JSON(mean.scale))]
    }
    if let (target, reached) = combination.solved {
      run += [("solved-for", JSON(target.description)), ("reached", JSON(reached))]
    }
    return JobFile.text(flags, run: run)
  }
}

extension ExportForm: ExpressibleByArgument {}
