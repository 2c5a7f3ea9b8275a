import VTok

/// `vtok prune --keep-mean`
extension PruneCommand {
  /// The flags that choose combinations, with the means in the place of fixed shares.
  func swept() throws -> ReductionOptions {
    var swept = reduction
    if let means = try mean.means(beside: reduction.amountFlag()) { swept.keepRatios = means.map { "\($0)" } }
    return swept
  }

  /// Combinations with the threshold that meets their mean on these inputs. A job goes on with the one that it began with:
  /// inputs that come and go do not change those that stay.
  func calibrated(_ combinations: [ReductionOptions.Combination], _ files: [InputFile], _ settings: PruneJob.Settings)
    throws
    -> [ReductionOptions.Combination]
  {
    if mean.keepMeans.isEmpty { return combinations }
    var details: [[Float]]?
    return try combinations.map { combination in
      guard combination.ruled, case .ratio(let share) = combination.budget else { return combination }
      var found = combination
      found.mean = MeanBudget(mean: share, threshold: 0, scale: 1)  // for its label
      let folder = combinations.count > 1 ? output! + "/" + found.label : output!
      if !force, let earlier = JobFile.mean(in: settings.jobFile(in: folder), for: share) {
        found.mean = earlier
        return found
      }
      let known = try details ?? MeanBudget.details(of: files, decode: settings.decode, threads: settings.threads)
      details = known
      if !known.isEmpty { found.mean = MeanBudget(mean: share, details: known) }
      return found
    }
  }
}

extension PruneJob.Settings {
  /// Where a job, or a part of one, has its configuration.
  fileprivate func jobFile(in folder: String) -> String {
    folder + (part.map { "/shard-\($0.index)-of-\($0.count)" } ?? "") + "/job.yaml"
  }
}
