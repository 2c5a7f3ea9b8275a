import Foundation
import Testing
import VTok

/// The hand-written backward pass against finite differences of a forward pass in double precision that shares no code with
/// it. What the straight-through trick holds constant (order, similarity, sizes, maxima, divisors) is taken from a first run.
@Suite struct CalibrationGradientTests {
  enum Kind: CaseIterable { case classToken, mean, scaled }

  @Test(arguments: Kind.allCases) func gradientsOfAllLogits(_ kind: Kind) throws {
    let reference = DoubleNetwork(kind, seed: 11)
    let model = try reference.model()
    let network = try FrozenNetwork(model)
    var generator = SeededGenerator(seed: 5)
    let pixels = Tensor((0..<3 * 16 * 16).map { _ in generator.normal() }, shape: [3, 16, 16])
    let target = SoftTargets([0.1, 0.5, 0.05, 0.3, 0.05])
    var plan = RatePlan(blocks: 4, patches: 16, granularity: 3, fixed: [])
    for block in 1..<4 {
      for index in plan.prune[block].theta.indices {
        // Leaning towards fewer tokens block by block, so that every block prunes and merges.
        func logit(_ middle: Double) -> Double { Double(generator.normal()) * 0.3 - 2 * abs(Double(index) - middle) }
        plan.prune[block].theta[index] = logit(1.4 * Double(block) - 0.8)
        plan.merge[block].theta[index] = logit(1.4 * Double(block))
      }
    }
    let steps = plan.steps(tokens: 17)
    #expect(steps[1...].allSatisfy { $0.prunes && $0.merges }, "\(steps)")

    let pass = TrainingPass(network)
    let logits = pass.forward(pixels, steps: steps)
    let (loss, gradient) = target.crossEntropy(logits)
    pass.backward(gradient)
    var masks = MaskGradients(blocks: 4)
    masks.add(prune: pass.pruneGradient, merge: pass.mergeGradient)
    let found = plan.gradient(masks, cost: network.cost, perMAC: 0)

    var frozen = DoubleNetwork.Frozen()
    let base = reference.loss(pixels, plan, from: plan, steps, target, &frozen)
    #expect(abs(base - loss) < 1e-5, "\(loss), expected \(base)")
    let h = 1e-5
    var largest = 0.0
    for block in 1..<4 {
      for (path, values) in [(\RatePlan.prune, found.prune), (\RatePlan.merge, found.merge)] {
        for index in values[block].indices {
          func shifted(_ by: Double) -> Double {
            var moved = plan
            moved[keyPath: path][block].theta[index] += by
            return reference.loss(pixels, moved, from: plan, steps, target, &frozen)
          }
          let slope = (shifted(h) - shifted(-h)) / (2 * h)
          largest = max(largest, abs(slope))
          #expect(abs(values[block][index] - slope) < 2e-6 + 1e-3 * abs(slope), "block \(block), \(index): \(slope)")
        }
      }
    }
    #expect(largest > 1e-4)
  }

  /// The price alone: a count moves multiply-adds as the derivative says, wherever it is the minimum of its block.
  @Test func costFollowsCounts() {
    let cost = RateCost(tokens: 17, width: 16, hidden: 64, patch: 4, headMACs: 80)
    func plan(_ counts: [Int]) -> RatePlan {
      let logits = counts.map { RateLogits(candidates: [$0 - 1], theta: [0]) }
      return RatePlan(prune: logits, merge: logits)
    }
    let (_, slopes) = cost.macs(plan([17, 12, 9]))
    for (block, counts) in [(1, [17, 13, 9]), (2, [17, 12, 10])] {
      let lower = counts.enumerated().map { $0.offset == block ? $0.element - 2 : $0.element }
      let slope = Double(cost.macs(plan(counts)).total - cost.macs(plan(lower)).total) / 2
      #expect(abs(slopes[block] - slope) < 1e-9)
    }
  }
}

/// A small timm ViT in double precision, written out plainly.
struct DoubleNetwork {
  let kind: CalibrationGradientTests.Kind
  let width = 16, heads = 2, hidden = 64, blocks = 4, patch = 4, classes = 5, tokens = 17
  private(set) var tensors: [(name: String, tensor: Tensor)] = []
  private var doubles: [String: [Double]] = [:]

  /// What the gradient does not see, per block; filled by the first run.
  struct Frozen {
    var order: [[Int]] = [], destinations: [[Int]] = [], sizes: [[Double]] = [], bias: [[Double]] = []
    var maxima: [[Double]] = []
    var divisor: Double?
  }

