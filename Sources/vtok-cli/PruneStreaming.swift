import ArgumentParser
import VTok

/// `vtok prune --stream`
extension PruneCommand {
  func runStream() throws {
    let given: [(String, Bool)] = [
      ("INPUT", !inputs.isEmpty), ("--merge", merge != nil), ("--shard", shard != nil),
      ("--shard-size", shardSize != nil), ("--overlay", overlay),
      ("--tint", drawing.tint), ("--video", !videos.videos.isEmpty), ("--videos-from", videos.videosFrom != nil),
      ("--fps", videos.rate.fps != nil),
      ("--format", ![.md, .jsonl].contains(format)), ("--force", force),
      ("--export", !exports.isEmpty), ("--files-from", filesFrom != nil && filesFrom != "-"),
      ("--keep-mean", !mean.keepMeans.isEmpty),
    ]
    if let flag = given.first(where: \.1)?.0 {
      throw UsageError(
        flag, found: "it beside --stream", expected: "records on standard input, rows on standard output",
        fix: "Remove it, or run a job without --stream.")
    }
    let tensors = try output.map { folder in
      try OutputCheck.emptyFolder(folder, "--output")
      return PruneStream.Tensors.files(folder: folder)
    }
    let settings = try self.settings()
    let asked = try reduction.combinations()
    guard asked.count == 1 else {
      throw UsageError(
        "--method and budgets", found: "\(asked.count) combinations", expected: "one in a stream",
        fix: "Remove the others.")
    }
    let model = try PruneModel(self)
    let combination = try reduction.solved(asked, quiet: running.quiet, by: model.solve)[0]
    let stream = PruneStream(
      try model.reducer(combination), budget: combination.ruled ? combination.budget : nil, settings: settings,
      tensors: tensors ?? .inline)
    let interruption = Interruption(patience: 2)
    let counts = try stream.run(
      StreamRecords(descriptor: 0, endsWithNUL: nul), isCancelled: { interruption.happened },
      put: { Output.put($0, flush: true) })
    if interruption.happened { throw ExitCode(130) }
    if counts.failed > 0 {
      if !running.quiet { VTokCommand.warn("\(counts.failed) of \(counts.done) records failed; their rows say why") }
      throw ExitCode(3)
    }
  }
}
