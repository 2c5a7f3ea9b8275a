import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor
import VTokWeights

/// A pre-norm decoder layer of the Llama family: `x += Mix(RMS1(x))`, `x += down(silu(gate(h)) * up(h))` with h = RMS2(x).
/// What mixes the rows is attention, or a gated delta net (Qwen3.5); Gemma 3 norms both branches before they are added.
/// Matrices stay mapped as stored, but for those of small models and of lower precision.
package struct DecoderLayer: Sendable {
  package enum Mixer: Sendable {
    case attention(SelfAttention)
    case deltaNet(GatedDeltaNet)
  }

  package let norm1: RMSNorm
  package let mixer: Mixer
  /// Of what comes from the mixer and from the MLP; nil: it is added as it is.
  let mixedNorm: RMSNorm?, outputNorm: RMSNorm?
  package let norm2: RMSNorm
  package let gate: Linear, up: Linear, down: Linear
  /// Of the gate.
  let activation: Activation

  /// A view `layers.i`.
  init(_ view: Checkpoint, _ config: DecoderConfig, index: Int) throws {
    let (width, ffn) = (config.shape.width, config.shape.ffn)
    let mixer = config.shape.mixer(of: index)
    self.mixer =
      if mixer == .deltaNet, let size = config.shape.deltaNet {
        .deltaNet(try GatedDeltaNet(view["linear_attn"], config, size))
      } else {
        .attention(try SelfAttention(view["self_attn"], config, mixer))
      }
    norm1 = try config.norm(view, "input_layernorm", width)
    // Gemma 3 gives the old name to the norm of a branch.
    let normsBranches = config.normsBranches
    norm2 = try config.norm(view, normsBranches ? "pre_feedforward_layernorm" : "post_attention_layernorm", width)
    mixedNorm = normsBranches ? try config.norm(view, "post_attention_layernorm", width) : nil
    outputNorm = normsBranches ? try config.norm(view, "post_feedforward_layernorm", width) : nil
    gate = try config.linear(view, "mlp.gate_proj", [ffn, width], bias: config.biases.mlp)
    up = try config.linear(view, "mlp.up_proj", [ffn, width], bias: config.biases.mlp)
    down = try config.linear(view, "mlp.down_proj", [width, ffn], bias: config.biases.mlp)
    activation = config.activation
  }

  /// Its attention; nil: something else mixes the rows.
  package var attention: SelfAttention? {
    switch mixer {
    case .attention(let attention): attention
    case .deltaNet: nil
    }
  }

  /// Memory of a forward pass over up to `rows` rows and `keys` keys.
  final class Memory {
    let normed: Scratch, branch: Scratch, inner: Scratch
    let attention: Attention.Memory
    let threads: Int
    /// Shared by layers that see the same positions and turn alike.
    private var rotary: [Rotary] = []

    init(rows: Int, keys: Int, shape: Shape.Decoder, kv: CachePrecision, threads: Int) {
      self.threads = threads
      normed = Scratch(rows * shape.width)
      branch = Scratch(rows * shape.width)
      inner = Scratch(rows * shape.innerScratch)
      attention = Attention.Memory(
        rows: rows, keys: keys, heads: shape.heads,
        widened: Attention.Memory.widened(rows: rows, keys: keys, headDim: shape.headDim, kv),
        threads: min(threads, shape.heads))
    }

    func rotary(_ positions: [Position], _ frequencies: [Float], _ shape: Shape.Decoder) -> Rotary {
      if let known = rotary.first(where: { $0.frequencies == frequencies && $0.positions == positions }) {
        return known
      }
      let made = Rotary(positions, frequencies: frequencies, of: shape)
      rotary.removeAll { $0.frequencies == frequencies || $0.positions != positions }
      rotary.append(made)
      return made
    }
  }

  /// What a layer leaves behind beside its output.
  struct Recorded {
    var attention: [Attention.Tap: [Tensor]] = [:]
    /// Attention, MLP: as they are added to the rows.
    var branches: [Branch] = []
  }

  /// Runs the layer on rows that come after those in `past`, and adds what it keeps of them to it.
  /// - Parameters:
  ///   - past: its cache is empty, one sequence for all KV heads, or one per head.
  ///   - weights: of the MLP branch of every row; nil: all 1.
  func callAsFunction(
    _ tokens: inout TokenSequence, _ past: inout LayerPast, weights: [Float]? = nil, shape: Shape.Decoder,
    attention: Attention, sight: Attention.Sight, taps: Attention.Taps, branches: Bool, massBias: Bool = false,
    _ memory: Memory
  ) -> Recorded {
    var recorded = Recorded()
    let (count, threads) = (tokens.count, memory.threads)
    let (normed, branch) = (memory.normed.pointer, memory.branch.pointer)
    normalise(norm1, tokens.x, into: normed, threads)
    switch mixer {
    case .attention(let own):
      recorded.attention = own(
        tokens, normed, into: branch, &past.cache, shape: shape, attention: attention, sight: sight, taps: taps,
        massBias: massBias, memory)
    case .deltaNet(let net):
      net(normed, count, into: branch, &past.state, scratch: memory.inner.pointer, threads: threads)
    }
    if let mixedNorm { normalise(mixedNorm, branch, count, into: branch, threads) }
    if branches { recorded.branches.append(compare(normed, branch, count, shape.width)) }
    add(branch, to: &tokens.x, threads)

    normalise(norm2, tokens.x, into: normed, threads)
    feedForward(normed, count, into: branch, memory)
    if let outputNorm { normalise(outputNorm, branch, count, into: branch, threads) }
    if branches { recorded.branches.append(compare(normed, branch, count, shape.width)) }
    for (row, weight) in (weights ?? []).enumerated() { scale(branch + row * shape.width, shape.width, weight) }
    add(branch, to: &tokens.x, threads)
    return recorded
  }

  /// The MLP of normed rows `[count, width]`.
  private func feedForward(
    _ normed: UnsafePointer<Float>, _ count: Int, into branch: UnsafeMutablePointer<Float>, _ memory: Memory
  ) {
    let (ffn, threads) = (gate.weight.rows, memory.threads)
    let (a, b) = (memory.inner.pointer, memory.inner.pointer + count * ffn)
    let shared = ProductInput(normed, count: count, width: gate.weight.columns, threads: threads)
    gate.apply(shared, count, into: a, threads)
    up.apply(shared, count, into: b, threads)
    let wide = (Shared(a), Shared(b))
    forRows(count, threads) { [activation] rows in
      let (a, b) = (wide.0.pointer + rows.lowerBound * ffn, wide.1.pointer + rows.lowerBound * ffn)
      if activation == .silu {
        vtok_silu_product(a, b, rows.count * ffn)
      } else {
        vtok_gelu_tanh_product(a, b, rows.count * ffn)
      }
    }
    down.apply(a, count, into: branch, threads)
  }
}

