import VTokCore
import VTokLibC

/// Schedules solved for a budget, shared by the methods that cut in many blocks.
enum Schedule {
  /// Removes the same number of patch tokens in each of `blocks` (one more in the first ones where it does not divide),
  /// so that exactly the budget is left; `limit` is the most that one block can remove of so many.
  static func even(
    keeping budget: Budget, of patches: Int, blocks: [Int], depth: Int, method: String, limit: (Int) -> Int
  ) throws(CompressionError) -> [Int] {
    let target = budget.tokens(of: patches)
    var counts = [Int](repeating: 0, count: depth)
    guard target < patches else { return counts }
    // The smallest constant number per block that reaches the target; the last blocks then remove less.
    for perBlock in 1...patches {
      var left = patches
      for block in blocks {
        counts[block] = min(perBlock, limit(left), left - target)
        left -= counts[block]
      }
      if left == target { return level(counts, blocks, patches: patches, limit: limit) }
      if perBlock == patches {
        throw .unreachable(
          method: method, asked: "\(target) of \(patches) tokens", reachable: "at least \(left)",
          fix: CompressionError.largerBudget)
      }
    }
    return counts
  }

  /// Evens the counts out: a block that removes two or more fewer than an earlier one takes one from it.
  private static func level(_ counts: [Int], _ blocks: [Int], patches: Int, limit: (Int) -> Int) -> [Int] {
    var counts = counts
    func possible(_ counts: [Int]) -> Bool {
      var left = patches
      for block in blocks {
        if counts[block] > limit(left) { return false }
        left -= counts[block]
      }
      return true
    }
    while true {
      guard let most = blocks.max(by: { counts[$0] < counts[$1] || (counts[$0] == counts[$1] && $0 < $1) }),
        let least = blocks.min(by: { counts[$0] < counts[$1] }), counts[most] - counts[least] > 1
      else { return counts }
      var next = counts
      next[most] -= 1
      next[least] += 1
      guard possible(next) else { return counts }
      counts = next
    }
  }
}

extension Schedule {
  /// Counts after every step when each keeps the same share; the last is `target`.
  static func geometric(from count: Int, to target: Int, steps: Int) -> [Int] {
    (1...max(steps, 1)).map { step in
      if step == steps { return target }
      let share = pow(Double(target) / Double(count), Double(step) / Double(steps))
      return max(target, Int((Double(count) * share).rounded()))
    }
  }

  /// Blocks behind which a method that cuts a few times does so: after 1, 3, 6, 9 and 11 twelfths of the depth
  /// (blocks 0, 2, 5, 8 and 10 of 12).
  static func cutBlocks(of depth: Int) -> [Int] {
    let places = [1, 3, 6, 9, 11].map { max(0, $0 * depth / 12 - 1) }
    return Array(Set(places)).sorted()
  }
}
