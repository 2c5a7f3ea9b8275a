import ArgumentParser
import Foundation
import VTok

struct BenchTokenizers: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizers",
    abstract: "Image tokenizers beside JPEG: rate, distortion, what a classifier sees in the reconstructions, time.",
    discussion: """
      vtok bench tokenizers --data photos/ --tokenizers klt,path/to/One-D-Piece-S-256 --report out/
      """)

  @OptionGroup var bench: BenchFlags
  @OptionGroup var tokenizers: TokenizerBenchFlags

  @Option(help: ArgumentHelp("The model that judges reconstructions (default: vtok-tiny).", valueName: "DIR|NAME"))
  var model = ProcessInfo.processInfo.environment["VTOK_MODEL"] ?? "vtok-tiny"

  @OptionGroup var preparation: ProcessorFlag

  func run() throws {
    try bench.run(tokenizers, judge: LoadedModel.load(model, processor: preparation.processor))
  }
}

/// Flags that only a bench of tokenizers has.
struct TokenizerBenchFlags: ParsableArguments {
  @Option(
    name: .customLong("tokenizers"),
    help: ArgumentHelp(
      "Tokenizers to compare with JPEG: directories, or klt (default of 'vtok bench tokenizers').",
      valueName: "NAME|DIR[,...]"))
  var compared: [String] = []

  @Option(
    name: .customLong("token-counts"),
    help: ArgumentHelp("Lengths to try (default: powers of two up to all).", valueName: "K[,K...]"))
  var lengths: [String] = []

  @Option(
    help: ArgumentHelp("Side of the square that every image is cut to (default: 256).", valueName: "N"),
    transform: whole(8...4096))
  var side: Int?

  @Option(help: ArgumentHelp("An image to draw at every length: sheet.png of the report.", valueName: "IMAGE"))
  var sheet: String?

  @Option(
    help: ArgumentHelp("What another program made of the same squares (see Benchmarks/webp.py).", valueName: "DIR"))
  var also: String?

  var names: [String]? { compared.isEmpty ? nil : compared.fileItems }
  var tokenCounts: [String]? { lengths.isEmpty ? nil : lengths.items }

  /// These flags say nothing without --tokenizers.
  func refuseAlone() throws {
    let given = [
      ("--token-counts", tokenCounts?.joined(separator: ",")), ("--side", side.map { "\($0)" }), ("--sheet", sheet),
      ("--also", also),
    ].first { $0.1 != nil }
    if let given {
      throw UsageError(given.0, found: given.1!, expected: "--tokenizers beside it", fix: "Add --tokenizers klt.")
    }
  }

  func counts() throws -> [Int]? {
    let counts = try tokenCounts?.map { text in
      guard let count = Int(text), count > 0 else {
        throw UsageError("--token-counts", found: "'\(text)'", expected: "numbers above 0", fix: "For example 1,16,64.")
      }
      return count
    }
    return counts.map { Set($0).sorted() }
  }
}

extension BenchFlags {
  /// Rate and distortion of image tokenizers.
  /// - Parameter judge: the model that looks at reconstructions.
  func run(_ flags: TokenizerBenchFlags, judge model: LoadedModel) throws {
    let threads = try running.threadCount()
    try checkOutputs()
    let side = flags.side ?? 256
    if flags.sheet != nil, report == nil {
      throw UsageError("--sheet", found: "no --report", expected: "a folder for it", fix: "Add --report DIR.")
    }
    let counts = try flags.counts()
    let others = try flags.also.map { try OtherCoder.load($0) } ?? []
    let loaded = try (flags.names ?? ["klt"]).map { try LoadedTokenizer.load($0) }
    let decode = try decoding.options()
    let task = try TokenizerTask(
      loaded, data: LabelledImages(data, classes: nil, outside: outputs), model: model, counts: counts, others: others,
      side: side, decode: decode,
      sheet: flags.sheet.map { try Image.decode(contentsOf: $0, options: decode).image })
    let provenance = provenance(
      model: model.name, sha256: model.sha256, seed: nil, threads: threads,
      more: [
        ("tokenizers", .object(JSONObject(loaded.map { ($0.name, JSON($0.sha256)) }))), ("side", JSON(side)),
      ])
    let results = try measure(TokenizerBench(task, threads: threads), samples: 0, limit: limit)
    let table = BenchReport(results, provenance)
    try write(table) { folder in
      try table.writeRates(to: folder)
      return nil
    }
    try end(results)
  }
}
