import Foundation
import VTok

/// A decoder of the Llama family in double precision with seeded weights, written for clarity: one row at a time, a mask
/// instead of caches. It shares no code with the library's.
package struct DoubleLlama {
  package struct Size: Sendable {
    package var layers: Int, heads: Int, kvHeads: Int, headDim: Int
    package let width = 24, ffn = 40, vocabulary = 50
    package var hasBiases: Bool, isTied: Bool, sections: [Int], window: Int?
    /// Angles are divided by it.
    package var stretch: Double

    package init(
      layers: Int = 3, heads: Int = 4, kvHeads: Int = 2, headDim: Int = 8, hasBiases: Bool = false,
      isTied: Bool = false,
      sections: [Int] = [], window: Int? = nil, stretch: Double = 1
    ) {
      self.layers = layers
      self.heads = heads
      self.kvHeads = kvHeads
      self.headDim = headDim
      self.hasBiases = hasBiases
      self.isTied = isTied
      self.sections = sections
      self.window = window
      self.stretch = stretch
    }
  }
  private typealias Matrix = (rows: Int, columns: Int, values: [Double])

  package let size: Size
  package let seed: UInt64
  package private(set) var tensors: [(name: String, tensor: Tensor)] = []

  package init(_ size: Size = Size(), seed: UInt64 = 3) {
    self.size = size
    self.seed = seed
    var generator = SeededGenerator(seed: seed)
    func noise(_ name: String, _ shape: [Int], scale: Float, around middle: Float = 0) {
      tensors.append(
        (
          name,
          Tensor(shape: shape) { out in
            for index in 0..<shape.reduce(1, *) { out[index] = middle + scale * generator.normal() }
          }
        ))
    }
    let (inner, kvInner) = (size.heads * size.headDim, size.kvHeads * size.headDim)
    noise("model.embed_tokens.weight", [size.vocabulary, size.width], scale: 1)
    for layer in 0..<size.layers {
      let name = "model.layers.\(layer)."
      noise(name + "input_layernorm.weight", [size.width], scale: 0.1, around: 1)
      noise(name + "post_attention_layernorm.weight", [size.width], scale: 0.1, around: 1)
      for (part, rows) in [("q", inner), ("k", kvInner), ("v", kvInner)] {
        noise(name + "self_attn.\(part)_proj.weight", [rows, size.width], scale: 0.3)
        if size.hasBiases { noise(name + "self_attn.\(part)_proj.bias", [rows], scale: 0.3) }
      }
      noise(name + "self_attn.o_proj.weight", [size.width, inner], scale: 0.2)
      noise(name + "mlp.gate_proj.weight", [size.ffn, size.width], scale: 0.2)
      noise(name + "mlp.up_proj.weight", [size.ffn, size.width], scale: 0.2)
      noise(name + "mlp.down_proj.weight", [size.width, size.ffn], scale: 0.2)
    }
    noise("model.norm.weight", [size.width], scale: 0.1, around: 1)
    if !size.isTied { noise("lm_head.weight", [size.vocabulary, size.width], scale: 0.3) }
  }

  /// What a `config.json` would say.
  package var config: JSON {
    var scaling = JSONObject()
    if !size.sections.isEmpty { scaling = JSONObject([("type", "mrope"), ("mrope_section", JSON(size.sections))]) }
    if size.stretch != 1 { scaling = JSONObject([("type", "linear"), ("factor", JSON(size.stretch))]) }
    return [
      "model_type": JSON(size.hasBiases ? "qwen2" : size.window == nil ? "llama" : "mistral"),
      "hidden_size": JSON(size.width), "intermediate_size": JSON(size.ffn), "num_hidden_layers": JSON(size.layers),
      "num_attention_heads": JSON(size.heads), "num_key_value_heads": JSON(size.kvHeads),
      "head_dim": JSON(size.headDim), "vocab_size": JSON(size.vocabulary), "rms_norm_eps": 1e-5, "rope_theta": 100,
      "sliding_window": size.window.map { JSON($0) } ?? .null, "rope_scaling": .object(scaling),
    ]
  }

  /// The library's model of these weights, through a file.
  package func model(
    halved: Bool = false, config: JSON? = nil, changing: ((inout [(String, Safetensors.Value)]) -> Void)? = nil
  )
    throws -> LanguageModel
  {
    let path = FileManager.default.temporaryDirectory.path + "/llama-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var values =
      tensors.map { ($0.name, halved && $0.tensor.shape.count > 1 ? .f16($0.tensor) : .f32($0.tensor)) }
      as [(String, Safetensors.Value)]
    changing?(&values)
    try Safetensors.write(values, to: path)
    let checkpoint = try Checkpoint(file: path)
    return try LanguageModel(
      checkpoint["model"], head: try checkpoint.weightIfPresent("lm_head.weight", [nil, nil]),
      config: config ?? self.config)
  }

  /// Rows of the embedding table.
  package func embeddings(_ ids: [Int]) -> Tensor { tensors[0].tensor.gathered(ids) }

  private func matrix(_ name: String) -> Matrix? {
    tensors.first { $0.name == name }.map { ($0.tensor.rows, $0.tensor.width, $0.tensor.values.map(Double.init)) }
  }

  /// Everything a pass forms.
  package struct Pass {
    /// Entering every layer, then leaving the last. `[n][width]` each
    package var hidden: [[[Double]]] = []
    /// After the final norm, and the logits.
    package var normed: [[Double]] = [], logits: [[Double]] = []
    /// `[layer][head][row][key]`, rotated keys `[layer][kvHead][row]`.
    package var attention: [[[[Double]]]] = [], scores: [[[[Double]]]] = [], keys: [[[[Double]]]] = []
    /// `[layer][attention, MLP]`: rows before and after the branch.
    package var branches: [[(input: [[Double]], output: [[Double]])]] = []
  }

  /// - Parameters:
  ///   - position: of a row in a layer.
  ///   - sees: whether a row may attend to a key at or before it, in a layer and for a query head.
  package func callAsFunction(
    _ x: Tensor, position: (_ layer: Int, _ row: Int) -> Position = { Position($1) },
    sees: (_ layer: Int, _ head: Int, _ row: Int, _ key: Int) -> Bool = { _, _, _, _ in true }
  ) -> Pass {
    var pass = Pass()
    var x = (0..<x.rows).map { x.row($0).map(Double.init) }
    let (n, headDim, group) = (x.count, size.headDim, size.heads / size.kvHeads)
    func dot(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Double {
      zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func norm(_ rows: [[Double]], _ name: String) -> [[Double]] {
      let weight = matrix(name)!.values
      return rows.map { row in
        let scale = 1 / (dot(row, row) / Double(row.count) + 1e-5).squareRoot()
        return zip(row, weight).map { $0 * scale * $1 }
      }
    }
    func linear(_ rows: [[Double]], _ name: String) -> [[Double]] {
      let (w, bias) = (matrix(name + ".weight")!, matrix(name + ".bias")?.values)
      return rows.map { row -> [Double] in
        (0..<w.rows).map { out -> Double in
          dot(w.values[out * w.columns..<(out + 1) * w.columns], row) + (bias?[out] ?? 0)
        }
      }
    }
    func rotated(_ head: [Double], at position: Position) -> [Double] {
      let half = headDim / 2
      let axes = size.sections.isEmpty ? [half] : size.sections
      let places = axes.enumerated().flatMap { axis, count in
        [Int32](repeating: [position.t, position.h, position.w][axis], count: count)
      }
      var out = head
      for j in 0..<half {
        let angle = Double(places[j]) * pow(100, -Double(2 * j) / Double(headDim)) / size.stretch
        out[j] = head[j] * cos(angle) - head[j + half] * sin(angle)
        out[j + half] = head[j + half] * cos(angle) + head[j] * sin(angle)
      }
      return out
    }
    func heads(_ rows: [[Double]], _ count: Int, layer: Int, rotating: Bool) -> [[[Double]]] {
      (0..<count).map { head -> [[Double]] in
        rows.indices.map { row -> [Double] in
          let part = Array(rows[row][head * headDim..<(head + 1) * headDim])
          return rotating ? rotated(part, at: position(layer, row)) : part
        }
      }
    }
    for layer in 0..<size.layers {
      pass.hidden.append(x)
      let name = "model.layers.\(layer)."
      let u = norm(x, name + "input_layernorm.weight")
      let q = heads(linear(u, name + "self_attn.q_proj"), size.heads, layer: layer, rotating: true)
      let k = heads(linear(u, name + "self_attn.k_proj"), size.kvHeads, layer: layer, rotating: true)
      let v = heads(linear(u, name + "self_attn.v_proj"), size.kvHeads, layer: layer, rotating: false)
      var mixed = [[Double]](repeating: [], count: n)
      var (attention, scores) = ([[[Double]]](), [[[Double]]]())
      for head in 0..<size.heads {
        var (rows, raw) = ([[Double]](), [[Double]]())
        for row in 0..<n {
          let logits = (0..<n).map { key -> Double in
            let isNear = size.window.map { row - key < $0 } ?? true
            guard key <= row, isNear, sees(layer, head, row, key) else { return -.infinity }
            return dot(q[head][row], k[head / group][key]) / Double(headDim).squareRoot()
          }
          let top = logits.max()!
          let powers = logits.map { exp($0 - top) }
          let sum = powers.reduce(0, +)
          rows.append(powers.map { $0 / sum })
          raw.append(logits)
          mixed[row] += (0..<headDim).map { column -> Double in dot(powers, v[head / group].map { $0[column] }) / sum }
        }
        attention.append(rows)
        scores.append(raw)
      }
      let y = linear(mixed, name + "self_attn.o_proj")
      x = zip(x, y).map { zip($0, $1).map(+) }
      let u2 = norm(x, name + "post_attention_layernorm.weight")
      let gated = zip(linear(u2, name + "mlp.gate_proj"), linear(u2, name + "mlp.up_proj")).map { a, b in
        zip(a, b).map { $0 / (1 + exp(-$0)) * $1 }
      }
      let z = linear(gated, name + "mlp.down_proj")
      x = zip(x, z).map { zip($0, $1).map(+) }
      pass.attention.append(attention)
      pass.scores.append(scores)
      pass.keys.append(k)
      pass.branches.append([(u, y), (u2, z)])
    }
    pass.hidden.append(x)
    pass.normed = norm(x, "model.norm.weight")
    let head = matrix("lm_head.weight") == nil ? "model.embed_tokens" : "lm_head"
    pass.logits = linear(pass.normed, head)
    return pass
  }
}

extension DoubleLlama {
  /// A prompt of random tokens, rows `image` of them visual.
  package func prompt(_ count: Int, image: Range<Int> = 0..<0, position: [Position]? = nil, seed: UInt64 = 8)
    -> TokenSequence
  {
    var generator = SeededGenerator(seed: seed)
    let x = embeddings((0..<count).map { _ in Int(generator.next() % UInt64(size.vocabulary)) })
    return TokenSequence(
      x: x, kind: (0..<count).map { image.contains($0) ? .patch : .text }, position: position,
      origin: Origin((0..<count).map { image.contains($0) ? $0 - image.lowerBound : nil }))
  }

  /// The prompt's rows with those of decoded tokens behind them.
  package func whole(_ prompt: TokenSequence, _ ids: [Int]) -> Tensor {
    var x = prompt.x
    x.append(rows: embeddings(ids))
    return x
  }
}
