import ArgumentParser
import Foundation
import VTok

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Answer a question about images with a vision-language model, and say what that cost.",
    discussion: """
      The answer goes to stdout as it comes, the ledger to stderr: tokens and multiply-adds of every stage, beside those
      of the model without any method. Without --method the model runs dense.

      vtok generate --model llava-1.5-7b-hf --image photo.jpg --prompt "What is this?" --method fastv --keep-ratio 0.25

      Several turns are read with --messages FILE.json: a list of {"role": "system"|"user"|"assistant", "content": ...},
      where the content is a text or a list of {"type": "text", "text": ...} and {"type": "image", "image": FILE}, paths
      from the folder of the file. An image without a file takes the next --image.

      With --stream questions come on standard input, a JSON object a line: {"image": FILE, "prompt": TEXT, "id": ANY}, or
      "bytes" with the image file in base64. For each a JSON line goes out, in the same order.
      """)

  @Option(
    name: .customLong("image"), parsing: .singleValue,
    help: ArgumentHelp("An image; repeat it for several, in the order the model sees them.", valueName: "FILE"),
    completion: .file())
  var images: [String] = []

  @OptionGroup var frames: VideoFlags

  @Option(help: ArgumentHelp("The question.", valueName: "TEXT"))
  var prompt: String?

  @Option(
    help: ArgumentHelp(
      "A conversation in place of --prompt; its last message is the question.", valueName: "FILE.json"),
    completion: .file(extensions: ["json"]))
  var messages: String?

  @Flag(help: "Read questions from standard input, the model loaded once; --prompt is for those without.")
  var stream = false

  @Option(help: ArgumentHelp("A sentence before the question, for example the role of the model.", valueName: "TEXT"))
  var system: String?

  @OptionGroup var language: LanguageFlags

  @OptionGroup var reduction: ReductionOptions
  @OptionGroup var precision: PrecisionFlag
  @OptionGroup var kv: CacheFlag
  @OptionGroup var memory: MemoryFlag

  @Option(help: ArgumentHelp("New tokens at most (default: 256).", valueName: "N"), transform: whole(1...1_000_000))
  var maxTokens = 256

  @Option(
    help: ArgumentHelp("Chance in the choice of tokens (default: 0, which takes the most likely one).", valueName: "T"),
    transform: number(0...1000))
  var temperature: Float = 0

  @Option(
    help: ArgumentHelp(
      "With a temperature: choose among the most likely that sum up to this (default: 1).", valueName: "P"),
    transform: number(above: 0, upTo: 1))
  var topP: Float = 1

  @OptionGroup var decoding: DecodeFlags

  @Option(
    help: ArgumentHelp(
      "An image to write (PNG, JPEG or WebP): which patches of every image are left after each stage, first to last.",
      valueName: "FILE.png"))
  var overlay: String?

  @OptionGroup var drawing: DrawingFlags

  @Option(help: ArgumentHelp("md streams the answer; csv, json and jsonl print one row with all.", valueName: "FORMAT"))
  var format = Table.Format.md

  @OptionGroup var running: RunOptions

  mutating func validate() throws { images = images.fileItems }

  func run() throws {
    if stream { return try runStream() }
    try frames.check(without: [
      ("--messages", messages != nil), ("--overlay", overlay != nil), ("--max-memory", memory.maxMemory != nil),
    ])
    let conversation = try Conversation(self)
    try drawing.require(overlay != nil)
    let file = try overlay.map { try ImageOutput($0, flag: "--overlay") }
    try requireModel()
    let combination = try combination()
    let threads = try running.threadCount()
    let options = try decoding.options()
    var pictures = try conversation.images.map { try Image.decode(contentsOf: $0, options: options).image }
    let checkpoint = try reduction.checkpoint(precision.value)
    let fitted = try memory.sizes(
      pictures, ModelOutline(checkpoint), MemoryEstimate.Weights(checkpoint),
      text: Self.textTokens(conversation.messages), newTokens: maxTokens, kv: kv.value, threads: threads,
      quiet: running.quiet)
    if let fitted { pictures = zip(pictures, fitted.sizes).map { $0.shrunk(to: $1) } }
    let solved = try combination.map { try solve($0, checkpoint, pictures, conversation) }
    var generator = try Generator(
      checkpoint, method: solved?.spec, keep: solved.flatMap { $0.ruled ? $0.budget : nil },
      template: language.text(), companion: language.companion)
    generator.kv = kv.value
    try generator.check(conversation.messages)
    let prepared = try prepared(pictures, conversation.images, by: generator)
    let question = try generator.prepare(conversation.messages, about: prepared)
    if !running.quiet, let limit = generator.contextLength, question.ids.count + maxTokens > limit {
      VTokCommand.warn(
        "\(question.ids.count) prompt tokens and \(maxTokens) new ones are more than the \(limit) the model was trained on"
      )
    }
    let interruption = Interruption(patience: 2)
    let answer = try generator(
      question, sampling: Sampling(temperature: temperature, topP: topP, seed: reduction.seed), limit: maxTokens,
      seed: reduction.seed, keepingNotes: overlay != nil, threads: threads
    ) { piece in
      if format == .md { Output.put(piece, flush: true) }
      return !interruption.happened
    }
    if let file {
      let strips = generator.strips(of: answer, to: question, images: pictures, stages: 6, drawing.colours).map(
        \.picture)
      try file.write(TokenMap.strip(strips, downwards: true))
    }
    let result = AnswerRow(
      answer: answer, question: question, generator: generator, command: self, conversation: conversation,
      threads: threads, peakMemory: Machine.peakMemory, fitted: fitted)
    if format == .md {
      print("")
      Output.put("", flush: true)
      if !running.quiet { Output.draw(result.ledger) }
    } else {
      var table = Table(AnswerRow.columns)
      table.add(result.cells, result.json)
      print(table.text(format), terminator: "")
    }
    if interruption.happened { throw ExitCode(130) }
  }

  /// The pictures as the model takes them, or the one video that they are.
  private func prepared(_ pictures: [Image], _ paths: [String], by generator: Generator) throws -> [PreparedImage] {
    if frames.isGiven {
      return [try generator.video(Video(pictures, rate: frames.rate.value, names: paths))]
    }
    return try zip(pictures, paths).map { picture, path in
      do throws(ImageError) {
        return try generator.picture(picture, among: pictures.count)
      } catch {
        throw error.named(path)
      }
    }
  }

  /// More than messages and template are likely to have.
  static func textTokens(_ messages: [ChatMessage]) -> Int { 64 + messages.reduce(0) { $0 + $1.text.utf8.count } / 2 }

  func requireModel() throws {
    guard reduction.namedModel != nil else {
      throw UsageError(
        "--model", found: "none", expected: "the directory of a vision-language model, or its GGUF files",
        fix: "Add --model DIR, or --model FILE.gguf --mmproj FILE.gguf; 'vtok models' lists the families.")
    }
  }

  /// The method with its budget; nil: none was asked for.
  func combination() throws -> ReductionOptions.Combination? {
    guard reduction.isGiven else { return nil }
    guard !reduction.methods.isEmpty else {
      throw UsageError(
        "--method", found: "none beside a budget", expected: "a method to spend it",
        fix: "Add --method NAME; 'vtok methods' lists them.")
    }
    let combinations = try reduction.combinations()
    guard combinations.count == 1 else {
      throw UsageError(
        "--method and budgets", found: "\(combinations.count) combinations", expected: "one", fix: "Remove the others.")
    }
    return combinations[0]
  }

  /// With a target in place of a budget: solved without weights, for a question of this length about the first picture.
  private func solve(
    _ combination: ReductionOptions.Combination, _ checkpoint: Checkpoint, _ pictures: [Image],
    _ conversation: Conversation
  ) throws -> ReductionOptions.Combination {
    let text = Rehearsal.Prompt(
      picture: pictures[0].size, text: max(1, conversation.messages.reduce(0) { $0 + $1.text.utf8.count } / 4),
      newTokens: 1)
    return try reduction.solved([combination], quiet: running.quiet) { target, spec in
      let outline = try ModelOutline(checkpoint)
      return try TargetSolver.solve(target, spec, of: outline, prompt: text)
    }[0]
  }
}

