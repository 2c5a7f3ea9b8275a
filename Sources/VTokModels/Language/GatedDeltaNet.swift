import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor
import VTokWeights

/// A gated delta net: what mixes rows in most layers of Qwen3.5. A state that every row fades and corrects takes the place of
/// keys and values, so it costs the same for any number of rows and cannot be cut.
/// (transformers: `models/qwen3_5`; Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464.)
package struct GatedDeltaNet: Sendable {
  /// To q, k and v; to the gates of what comes out; to the rate and the decay of every value head.
  private let projection: Linear, gate: Linear, rate: Linear, decay: Linear
  private let output: Linear
  /// `[taps, channels]`
  private let kernel: [Float]
  /// exp(A_log), and dt_bias, of every value head.
  private let speeds: [Float], bias: [Float]
  /// Of what every value head gives.
  private let norm: RMSNorm
  let size: Shape.Decoder.DeltaNet

  /// A view `layers.i.linear_attn`.
  init(_ view: Checkpoint, _ config: DecoderConfig, _ size: Shape.Decoder.DeltaNet) throws {
    let (width, channels, taps) = (config.shape.width, size.channels, size.taps)
    self.size = size
    projection = try config.linear(view, "in_proj_qkv", [channels, width])
    gate = try config.linear(view, "in_proj_z", [size.valueWidth, width])
    // They say how long a state remembers: never rounded.
    rate = try config.linear(view.at(.f32), "in_proj_b", [size.valueHeads, width])
    decay = try config.linear(view.at(.f32), "in_proj_a", [size.valueHeads, width])
    output = try config.linear(view, "out_proj", [width, size.valueWidth])
    kernel = try view.tensor("conv1d.weight", [channels, 1, taps]).reshaped([channels, taps]).transposed.values
    speeds = try view.vector("A_log", [size.valueHeads]).map { expf($0) }
    bias = try view.vector("dt_bias", [size.valueHeads])
    norm = RMSNorm(weight: try view.vector("norm.weight", [size.valueDim]), epsilon: config.epsilon)
  }

  /// Numbers that a row takes in scratch.
  static func scratch(_ size: Shape.Decoder.DeltaNet) -> Int {
    2 * size.channels + 2 * size.valueWidth + 2 * size.valueHeads
  }

  /// What the net gives of normed rows `[count, width]` that come after those of `state`, which goes on to the last of them.
  /// - Parameter scratch: `Self.scratch` numbers a row.
  func callAsFunction(
    _ normed: UnsafePointer<Float>, _ count: Int, into branch: UnsafeMutablePointer<Float>,
    _ state: inout RecurrentState?, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) {
    var own = state ?? RecurrentState(size)
    state = nil  // so that its memory is written where it is
    let (entering, mixed) = (scratch, scratch + count * size.channels)
    let gates = mixed + count * size.channels
    let out = gates + count * size.valueWidth
    let rates = out + count * size.valueWidth
    let decays = rates + count * size.valueHeads
    projection.apply(normed, count, into: entering, threads)
    gate.apply(normed, count, into: gates, threads)
    rate.apply(normed, count, into: rates, threads)
    decay.apply(normed, count, into: decays, threads)
    convolve(entering, count, into: mixed, &own, threads)
    for index in 0..<count * size.valueHeads {
      let head = index % size.valueHeads
      rates[index] = 1 / (1 + expf(-rates[index]))
      decays[index] = expf(-speeds[head] * softplus(decays[index] + bias[head]))
    }
    recur(mixed, rates, decays, count, into: out, &own, threads)
    let (wide, shared) = (size.valueWidth, (Shared(gates), Shared(out)))
    forRows(count, threads) { [norm, size] rows in
      let (gates, out) = (shared.0.pointer + rows.lowerBound * wide, shared.1.pointer + rows.lowerBound * wide)
      vtok_rms_norm(out, rows.count * size.valueHeads, size.valueDim, norm.weight, norm.epsilon, out)
      vtok_silu_product(gates, out, rows.count * wide)
    }
    output.apply(gates, count, into: branch, threads)
    state = own
  }

  /// The short convolution of q, k and v over the rows and those before them, and the lengths of q and k.
  private func convolve(
    _ entering: UnsafeMutablePointer<Float>, _ count: Int, into mixed: UnsafeMutablePointer<Float>,
    _ state: inout RecurrentState, _ threads: Int
  ) {
    let (channels, before) = (size.channels, size.taps - 1)
    vtok_short_convolution(entering, state.rows.values, kernel, count, channels, size.taps, mixed)
    let shared = Shared(mixed)
    forRows(count, threads) { [size] rows in
      let own = shared.pointer + rows.lowerBound * channels
      vtok_bias_activation(own, rows.count, channels, nil, VTOK_SILU)
      let scale = 1 / Float(size.keyDim).squareRoot()
      vtok_unit_heads(own, rows.count, channels, size.keyHeads, size.keyDim, 1e-6, scale)
      vtok_unit_heads(own + size.keyHeads * size.keyDim, rows.count, channels, size.keyHeads, size.keyDim, 1e-6, 1)
    }
    // The last rows as they entered, older ones where there are too few.
    let old = max(0, before - count)
    let new = UnsafeBufferPointer(
      start: entering + (count - before + old) * channels, count: (before - old) * channels)
    state.rows.values = Array(state.rows.values.suffix(old * channels)) + Array(new)
  }

  /// The recurrence, head by head.
  private func recur(
    _ mixed: UnsafeMutablePointer<Float>, _ rates: UnsafeMutablePointer<Float>, _ decays: UnsafeMutablePointer<Float>,
    _ count: Int, into out: UnsafeMutablePointer<Float>, _ state: inout RecurrentState, _ threads: Int
  ) {
    let inputs = (mixed: Shared(mixed), rates: Shared(rates), decays: Shared(decays), out: Shared(out))
    let (heads, keyWidth) = (size.valueHeads, size.keyHeads * size.keyDim)
    let slots = max(1, min(threads, heads))
    let scratch = Scratch(slots * size.valueDim)
    let lines = Shared(scratch.pointer)
    state.memory.values.withUnsafeMutableBufferPointer { buffer in
      let memory = Shared(buffer.baseAddress!)
      parallel(slots, threads: slots) { [size] slot in
        for head in stride(from: slot, to: heads, by: slots) {
          let key = head * size.keyHeads / heads * size.keyDim
          let inputs = vtok_delta_head(
            query: inputs.mixed.pointer + key, key: inputs.mixed.pointer + keyWidth + key,
            value: inputs.mixed.pointer + 2 * keyWidth + head * size.valueDim, stride: size.channels,
            decay: inputs.decays.pointer + head, rate: inputs.rates.pointer + head, heads: heads,
            out: inputs.out.pointer + head * size.valueDim, out_stride: size.valueWidth)
          vtok_delta_rule(
            inputs, count, size.keyDim, size.valueDim, memory.pointer + head * size.keyDim * size.valueDim,
            lines.pointer + slot * size.valueDim)
        }
      }
    }
  }

  /// The same of a tensor of normed rows, for tests. `[count, width]`
  package func callAsFunction(_ normed: Tensor, _ past: inout LayerPast) -> Tensor {
    let scratch = Scratch(normed.rows * Self.scratch(size))
    return Tensor(shape: normed.shape) { out in
      normed.values.withUnsafeBufferPointer {
        self($0.baseAddress!, normed.rows, into: out, &past.state, scratch: scratch.pointer, threads: 1)
      }
    }
  }

  /// As torch has it: the number itself above 20.
  private func softplus(_ x: Float) -> Float { x > 20 ? x : log1pf(expf(x)) }
}
