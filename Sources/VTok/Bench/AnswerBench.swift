import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokTensor

/// Many ways to reduce one vision-language model's tokens on the same questions.
///
/// All of them run on a scene before the next one is opened, the dense model first. What cannot differ is computed once:
/// what the tower does before a method first looks or acts, the packed pictures of a method for all questions about them,
/// and the rows of the prompt before the question. Answers and counts are those of every question alone, to the bit. Times are not:
/// they are measured on a sample of the questions with nothing shared, see `AnswerTimes`.
public struct AnswerBench: Sendable {
  public typealias Contender = VTok.Contender<Generator>

  /// What one contender with one seed said to the questions of a scene.
  public struct Outcome: Sendable {
    /// Per question: what was said, and how right it is.
    public var answers: [String] = [], scores: [Double] = []
    /// Over the questions.
    public var costs = AnswerCosts()
    /// Why it could not answer; then the rest is incomplete.
    public var failure: String?
  }

  /// One scene with the outcomes of all contenders and seeds.
  public struct SceneResult: Sendable {
    public let index: Int
    /// `[contender][seed]`
    public var outcomes: [[Outcome]] = []
    public var failure: String?
  }

  public let data: QuestionFile
  /// The dense model first.
  public let contenders: [Contender]
  /// New tokens at most.
  public let limit: Int
  public let threads: Int
  public let decode: DecodeOptions
  public let seed: UInt64
  /// Whether a contender that cannot do what was asked of it, which may show on any prompt, fails alone.
  public let keepsGoing: Bool
  public var model: Generator { contenders[0].subject }

  /// - Parameters:
  ///   - model: without a method.
  ///   - contenders: of this model, or of others: those trained to use fewer tokens, which are compared with it.
  /// - Throws: `DataError` for the first question that a model's template does not fit.
  public init(
    _ model: Generator, data: QuestionFile, contenders: [Contender], limit: Int = 16, threads: Int = 1,
    decode: DecodeOptions = .init(), seed: UInt64 = 0, keepsGoing: Bool = false
  ) throws(DataError) {
    for model in [model] + contenders.map(\.subject).filter({ !$0.sharesWeights(with: model) }) {
      for scene in data.scenes {
        for question in scene.questions {
          do { try model.check(question.text, images: scene.paths.count) } catch {
            throw .line(
              file: data.path, number: question.line,
              found: "question '\(question.text.prefix(60))' that the model's template does not take (\(error))",
              expected: "a text without the token that stands for an image: the template places the pictures")
          }
        }
      }
    }
    self.keepsGoing = keepsGoing
    (self.data, self.limit, self.threads, self.decode, self.seed) = (data, limit, threads, decode, seed)
    self.contenders = [Contender(method: "dense", asked: .nothing, subject: model)] + contenders
  }

  /// Runs everything; results by scene, in the data's order. Cancelled scenes are left out.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [SceneResult] {
    try inOrder(data.scenes.count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let result = try result(index)
      return (result, result.failure == nil)
    }
  }

  /// - Throws: `ImageError` with the path of the picture.
  func pictures(of scene: Int) throws(ImageError) -> [Image] {
    try data.scenes[scene].paths.map { path throws(ImageError) in
      try Image.decode(contentsOf: path, options: decode).image
    }
  }

  /// The pictures of a scene as a model takes them.
  /// - Throws: `ImageError` with the path of the picture that its processor refuses.
  func prepared(_ pictures: [Image], of scene: Int, for model: Generator) throws(ImageError) -> [PreparedImage] {
    var prepared: [PreparedImage] = []
    for (picture, path) in zip(pictures, data.scenes[scene].paths) {
      do { prepared.append(try model.picture(picture)) } catch { throw error.named(path) }
    }
    return prepared
  }

  func seed(_ own: UInt64, of scene: Int) -> UInt64 { mixedSeed(seed &+ own, data.scenes[scene].names.joined()) }

  private func result(_ index: Int) throws -> SceneResult {
    var result = SceneResult(index: index)
    do {
      result.outcomes = try outcomes(index)
    } catch let error as ImageError {
      result.failure = "\(try error.ofPicture())"
    }
    return result
  }

  private func outcomes(_ index: Int) throws -> [[Outcome]] {
    let questions = data.scenes[index].questions
    let pictures = try pictures(of: index)
    var ground = try Ground(model, questions, prepared(pictures, of: index, for: model), contenders)
    let visual = try model.visualTokens(of: ground.pictures)
    return try contenders.map { contender in
      let generator = contender.subject
      if !generator.sharesWeights(with: ground.model) {
        ground = try Ground(generator, questions, prepared(pictures, of: index, for: generator), contenders)
      }
      return try contender.seeds.map { own in
        do {
          return try answer(ground, visual, questions, generator, seed(own, of: index))
        } catch let error as CompressionError where keepsGoing {
          return Outcome(failure: "\(error)")
        }
      }
    }
  }

  /// What all contenders of one model have in common on a scene.
  private struct Ground {
    let model: Generator
    let pictures: [PreparedImage]
    let prompts: [Generator.Prompt]
    let blocks: [SharedBlocks]
    let prefixes = SharedPrefixes(megabytes: 256)

    init(
      _ model: Generator, _ questions: [QuestionFile.Question], _ pictures: [PreparedImage], _ contenders: [Contender]
    ) throws {
      (self.model, self.pictures) = (model, pictures)
      prompts = try questions.map { try model.prepare($0.text, about: pictures) }
      let compositions = contenders.map(\.subject).filter { $0.sharesWeights(with: model) }.map(\.composition)
      blocks = pictures.map { _ in SharedBlocks(for: compositions) }
    }
  }

  /// - Parameter visual: tokens that the pictures have in the dense model.
  private func answer(
    _ ground: Ground, _ visual: Int, _ questions: [QuestionFile.Question], _ generator: Generator, _ seed: UInt64
  ) throws -> Outcome {
    var outcome = Outcome()
    var seen: Generator.Seen?
    for (prompt, question) in zip(ground.prompts, questions) {
      if seen == nil || generator.looksAtQuestion {
        seen = try generator.look(at: prompt.images, question: question.text, seed: seed, shared: ground.blocks)
      }
      var (run, decoding) = try generator.read(prompt, seen: seen!, shared: ground.prefixes)
      let ids = try generator.model.language.generate(
        from: &decoding, run: &run, limit: limit, stops: generator.model.stops)
      let text = generator.text(of: ids)
      outcome.answers.append(text)
      outcome.scores.append(question.metric.score(text, question.answers))
      try outcome.costs.add(
        run.trace, shape: generator.model.shape, visual: visual, prompt: prompt.ids.count, new: ids.count,
        outcome: generator.outcome(of: prompt.images, run.trace))
    }
    return outcome
  }
}

