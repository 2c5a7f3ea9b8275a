import VTokCore
import VTokData
import VTokMethods
import VTokPipeline

// Benches of methods by name, each with several budgets, beside what they have to beat.

extension ReductionTask {
  /// A row for every method with every budget that rules it, then rows for the baselines that the model can serve.
  /// - Parameters:
  ///   - budgets: nil: half of the tokens, where a method publishes no amount.
  ///   - make: the model with a method and its budget.
  public static func rows(
    _ methods: [MethodSpec], budgets: [Budget]?, seeds: Int, make: (MethodSpec, Budget?) throws -> Subject
  ) throws -> [Contender<Subject>] {
    func rows(_ spec: MethodSpec) throws -> [Contender<Subject>] {
      let isRuled = spec.isRuled(whereGiven: budgets != nil)
      let ruling: [Budget?] = isRuled ? budgets ?? [MethodSpec.usualBudget] : [nil]
      return try ruling.map { Contender(try make(spec, $0), seeds: seeds) }
    }
    let asked = try methods.flatMap(rows)
    let baselines = Methods.baselines(beside: asked.map(\.subject.composition)).filter { baseline in
      !methods.contains { $0.description == baseline.description }
    }
    return asked
      + (try baselines.flatMap { spec in
        do { return try rows(spec) } catch is CompressionError { return [] }
      })
  }
}
