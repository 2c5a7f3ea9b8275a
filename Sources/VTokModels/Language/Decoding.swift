import VTokCore
import VTokTensor

/// A sequence being continued: what the last pass left behind.
public struct Decoding: Sendable {
  /// Logits of the last row. `[vocabulary]`
  public internal(set) var logits: [Float]
  /// The tokens that left the last layer, before the final norm.
  public internal(set) var tokens: TokenSequence
  /// What every layer keeps; empty where nothing is kept.
  public internal(set) var pasts: [LayerPast]
  /// The cache of every layer: one sequence, or one per KV head; none where a layer keeps a state. Per head key, then value.
  /// Empty without caches.
  public var caches: [[TokenSequence]] { pasts.map(\.cache) }
  /// Entries that the cache of every layer was ever given.
  public internal(set) var received: [Int]
  /// Position of the next token, where a layer's own length does not say otherwise.
  public internal(set) var position: Int
  /// Id of the next token: its row number, counted from the start of the prompt.
  public internal(set) var nextID: Int32
  /// All that came so far, where every step starts afresh.
  var whole: TokenSequence?
}

extension TokenSequence {
  /// One past the largest position on any axis.
  var nextPosition: Int { position.reduce(0) { max($0, Int(max($1.t, $1.h, $1.w)) + 1) } }
}