/// What answers cost, added up.
public struct AnswerCosts: Sendable {
  public private(set) var answers = 0.0
  /// Visual tokens that the pictures have, that leave the tower, that enter the language model, that leave it; the mean
  /// over its layers; those that enter every layer.
  public private(set) var tokensIn = 0.0, tower = 0.0, packed = 0.0, tokensOut = 0.0, meanTokens = 0.0
  public private(set) var perLayer: [Double] = []
  public private(set) var prompt = 0.0, new = 0.0
  /// Giga multiply-adds. Prefill: layers and head up to the first new token; decode: all after it.
  public private(set) var towerGmacs = 0.0, connectorGmacs = 0.0, selectionGmacs = 0.0, prefillGmacs = 0.0
  public private(set) var decodeGmacs = 0.0
  /// MB (10^6 bytes) of 16-bit numbers.
  public private(set) var cachePrefill = 0.0, cachePeak = 0.0
  /// Visual tokens or cache entries asked for and left.
  public private(set) var outcome: BudgetOutcome?

  /// Up to the first new token, selection excluded.
  public var gmacs: Double { towerGmacs + connectorGmacs + prefillGmacs }

  public init() {}

  /// - Parameter outcome: its dense tokens may be those of the model itself; a method's own amount is told beside `visual`.
  mutating func add(_ trace: Trace, shape: Shape, visual: Int, prompt: Int, new: Int, outcome: BudgetOutcome) {
    let table = CostTable(trace, dense: trace, shape: shape)
    let (cost, language) = (table.cost, table.cost.language!)
    let layers = shape.decoder!.layers
    answers += 1
    tower += Double(trace.towerOutput.reduce(0, +))
    tokensOut += Double(table.tokensOut)
    meanTokens += table.meanTokens
    tokensIn += Double(visual)
    let told =
      outcome.asked == nil
      ? BudgetOutcome(.tokens, dense: Double(visual), reached: Double(table.tokensOut)) : outcome
    self.outcome = self.outcome.map { $0 + told } ?? told
    let entering = trace.language.prefix(layers).map { Double($0.visual) }
    packed += entering[0]
    perLayer = perLayer.isEmpty ? entering : zip(perLayer, entering).map(+)
    self.prompt += Double(prompt)
    self.new += Double(new)
    towerGmacs += 1e-9 * Double(cost.tower)
    connectorGmacs += 1e-9 * Double(cost.connector)
    selectionGmacs += 1e-9 * Double(cost.selection)
    prefillGmacs += 1e-9 * Double(language.first)
    decodeGmacs += 1e-9 * Double(language.decode.reduce(0, +))
    cachePrefill += 1e-6 * Double(language.bytes(language.prefillEntries.reduce(0, +)))
    cachePeak += 1e-6 * Double(language.bytes(language.peakEntries))
  }

  /// The mean over answers.
  static func mean(_ all: [AnswerCosts]) -> AnswerCosts {
    var sum = AnswerCosts()
    let count = all.reduce(0) { $0 + $1.answers }
    func mean(_ path: KeyPath<AnswerCosts, Double>) -> Double { all.reduce(0) { $0 + $1[keyPath: path] } / count }
    sum.answers = count
    (sum.tokensIn, sum.tower, sum.packed, sum.tokensOut) = (
      mean(\.tokensIn), mean(\.tower), mean(\.packed), mean(\.tokensOut)
    )
    (sum.meanTokens, sum.prompt, sum.new) = (mean(\.meanTokens), mean(\.prompt), mean(\.new))
    (sum.towerGmacs, sum.connectorGmacs, sum.selectionGmacs) = (
      mean(\.towerGmacs), mean(\.connectorGmacs), mean(\.selectionGmacs)
    )
    (sum.prefillGmacs, sum.decodeGmacs) = (mean(\.prefillGmacs), mean(\.decodeGmacs))
    (sum.cachePrefill, sum.cachePeak) = (mean(\.cachePrefill), mean(\.cachePeak))
    let outcomes = all.compactMap(\.outcome)
    sum.outcome = outcomes.dropFirst().reduce(outcomes.first) { $0! + $1 }?.divided(by: count)
    sum.perLayer = (all.first?.perLayer ?? []).indices.map { layer in
      all.reduce(0) { $0 + $1.perLayer[layer] } / count
    }
    return sum
  }
}
