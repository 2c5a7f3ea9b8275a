import ArgumentParser
import Foundation
import VTok

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Draw what happens to the tokens of one image.",
    discussion: """
      Pruned patches are dimmed, patches merged into one token have their mean colour, what the model never saw is dark.
      Without --method it is tome; without a budget a method keeps half of the tokens, or what it publishes.
      Methods that cut in several places are drawn as a strip, first stage to last.

      With a vision-language model, methods that go by the question see --prompt; the thumbnail of an image that is cut
      into tiles is drawn below them.
      """)

  @Argument(help: ArgumentHelp("An image.", valueName: "INPUT"), completion: .file())
  var input: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The image to write, by its ending PNG, JPEG or WebP.", valueName: "FILE.png"),
    completion: .file())
  var output: String

  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var precision: PrecisionFlag
  @OptionGroup var decoding: DecodeFlags

  @Option(help: ArgumentHelp("Stages in the strip at most (default: 4).", valueName: "N"), transform: whole(1...1000))
  var stages = 4

  @OptionGroup var drawing: DrawingFlags

  @Option(help: ArgumentHelp("The question, of a vision-language model.", valueName: "TEXT"))
  var prompt = "What is in this picture?"

  @OptionGroup var language: LanguageFlags

  @OptionGroup var running: RunOptions

  func run() throws {
    let file = try ImageOutput(output, flag: "-o")
    let combinations = try reduction.combinations()
    guard combinations.count == 1 else {
      throw UsageError(
        "--method and budgets", found: "\(combinations.count) combinations", expected: "one",
        fix: "Run 'vtok prune --overlay' for a sweep.")
    }
    let checkpoint = try reduction.checkpoint(precision.value)
    if MultimodalModel.matches(checkpoint.config) { return try show(checkpoint, combinations[0], file) }
    let model = try reduction.tower(precision.value)
    let combination = try reduction.solved(combinations, quiet: running.quiet) { target, spec in
      try model.solve(target, spec)
    }[0]
    let pipeline = try Pipeline(
      model, method: combination.spec, keep: combination.ruled ? combination.budget : nil)
    let image = try Image.decode(contentsOf: input, options: decoding.options()).image
    let result = try pipeline(
      image, seed: mixedSeed(reduction.seed, input), keepingNotes: true, threads: running.threadCount())
    let maps = result.stageMaps(most: stages)
    try file.write(TokenMap.strip(maps.map { $0.drawn(on: image, drawing.colours) }))
    let counts = result.trace.tower.map { "\($0.rows.reduce(0, +))" }.joined(separator: " ")
    print(
      "\(combination.spec): \(result.rows * result.columns) → \(result.keep.count) tokens, "
        + "\(fixed(result.dense.gmacs, 2)) → \(fixed(result.cost.gmacs, 2)) GMACs")
    if combination.ruled { print("budget: \(result.outcome)") }
    print("entering each block: \(counts)")
    if result.logits != nil {
      let classes = result.classes(3, labels: pipeline.labels)
      let names = classes.map { "\($0.name) \(fixed(Double($0.probability) * 100, 1))%" }
      print("top: \(names.joined(separator: ", "))")
    }
    print("picture \(output)")
  }

  /// The image in a vision-language model, up to the first token of its answer.
  private func show(
    _ checkpoint: Checkpoint, _ combination: ReductionOptions.Combination, _ file: ImageOutput
  ) throws {
    guard try reduction.target() == nil else {
      throw UsageError(
        "a target", found: "one with a vision-language model", expected: "--keep-ratio or --keep-tokens",
        fix: "'vtok flops' solves targets.")
    }
    let generator = try Generator(
      checkpoint, method: combination.spec, keep: combination.ruled ? combination.budget : nil,
      template: language.text(), companion: language.companion)
    let image = try Image.decode(contentsOf: input, options: decoding.options()).image
    let question = try generator.prepare(prompt, about: [image])
    let answer = try generator(
      question, limit: 1, seed: reduction.seed, keepingNotes: true, threads: running.threadCount())
    let strip = generator.strips(of: answer, to: question, images: [image], stages: stages, drawing.colours)[0]
    try file.write(strip.picture)
    print(
      "\(combination.spec): \(answer.table.tokensIn) → \(answer.table.tokensOut) image tokens, "
        + "\(fixed(answer.table.dense.gmacs, 2)) → \(fixed(answer.table.cost.gmacs, 2)) GMACs")
    if combination.ruled { print("budget: \(answer.outcome)") }
    for (index, stage) in strip.stages.enumerated() {
      let others = stage.others > 0 ? " and \(stage.others) newlines or class tokens" : ""
      print("\(index + 1): \(stage.name), \(stage.tokens) left\(others)")
    }
    print("picture \(output)")
  }
}