  init(_ kind: CalibrationGradientTests.Kind, seed: UInt64) {
    self.kind = kind
    var generator = SeededGenerator(seed: seed)
    func add(_ name: String, _ shape: [Int], scale: Float, around: Float = 0) {
      let tensor = Tensor((0..<shape.reduce(1, *)).map { _ in around + scale * generator.normal() }, shape: shape)
      tensors.append((name, tensor))
      doubles[name] = tensor.values.map(Double.init)
    }
    add("cls_token", [1, 1, width], scale: 0.5)
    add("pos_embed", [1, tokens, width], scale: 0.5)
    add("patch_embed.proj.weight", [width, 3, patch, patch], scale: 0.2)
    add("patch_embed.proj.bias", [width], scale: 0.1)
    for block in 0..<blocks {
      let name = "blocks.\(block)."
      for norm in ["norm1", "norm2"] {
        add(name + norm + ".weight", [width], scale: 0.2, around: 1)
        add(name + norm + ".bias", [width], scale: 0.2)
      }
      for (layer, out, input) in [
        ("attn.qkv", 3 * width, width), ("attn.proj", width, width), ("mlp.fc1", hidden, width),
        ("mlp.fc2", width, hidden),
      ] {
        add(name + layer + ".weight", [out, input], scale: 0.3)
        add(name + layer + ".bias", [out], scale: 0.1)
      }
      for scale in kind == .scaled ? ["ls1.gamma", "ls2.gamma"] : [] {
        add(name + scale, [width], scale: 0.3, around: 0.6)
      }
    }
    let norm = kind == .mean ? "fc_norm" : "norm"
    add(norm + ".weight", [width], scale: 0.2, around: 1)
    add(norm + ".bias", [width], scale: 0.2)
    add("head.weight", [classes, width], scale: 0.5)
    add("head.bias", [classes], scale: 0.1)
  }

  /// The same weights as the library loads them.
  func model() throws -> VisionModel {
    let process = ProcessInfo.processInfo.processIdentifier
    let path = NSTemporaryDirectory() + "/vtok-gradient-\(process)-\(kind).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(tensors.map { ($0.name, .f32($0.tensor)) }, to: path)
    var arguments = TimmArguments()
    (arguments.heads, arguments.pool) = (heads, kind == .mean ? .avg : .token)
    arguments.hasLayerScale = kind == .scaled
    return try TimmViT.load(Checkpoint(file: path), arguments, imageSize: (16, 16))
  }

  /// Cross-entropy with the masks `h + t(plan) - t(base)`.
  func loss(
    _ pixels: Tensor, _ plan: RatePlan, from base: RatePlan, _ steps: [RatePlan.Step], _ target: SoftTargets,
    _ frozen: inout Frozen
  ) -> Double {
    var x = embed(pixels)
    var mask = [Double](repeating: 1, count: tokens)
    var size = mask
    let first = frozen.order.isEmpty
    for block in 0..<blocks {
      attend(&x, mask, size, block, first, &frozen)
      let order = frozen.order[block]
      x = order.map { x[$0] }
      mask = order.map { mask[$0] }
      size = order.map { size[$0] }
      let step = steps[block]
      if step.prunes { apply(&mask, plan.prune[block], base.prune[block], step.pruned..<step.before) }
      if step.merges {
        if first { frozen.destinations.append(destinations(x, step)) }
        let goals = frozen.destinations[block]
        merge(&x, &size, goals, step, first, block, &frozen)
        apply(&mask, plan.merge[block], base.merge[block], step.merged..<step.pruned)
      } else if first {
        frozen.destinations.append([])
        frozen.sizes.append(size)
      }
      size = frozen.sizes[block]
      let name = "blocks.\(block)."
      x = x.map { row in
        let inner = linear(norm(row, name + "norm2"), name + "mlp.fc1")
        let active = inner.map { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }
        return residual(row, linear(active, name + "mlp.fc2"), name + "ls2.gamma")
      }
    }
    let logits = linear(features(x, mask, size, &frozen), "head")
    let top = logits.max()!
    let sum = log(logits.reduce(0) { $0 + exp($1 - top) }) + top
    return zip(target.shares, logits).reduce(0) { $0 + Double($1.0) * (sum - $1.1) }
  }

  private func features(_ x: [[Double]], _ mask: [Double], _ size: [Double], _ frozen: inout Frozen) -> [Double] {
    guard kind == .mean else { return norm(x[0], "norm") }
    let divisor = frozen.divisor ?? (1..<tokens).reduce(0) { $0 + mask[$1] * size[$1] }
    frozen.divisor = divisor
    let mean = (0..<width).map { c in (1..<tokens).reduce(0) { $0 + x[$1][c] * mask[$1] * size[$1] } / divisor }
    return norm(mean, "fc_norm")
  }

  private func apply(_ mask: inout [Double], _ now: RateLogits, _ base: RateLogits, _ dropped: Range<Int>) {
    func stays(_ logits: RateLogits, _ i: Int) -> Double {
      zip(logits.candidates, logits.policy).reduce(0) { $0 + (i < $1.0 + 1 ? $1.1 : 0) }
    }
    for i in mask.indices { mask[i] *= (dropped.contains(i) ? 0 : 1) + stays(now, i) - stays(base, i) }
  }

