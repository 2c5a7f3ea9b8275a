import ArgumentParser
import Foundation
import VTok

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Images to a short sequence of whole numbers each, in one file.",
    discussion: """
      vtok tokenize photos/ --tokens 64 -o photos.vtokens            80 bytes an image
      vtok tokenize photos/ --psnr 22 -o photos.vtokens              as many as every image needs
      vtok tokenize photos/ --feature-distance 0.1 --model path/to/dinov2-small -o photos.vtokens
      vtok tokenize photos/ --tokenizer path/to/One-D-Piece-S-256 --max-bits 1536 -o photos.vtokens
      vtok detokenize photos.vtokens -o out/

      'klt' is inside the program: no network, any length, images of any size. See 'vtok models' for the families that
      can be loaded. One row an image goes to stdout; the file is written whole, at the end, or not at all.
      """)

  @Argument(help: ArgumentHelp("Folders (recursive, sorted) and image files.", valueName: "INPUT"), completion: .file())
  var inputs: [String] = []

  @Option(
    help: ArgumentHelp("Directory as downloaded, or the name of an embedded tokenizer.", valueName: "NAME|DIR"),
    completion: .file())
  var tokenizer = "klt"

  @Option(
    help: ArgumentHelp(
      "Tokens an image; the most it may get if it has a target (default: all there are).", valueName: "K"),
    transform: whole(1...1_000_000))
  var tokens: Int?

  @Option(help: ArgumentHelp("The same as a number of bits.", valueName: "B"), transform: number(above: 0))
  var maxBits: Double?

  @Option(
    help: ArgumentHelp("The fewest tokens that reach so many dB, image by image.", valueName: "P"),
    transform: number(0...1000))
  var psnr: Double?

  @Option(
    help: ArgumentHelp(
      "The fewest that a model hardly sees: 1 less the cosine of its embeddings of image and reconstruction.",
      valueName: "D"), transform: number(0...2))
  var featureDistance: Double?

  @Option(
    help: ArgumentHelp("The model that --feature-distance asks (default: vtok-tiny).", valueName: "DIR|NAME"))
  var model: String?

  @OptionGroup var preparation: ProcessorFlag

  @Option(name: .shortAndLong, help: ArgumentHelp("The token file to write.", valueName: "FILE"), completion: .file())
  var output: String

  @Option(help: ArgumentHelp("md, csv, json or jsonl.", valueName: "FORMAT"))
  var format = Table.Format.md

  @Flag(help: "Replace the token file if there is one.")
  var force = false

  @OptionGroup var decoding: DecodeFlags
  @OptionGroup var running: RunOptions

  func run() throws {
    guard !inputs.isEmpty else {
      throw UsageError("input", found: "nothing", expected: "a folder or image files", fix: "Name one.")
    }
    try OutputCheck.free(output, "--output", force: force)
    let target = try target()
    let threads = try running.threadCount()
    let files = try InputList.find(inputs, outside: [output]).files(quiet: running.quiet)
    let loaded = try LoadedTokenizer.load(tokenizer)
    let most = try length(of: loaded)
    let job = TokenizeJob(
      loaded, inputs: files, length: target.map { .reaching($0, most: most) } ?? .tokens(most), threads: threads,
      decode: try decoding.options())

    let interruption = Interruption(patience: 2)
    let progress = Progress("tokenize", quiet: running.quiet)
    let start = ContinuousClock().now
    let rows = try job.run(progress: progress.update, isCancelled: { interruption.happened })
    progress.finish()
    if interruption.happened {
      VTokCommand.warn("interrupted after \(rows.count) of \(files.count) pictures; nothing was written")
      throw ExitCode(130)
    }
    try job.write(rows, to: output)
    Table.write(
      format, columns, count: rows.count, row: { cells(rows[$0], loaded) }, to: { print($0, terminator: "") })
    report(rows, loaded, seconds: start.duration(to: ContinuousClock().now) / .seconds(1))
    if rows.contains(where: { $0.failure != nil }) { throw ExitCode(3) }
  }

  private func target() throws -> TokenizeJob.Target? {
    if let featureDistance {
      if psnr != nil {
        throw UsageError("--psnr and --feature-distance", found: "both", expected: "one of them", fix: "Remove one.")
      }
      let judge = try LoadedModel.load(model ?? "vtok-tiny", processor: preparation.processor)
      return .featureDistance(featureDistance, try Pipeline(judge, method: nil))
    }
    if let processor = preparation.processor {
      throw UsageError(
        "--processor", found: "'\(processor)'", expected: "--feature-distance beside it",
        fix: "A tokenizer says itself how images are prepared.")
    }
    if let model {
      throw UsageError(
        "--model", found: "'\(model)'", expected: "--feature-distance beside it", fix: "A tokenizer is --tokenizer.")
    }
    guard let psnr else { return nil }
    return .psnr(psnr)
  }

  /// Column and field of what was reached; nil without a target.
  private var measure: (column: String, key: String, digits: Int)? {
    psnr != nil ? ("PSNR", "psnr", 2) : featureDistance != nil ? ("distance", "feature_distance", 4) : nil
  }

  /// Tokens asked for by number or bits; nil for all.
  private func length(of loaded: LoadedTokenizer) throws -> Int? {
    let tokenizer = loaded.tokenizer
    let lengths = tokenizer.lengths(for: Size(256))
    let expected =
      switch lengths {
      case .fixed(let count): "\(count), the one length that '\(loaded.name)' has"
      case .prefixes(let most): "1 to \(most)"
      }
    if let tokens {
      if maxBits != nil {
        throw UsageError("--tokens and --max-bits", found: "both", expected: "one of them", fix: "Remove one.")
      }
      guard lengths.contains(tokens) else {
        throw UsageError(
          "--tokens", found: "\(tokens)", expected: expected, fix: "Correct it, or leave it out for all.")
      }
      return tokens
    }
    guard let maxBits else { return nil }
    let room = (maxBits / tokenizer.bitsPerToken + 1e-9).rounded(.down)
    guard room >= 1, case let count = Int(min(room, Double(lengths.most))), lengths.contains(count) else {
      throw UsageError(
        "--max-bits", found: "\(maxBits), \(fixed(max(0, room), 0)) tokens of \(fixed(tokenizer.bitsPerToken, 2)) bits",
        expected: "room for \(expected)", fix: "Allow more bits.")
    }
    return count
  }

  private var columns: [String] {
    ["file", "size", "tokens", "bits", "bytes"] + (measure.map { [$0.column] } ?? []) + ["status"]
  }

  private func cells(_ row: TokenizeJob.Row, _ loaded: LoadedTokenizer) -> (cells: [String], json: JSON) {
    let tokenizer = loaded.tokenizer
    switch row.outcome {
    case .success(let done):
      let bits = Double(done.tokens) * tokenizer.bitsPerToken
      let bytes = TokenFile.bytes(tokens: done.tokens, codebookSize: tokenizer.codebookSize)
      var json: [(String, JSON)] = [
        ("schema", "vtok-tokens/1"), ("file", JSON(row.name)), ("status", "ok"), ("error", .null),
        ("image", ["width": JSON(done.size.width), "height": JSON(done.size.height)]),
        ("tokenizer", JSON(loaded.name)), ("tokens", JSON(done.tokens)), ("bits", JSON(bits)), ("bytes", JSON(bytes)),
      ]
      var cells = [printable(row.name), "\(done.size)", "\(done.tokens)", fixed(bits, 0), "\(bytes)"]
      if let measure, let reached = done.reached {
        json.append((measure.key, reached.isFinite ? JSON(reached) : .null))
        cells.append(fixed(reached, measure.digits))
      }
      return (cells + ["ok"], .object(JSONObject(json)))
    case .failure(let error):
      return (
        [printable(row.name), "-", "-", "-", "-"] + (measure == nil ? [] : ["-"]) + ["failed: \(error.kind.rawValue)"],
        [
          "schema": "vtok-tokens/1", "file": JSON(row.name), "status": "failed",
          "error": ["kind": JSON(error.kind.rawValue), "message": JSON(error.message)],
        ]
      )
    }
  }

  private func report(_ rows: [TokenizeJob.Row], _ loaded: LoadedTokenizer, seconds: Double) {
    if running.quiet { return }
    VTokCommand.warn(failures: rows.lazy.compactMap { $0.failure?.message }, rest: "see the rows of the table")
    let short = rows.count { if case .success(let done) = $0.outcome { done.isShort } else { false } }
    if short > 0 {
      let asked = psnr.map { "\($0) dB" } ?? "a distance of \(featureDistance!)"
      VTokCommand.warn("\(short) pictures do not reach \(asked) with all tokens they may have")
    }
    let done = rows.compactMap { try? $0.outcome.get().tokens }
    VTokCommand.say(
      "\(done.count) pictures, \(done.reduce(0, +)) tokens of '\(loaded.name)' in \(output), \(fixed(seconds, 1)) s")
  }
}