extension Generator {
  /// What provenance says of it.
  var arithmetic: [(key: String, value: JSON)] { [("precision", JSON(precision.rawValue)), ("kv", JSON(kv.rawValue))] }

  /// Of every image a strip of overlays, at most so many, and the stages that they show.
  func strips(
    of answer: Answer, to question: Prompt, images: [Image], stages limit: Int, _ colours: TokenMap.Colours
  ) -> [(picture: Image, stages: [VisualStage])] {
    zip(images, shownStages(of: answer, to: question, most: limit)).map { image, stages in
      (TokenMap.strip(stages.map { $0.drawn(on: image, colours) }), stages)
    }
  }
}

/// What one answer amounts to, for people and for programs.
struct AnswerRow {
  let answer: Generator.Answer, question: Generator.Prompt, generator: Generator
  let command: GenerateCommand
  let conversation: Conversation
  let threads: Int
  let peakMemory: Double
  /// What `--max-memory` made of the pictures.
  var fitted: (sizes: [Size], estimate: MemoryEstimate)?

  private var cost: Cost { answer.table.cost }
  private var language: LanguageCost { cost.language! }
  private var dense: LanguageCost { answer.table.dense.language! }
  private func giga(_ macs: Int) -> Double { Double(macs) * 1e-9 }
  private func megabytes(_ entries: Int) -> Double { Double(language.bytes(entries)) * 1e-6 }

