import ArgumentParser
import Foundation
import VTok

/// Flags of `vtok bench --tokenizers`.
struct TokenizerBenchOptions: ParsableArguments {
  @Option(
    name: .customLong("tokenizers"),
    help: ArgumentHelp(
      "Compare image tokenizers with JPEG, instead of methods: directories, or klt.", valueName: "NAME|DIR[,...]"))
  var compared: [String] = []

  @Option(
    name: .customLong("token-counts"),
    help: ArgumentHelp("Lengths to try (default: powers of two up to all).", valueName: "K[,K...]"))
  var lengths: [String] = []

  @Option(
    help: ArgumentHelp("Side of the square that every picture is cut to (default: 256).", valueName: "N"),
    transform: whole(8...4096))
  var side: Int?

  @Option(help: ArgumentHelp("A picture to draw at every length: sheet.png of the report.", valueName: "IMAGE"))
  var sheet: String?

  @Option(
    help: ArgumentHelp("What another program made of the same squares (see Benchmarks/webp.py).", valueName: "DIR"))
  var also: String?

  var tokenizers: [String]? { compared.isEmpty ? nil : compared.fileItems }
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

extension BenchCommand {
  /// Rate and distortion of image tokenizers.
  func bench(tokenizers names: [String], threads: Int) throws {
    if reduction.isGiven || macRatio != nil {
      throw UsageError(
        "--tokenizers", found: "methods or budgets beside it", expected: "either tokenizers or methods",
        fix: "Run the command twice.")
    }
    let side = tokenizing.side ?? 256
    if tokenizing.sheet != nil, report == nil {
      throw UsageError("--sheet", found: "no --report", expected: "a folder for it", fix: "Add --report DIR.")
    }
    let counts = try tokenizing.counts()
    let others = try tokenizing.also.map { try OtherCoder.load($0) } ?? []
    let loaded = try names.map { try LoadedTokenizer.load($0) }
    let model = try LoadedModel.load(reduction.model)
    let bench = try TokenizerBench(
      loaded, data: LabelledImages(data, classes: nil, outside: outputs), model: model, counts: counts, others: others,
      side: side,
      threads: threads, decode: decoding.options())

    let interruption = Interruption(patience: 2)
    let progress = Progress("bench", quiet: running.quiet)
    let start = ContinuousClock().now
    let results = try bench.run(limit: limit, progress: progress.update, isCancelled: { interruption.happened })
    progress.finish()
    let good = try good(results, interruption, failure: \.failure)
    let rows = bench.coders.indices.map { TokenizerRow(good, coder: $0, of: bench) }
    let seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
    let about: JSON = [
      "tokenizers": JSON.object(JSONObject(loaded.map { ($0.name, JSON($0.sha256)) })), "model": JSON(model.name),
      "model_sha256": JSON(model.sha256), "side": JSON(side), "threads": JSON(threads), "cpu": JSON(cpuLevel),
      "blas": JSON(Machine.blas), "vtok": JSON(vtokVersion),
    ]
    let table = TokenizerRow.table(rows, run: about)
    let title =
      "\(good.count) pictures of \(side)x\(side) · judged by \(model.name) · "
      + "\(threads) thread\(threads == 1 ? "" : "s") · \(fixed(seconds, 1)) s · peak \(fixed(Bench.peakMemory, 0)) MB"
    try write(table, title) { folder in
      try WholeFile.write(table.text(.csv), to: folder + "/rows.csv")
      for (name, svg) in TokenizerRow.plots(rows) { try WholeFile.write(svg, to: folder + "/" + name) }
      if let sheet = tokenizing.sheet {
        let image = try Image.decode(contentsOf: sheet, options: decoding.options()).image
        try WholeFile.write(bench.sheet(image).pngData(), to: folder + "/sheet.png")
      }
      return "table.md"
    }
    try end(results.compactMap(\.failure))
  }
}
