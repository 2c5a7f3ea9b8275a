import ArgumentParser
import Foundation
import VTok

struct BenchHorizon: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "horizon",
    abstract: "The information horizon of a model: the layer from which random cuts are as good as any method's.",
    discussion: """
      vtok bench horizon --model llava-1.5-7b-hf --data questions.jsonl --quick
      vtok bench horizon --model DIR --data questions.jsonl --keep-ratio 0.25 --layers 2,8,16 --method fastv --method dart

      Every layer of the language model is cut alone, to the same budget (a quarter of the visual tokens), by chance and by
      every method that has an option for its layer. Chance is as good where the 95% interval of its score over the best
      method's, paired over pictures, reaches 100%. A second number says from which layer on no visual token is needed.
      """)

  @OptionGroup var bench: BenchFlags
  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var precision: PrecisionFlag
  @OptionGroup var kv: CacheFlag
  @OptionGroup var language: LanguageFlags

  @Option(help: ArgumentHelp("Layers to cut, from 1 on (default: all).", valueName: "N[,N...]"))
  var layers: [String] = []

  @Option(help: ArgumentHelp("Runs of chance (default: 5).", valueName: "N"), transform: whole(1...1000))
  var seeds = 5

  @Option(help: ArgumentHelp("New tokens at most (default: 16).", valueName: "N"), transform: whole(1...1_000_000))
  var maxTokens = 16

  @Flag(help: "A subset: 100 pictures with all their questions.")
  var quick = false

  @Flag(help: "Score by the agreement with the dense model's answers; those of the file are not looked at.")
  var labelFree = false

  func run() throws {
    guard QuestionFile.matches(bench.data) else {
      throw UsageError(
        "--data '\(bench.data)'", found: "no question file", expected: "questions (.jsonl)",
        fix: "See 'vtok bench questions --help' for its lines.")
    }
    let threads = try bench.running.threadCount()
    try bench.checkOutputs()
    let keep = try budget()
    let methods = try reduction.methods.isEmpty ? Methods.cuttingOneLayer : reduction.methods.map { try MethodSpec($0) }
    var data = try QuestionFile(bench.data, limit: bench.limit)
    if quick { data = data.thinned(to: 100) }
    if labelFree { data = data.withoutAnswers() }
    let checkpoint = try reduction.checkpoint(precision.value)
    if data.hasVideos { try QuestionTask.check(data, for: ModelOutline(checkpoint)) }
    var model = try Generator(
      checkpoint, method: nil, template: language.text(), companion: language.companion)
    model.kv = kv.value
    let cuts = try Horizon.cuts(of: model, by: methods, keep: keep, layers: asked(model), seeds: seeds)
    let task = try QuestionTask(
      model, data: data, contenders: cuts.map(\.contender), limit: maxTokens, decode: bench.decoding.options(),
      seed: reduction.seed, keepsGoing: true)
    let provenance = bench.provenance(
      model: model.name, sha256: model.sha256, seed: reduction.seed, threads: threads,
      more: model.arithmetic)
    let results = try bench.measure(QuestionBench(task, threads: threads), samples: 0, limit: nil)
    let horizon = Horizon(results, cuts)
    let table = horizon.table(provenance)
    let text =
      bench.format == .md
      ? "\(task.title(results)) · budget \(keep.label)\n\n\(table.text(.md))\n\(horizon.text)\n\n\(provenance.text)\n"
      : table.text(bench.format)
    try bench.write(BenchReport(results, provenance, remarks: [horizon.text]), text: text)
    try bench.end(results)
  }

  private func budget() throws -> Budget {
    if try reduction.target() != nil {
      throw UsageError(
        "target", found: "a cost", expected: "--keep-ratio or --keep-tokens", fix: "Every layer costs something else.")
    }
    let budgets = try reduction.budgets() ?? [.ratio(0.25)]
    guard budgets.count == 1 else {
      throw UsageError(
        "budget", found: "\(budgets.count) of them", expected: "one", fix: "Run the command once for each.")
    }
    return budgets[0]
  }

  private func asked(_ model: Generator) throws -> [Int]? {
    if layers.isEmpty { return nil }
    let depth = model.outline.shape.decoder?.layers ?? 0
    return try Set(
      layers.items.map { text in
        guard let layer = Int(text), (1..<max(2, depth)).contains(layer) else {
          throw UsageError(
            "--layers", found: "'\(text)'", expected: "a whole number in 1...\(depth - 1)", fix: "Correct it.")
        }
        return layer
      }
    ).sorted()
  }
}
