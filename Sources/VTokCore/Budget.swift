/// How much to keep of what the model would read if the method were not there: one meaning for every method, whatever its
/// authors count. See `Counted`.
public enum Budget: Sendable, Equatable {
  /// In 0...1, of every image.
  case ratio(Double)
  /// Of every image.
  case tokens(Int)

  /// The numbers of tokens that can be asked for.
  public static let tokenRange = 1...1_000_000

  /// `0.25` (with a point: a share above 0 and at most 1) or `64`; nil for anything else.
  public init?(_ text: String) {
    if let tokens = Int(text) {
      guard Self.tokenRange.contains(tokens) else { return nil }
      self = .tokens(tokens)
    } else {
      guard let ratio = Double(text), ratio > 0, ratio <= 1 else { return nil }
      self = .ratio(ratio)
    }
  }

  /// Tokens to keep of `count`; ratios round half to even, as Python's `round` does, or as official code truncates.
  public func tokens(of count: Int, _ rule: FloatingPointRoundingRule = .toNearestOrEven) -> Int {
    switch self {
    case .ratio(let ratio): Int((Double(count) * ratio).rounded(rule))
    case .tokens(let tokens): tokens
    }
  }
}

/// What a budget counts, and so what "reached" means.
public enum Counted: String, Sendable {
  /// Of every image: the patch tokens that leave a tower alone; of a vision-language model all rows of the visual spans
  /// that leave the last layer (newlines count, padding that is cut does not), beside those of the dense model.
  case tokens = "visual tokens"
  /// Of the prompt, text included: the entries of a layer's KV cache once the prompt is read, on average of the layers.
  case entries = "cache entries"

  /// One sentence for people.
  public var definition: String {
    switch self {
    case .tokens:
      "A budget counts visual tokens of every image: asked, a share or number of those that the dense model reads (newlines "
        + "count, padding that is cut does not); reached, those left at the end."
    case .entries:
      "A budget counts cache entries of a layer: asked, a share or number of those that the prompt fills in the dense model "
        + "(text included); reached, those left once the prompt is read, on average of the layers."
    }
  }
}

extension View {
  /// Visual tokens of the image in the tower or being packed, if no method did anything from here on: patches of a tower
  /// alone; of a vision-language model all rows of its spans, less the share of its patches that is gone already.
  public var whole: Int {
    let patches = sequences.reduce(0) { $0 + $1.rows(.patch).count }
    guard let layout = image.map({ images[$0] }), let tower = shape.tower else { return patches }
    // Connectors that join patches admit no method before packing; grids may then differ from the tower's own (Qwen-VL).
    guard tower.fuse == 1 else { return layout.tokens }
    let dense = sequences.count * tower.patches
    return patches >= dense ? layout.tokens : (layout.tokens * patches + dense / 2) / dense
  }

  /// Visual tokens that a budget leaves of that image.
  public func wanted(_ budget: Budget) -> Int {
    let whole = whole
    return min(budget.tokens(of: whole), whole)
  }

  /// Patches that each of the image's tiles keeps for it to have its budget once it is packed. How many of them lie in the
  /// padding, which is cut then, is not known before they are chosen: they count by its share.
  public func perTile(_ budget: Budget) -> Int {
    let (whole, own) = (whole, sequences.map { $0.rows(.patch).count }.max() ?? 0)
    let wanted = min(budget.tokens(of: whole), whole)
    guard wanted < whole else { return own }
    guard let layout = image.map({ images[$0] }), let tower = shape.tower else { return wanted }
    // A class token that goes on to the language model counts; newlines go as soon as a patch does.
    let hasNewline = shape.layout?.hasNewline == true
    let patches = hasNewline ? wanted : wanted - max(0, layout.tokens - layout.patches)
    return min(own, max(0, (2 * patches * tower.patches + layout.patches) / (2 * layout.patches)))
  }

  /// Visual tokens that a budget leaves of all images of a prompt, each by itself.
  public func kept(_ budget: Budget, of tokens: TokenSequence) -> Int {
    images.indices.reduce(0) { sum, image in
      let count = visual(tokens, image: image).count
      return sum + min(budget.tokens(of: count), count)
    }
  }
}

extension Shape {
  /// A budget as a tower's tile has it, to be refused before weights load; what tiles share is known once the image is.
  public func perTile(_ budget: Budget) -> Budget {
    if case .tokens = budget, let layout, layout.tiling != .one { return .ratio(1) }
    return budget
  }
}
