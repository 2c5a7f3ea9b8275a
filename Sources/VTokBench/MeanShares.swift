import VTokData
import VTokEval
import VTokImage
import VTokTensor

/// What every item of a bench keeps under mean budgets (`MeanBudget`), found on the items themselves, without labels.
public struct MeanShares: Sendable {
  /// Of every mean asked for, in that order: the budget, and the share of each item.
  public let budgets: [(budget: MeanBudget, shares: [Double])]

  /// - Parameters:
  ///   - means: above 0, at most 1.
  ///   - limit: only the first so many pictures run.
  public init(_ means: [Double], of data: LabelledImages, limit: Int? = nil, decode: DecodeOptions, threads: Int) {
    self.init(means, count: data.count, limit: limit, threads: threads) { item throws(ImageError) in
      [try data.image(item, options: decode)]
    }
  }

  /// - Parameter data: of an item with several pictures the mean of their shares is taken.
  public init(_ means: [Double], of data: QuestionFile, decode: DecodeOptions, threads: Int) {
    self.init(means, count: data.items.count, limit: nil, threads: threads) { item throws(ImageError) in
      try data.items[item].paths.map { path throws(ImageError) in
        try Image.decode(contentsOf: path, options: decode).image
      }
    }
  }

  /// A picture that cannot be read is a failure of the bench; here it counts for nothing.
  private init(
    _ means: [Double], count: Int, limit: Int?, threads: Int,
    images: @escaping @Sendable (Int) throws(ImageError) -> [Image]
  ) {
    let used = min(limit ?? count, count)
    let details = parallelMap(used, threads: threads) { item in
      ((try? images(item)) ?? []).map { MeanBudget.detail(of: $0) }
    }
    let known = details.flatMap(\.self)
    budgets = means.map { mean in
      guard !known.isEmpty else {
        return (MeanBudget(mean: mean, threshold: 0, scale: 1), Array(repeating: mean, count: count))
      }
      let budget = MeanBudget(mean: mean, details: known)
      let shares = details.map { own in
        own.isEmpty ? mean : own.reduce(0) { $0 + budget.share(of: $1) } / Double(own.count)
      }
      return (budget, shares + Array(repeating: mean, count: count - used))
    }
  }
}

/// `body` of every number below `count`, in order.
private func parallelMap<Result: Sendable>(_ count: Int, threads: Int, _ body: @Sendable (Int) -> Result) -> [Result] {
  let found: [Result]? = try? inOrder(
    count, threads: threads, progress: { _, _, _ in }, isCancelled: { false }, { (body($0), isGood: true) })
  return found ?? []
}
