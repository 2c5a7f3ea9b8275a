/// Which rows of an attention matrix are wanted; `.text`: rows after the last visual span, `.classifier`: the class token,
/// `.window`: the last so many, whatever they are.
public enum Rows: Hashable, Sendable {
  case none, classifier, last, text, all
  case window(Int)
}

/// Which form of attention is recorded.
public enum Values: Hashable, Sendable {
  case probabilities, logits
  /// The method's own, of language layers and caches.
  case own(any AttentionForm)

  public static func == (a: Values, b: Values) -> Bool {
    switch (a, b) {
    case (.probabilities, .probabilities), (.logits, .logits): true
    case (.own(let a), .own(let b)): AnyHashable(a) == AnyHashable(b)
    case (.probabilities, _), (.logits, _), (.own, _): false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .probabilities: hasher.combine(0)
    case .logits: hasher.combine(1)
    case .own(let form): hasher.combine(AnyHashable(form))
    }
  }
}

/// What to record at a site. Nothing asked, nothing computed.
public struct Request: Sendable, Equatable {
  /// Attention of the block or layer that has just run. `[heads, rows, keys]`
  public var attention = Rows.none
  /// At a cache, attention of other rows beside, in the same form.
  public var besideAttention = Rows.none
  /// Attention of the next one, from its own norm and weights; it need not ever run. `[heads, rows, keys]`
  public var probe = Rows.none
  /// The block that was probed then uses this attention, its rows and columns reduced as the tokens are, and forms none of
  /// its own (MCTF). `.all` rows of a tower.
  public var carriesProbe = false
  public var values = Values.probabilities
  /// Rows added up as they are formed: `[heads, keys]`, never `[heads, n, n]`.
  public var summed = false
  /// Keys `[kvHeads, n, headDim]` of the one that has just run, as attention used them (after RoPE).
  public var keys = false
  /// In a tower: keys `[heads, n, headDim]` that the next block would form, from its own norm and weights.
  public var probeKeys = false
  /// |in|, |out|, in·out of attention and MLP per token: six floats, not four tensors.
  public var branches = false
  /// The last norm applied to x, out of place. `[n, width]`
  public var finalNorm = false
  /// Queries and keys that the next language layer would form of all rows, before and after rotation.
  public var projections = false
  /// `.pack`: the rows of the embedding table of the method's words of the question.
  public var words = false
  /// The rows themselves as they are there, with ids, kinds and origins: of tower and layers.
  public var tokens = false
  /// `.features`: patches and question in one space (companion CLIP); refused when there is none.
  public var joint = false
  /// `.patches`: the pixels of every row, one frame of them, in 0...1. `[n, 3 * patch * patch]`
  public var pixels = false
  /// Only while the prompt is read: decoding then pays for no rows that nobody looks at.
  public var inPrefill = false

  public init(
    attention: Rows = .none, besideAttention: Rows = .none, probe: Rows = .none, carriesProbe: Bool = false,
    values: Values = .probabilities, summed: Bool = false, keys: Bool = false, probeKeys: Bool = false,
    branches: Bool = false, finalNorm: Bool = false, projections: Bool = false, words: Bool = false,
    tokens: Bool = false, joint: Bool = false, pixels: Bool = false, inPrefill: Bool = false
  ) {
    self.attention = attention
    self.besideAttention = besideAttention
    self.probe = probe
    self.carriesProbe = carriesProbe
    self.values = values
    self.summed = summed
    self.keys = keys
    self.probeKeys = probeKeys
    self.branches = branches
    self.finalNorm = finalNorm
    self.projections = projections
    self.words = words
    self.tokens = tokens
    self.joint = joint
    self.pixels = pixels
    self.inPrefill = inPrefill
  }
}

extension Request {
  /// What `besideAttention` asks for, as a request of its own; nil where it asks for nothing.
  package var beside: Request? {
    guard besideAttention != .none else { return nil }
    return Request(attention: besideAttention, values: values, summed: summed, inPrefill: inPrefill)
  }
}

extension Rows {
  /// The rows that are meant, ascending, of a sequence with these ids and kinds.
  /// - Parameter textStart: id of the first row after the last visual span.
  package func indices(of ids: [Int32], kind: [TokenKind] = [], textStart: Int32 = .max) -> [Int] {
    switch self {
    case .none: []
    case .classifier: kind.firstIndex(of: .classifier).map { [$0] } ?? []
    case .last: [ids.count - 1]
    case .text: ids.indices.filter { ids[$0] >= textStart }
    case .all: Array(ids.indices)
    case .window(let count): Array(ids.indices.suffix(count))
    }
  }
}