extension TokenizeJob.Row {
  fileprivate var failure: ImageError? { if case .failure(let error) = outcome { error } else { nil } }
}

struct DetokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detokenize", abstract: "The images of a token file, as PNG files of the same names.")

  @Argument(help: ArgumentHelp("A file of 'vtok tokenize'.", valueName: "FILE"), completion: .file())
  var input: String

  @Option(
    help: ArgumentHelp(
      "The tokenizer that wrote the file (default: the embedded one of that name).", valueName: "NAME|DIR"))
  var tokenizer: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Output folder.", valueName: "DIR"), completion: .directory)
  var output: String

  @Option(
    help: ArgumentHelp("Seed of decoders that draw noise (default: 0).", valueName: "N"), transform: whole(seedRange))
  var seed: UInt64 = 0

  @Flag(help: "Replace images that are there already.")
  var force = false

  @OptionGroup var running: RunOptions

  func run() throws {
    try OutputCheck.folder(output, "--output")
    let threads = try running.threadCount()
    let file = try TokenFile(path: input)
    guard let name = tokenizer ?? LoadedTokenizer.embedded.first(where: { $0 == file.tokenizer }) else {
      throw UsageError(
        "--tokenizer", found: "nothing", expected: "the directory of '\(file.tokenizer)', which wrote \(input)",
        fix: "Add --tokenizer DIR.")
    }
    let job = try DetokenizeJob(LoadedTokenizer.load(name), file, path: input, threads: threads)
    let lock = try FolderLock(folder: output)
    defer { withExtendedLifetime(lock) {} }
    if !force, case let taken = try job.taken(in: output), taken > 0 {
      throw UsageError(
        "--output '\(output)'", found: "\(taken) of the \(file.pictures.count) pictures", expected: "free names",
        fix: "Use another folder, or --force to replace them.")
    }
    let interruption = Interruption(patience: 2)
    let progress = Progress("detokenize", quiet: running.quiet)
    let start = ContinuousClock().now
    let count = try job.run(
      into: output, seed: seed, progress: progress.update, isCancelled: { interruption.happened })
    progress.finish()
    if interruption.happened {
      VTokCommand.warn("interrupted after \(count) of \(file.pictures.count) pictures")
      throw ExitCode(130)
    }
    print("\(count) pictures in \(output)")
    if !running.quiet {
      let each = start.duration(to: ContinuousClock().now) / .milliseconds(1) * Double(threads) / Double(max(1, count))
      VTokCommand.say("decoding and writing took \(fixed(each, 1)) ms a picture and thread")
    }
  }
}
