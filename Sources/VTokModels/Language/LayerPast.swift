import VTokCore
import VTokTensor

/// What a layer keeps of the rows that have passed it: a cache, or the state of a gated delta net. A value: a copy is what
/// prompts that begin alike go on from.
public struct LayerPast: Sendable {
  /// One sequence, or one per KV head; per head key, then value. Empty in a layer that keeps a state.
  public internal(set) var cache: [TokenSequence] = []
  /// nil in a layer that keeps a cache.
  public internal(set) var state: RecurrentState?

  public init() {}

  package var bytes: Int { cache.reduce(0) { $0 + $1.bytes } + (state?.bytes ?? 0) }
}

/// The state of a gated delta net behind a row.
public struct RecurrentState: Sendable, Equatable {
  /// `[valueHeads, keyDim, valueDim]`
  public internal(set) var memory: Tensor
  /// Rows before the short convolution, oldest first; zeros in front of the first row. `[taps - 1, channels]`
  public internal(set) var rows: Tensor

  /// Before the first row.
  init(_ size: Shape.Decoder.DeltaNet) {
    memory = Tensor(zeros: [size.valueHeads, size.keyDim, size.valueDim])
    rows = Tensor(zeros: [size.taps - 1, size.channels])
  }

  var bytes: Int { 4 * (memory.values.count + rows.values.count) }
}
