import VTokCore
import VTokData
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokPipeline
import VTokTensor

extension Search where Task == ImageTask {
  /// Over methods of a vision tower on images.
  /// - Parameters:
  ///   - methods: none: all of this library that take a budget.
  ///   - models: the same model in every precision to be tried, the one that others are compared with first.
  /// - Throws: `MethodError` for methods that cannot be made.
  public init(
    _ target: Target, _ methods: [MethodSpec], _ settings: Settings, models: [LoadedModel], data: LabelledImages,
    decode: DecodeOptions = .init()
  ) throws {
    self.init(target, try SearchSpace(methods, for: models[0].vision.shape), settings) { entry, level in
      try Self.candidates(entry, level, target, models) { model, target in
        try model.solve(target, entry.spec)
      } subject: { model, budget in
        try Pipeline(model, method: entry.spec, keep: budget)
      }
    } task: { contenders in
      try ImageTask(
        models[0], data: data, contenders: contenders, decode: decode, seed: settings.seed, keepsGoing: true)
    }
  }
}

extension Search where Task == QuestionTask {
  /// Over methods of a vision-language model on questions. Costs are solved for the first picture and its first question.
  /// - Parameters:
  ///   - models: without a method, as above.
  ///   - limit: new tokens at most.
  /// - Throws: `MethodError` for methods that cannot be made; `ImageError` for the first picture.
  public init(
    _ target: Target, _ methods: [MethodSpec], _ settings: Settings, models: [Generator], data: QuestionFile,
    limit: Int = 16, decode: DecodeOptions = .init()
  ) throws {
    let question = data.items[0].questions[0].text
    let images = try data.items[0].paths.map { try Image.decode(contentsOf: $0, options: decode).image }
    let prompt = Rehearsal.Prompt(picture: images[0].size, text: max(1, question.utf8.count / 4), newTokens: 1)
    self.init(target, try SearchSpace(methods, for: models[0].outline.shape), settings) { entry, level in
      try Self.candidates(entry, level, target, models) { model, target in
        guard target.isTime else {
          return try TargetSolver.solve(target, entry.spec, of: model.outline, prompt: prompt)
        }
        let prepared = try model.prepare(question, about: images)
        let tokens = try model.visualTokens(of: prepared.images)
        return try TargetSolver.solve(target, title: entry.spec.description, patches: tokens) { budget in
          try model.with(entry.spec, keep: budget).milliseconds(to: question, prepared)
        }
      } subject: { model, budget in
        try model.with(entry.spec, keep: budget)
      }
    } task: { contenders in
      try QuestionTask(
        models[0], data: data, contenders: contenders, limit: limit, decode: decode, seed: settings.seed,
        keepsGoing: true)
    }
  }
}

extension Search {
  /// An entry with every model. Counts are the same in every precision, times are not. What a model cannot serve, or no
  /// budget reaches, is no candidate.
  fileprivate static func candidates<Model>(
    _ entry: SearchSpace.Entry, _ level: Double, _ target: Target, _ models: [Model],
    solve: (Model, Target) throws -> TargetSolver.Solution, subject: (Model, Budget) throws -> Task.Subject
  ) throws -> [Candidate<Task.Subject>] {
    var found: [Candidate<Task.Subject>] = []
    var known: TargetSolver.Solution?
    for model in models {
      do {
        let solution = try known ?? solve(model, target.scaled(by: level))
        if !target.isTime { known = solution }
        found.append(
          Candidate(
            entry.spec, level: level, budget: solution.budget, reached: solution.reached,
            subject: try subject(model, solution.budget), isSingle: entry.isSingle))
      } catch is CompressionError { continue } catch is MethodError { continue }
    }
    return found
  }
}

extension Generator {
  /// From the prepared picture to the first token, on one thread: the fastest of three runs, since what else the machine does
  /// can only add to it.
  fileprivate func milliseconds(to question: String, _ prompt: Prompt) throws -> Double {
    var fastest = Double.infinity
    for _ in 0..<3 {
      let start = ContinuousClock().now
      let seen = try look(at: prompt.images, question: question, seed: 0)
      _ = try read(prompt, seen: seen)
      fastest = min(fastest, start.duration(to: ContinuousClock().now) / .milliseconds(1))
    }
    return fastest
  }
}
