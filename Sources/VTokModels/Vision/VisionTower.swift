import CVTokKernels
import VTokCore
import VTokLibC
import VTokTensor

/// A vision transformer of any family: what differs between families is what they read into these fields.
public struct VisionTower: Sendable {
  /// Patches to tokens.
  struct Embedding: Sendable {
    let patch: Int
    /// `[width, 3 * patch * patch]`; frames of one patch lie inside each channel.
    let projection: Linear
    /// Prefix rows ready to use (positions added where the family adds them), with their kinds.
    let prefix: [(kind: TokenKind, row: [Float])]
    /// nil: positions are rotary, or relative.
    let positions: PositionGrid?
    /// CLIP normalises before the first block.
    let norm: LayerNorm?
  }

  let embedding: Embedding
  package let blocks: [TransformerBlock]
  /// Norm of all tokens after the last block; nil where the family has none or norms the pooled vector only.
  package let finalNorm: LayerNorm?
  public let shape: Shape.Tower
  /// Positions of rows that every block turns; nil: positions are added once.
  var rotary: TowerRotary?
  /// Hidden states that make the features, joined along the channels: 0 enters block 0, i + 1 leaves block i. nil: what
  /// leaves the last block, after the final norm.
  var featureStates: [Int]?

  /// Whether positions are in the rows that enter block 0, and blocks know nothing of them.
  package var addsPositions: Bool { rotary == nil && !hasRelativeBias }
  var hasRelativeBias: Bool { blocks[0].relativeBias != nil }

  /// Tokens entering block 0. Pixels `[3, height, width]`; rows and columns that do not fill a patch are dropped.
  /// - Parameters:
  ///   - dense: the grid of the image before a method shrank it; nil: that of `pixels`.
  ///   - positions: `[rows * columns, width]` in place of the tower's own.
  ///   - first: number of the first patch, where a tile is not the first of a prompt.
  public func embed(
    _ pixels: Tensor, dense: (rows: Int, columns: Int)? = nil, positions: Tensor? = nil, first: Int = 0
  ) -> TokenSequence {
    let patch = embedding.patch
    let (height, width) = (pixels.shape[1], pixels.shape[2])
    let (rows, columns) = (height / patch, width / patch)
    precondition(rows > 0 && columns > 0, "an image of \(width)x\(height) is smaller than one patch of \(patch)")
    precondition(
      !hasRelativeBias || (rows, columns) == (shape.rows, shape.columns), "a relative bias is of one grid alone")
    let channels = shape.width
    let prefix = embedding.prefix.count
    let table = positions ?? embedding.positions?.table(rows: rows, columns: columns)
    let flat = pixels.patches(patch)
    var x = Tensor(shape: [prefix + rows * columns, channels]) { out in
      for (index, token) in embedding.prefix.enumerated() {
        (out + index * channels).update(from: token.row, count: channels)
      }
      let patches = out + prefix * channels
      if let table { patches.update(from: table.values, count: rows * columns * channels) }
      embedding.projection.weight.multiply(
        flat.values, flat.rows, flat.width, accumulate: table != nil, into: patches, channels)
      if let bias = embedding.projection.bias { vtok_add_bias(patches, rows * columns, channels, bias) }
    }
    if let norm = embedding.norm { x = norm(x) }
    return TokenSequence(
      x: x, kind: embedding.prefix.map(\.kind) + [TokenKind](repeating: .patch, count: rows * columns),
      origin: Self.origin(prefix: prefix, rows: rows, columns: columns, dense: dense ?? (rows, columns), first: first),
      coordinate: rotary?.coordinates(prefix: prefix, rows: rows, columns: columns) ?? [])
  }

  /// Provenance of the grid: itself, or, when the image was shrunk, the patches of the dense grid under every token,
  /// weighted by area.
  private static func origin(
    prefix: Int, rows: Int, columns: Int, dense: (rows: Int, columns: Int), first: Int
  ) -> Origin {
    if (rows, columns) == dense {
      return Origin([Int?](repeating: nil, count: prefix) + (0..<rows * columns).map { first + $0 })
    }
    func overlaps(_ count: Int, _ full: Int) -> [[(Int, Double)]] {
      (0..<count).map { index in
        let low = Double(index * full) / Double(count)
        let high = Double((index + 1) * full) / Double(count)
        return (Int(low)..<min(full, Int(high.rounded(.up)))).compactMap { cell in
          let share = (min(high, Double(cell + 1)) - max(low, Double(cell))) / (high - low)
          return share > 1e-9 ? (cell, share) : nil
        }
      }
    }
    let vertical = overlaps(rows, dense.rows)
    let horizontal = overlaps(columns, dense.columns)
    var offsets = [Int32](repeating: 0, count: prefix + 1)
    var patches: [Int32] = []
    var weights: [Float] = []
    for down in vertical {
      for across in horizontal {
        // The anchor is the cell with the largest share, so that `keep` names the patch a token mostly shows.
        let cells = down.flatMap { v in across.map { h in (v.0 * dense.columns + h.0, v.1 * h.1) } }
        for (cell, share) in cells.sorted(by: { ($1.1, $0.0) < ($0.1, $1.0) }) {
          patches.append(Int32(first + cell))
          weights.append(Float(share))
        }
        offsets.append(Int32(patches.count))
      }
    }
    return Origin(offsets: offsets, patches: patches, weights: weights)
  }

  /// Whether features are several hidden states, side by side.
  var joinsStates: Bool { (featureStates?.count ?? 1) > 1 }

  /// Runs the tiles of one image in lockstep as far as the features need, letting methods look and act at every site,
  /// and through the final norm.
  /// - Parameters:
  ///   - tiles: asked for only when the run does not begin from what is shared.
  ///   - shared: what a dense run of the same tiles has left; a dense run fills it when it is empty.
  ///   - prefixOnly: nobody reads patch tokens after the last block: unless methods or `shared` do, they stay there as they
  ///     entered it.
  public func forward(
    _ tiles: @autoclosure () -> [TokenSequence], run: inout Run, shared: SharedBlocks? = nil, prefixOnly: Bool = false,
    threads: Int = 1
  ) throws(CompressionError) -> [TokenSequence] {
    try forward(tiles(), [], run: &run, shared: shared, prefixOnly: prefixOnly, threads: threads)
  }

  /// - Parameters:
  ///   - surroundings: of every tile; empty where the tower needs none.
  ///   - standard: what becomes of the features of a tile, as methods left it inside the tower, when no method says anything
  ///     else; nil: they stay.
  ///   - joint: the space that features share with the question, for methods that ask for it.
  func forward(
    _ tiles: @autoclosure () -> [TokenSequence], _ surroundings: [WeightBlocks.Surroundings], run: inout Run,
    standard: (TokenSequence) -> Reduction? = { _ in nil }, joint: JointSpace? = nil, shared: SharedBlocks? = nil,
    prefixOnly: Bool = false, threads: Int
  ) throws(CompressionError) -> [TokenSequence] {
    let blocks = WeightBlocks(self, surroundings, massBias: run.massBias, joint: joint, threads: threads)
    let prefix = prefixOnly ? shape.prefix : nil
    guard let shared, !joinsStates else {  // states on the way are not among what is shared
      var walk = TowerWalk(blocks, prefixOnly: prefix)
      return try walk(tiles(), run: &run, standard: standard)
    }
    let memoised = MemoisedBlocks(blocks, shared, run.composition)
    var walk = TowerWalk(memoised, prefixOnly: prefix)
    return try walk(memoised.tiles ?? tiles(), run: &run, standard: standard)
  }
}
