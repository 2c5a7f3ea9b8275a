/// How every row after a step is made from the rows before it. Pruning, merging, recycling, cache merging and packing
/// are all of this form, so counts, positions, caches and pictures cannot disagree.
///
/// Rows come in the order given; a source may serve many rows (a newline) or none (pruned). The first member of a row
/// is its anchor: it gives id, kind, position and cache slot.
public struct Reduction: Sendable, Equatable {
  public enum Blend: Sendable, Equatable {
    /// The row bit for bit, mass too; one member per row.
    case copy
    /// `sum(mass * x) / sum(mass)`, for single rows too (ToMe).
    case byMass
    /// `sum(x) / count` (DiffRate, Elastic Cache).
    case byCount
    /// `sum(w * x)`, one weight per member, not normalised (VisionZip, SparseVLM).
    case weighted([Float])
    /// The same of a cache of one head, with other weights for keys, the first half of a row, than for values (EMS).
    case entries(keys: [Float], values: [Float])
  }

  /// Rows of the sequence it applies to.
  public let inputCount: Int
  /// Row r is made of `members[offsets[r]..<offsets[r + 1]]`.
  public let offsets: [Int32], members: [Int32]
  public let blend: Blend
  /// Mass of every new row; nil: the sum over its members (DiffRate gives its own).
  public let mass: [Float]?

  /// Rows after the step.
  public var count: Int { offsets.count - 1 }

  /// - Precondition: no row is empty, members lie below `inputCount`, `.copy` has one member per row, `.weighted` one
  ///   weight per member.
  public init(rows: [[Int32]], of inputCount: Int, blend: Blend, mass: [Float]? = nil) {
    var offsets: [Int32] = [0]
    offsets.reserveCapacity(rows.count + 1)
    for row in rows { offsets.append(offsets.last! + Int32(row.count)) }
    self.init(offsets: offsets, members: Array(rows.joined()), of: inputCount, blend: blend, mass: mass)
  }

  /// The rows at `indices`, in that order.
  public static func keep(_ indices: [Int], of inputCount: Int) -> Reduction {
    Reduction(
      offsets: (0...indices.count).map(Int32.init), members: indices.map(Int32.init), of: inputCount, blend: .copy)
  }

  private init(offsets: [Int32], members: [Int32], of inputCount: Int, blend: Blend, mass: [Float]? = nil) {
    precondition(zip(offsets, offsets.dropFirst()).allSatisfy(<), "a reduction has an empty row")
    precondition(members.allSatisfy { $0 >= 0 && $0 < inputCount }, "a reduction names a row beyond \(inputCount)")
    switch blend {
    case .copy: precondition(members.count == offsets.count - 1, ".copy takes one member per row")
    case .weighted(let weights): precondition(weights.count == members.count, ".weighted takes one weight per member")
    case .entries(let keys, let values):
      precondition(keys.count == members.count && values.count == keys.count, ".entries takes two weights per member")
    case .byMass, .byCount: break
    }
    precondition(mass == nil || mass!.count == offsets.count - 1, "one mass per row")
    self.inputCount = inputCount
    self.offsets = offsets
    self.members = members
    self.blend = blend
    self.mass = mass
  }

  /// The same rows of the same members, made otherwise.
  func blended(_ blend: Blend) -> Reduction {
    Reduction(offsets: offsets, members: members, of: inputCount, blend: blend, mass: mass)
  }

  /// Whether a row is one member as it was.
  func copies(_ row: Int) -> Bool {
    let slot = Int(offsets[row])
    guard slot + 1 == offsets[row + 1] else { return false }
    return switch blend {
    case .copy, .byMass, .byCount: true
    case .weighted(let weights): weights[slot] == 1
    case .entries(let keys, let values): keys[slot] == 1 && values[slot] == 1
    }
  }

  /// The members of row `row`, anchor first.
  public func row(_ row: Int) -> ArraySlice<Int32> { members[Int(offsets[row])..<Int(offsets[row + 1])] }
}
