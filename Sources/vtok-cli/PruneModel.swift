import VTok

/// The model of a job: a tower, or a vision-language model as far as its language model.
enum PruneModel: Sendable {
  case tower(LoadedModel)
  case visual(Generator, question: String?, videos: Bool)

  init(_ command: PruneCommand) throws {
    let checkpoint = try command.reduction.checkpoint(command.precision.value)
    let given = [("--prompt", command.prompt)] + command.language.given
    guard MultimodalModel.matches(checkpoint.config) else {
      if let flag = given.first(where: { $0.1 != nil })?.0 {
        throw UsageError(
          flag, found: "a model without text", expected: "a vision-language model", fix: "Remove the flag.")
      }
      try command.videos.check(nil)
      if command.memory.maxMemory != nil {
        let outline = try ModelOutline.of(command.reduction.model, processor: command.reduction.preparation.processor)
        _ = try command.memory.pixels(
          outline, MemoryEstimate.Weights(checkpoint), workers: command.running.threadCount(), quiet: true)
      }
      self = .tower(try command.reduction.tower(command.precision.value))
      return
    }
    if command.prompt?.allSatisfy(\.isWhitespace) == true {
      throw UsageError("--prompt", found: "an empty text", expected: "a question", fix: "Leave it out, or fill it.")
    }
    try command.videos.check(ModelOutline(checkpoint))
    let pixels = try command.memory.maxMemory.map { _ in
      try command.memory.pixels(
        ModelOutline(checkpoint), MemoryEstimate.Weights(checkpoint), workers: command.running.threadCount(),
        quiet: command.running.quiet)
    }
    var generator = try Generator(
      checkpoint, method: nil, template: command.language.text(), companion: command.language.companion)
    generator.mostPixels = pixels ?? nil
    self = .visual(generator, question: command.prompt, videos: command.videos.flag != nil)
    if command.overlay, try !VisualReducer(generator).drawsMaps {
      throw UsageError(
        "--overlay", found: "a model that cuts pictures into tiles", expected: "one tile a picture (LLaVA-1.5)",
        fix: "Remove the flag: keep lists and origins are in the token files.")
    }
  }

  var name: String {
    switch self {
    case .tower(let model): model.name
    case .visual(let generator, _, _): generator.name
    }
  }

  /// Pixels above which pictures are read smaller; nil: none are.
  var mostPixels: Int? { if case .visual(let generator, _, _) = self { generator.mostPixels } else { nil } }

  var precision: Precision {
    switch self {
    case .tower(let model): model.vision.precision
    case .visual(let generator, _, _): generator.precision
    }
  }

  var sha256: String {
    switch self {
    case .tower(let model): model.sha256
    case .visual(let generator, _, _): generator.sha256
    }
  }

  /// Checksums of all that it is made of, by name.
  func checksums() throws -> [(String, JSON)] {
    let settings: String
    var companion: String?
    switch self {
    case .tower(let model): settings = model.settingsSHA256
    case .visual(let generator, _, _): (settings, companion) = try (generator.settingsSHA256, generator.companionSHA256)
    }
    return [("model_sha256", JSON(sha256)), ("settings_sha256", JSON(settings))]
      + (companion.map { [("companion_sha256", JSON($0))] } ?? [])
  }

  func solve(_ target: Target, _ spec: MethodSpec) throws -> TargetSolver.Solution {
    guard case .tower(let model) = self else {
      throw UsageError(
        "target", found: "a vision-language model, whose cost depends on the text",
        expected: "--keep-ratio or --keep-tokens",
        fix: "Use 'vtok flops' to find one.")
    }
    return try model.solve(target, spec)
  }

  func reducer(_ combination: ReductionOptions.Combination) throws -> any ImageReducer {
    guard let mean = combination.mean else {
      return try reducer(combination.spec, combination.ruled ? combination.budget : nil)
    }
    return try AdaptiveReducer(mean) { try reducer(combination.spec, $0) }
  }

  private func reducer(_ spec: MethodSpec, _ budget: Budget?) throws -> any ImageReducer {
    switch self {
    case .tower(let model): return try Pipeline(model, method: spec, keep: budget)
    case .visual(let generator, let question, let videos):
      return try VisualReducer(generator.with(spec, keep: budget), question: question, videos: videos)
    }
  }
}
