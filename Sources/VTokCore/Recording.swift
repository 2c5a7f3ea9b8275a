import VTokTensor

/// Size and direction of one branch (attention or MLP) per token.
public struct Branch: Sendable {
  public let input: [Float], output: [Float], dot: [Float]
  public init(input: [Float], output: [Float], dot: [Float]) {
    self.input = input
    self.output = output
    self.dot = dot
  }
}

/// What the next layer would form of all rows.
public struct Projections: Sendable {
  /// Before rotation, and not scaled. `[n, heads * headDim]`
  public let queries: Tensor
  /// Before and after rotation. `[n, kvHeads * headDim]`
  public let keys: Tensor, rotatedKeys: Tensor
  public init(queries: Tensor, keys: Tensor, rotatedKeys: Tensor) {
    self.queries = queries
    self.keys = keys
    self.rotatedKeys = rotatedKeys
  }
}

/// What was recorded at one site for one sequence, indexed by the sequence as it was then.
public struct Recording: Sendable {
  /// Ids of the columns (keys), and of the rows the attention was asked for.
  public let ids: [Int32], rowIDs: [Int32]
  /// `[heads, rows, keys]`, or `[heads, keys]` when summed.
  public let attention: Tensor?, besideAttention: Tensor?, probe: Tensor?
  /// `[kvHeads, n, headDim]`
  public let keys: Tensor?
  /// Of the next block of a tower. `[heads, n, headDim]`
  public let probeKeys: Tensor?
  /// `[n, width]`
  public let finalNorm: Tensor?, joint: Tensor?
  /// `[n, 3 * patch * patch]`
  public let pixels: Tensor?
  /// Attention, MLP.
  public let branches: [Branch]
  public let projections: Projections?
  /// The rows as they were.
  public let tokens: TokenSequence?

  public init(
    ids: [Int32], rowIDs: [Int32] = [], attention: Tensor? = nil, besideAttention: Tensor? = nil,
    probe: Tensor? = nil, keys: Tensor? = nil, probeKeys: Tensor? = nil, finalNorm: Tensor? = nil,
    joint: Tensor? = nil, pixels: Tensor? = nil, branches: [Branch] = [], projections: Projections? = nil,
    tokens: TokenSequence? = nil
  ) {
    self.ids = ids
    self.rowIDs = rowIDs
    self.attention = attention
    self.besideAttention = besideAttention
    self.probe = probe
    self.keys = keys
    self.probeKeys = probeKeys
    self.finalNorm = finalNorm
    self.joint = joint
    self.pixels = pixels
    self.branches = branches
    self.projections = projections
    self.tokens = tokens
  }

  /// Today's rows as columns of this recording, by id.
  /// - Throws: `CompressionError.missingColumns` if the layer ran on fewer tokens than are alive now.
  public func columns(of tokens: TokenSequence) throws(CompressionError) -> [Int] {
    if tokens.id == ids { return Array(ids.indices) }
    let column = Dictionary(zip(ids, ids.indices), uniquingKeysWith: { first, _ in first })
    let found = tokens.id.compactMap { column[$0] }
    guard found.count == tokens.count else {
      throw .missingColumns(found: ids.count, expected: tokens.count)
    }
    return found
  }
}
