import VTokCore

/// What a language model cost: every layer of the prefill, every decoding step, and the KV cache.
public struct LanguageCost: Sendable, Equatable {
  public let prefill: [Cost.Layer]
  /// One row of the LM head.
  public let head: Int
  /// Every token decoded after the first, all layers and the head.
  public let decode: [Int]
  /// Cache entries of every layer after the prefill and after the last step, methods included.
  public let prefillEntries: [Int], finalEntries: [Int]
  /// Most entries held at any time, all layers together. Cache methods act after the pass, so it stands before them.
  public let peakEntries: Int
  /// Key and value numbers of one entry, all KV heads.
  public let entryWidth: Int

  /// Numbers that layers keep whatever the prompt: the states of gated delta nets.
  public let stateNumbers: Int
  /// Bytes of them, which are float32.
  public var stateBytes: Int { 4 * stateNumbers }

  /// Prefill and head of the last position: the work before the first new token.
  public var first: Int { prefill.reduce(0) { $0 + $1.macs } + head }

  /// Bytes of so many cache entries.
  /// - Parameter precision: bytes a number; published figures are of 16-bit caches.
  public func bytes(_ entries: Int, precision: Int = 2) -> Int { entries * entryWidth * precision }

  init(of trace: Trace, decoder: Shape.Decoder) {
    let steps = trace.steps(of: decoder.layers)
    let costs = steps.map { step in
      step.enumerated().map { index, layer in
        let isRouted = decoder.computed(of: layer.visual + layer.bypassing, in: index) != nil
        return Cost.Layer(layer, of: decoder, at: index, routed: isRouted ? layer.visual + layer.bypassing : 0)
      }
    }
    let head = decoder.width * decoder.vocabulary
    self.head = head
    prefill = costs[0]
    decode = costs.dropFirst().map { $0.reduce(head) { $0 + $1.macs } }
    prefillEntries = steps[0].map(\.cached)
    finalEntries = steps.last!.map(\.cached)
    peakEntries = steps.map { $0.reduce(0) { $0 + ($1.cached == 0 ? 0 : max($1.cached, $1.keys.reduce(0, +))) } }.max()!
    let nets = (0..<decoder.layers).count { decoder.mixer(of: $0) == .deltaNet }
    stateNumbers = nets * (decoder.deltaNet?.stateSize ?? 0)
    entryWidth = 2 * decoder.kvHeads * decoder.headDim
  }
}
