import VTok

/// `tome.*`, `divprune.*`
let methodFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "tome.bipartite_soft_matching": { inputs in
    let config = inputs.config
    let distilled = config["distill_token"]!.bool!
    let prefix = (config["class_token"]!.bool! ? 1 : 0) + (distilled ? 1 : 0)
    let (metric, x, size) = (try inputs.tensor("metric"), try inputs.tensor("x"), try inputs.tensor("size"))
    let batch = metric.shape[0]
    let n = metric.shape[1]
    var parts: [String: [Tensor]] = [:]
    var indices: [String: [Int]] = [:]
    for b in 0..<batch {
      var notes = Notes()
      let matching = ToMe.match(metric[plane: b], r: config["r"]!.int!, prefix: prefix, notes: &notes)
      let reduction = matching.reduction(of: n)
      func merged(masses: [Float]) -> TokenSequence {
        let kinds = (0..<n).map { $0 < prefix ? TokenKind.classifier : .patch }
        var tokens = TokenSequence(x: x[plane: b], kind: kinds, origin: Origin((0..<n).map { $0 }))
        tokens.apply(Reduction.masses(masses))
        tokens.apply(reduction)
        return tokens
      }
      let weighted = merged(masses: size[plane: b].values)
      let mean = merged(masses: [Float](repeating: 1, count: n))
      parts["merged", default: []].append(weighted.x)
      parts["size", default: []].append(Tensor(weighted.mass, shape: [weighted.count, 1]))
      parts["merged_mean", default: []].append(mean.x)
      parts["source", default: []].append(sourceMatrix(weighted, prefix: 0, columns: n))
      // The official unmerge takes the first rows for A and the rest for B, also where the distillation token reordered them.
      let a = matching.unmerged.count
      var unmerged = Tensor(zeros: [n, weighted.x.width])
      func put(_ source: Int, at target: Int) {
        let width = weighted.x.width
        for (column, value) in weighted.x.row(source).enumerated() { unmerged.values[target * width + column] = value }
      }
      for (row, index) in matching.unmerged.enumerated() { put(row, at: 2 * index) }
      for index in 0..<n / 2 { put(a + index, at: 2 * index + 1) }
      for (source, target) in zip(matching.sources, matching.destinations) { put(a + target, at: 2 * source) }
      parts["unmerged", default: []].append(unmerged)
      indices["unm_idx", default: []] += matching.unmerged
      indices["src_idx", default: []] += matching.sources
      indices["dst_idx", default: []] += matching.destinations
    }
    var outputs = parts.mapValues { GoldenValue(stacking: $0) }
    for (name, values) in indices { outputs[name] = GoldenValue(values, [batch, values.count / batch]) }
    return outputs
  },

  "tome.kth_bipartite": { inputs in
    let k = inputs.config["k"]!.int!
    let (metric, x) = (try inputs.tensor("metric"), try inputs.tensor("x"))
    let (batch, n) = (metric.shape[0], metric.shape[1])
    var merged: [Tensor] = []
    var unmerged: [Tensor] = []
    var targets: [Int] = []
    for b in 0..<batch {
      var notes = Notes()
      let (destinations, reduction) = ToMe.matchEveryKth(metric[plane: b], k: k, notes: &notes)
      var tokens = TokenSequence(
        x: x[plane: b], kind: [TokenKind](repeating: .patch, count: n), origin: Origin((0..<n).map { $0 }))
      tokens.apply(reduction)
      merged.append(tokens.x)
      targets += destinations
      let back = (0..<reduction.count * k).map { place in
        place % k == k - 1 ? place / k : destinations[place / k * (k - 1) + place % k]
      }
      unmerged.append(tokens.x.gathered(back))
    }
    return [
      "merged_mean": GoldenValue(stacking: merged), "unmerged": GoldenValue(stacking: unmerged),
      "dst_idx": GoldenValue(targets, [batch, targets.count / batch]),
    ]
  },

  "tome.vit": { inputs in
    let config = inputs.config
    let model = try timm(inputs)
    let schedule = config["r"]!
    let proportional = config["prop_attn"]!.bool!
    let method: ToMe
    switch config["r_form"]!.string! {
    case "int": method = ToMe(r: schedule.int!, proportionalAttention: proportional)
    case "tuple":
      method = ToMe(r: schedule[0]!.int!, trend: schedule[1]!.double!, proportionalAttention: proportional)
    default: method = ToMe(schedule: schedule.ints!, proportionalAttention: proportional)
    }
    return try compressed(inputs, model, [method])
  },

  "divprune.select": { inputs in
    let features = try inputs.tensor("features")
    let ratio = inputs.config["ratio"]!.double!
    var notes = Notes(keeping: true)
    let chosen = DivPrune.select(features, keep: Budget.ratio(ratio).tokens(of: features.rows), notes: &notes)
    return [
      "selected_in_order": GoldenValue(chosen, [chosen.count]),
      "selected_sorted": GoldenValue(chosen.sorted(), [chosen.count]),
      "min_distance_matrix_diag": GoldenValue(notes.kept["distance.diagonal"] ?? [], [features.rows]),
    ]
  },
]

