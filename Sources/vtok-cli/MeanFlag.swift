import ArgumentParser
import Foundation
import VTok

/// Amounts that differ between pictures.
struct MeanFlag: ParsableArguments {
  @Option(
    name: .customLong("keep-mean"),
    help: ArgumentHelp(
      "Share of the visual tokens to keep on average over the pictures: those with more to see keep more (a threshold is found "
        + "on the data, without labels). Benches show the fixed share beside it.", valueName: "R[,R...]"))
  var keepMeans: [String] = []

  /// nil: none was asked for.
  /// - Parameter flag: another that says how much to keep, where one was given.
  func means(beside flag: String?) throws -> [Double]? {
    if keepMeans.isEmpty { return nil }
    if let flag {
      throw UsageError("--keep-mean and \(flag)", found: "both", expected: "one of them", fix: "Remove one.")
    }
    return try keepMeans.items.map { text in
      guard let mean = Double(text), mean > 0, mean <= 1 else {
        throw UsageError(
          "--keep-mean", found: "'\(text)'", expected: "a number above 0 and at most 1", fix: "For example 0.25.")
      }
      return mean
    }
  }
}

extension MeanShares {
  /// The row of a combination whose fixed share is one of the means; nil for others.
  func contender<Subject: MethodRunner>(
    _ combination: ReductionOptions.Combination, seeds: Int, make: (Budget) throws -> Subject
  ) rethrows -> Contender<Subject>? {
    guard combination.ruled, case .ratio(let ratio) = combination.budget,
      let found = budgets.first(where: { $0.budget.mean == ratio })
    else { return nil }
    return try Contender(mean: ratio, shares: found.shares, seeds: seeds, make: make)
  }
}