  private func attend(
    _ x: inout [[Double]], _ mask: [Double], _ size: [Double], _ block: Int, _ first: Bool, _ frozen: inout Frozen
  ) {
    let name = "blocks.\(block)."
    let qkv = x.map { linear(norm($0, name + "norm1"), name + "attn.qkv") }
    let d = width / heads
    var mixed = x.map { _ in [Double](repeating: 0, count: width) }
    var importance = [Double](repeating: 0, count: tokens)
    var maxima: [Double] = []
    for head in 0..<heads {
      for i in 0..<tokens {
        let scores = (0..<tokens).map { j in
          (0..<d).reduce(0) { $0 + qkv[i][head * d + $1] * qkv[j][width + head * d + $1] } / Double(d).squareRoot()
            + log(size[j])
        }
        let top = first ? scores.max()! : frozen.maxima[block][head * tokens + i]
        maxima.append(top)
        let weights = (0..<tokens).map { exp(scores[$0] - top) * ($0 == i ? 1 : mask[$0]) }
        let sum = weights.reduce(0, +) + 1e-6
        for j in 0..<tokens {
          let share = (weights[j] + 1e-6 / Double(tokens)) / sum
          if i == 0 { importance[j] += share }
          for c in 0..<d { mixed[i][head * d + c] += share * qkv[j][2 * width + head * d + c] }
        }
      }
    }
    x = x.indices.map { residual(x[$0], linear(mixed[$0], name + "attn.proj"), name + "ls1.gamma") }
    guard first else { return }
    frozen.maxima.append(maxima)
    frozen.order.append([0] + (1..<tokens).sorted { (-importance[$0], $0) < (-importance[$1], $1) })
  }

  private func destinations(_ x: [[Double]], _ step: RatePlan.Step) -> [Int] {
    (step.merged..<step.pruned).map { source in
      (1..<step.merged).max { cosine(x[source], x[$0]) < cosine(x[source], x[$1]) }!
    }
  }

  private func cosine(_ a: [Double], _ b: [Double]) -> Double {
    func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
  }

  private func merge(
    _ x: inout [[Double]], _ size: inout [Double], _ goals: [Int], _ step: RatePlan.Step, _ first: Bool, _ block: Int,
    _ frozen: inout Frozen
  ) {
    let before = x
    for kept in 0..<step.merged {
      let sources = goals.indices.filter { goals[$0] == kept }.map { step.merged + $0 }
      x[kept] = (0..<width).map { c in
        (sources + [kept]).reduce(0) { $0 + before[$1][c] } / Double(sources.count + 1)
      }
    }
    guard first else { return }
    for (index, goal) in goals.enumerated() {
      size[step.merged + index] *= cosine(before[step.merged + index], before[goal])
    }
    for place in 0..<step.pruned { size[place] = max(size[place], 1) }
    for (index, goal) in goals.enumerated() { size[goal] += size[step.merged + index] }
    frozen.sizes.append(size)
  }

  // MARK: Layers

  private func embed(_ pixels: Tensor) -> [[Double]] {
    let positions = doubles["pos_embed"]!
    let kernel = doubles["patch_embed.proj.weight"]!
    let side = 16
    var rows = [doubles["cls_token"]!]
    for row in 0..<4 {
      for column in 0..<4 {
        var token = doubles["patch_embed.proj.bias"]!
        for out in 0..<width {
          for channel in 0..<3 {
            for y in 0..<patch {
              for x in 0..<patch {
                token[out] +=
                  kernel[((out * 3 + channel) * patch + y) * patch + x]
                  * Double(pixels.values[(channel * side + row * patch + y) * side + column * patch + x])
              }
            }
          }
        }
        rows.append(token)
      }
    }
    return rows.enumerated().map { index, row in row.indices.map { row[$0] + positions[index * width + $0] } }
  }

  private func linear(_ x: [Double], _ name: String) -> [Double] {
    let (weight, bias) = (doubles[name + ".weight"]!, doubles[name + ".bias"]!)
    return bias.indices.map { out in x.indices.reduce(bias[out]) { $0 + weight[out * x.count + $1] * x[$1] } }
  }

  private func norm(_ x: [Double], _ name: String) -> [Double] {
    let mean = x.reduce(0, +) / Double(x.count)
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
    let (weight, bias) = (doubles[name + ".weight"]!, doubles[name + ".bias"]!)
    return x.indices.map { (x[$0] - mean) / (variance + 1e-6).squareRoot() * weight[$0] + bias[$0] }
  }

  private func residual(_ x: [Double], _ y: [Double], _ scale: String) -> [Double] {
    let gamma = doubles[scale]
    return x.indices.map { x[$0] + y[$0] * (gamma?[$0] ?? 1) }
  }
}