extension Linear {
  /// x `[rows, in]`, out `[rows, out]`.
  func apply(_ x: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>, _ threads: Int) {
    weight.multiply(x, rows, weight.columns, into: out, weight.rows, threads: threads)
    if let bias { vtok_add_bias(out, rows, weight.rows, bias) }
  }

  /// The same for rows that other layers take too.
  func apply(_ x: ProductInput, _ rows: Int, into out: UnsafeMutablePointer<Float>, _ threads: Int) {
    weight.multiply(x, into: out, weight.rows, threads: threads)
    if let bias { vtok_add_bias(out, rows, weight.rows, bias) }
  }
}

/// Multiplies a row.
func scale(_ row: UnsafeMutablePointer<Float>, _ width: Int, _ weight: Float) {
  for column in 0..<width { row[column] *= weight }
}

func normalise(_ norm: RMSNorm, _ x: Tensor, into out: UnsafeMutablePointer<Float>, _ threads: Int) {
  x.values.withUnsafeBufferPointer { normalise(norm, $0.baseAddress!, x.rows, into: out, threads) }
}

/// x `[rows, width]`, which `out` may be too.
private func normalise(
  _ norm: RMSNorm, _ x: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>, _ threads: Int
) {
  let (x, out, width) = (Shared(UnsafeMutablePointer(mutating: x)), Shared(out), norm.weight.count)
  forRows(rows, threads) { rows in
    let start = rows.lowerBound * width
    vtok_rms_norm(x.pointer + start, rows.count, width, norm.weight, norm.epsilon, out.pointer + start)
  }
}

private func add(_ branch: UnsafeMutablePointer<Float>, to x: inout Tensor, _ threads: Int) {
  let (branch, count, width) = (Shared(branch), x.rows, x.width)
  x.values.withUnsafeMutableBufferPointer { buffer in
    let x = Shared(buffer.baseAddress!)
    forRows(count, threads) { rows in
      let start = rows.lowerBound * width
      vtok_add_residual(x.pointer + start, branch.pointer + start, rows.count, width, nil, nil)
    }
  }
}

/// Sizes and directions of the rows before and after a branch.
private func compare(_ input: UnsafePointer<Float>, _ output: UnsafePointer<Float>, _ rows: Int, _ width: Int) -> Branch
{
  func dots(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>) -> [Float] {
    (0..<rows).map { vtok_exact_dot(a + $0 * width, b + $0 * width, width) }
  }
  return Branch(
    input: dots(input, input).map { $0.squareRoot() }, output: dots(output, output).map { $0.squareRoot() },
    dot: dots(input, output))
}
