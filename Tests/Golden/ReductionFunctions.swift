import VTok

/// `zero_tprune.*`, `diffrate.*`
let reductionFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "zero_tprune.layer": { inputs in
    let config = inputs.config
    let prefix = config["prefix"]!.int!
    let graph = AttentionGraph(try inputs.tensor("attn"))
    let ranking = try ranking(config)
    let cut = ZeroTPrune.Cut(
      block: 0, iterations: config["iterations"]!.int!, similar: config["s_remove"]?.int ?? 0, keep: keep(config))
    var notes = Notes()
    let found = try ZeroTPrune.prune(
      graph, keys: inputs.tensor("keys"), prefix: prefix, hasClassifier: prefix > 0, cut, ranking, notes: &notes)
    // The stages that a cut can do without are computed for comparison all the same.
    let preliminary =
      found.preliminary
      ?? ZeroTPrune.importance(
        graph, prefix: prefix, hasClassifier: prefix > 0, iterations: 1, ranking, notes: &notes
      ).mixture
    let dropped = Set(found.similar?.dropped ?? [])
    let left = (0..<graph.count).filter { !dropped.contains($0) }
    let rest = graph.restricted(to: left, renormalised: ranking.renormalise)
    let (mixture, scores, used) = ZeroTPrune.importance(
      rest, prefix: prefix, hasClassifier: prefix > 0, iterations: cut.iterations, ranking, epsilon: ranking.epsilon,
      notes: &notes)
    var outputs = [
      "pre_importance": GoldenValue(preliminary.importance, [preliminary.importance.count]),
      "wpr_scores": GoldenValue(found.scores ?? scores),
      "variance": GoldenValue(mixture.variance, [mixture.variance.count]),
      "head_kept": GoldenValue(mixture.passed.map { $0 ? 1 : 0 }, [mixture.passed.count]),
      "importance": GoldenValue((found.mixture ?? mixture).importance, [mixture.importance.count]),
      "iterations_used": GoldenValue([used], [1]), "kept": GoldenValue(found.kept, [found.kept.count]),
    ]
    if let similar = found.similar {
      outputs["s_dropped"] = GoldenValue(similar.dropped, [similar.dropped.count])
      outputs["group_a"] = GoldenValue(similar.groupA, [similar.groupA.count])
      outputs["group_b"] = GoldenValue(similar.groupB, [similar.groupB.count])
      outputs["best_similarity"] = GoldenValue(similar.best, [similar.best.count])
    }
    return outputs
  },

  "zero_tprune.vit": { inputs in
    let cuts = inputs.config["plan"]!.object!.map { block, step in
      ZeroTPrune.Cut(
        block: Int(block)!, iterations: step["iterations"]!.int!, similar: step["s_remove"]?.int ?? 0,
        keep: keep(step))
    }
    return try compressed(inputs, timm(inputs), [ZeroTPrune(cuts: cuts, ranking: try ranking(inputs.config))])
  },

  "diffrate.infer": { inputs in
    let config = inputs.config
    let schedule = DiffRate.Schedule(prune: config["prune_kept_num"]!.ints!, merge: config["merge_kept_num"]!.ints!)
    return try compressed(inputs, timm(inputs), [DiffRate(schedule: schedule)])
  },
]

private func ranking(_ config: JSON) throws -> ZeroTPrune.Ranking {
  var ranking = ZeroTPrune.Ranking()
  ranking.start = config["cls_boost"]?.bool == false ? .uniform : .classifier
  ranking.partition = try choice(config["partition"], default: ranking.partition)
  ranking.metric = try choice(config["metric"], default: ranking.metric)
  let range = Float(config["vmin"]?.double ?? 0.01)...Float(config["vmax"]?.double ?? 0.7)
  ranking.variance = config["vhf"]?.bool == false ? nil : range
  ranking.rootMeanSquare = config["eir"]?.bool ?? true
  ranking.renormalise = config["renormalize_rows"]?.bool ?? true
  ranking.epsilon = config["eps"]?.double.map { Float($0) }
  return ranking
}

/// `i_keep` tokens, or `i_rate` of what the S-stage left.
private func keep(_ config: JSON) -> ZeroTPrune.Cut.Keep {
  if let tokens = config["i_keep"]?.int { return .tokens(tokens) }
  return .rate((config["i_rate"] ?? config["rate"])?.double ?? 1)
}

private func choice<Value: RawRepresentable<String>>(_ json: JSON?, default standard: Value) throws -> Value {
  guard let name = json?.string else { return standard }
  guard let value = Value(rawValue: name) else { throw GoldenError("\(Value.self) has no '\(name)'") }
  return value
}
