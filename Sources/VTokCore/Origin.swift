import CVTokKernels
import VTokTensor

/// Which original patches every row stands for. Row t is, up to the layers between, the sum of `weights[j]` times
/// patch `patches[j]` for j in `offsets[t]..<offsets[t + 1]`; patch = (tile * rows + row) * columns + column, tiles (or
/// frames) counted through the prompt. Prefix and text rows stand for no patch.
public struct Origin: Sendable, Equatable {
  public private(set) var offsets: [Int32], patches: [Int32], weights: [Float]

  public init(offsets: [Int32], patches: [Int32], weights: [Float]) {
    precondition(patches.count == weights.count && Int(offsets.last ?? 0) == patches.count)
    self.offsets = offsets
    self.patches = patches
    self.weights = weights
  }

  /// One patch per row, nil for rows that stand for none.
  public init(_ patches: [Int?]) {
    var offsets: [Int32] = [0]
    for patch in patches { offsets.append(offsets.last! + (patch == nil ? 0 : 1)) }
    let own = patches.compactMap { $0.map(Int32.init) }
    self.init(offsets: offsets, patches: own, weights: [Float](repeating: 1, count: own.count))
  }

  public func range(_ row: Int) -> Range<Int> { Int(offsets[row])..<Int(offsets[row + 1]) }

  func begins(with other: Origin) -> Bool {
    offsets.starts(with: other.offsets) && patches.starts(with: other.patches) && weights.starts(with: other.weights)
  }

  /// Adds the rows of `other` behind the last one.
  mutating func append(_ other: Origin) {
    let base = Int32(patches.count)
    offsets += other.offsets.dropFirst().map { $0 + base }
    patches += other.patches
    weights += other.weights
  }

  /// The same linear map on provenance as `reduction` is on features.
  func applying(_ reduction: Reduction, shares: [Float]) -> Origin {
    var offsets: [Int32] = [0]
    var patches: [Int32] = []
    var weights: [Float] = []
    offsets.reserveCapacity(reduction.count + 1)
    patches.reserveCapacity(self.patches.count)
    weights.reserveCapacity(self.patches.count)
    for row in 0..<reduction.count {
      for slot in Int(reduction.offsets[row])..<Int(reduction.offsets[row + 1]) {
        for entry in range(Int(reduction.members[slot])) {
          patches.append(self.patches[entry])
          weights.append(self.weights[entry] * shares[slot])
        }
      }
      offsets.append(Int32(patches.count))
    }
    return Origin(offsets: offsets, patches: patches, weights: weights)
  }
}
