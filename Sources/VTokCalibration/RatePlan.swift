/// The counts of all blocks while they are learned.
package struct RatePlan: Sendable, Equatable {
  /// Of every block: tokens that pruning leaves, and tokens that merging leaves after it.
  package var prune: [RateLogits], merge: [RateLogits]

  /// - Parameter fixed: blocks that keep everything. The first always: its tokens have not seen each other yet.
  package init(blocks: Int, patches: Int, granularity: Int, fixed: Set<Int>) {
    let logits = (0..<blocks).map {
      RateLogits(patches: patches, granularity: $0 == 0 || fixed.contains($0) ? nil : granularity)
    }
    prune = logits
    merge = logits
  }

  package init(prune: [RateLogits], merge: [RateLogits]) {
    precondition(prune.count == merge.count)
    self.prune = prune
    self.merge = merge
  }

  package var pruneCounts: [Int] { prune.map(\.count) }
  package var mergeCounts: [Int] { merge.map(\.count) }

  /// What one block does to the tokens. Training keeps all of them in memory, sorted by importance, those that stay in
  /// front; a mask says which they are.
  package struct Step: Sendable, Equatable {
    /// Tokens alive before the block, after pruning and after merging, the class token included.
    package let before: Int, pruned: Int, merged: Int
    /// Whether the block prunes and merges at all: only a count below what is alive does.
    package var prunes: Bool { pruned < before }
    package var merges: Bool { merged < pruned }
  }

  /// The steps of all blocks on `tokens` tokens, the class token included.
  package func steps(tokens: Int) -> [Step] {
    var alive = tokens
    return zip(pruneCounts, mergeCounts).map { prune, merge in
      let pruned = min(alive, prune)
      let step = Step(before: alive, pruned: pruned, merged: min(pruned, merge))
      alive = step.merged
      return step
    }
  }
}

/// Multiply-adds of a reduced tower, counted as the official code counts what it calls FLOPs. Against `vtok flops` it has one
/// row more in the patch embedding.
package struct RateCost: Sendable, Equatable {
  /// Tokens entering block 0, the class token included.
  package let tokens: Int
  package let width: Int
  /// Of the MLP, and of everything outside the blocks.
  package let macsPerMLPToken: Int, constant: Int

  package init(tokens: Int, width: Int, hidden: Int, patch: Int, headMACs: Int) {
    self.tokens = tokens
    self.width = width
    macsPerMLPToken = 2 * width * hidden
    constant = tokens * width * 3 * patch * patch + headMACs
  }

  /// Multiply-adds, and their derivative by the two counts of every block. A block's minimum passes its gradient unchanged to
  /// both counts, whichever is smaller, and never to what came in (official `ste_min`).
  package func macs(_ plan: RatePlan) -> (total: Int, slopes: [Double]) {
    let steps = plan.steps(tokens: tokens)
    var total = constant
    var slopes: [Double] = []
    for (index, step) in steps.enumerated() {
      total += 4 * step.before * width * width + 2 * step.before * step.before * width
      total += step.merged * macsPerMLPToken
      let next = index + 1 < steps.count ? 4 * width * width + 4 * step.merged * width : 0
      slopes.append(Double(macsPerMLPToken + next))
    }
    return (total, slopes)
  }

  /// Without any reduction.
  package func dense(blocks: Int) -> Int {
    macs(RatePlan(blocks: blocks, patches: tokens - 1, granularity: tokens, fixed: [])).total
  }

  /// The smallest the learnable counts can reach.
  package func smallest(_ plan: RatePlan) -> Int {
    func least(_ logits: RateLogits) -> RateLogits { RateLogits(candidates: [logits.candidates.last!], theta: [0]) }
    return macs(RatePlan(prune: plan.prune.map(least), merge: plan.merge.map(least))).total
  }
}
