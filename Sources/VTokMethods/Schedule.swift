import VTokCore

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
          fix: "Ask for a larger --keep-ratio or --keep-tokens.")
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
