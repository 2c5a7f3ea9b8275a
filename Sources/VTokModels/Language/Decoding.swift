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
  /// One past the text at the end; where an image ends the prompt, one past the largest position on any axis. The two are the
  /// same but behind a video whose times run ahead of the text (Qwen2.5-VL), where transformers goes on from the text.
  var nextPosition: Int {
    if kind.last == .text, let last = position.last { return Int(last.t) + 1 }
    return position.reduce(0) { max($0, Int(max($1.t, $1.h, $1.w)) + 1) }
  }
}
