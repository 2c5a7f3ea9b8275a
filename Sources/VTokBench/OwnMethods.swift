import VTokCore
import VTokData
import VTokEval
import VTokMethods
import VTokPipeline

// Benches of methods that are values, beside what they have to beat.

extension ReductionTask {
  /// A row for each of some methods, and one for each baseline that the model can serve, at the same budget.
  /// - Parameters:
  ///   - own, named: the model with methods that are values, and by name.
  fileprivate static func rows(
    _ methods: [any Compressor], own: ([any Compressor]) throws -> Subject,
    named: (MethodSpec) throws -> Subject
  ) throws -> [Contender<Subject>] {
    let subjects = try methods.map { try own([$0]) }
    let baselines = try Methods.baselines(beside: subjects.map(\.composition)).compactMap { spec in
      do { return try named(spec) } catch CompressionError.unsupported { return nil }
    }
    return (subjects + baselines).map { Contender($0) }
  }
}

extension Bench where Task == ImageTask {
  /// Methods of one's own on images, a row each, beside the dense model, chance and a smaller image.
  /// - Parameters:
  ///   - keep: the budget that the methods were made with, and that of the baselines (nil: half of the tokens).
  /// - Throws: `CompressionError` for a method that the model cannot serve.
  public init(
    _ model: LoadedModel, methods: [any Compressor], keep: Budget? = nil, data: LabelledImages, threads: Int = 1
  ) throws {
    let rows = try ImageTask.rows(methods) { own in
      try Pipeline(model, methods: own, keep: keep)
    } named: { spec in
      try Pipeline(model, method: spec, keep: keep ?? .ratio(0.5))
    }
    self.init(try ImageTask(model, data: data, contenders: rows), threads: threads)
  }
}

extension Bench where Task == QuestionTask {
  /// Methods of one's own on questions about images, a row each, beside the dense model and chance.
  /// - Parameters:
  ///   - model: without a method.
  ///   - keep: the budget that the methods were made with, and that of the baselines (nil: half of the tokens).
  /// - Throws: `CompressionError` for a method that the model cannot serve, `DataError`.
  public init(
    _ model: Generator, methods: [any Compressor], keep: Budget? = nil, data: QuestionFile, threads: Int = 1
  ) throws {
    let rows = try QuestionTask.rows(methods) { own in
      try model.with(methods: own, keep: keep)
    } named: { spec in
      try model.with(spec, keep: keep ?? .ratio(0.5))
    }
    self.init(try QuestionTask(model, data: data, contenders: rows), threads: threads)
  }
}
