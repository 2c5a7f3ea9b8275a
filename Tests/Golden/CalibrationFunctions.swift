import VTok
import VTokCalibration

/// `diffrate.train`
let calibrationFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "diffrate.train": { inputs in
    let config = inputs.config
    let network = try FrozenNetwork(timm(inputs))
    let blocks = network.blocks.count
    var plan = RatePlan(
      prune: try (0..<blocks).map { try logits(inputs, "prune", $0) },
      merge: try (0..<blocks).map { try logits(inputs, "merge", $0) })
    let unit = config["flop_unit"]?.double ?? 1e9
    let price = CostTerm(lambda: config["lambda"]!.double!, target: config["target"]!.double!, unit: unit)
    var outputs: [String: GoldenValue] = [:]
    var optimizer = RateOptimizer(plan)
    for step in 0..<(config["steps"]?.int ?? 0) {
      let (found, gradient) = try batch(inputs, network, plan, price)
      if step == 0 { outputs = found }
      optimizer.update(&plan, gradient, rate: config["lr"]!.double!)
    }
    for block in 0..<blocks {
      for (kind, list) in [("prune", plan.prune), ("merge", plan.merge)] {
        outputs["after\(config["steps"]?.int ?? 0)_\(kind)_prob.\(block)"] = value(list[block].theta)
      }
    }
    return outputs
  }
]

private func logits(_ inputs: Inputs, _ kind: String, _ block: Int) throws -> RateLogits {
  RateLogits(
    candidates: try inputs.tensor("\(kind)_candidates.\(block)").values.map { Int($0) },
    theta: try inputs.tensor("\(kind)_prob.\(block)").values.map(Double.init))
}

private func value(_ numbers: [Double]) -> GoldenValue { GoldenValue(numbers.map { Float($0) }, [numbers.count]) }

/// One forward and backward of the batch: outputs by their names, and the gradient of the full loss.
private func batch(_ inputs: Inputs, _ network: FrozenNetwork, _ plan: RatePlan, _ price: CostTerm) throws -> (
  [String: GoldenValue], gradient: (prune: [[Double]], merge: [[Double]])
) {
  let blocks = network.blocks.count
  let steps = plan.steps(tokens: network.tokens)
  let pass = TrainingPass(network)
  var parts: [String: [Tensor]] = [:]
  var masks = MaskGradients(blocks: blocks)
  var loss = 0.0
  let targets = try targets(inputs, network.classes)
  for (pixels, target) in zip(try pixels(inputs), targets) {
    let logits = pass.forward(pixels, steps: steps) { block in
      let alive = steps[block].merged
      parts["hidden_kept.\(block + 1)", default: []].append(pass.hidden.gathered(Array(0..<alive)))
      parts["mask.\(block + 1)", default: []].append(row(pass.mask))
      parts["size_kept.\(block + 1)", default: []].append(Tensor(Array(pass.size[..<alive]), shape: [alive, 1]))
    }
    parts["logits", default: []].append(row(logits))
    let (entropy, gradient) = target.crossEntropy(logits)
    loss += entropy / Double(targets.count)
    pass.backward(gradient)
    masks.add(prune: pass.pruneGradient, merge: pass.mergeGradient)
  }
  var outputs = parts.mapValues { GoldenValue(stacking: $0) }
  let macs = network.cost.macs(plan).total
  let bare = CostTerm(lambda: 1, target: price.target, unit: price.unit)
  outputs["loss_cls"] = value([loss])
  outputs["loss_flops"] = value([bare(macs).loss])
  outputs["loss"] = value([loss + price(macs).loss])
  outputs["flops_over_unit"] = value([Double(macs) / price.unit])
  let full = plan.gradient(masks, cost: network.cost, perMAC: price(macs).slope)
  // The FLOPs term alone, not multiplied by lambda.
  let alone = plan.gradient(nil, cost: network.cost, perMAC: bare(macs).slope)
  for (name, gradient) in [("grad", full), ("gradflops", alone)] {
    for block in 0..<blocks {
      outputs["\(name)_prune_prob.\(block)"] = value(gradient.prune[block])
      outputs["\(name)_merge_prob.\(block)"] = value(gradient.merge[block])
    }
  }
  return (outputs, full)
}

/// Soft targets as given, or labels with the smoothing that the loss names (`label-smoothing CE 0.1`).
private func targets(_ inputs: Inputs, _ classes: Int) throws -> [SoftTargets] {
  if inputs.inputNames.contains("soft_targets") {
    let shares = try inputs.tensor("soft_targets")
    return (0..<shares.rows).map { SoftTargets(Array(shares.row($0))) }
  }
  let loss = inputs.config["loss"]?.string ?? ""
  let smoothing = loss.contains("label-smoothing") ? Float(loss.split(separator: " ").last!) ?? 0.1 : 0
  return try inputs.integers("labels").map { SoftTargets(label: Int($0), classes: classes, smoothing: smoothing) }
}