/// A timm checkpoint that has no config.json beside it: what its manifest says takes the place.
func timm(_ inputs: Inputs) throws -> VisionModel {
  let config = inputs.config
  let size = try config.int("img_size")
  let checkpoint = try Checkpoint(file: inputs.file(config.string("checkpoint_dir")) + "/model.safetensors")
  let name = (config["arch"] ?? config["architecture"])?.string
  var arguments = try name.map { try TimmArguments(architecture: $0) } ?? TimmArguments()
  arguments.heads = try config.int("num_heads")
  if checkpoint.has("fc_norm.weight") { arguments.pool = .avg }
  return try TimmViT.load(checkpoint, arguments, imageSize: (size, size))
}

/// Hidden states, sizes, ids, source matrix and logits of a compressed batch, and the logits of the dense model.
/// - Parameter early: what is behind a block is seen before the methods act there.
func compressed(
  _ inputs: Inputs, _ model: VisionModel, _ methods: [any Compressor], early: Bool = false
) throws -> [String: GoldenValue] {
  var parts: [String: [Tensor]] = [:]
  var ids: [String: [[Int]]] = [:]
  for image in try pixels(inputs) {
    let probe = Probe()
    var run = Run(try Composition(early ? [probe] + methods : methods + [probe], for: model.shape))
    let output = try model(image, run: &run)
    let dense = model.tower.embed(image)
    probe.box.seen.withLock { for (name, x) in $0 { parts[name, default: []].append(x) } }
    probe.box.masses.withLock {
      for (name, s) in $0 { parts[name, default: []].append(Tensor(s, shape: [s.count, 1])) }
    }
    probe.box.ids.withLock { for (name, rows) in $0 { ids[name, default: []].append(rows) } }
    let last = probe.box.last.withLock { $0! }
    parts["source", default: []].append(sourceMatrix(last, prefix: model.tower.shape.prefix, columns: dense.count))
    parts["logits", default: []].append(row(output.logits!))
    parts["logits_uncompressed", default: []].append(row(model(image).logits!))
  }
  return parts.mapValues { GoldenValue(stacking: $0) }
    .merging(ids.mapValues { rows in GoldenValue(rows.flatMap { $0 }, [rows.count, rows[0].count]) }) { $1 }
}

/// The official source matrix [now, before]: 1 where an old token is inside a new one. Prefix rows are found by id.
func sourceMatrix(_ tokens: TokenSequence, prefix: Int, columns: Int) -> Tensor {
  var matrix = Tensor(zeros: [tokens.count, columns])
  for row in 0..<tokens.count {
    let range = tokens.origin.range(row)
    if range.isEmpty { matrix.values[row * columns + Int(tokens.id[row])] = 1 }
    for patch in tokens.origin.patches[range] { matrix.values[row * columns + prefix + Int(patch)] = 1 }
  }
  return matrix
}

extension Reduction {
  /// Leaves rows as they are and gives them masses.
  static func masses(_ masses: [Float]) -> Reduction {
    Reduction(rows: masses.indices.map { [Int32($0)] }, of: masses.count, blend: .copy, mass: masses)
  }
}
