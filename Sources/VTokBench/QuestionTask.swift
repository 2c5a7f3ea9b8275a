import VTokCore
import VTokData
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokPipeline
import VTokTensor

/// Many ways to reduce one vision-language model's tokens on the same questions: `Bench<QuestionTask>`. Its items are the
/// images that are shown together, with all questions about them.
///
/// What cannot differ is computed once: what the tower does before a method first looks or acts, the packed images of a
/// method for all questions about them, and the rows of the prompt before the question. Answers and counts are those of every
/// question alone, to the bit. Times are measured with nothing shared.
public struct QuestionTask: ReductionTask {
  public typealias Subject = Generator
  public typealias Entry = Contender<Generator>
  public static let name = "questions"

  public let data: QuestionFile
  /// The dense model first.
  public let entries: [Contender<Generator>]
  /// New tokens at most.
  public let limit: Int
  public let decode: DecodeOptions
  public let seed: UInt64
  /// Whether a row that cannot do what was asked of it, which may show on any prompt, fails alone.
  public let keepsGoing: Bool
  /// Whether rows keep every answer.
  public let keepsAnswers: Bool
  /// Of every row the one of the smaller picture with the same budget, where there is one: what it answers wrongly is hard.
  private let smaller: [Int?]
  public var model: Generator { entries[0].subject }
  /// Of the beginnings of prompts, for every image under way.
  public static let keptMegabytes = 256

  public var count: Int { data.items.count }
  public var dataPath: String { data.path }
  public var modelName: String { model.name }

  /// What was said to one question, and how right it is.
  public struct Record: Sendable {
    /// Line of the data.
    public let line: Int
    public let answer: String, score: Double
  }

  /// One answer of one row.
  public struct Run: BenchRun {
    public let question: QuestionFile.Question
    public let answer: String, score: Double
    /// The dense model's.
    public let denseAnswer: String, denseScore: Double
    /// Visual tokens that the images have in the dense model.
    public let visual: Int
    /// Tokens of the prompt, and new ones.
    public let prompt: Int, new: Int
    public let table: CostTable
    /// Visual tokens entering every layer of the language model.
    public let entering: [Double]
    public let outcome: BudgetOutcome?
    /// Whether the smaller picture of the same budget answers wrongly; nil without one.
    public fileprivate(set) var isHard: Bool?
    /// Questions about the same pictures with the same metric and group, this one included, and whether all are right.
    public fileprivate(set) var companions = 1, isWhole = false
    var language: LanguageCost { table.cost.language! }
  }

  /// - Parameters:
  ///   - model: without a method.
  ///   - contenders: of this model, or of others: those trained to use fewer tokens, which are compared with it.
  /// - Throws: `DataError` for the first question that a model's template does not fit, or whose video it does not take.
  public init(
    _ model: Generator, data: QuestionFile, contenders: [Contender<Generator>], limit: Int = 16,
    decode: DecodeOptions = .init(), seed: UInt64 = 0, keepsGoing: Bool = false, keepsAnswers: Bool = false
  ) throws(DataError) {
    for model in [model] + contenders.map(\.subject).filter({ !$0.sharesWeights(with: model) }) {
      try Self.check(data, for: model.outline)
      for shown in data.items {
        for question in shown.questions {
          do {
            try model.check(
              shown.rate == nil
                ? ChatMessage.question(question.text, images: shown.paths.count)
                : ChatMessage.question(question.text, aboutVideo: nil))
          } catch {
            throw .line(
              file: data.path, number: question.line,
              found: "question '\(question.text.prefix(60))' that the model's template does not take (\(error))",
              expected: "a text without the token that stands for an image: the template places the pictures")
          }
        }
      }
    }
    self.keepsGoing = keepsGoing
    self.keepsAnswers = keepsAnswers
    self.data = data
    self.limit = limit
    self.decode = decode
    self.seed = seed
    let entries = [Contender(model)] + contenders
    self.entries = entries
    smaller = entries.map { entry in
      guard entry.asked != .nothing, entry.asked != .own else { return nil }
      return entries.firstIndex { other in
        other.line == Downsample.name && other.asked == entry.asked && other.subject.sharesWeights(with: entry.subject)
      }
    }
  }

  /// Refuses videos for a model that takes none; needs no weights.
  public static func check(_ data: QuestionFile, for model: ModelOutline) throws(DataError) {
    guard !model.takesVideos, let item = data.items.first(where: { $0.rate != nil }) else { return }
    throw .line(
      file: data.path, number: item.questions[0].line, found: "a video for a model that is not run on videos here",
      expected: "pictures, or a model of \(MultimodalModel.videoFamilies.joined(separator: ", "))")
  }

  /// - Throws: `ImageError` with the path of the image.
  func images(of item: Int) throws(ImageError) -> [Image] {
    try data.items[item].paths.map { path throws(ImageError) in
      try Image.decode(contentsOf: path, options: decode).image
    }
  }

  /// The images of an item, or its video, as a model takes them.
  /// - Throws: `ImageError` with the path of the image that its processor refuses.
  func prepared(_ images: [Image], of item: Int, for model: Generator) throws -> [PreparedImage] {
    let shown = data.items[item]
    if let rate = shown.rate { return [try model.video(Video(images, rate: rate, names: shown.paths))] }
    var prepared: [PreparedImage] = []
    for (image, path) in zip(images, shown.paths) {
      do throws(ImageError) {
        prepared.append(try model.picture(image, among: images.count))
      } catch {
        throw error.named(path)
      }
    }
    return prepared
  }

