import VTokCore

extension ZeroTPrune {
  /// One pruning layer: what happens after one block.
  public struct Cut: Sendable, Equatable {
    /// How many patch tokens the I-stage leaves of those that the S-stage left.
    public enum Keep: Sendable, Equatable {
      case tokens(Int)
      /// Rounded up.
      case rate(Double)

      func tokens(of count: Int) -> Int {
        switch self {
        case .tokens(let tokens): min(tokens, count)
        case .rate(let rate): min(count, Int((rate * Double(count)).rounded(.up)))
        }
      }
    }
    /// Counted from 0; the cut lies behind it.
    public let block: Int
    /// Page rank steps of the I-stage; 0: as published for the block's depth.
    public let iterations: Int
    /// Patch tokens the S-stage removes, at most half of them.
    public let similar: Int
    public let keep: Keep

    public init(block: Int, iterations: Int, similar: Int, keep: Keep) {
      self.block = block
      self.iterations = iterations
      self.similar = similar
      self.keep = keep
    }

    /// Patch tokens left of `patches`; the S-stage can take half of them at most.
    @discardableResult func check(patches: Int) throws(CompressionError) -> Int {
      guard similar <= patches / 2 else {
        throw .unreachable(
          method: name, asked: "\(similar) of \(patches) tokens removed as similar after block \(block)",
          reachable: "at most \(patches / 2)", fix: "Lower 'similar' for this block.")
      }
      return keep.tokens(of: patches - similar)
    }
  }

  /// Schedules of this project for DeiT-S at 224 pixels, by the GMACs they were made for. The paper's own were never
  /// published; these meet its budgets to 0.1%, and nothing measured with them is a result of the paper.
  public enum Preset: String, Sendable, CaseIterable {
    case gmacs397 = "vtok-deit-s-3.97"
    case gmacs308 = "vtok-deit-s-3.08"
    case gmacs297 = "vtok-deit-s-2.97"
    case gmacs250 = "vtok-deit-s-2.50"

    static let depth = 12

    /// I-stage retention behind blocks 0, 2, 5, 8 and 10, and tokens the S-stage removes at each.
    private var numbers: (rates: [Double], similar: Int) {
      switch self {
      case .gmacs397: ([1, 0.94, 0.9, 0.9, 1], 2)
      case .gmacs308: ([1, 0.87, 0.8, 0.7, 1], 10)
      case .gmacs297: ([1, 0.8, 0.8, 0.7, 1], 8)
      case .gmacs250: ([0.9, 0.76, 0.75, 0.7, 1], 10)
      }
    }

    public var cuts: [Cut] {
      zip(Schedule.cutBlocks(of: Self.depth), numbers.rates).map { block, rate in
        Cut(
          block: block, iterations: Iterations.published.count(in: block, of: Self.depth), similar: numbers.similar,
          keep: .rate(rate))
      }
    }
  }

  /// Page rank steps by depth: many where attention is still spread, one where it has settled.
  struct Iterations: Sendable, Equatable {
    /// First quarter of the blocks, the middle half, the last quarter.
    let shallow: Int, middle: Int, deep: Int
    static let published = Iterations(shallow: 50, middle: 10, deep: 1)

    func count(in block: Int, of depth: Int) -> Int {
      if block < depth / 4 { return shallow }
      return block >= depth - depth / 4 ? deep : middle
    }
  }

  /// Cuts that leave exactly the budget: each keeps the same share of what it receives, and 2 of 5 tokens that go, go
  /// in the S-stage.
  static func solved(
    for budget: Budget, patches: Int, blocks: [Int], depth: Int, iterations: Iterations
  ) throws(CompressionError) -> [Cut] {
    let target = budget.tokens(of: patches)
    guard target < patches else { return [] }
    guard target >= 1 else {
      throw .unreachable(
        method: name, asked: "\(target) of \(patches) tokens", reachable: "at least 1",
        fix: CompressionError.largerBudget)
    }
    var left = patches
    return zip(blocks, Schedule.geometric(from: patches, to: target, steps: blocks.count)).map { block, after in
      let similar = min(left / 2, (left - after) * 2 / 5)
      left = after
      return Cut(
        block: block, iterations: iterations.count(in: block, of: depth), similar: similar, keep: .tokens(after))
    }
  }
}