  var ledger: String {
    var stages = Table(CostTable.stageColumns)
    for row in answer.table.stageRows { stages.add(row, .null) }
    let budget = generator.budget.map { " at \($0.label)" } ?? ""
    let count = conversation.images.count
    var text =
      "\nmodel \(generator.name) · \(generator.method)\(budget) · \(count) image\(count == 1 ? "" : "s") · "
      + "\(question.ids.count) prompt tokens · template \(generator.template.title) · "
      + "\(threads) thread\(threads == 1 ? "" : "s")\n" + stages.text(.md)
    text +=
      "\(fixed(cost.gmacs, 3)) of dense \(fixed(answer.table.dense.gmacs, 3)) GMACs to the first token, selection "
      + "\(fixed(giga(cost.selection), 4)) GMACs apart · \(answer.table.tokensOut) of \(answer.table.tokensIn) image "
      + "tokens left\n"
    if generator.budget != nil { text += "budget: \(answer.outcome)\n" }
    let printed = answer.table.figures[0]
    text += "\(printed.label): \(fixed(printed.value, 3)) of dense \(fixed(printed.dense, 3))\n"
    text +=
      "KV cache \(fixed(megabytes(language.prefillEntries.reduce(0, +)), 2)) MB after the prompt (dense "
      + "\(fixed(megabytes(dense.prefillEntries.reduce(0, +)), 2))), \(fixed(megabytes(language.peakEntries), 2)) at most, "
      + "at 16 bit; held as \(generator.kv.rawValue)\n"
    let speed = answer.tokensPerSecond.map { ", then \(fixed($0, 2)) tokens/s" } ?? ""
    text +=
      "first token after \(fixed(answer.firstSeconds, 3)) s\(speed) · \(answer.promptRows) rows through the language model "
      + "in \(fixed(answer.promptSeconds, 3)) s · \(answer.ids.count) new tokens "
      + "(\(answer.isComplete ? "ended by the model" : "cut at --max-tokens or by the user")) · peak memory "
      + "\(fixed(peakMemory, 0)) MB\n"
    if generator.composition.wholeCaches > 0 {
      text +=
        "What \(generator.composition.wholeCaches) of \(generator.model.language.shape.layers) layers keep stays whole: windows "
        + "that slide, and states.\n"
    }
    if generator.composition.keepsPositions {
      text += "Positions stay as they were: how to number three axes anew is defined nowhere.\n"
    }
    return text
  }

  static let columns = [
    "model", "method", "budget", "image tokens", "left", "prompt tokens", "new tokens", "GMACs", "dense GMACs",
    "selection GMACs", "KV MB (16 bit)", "first token ms", "tokens/s", "reached", "answer",
  ]
  var cells: [String] {
    [
      generator.name, generator.method, generator.budget?.text ?? "-", "\(answer.table.tokensIn)",
      "\(answer.table.tokensOut)", "\(question.ids.count)", "\(answer.ids.count)", fixed(cost.gmacs, 4),
      fixed(answer.table.dense.gmacs, 4), fixed(giga(cost.selection), 4),
      fixed(megabytes(language.prefillEntries.reduce(0, +)), 3), fixed(answer.firstSeconds * 1e3, 1),
      answer.tokensPerSecond.map { fixed($0, 2) } ?? "-", generator.asked.reached(answer.outcome), answer.text,
    ]
  }

  var json: JSON {
    let turns = conversation.messages.count { $0.role == .user }
    let budget: JSON = generator.budget == nil ? .null : generator.asked.json(answer.outcome)
    let members: [(String, JSON)] = [
      ("schema", "vtok-generate/1"), ("model", JSON(generator.name)), ("method", JSON(generator.method)),
      ("budget", budget), ("images", JSON(conversation.images)),
      ("prompt", JSON(conversation.messages.last!.text)),
      ("turns", JSON(turns)),
      ("template", JSON(generator.template.name)),
    ]
    let limited: [(String, JSON)] =
      fitted.map { fitted in
        [
          (
            "memory",
            [
              "limit_mb": JSON(MemoryEstimate.megabytes(command.memory.maxMemory!)),
              "predicted_mb": JSON(fitted.estimate.megabytes),
              "read_at": .array(fitted.sizes.map { [JSON($0.width), JSON($0.height)] }),
            ]
          )
        ]
      } ?? []
    let about = Provenance(
      modelSHA256: generator.sha256, seed: command.reduction.seed, threads: threads,
      more: generator.arithmetic, arguments: ["vtok"] + commandLineArguments())
    let memory = [("peak_memory_mb", JSON(peakMemory))]
    return .object(
      JSONObject(members + answer.row(to: question) + memory + limited + answer.table.json + [("run", about.json)]))
  }
}