  func seed(_ own: UInt64, of item: Int) -> UInt64 { mixedSeed(seed &+ own, data.items[item].names.joined()) }

  public func measure(_ item: Int, _ sample: BenchSample, into notes: inout ItemNotes<Self>) throws {
    let questions = data.items[item].questions
    let images = try images(of: item)
    let subjects = entries.map { $0.subject(on: item) }
    var ground = try Ground(model, questions, prepared(images, of: item, for: model), subjects)
    let visual = try model.visualTokens(of: ground.images)
    var dense: [Record] = []
    var runs: [[[Run]]] = []
    for (row, entry) in entries.enumerated() {
      let generator = entry.subject(on: item)
      if !generator.sharesWeights(with: ground.model) {
        ground = try Ground(generator, questions, prepared(images, of: item, for: generator), subjects)
      }
      var turns: [[Run]] = []
      do {
        // Smaller images have nothing in common with the others.
        let own =
          generator.composition.shrink == nil
          ? ground : try Ground(generator, questions, prepared(images, of: item, for: generator), [])
        for draw in entry.seeds {
          turns.append(
            try answer(
              questions, with: generator, on: own, visual: visual, dense: dense, seed: seed(draw, of: item)))
        }
      } catch let error as CompressionError where keepsGoing {
        turns = []
        notes.fail(row, "\(error)")
      }
      if row == 0 { dense = turns[0].map { Record(line: $0.question.line, answer: $0.answer, score: $0.score) } }
      runs.append(turns.map(Self.together))
    }
    for (row, turns) in runs.enumerated() {
      let easy = smaller[row].flatMap { runs[$0].first }
      for (turn, answers) in turns.enumerated() {
        for (place, answer) in answers.enumerated() {
          var run = answer
          run.isHard = easy.map { $0[place].score < 0.5 }
          let record = Record(line: run.question.line, answer: run.answer, score: run.score)
          notes.add(run, row: row, seed: turn, record: keepsAnswers ? record : nil)
        }
      }
    }
  }

  /// Answers about the same pictures know how the others went.
  private static func together(_ runs: [Run]) -> [Run] {
    runs.map { run in
      let alike = runs.filter {
        $0.question.metric == run.question.metric && $0.question.group == run.question.group
      }
      var run = run
      run.companions = alike.count
      run.isWhole = alike.allSatisfy { $0.score == 1 }
      return run
    }
  }

  /// What all rows of one model have in common on an item.
  private struct Ground {
    let model: Generator
    let images: [PreparedImage]
    let prompts: [Generator.Prompt]
    let blocks: [SharedBlocks]
    let prefixes = SharedPrefixes(megabytes: QuestionTask.keptMegabytes)

    init(
      _ model: Generator, _ questions: [QuestionFile.Question], _ images: [PreparedImage], _ subjects: [Generator]
    ) throws {
      self.model = model
      self.images = images
      prompts = try questions.map { try model.prepare($0.text, about: images) }
      let compositions = subjects.filter { $0.sharesWeights(with: model) }.map(\.composition)
      blocks = images.map { _ in SharedBlocks(for: compositions) }
    }
  }

  /// - Parameters:
  ///   - visual: tokens that the images have in the dense model.
  ///   - dense: what the dense model said; empty: this is its turn.
  private func answer(
    _ questions: [QuestionFile.Question], with generator: Generator, on ground: Ground, visual: Int, dense: [Record],
    seed: UInt64
  ) throws -> [Run] {
    var seen: Generator.Seen?
    return try questions.enumerated().map { place, question in
      let prompt = ground.prompts[place]
      if seen == nil || generator.looksAtQuestion {
        seen = try generator.look(at: prompt.images, question: question.text, seed: seed, shared: ground.blocks)
      }
      var (run, decoding) = try generator.read(prompt, seen: seen!, shared: ground.prefixes)
      let ids = try generator.model.language.generate(
        from: &decoding, run: &run, limit: limit, stops: generator.model.stops)
      let text = generator.text(of: ids)
      let answers = question.metric.fewestAnswers == 0 ? [dense.isEmpty ? text : dense[place].answer] : question.answers
      let score = question.metric.score(text, answers, choices: question.choices)
      let shape = generator.model.shape
      let table = CostTable(run.trace, dense: run.trace, shape: shape)
      let outcome = try generator.outcome(of: prompt.images, run.trace)
      return Run(
        question: question, answer: text, score: score, denseAnswer: dense.isEmpty ? text : dense[place].answer,
        denseScore: dense.isEmpty ? score : dense[place].score, visual: visual, prompt: prompt.ids.count,
        new: ids.count, table: table,
        entering: run.trace.language.prefix(shape.decoder!.layers).map { Double($0.visual) },
        // Its dense tokens may be those of another model; a method's own amount is told beside this one's.
        outcome: outcome.asked == nil
          ? BudgetOutcome(.tokens, dense: Double(visual), reached: Double(table.tokensOut)) : outcome)
    }
  }
}

/// `QuestionBench(QuestionTask(model, data: questions, contenders: [...]))`
public typealias QuestionBench = Bench<QuestionTask>
