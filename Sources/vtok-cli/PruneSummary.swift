import ArgumentParser
import VTok

/// Inputs and results of `vtok prune`.
extension PruneCommand {
  func listInputs(_ output: String) throws -> [InputFile] {
    try self.videos.check(without: [
      ("--keep-mean", !mean.keepMeans.isEmpty), ("--max-memory", memory.maxMemory != nil),
    ])
    let videos = try self.videos.inputs()
    if !videos.isEmpty, inputs.isEmpty, filesFrom == nil { return videos }
    return try listPictures(output) + videos
  }

  private func listPictures(_ output: String) throws -> [InputFile] {
    let found = try inputs.isEmpty ? nil : InputList.find(inputs, outside: [output])
    guard let filesFrom else {
      guard let found else {
        throw UsageError(
          "input", found: "nothing", expected: "a folder or image files",
          fix: "Name one, or use --files-from or --video.")
      }
      return found.files(quiet: running.quiet)
    }
    let bytes =
      filesFrom == "-"
      ? try FileBytes.read(descriptor: 0, path: "standard input") : try FlagFile.bytes(filesFrom, "--files-from")
    var list = try InputList.listed(bytes, outside: [output])
    if let found { list = list + found }
    guard !list.files.isEmpty else {
      throw UsageError(
        "--files-from '\(filesFrom)'", found: "no paths" + (list.leftOut > 0 ? " outside of the output" : ""),
        expected: "one path a line", fix: "Fill the list.")
    }
    return list.files(quiet: running.quiet)
  }

  func add(_ summary: PruneJob.Summary, _ combination: ReductionOptions.Combination, to table: inout Table) {
    let (totals, times, changes) = (summary.totals, summary.times, summary.changes)
    let (input, output) = (totals.mean("tokens.in"), totals.mean("tokens.out"))
    let outcome = BudgetOutcome(
      .tokens, dense: input, asked: combination.ruled ? totals.mean("budget.asked_count") : nil, reached: output,
      reason: totals.firstReason)
    let (dense, reduced) = (totals.mean("gmacs.dense"), totals.mean("gmacs.reduced"))
    let speedup = median(summary.speedups)
    func whole(_ value: Double) -> String { value == value.rounded() ? fixed(value, 0) : fixed(value, 1) }
    let budget =
      combination.mean != nil ? combination.asked.label : combination.ruled ? combination.budget.label : "own"
    if let reason = totals.firstReason, !running.quiet {
      VTokCommand.warn(
        "\(combination.spec): \(totals.reasons) of \(totals.good) images keep another number of tokens than was asked "
          + "(\(reason))")
    }
    let isEmpty = totals.good == 0
    table.add(
      [
        combination.spec.description, isEmpty ? combination.budget.label : budget,
        isEmpty ? "-" : "\(whole(input))→\(whole(output))", isEmpty ? "-" : combination.asked.reached(outcome),
        isEmpty ? "-" : "\(fixed(dense, 2))→\(fixed(reduced, 2))",
        speedup.isNaN ? "-" : "\(fixed(speedup, 2))x", "\(totals.failed)",
      ],
      [
        "schema": "vtok-prune-summary/1", "method": JSON(combination.spec.description),
        "budget": combination.ruled ? JSON(combination.budget.text) : .null,
        "counts": isEmpty ? .null : combination.asked.json(outcome), "images": JSON(totals.images),
        "failed": JSON(totals.failed), "tokens": ["in": JSON(input), "out": JSON(output)],
        "gmacs": ["dense": JSON(dense), "reduced": JSON(reduced), "selection": JSON(totals.mean("gmacs.selection"))],
        "ms": [
          "decode": JSON(times.decode), "preprocess": JSON(times.preprocess), "tower": JSON(times.tower),
          "selection": JSON(times.selection), "write": JSON(times.write),
        ], "speedup": JSON(speedup), "seconds": JSON(summary.seconds),
        "inputs": [
          "rerun": JSON(changes.isRerun), "kept": JSON(changes.kept), "changed": JSON(changes.changed),
          "added": JSON(changes.added), "gone": JSON(changes.gone), "retried": JSON(changes.retried),
          "made": JSON(changes.made),
        ],
      ])
  }

  func describe(_ summary: PruneJob.Summary, _ combination: ReductionOptions.Combination) {
    func time(_ name: String, _ value: Double) -> String { "\(name) \(fixed(value, 2)) ms" }
    let times = summary.times
    let stages = [
      time("decode", times.decode), time("preprocess", times.preprocess), time("tower", times.tower),
      time("selection", times.selection), time("write", times.write),
    ]
    VTokCommand.say(
      "\(combination.spec): median \(stages.joined(separator: ", ")); \(summary.changes.kept) images were done before")
  }

  // MARK: Parts

  func mergeParts(_ folder: String) throws {
    let merge = try MergeParts(folder)
    let locks = try ([folder] + merge.parts).map { try FolderLock(folder: $0) }
    defer { withExtendedLifetime(locks) {} }
    var texts: [String] = []
    for (part, path) in merge.parts.enumerated() {
      guard let bytes = try FileBytes.readIfThere(path + "/job.yaml") else {
        throw MergeError.missing(folder, part: part, of: merge.parts.count)
      }
      texts.append(String(decoding: bytes, as: UTF8.self))
    }
    guard Set(texts.map { JobFile.identity($0, ofPart: true) }).count == 1 else { throw MergeError.different(folder) }
    // Of another job in the same folder nothing would be left.
    if !force, let old = try FileBytes.readIfThere(folder + "/job.yaml") {
      let (before, now) = (
        JobFile.identityOfWhole(String(decoding: old, as: UTF8.self)), JobFile.identityOfWhole(texts[0])
      )
      guard before == now else {
        throw UsageError(
          "merge '\(folder)'", found: "a job there with \(JobFile.difference(before, now)) in the parts",
          expected: "a folder for these parts alone", fix: "Run the parts with another -o, or --force to write over it."
        )
      }
    }
    let job = try JobFile.inputs(merge.parts[0] + "/job.yaml")
    guard let size = shardSize ?? job.shardSize, size > 0 else {
      throw MergeError.different(folder)
    }
    let inputs = try inputs(of: merge, job)
    if inputs == nil, !running.quiet {
      VTokCommand.warn("the inputs of '\(folder)' are not here: its parts are merged without comparing them")
    }
    let totals = try merge.run(shardSize: size, inputs: inputs)
    for form in exports { try merge.export(form) }
    try WholeFile.write(JobFile.merged(texts[0], images: totals.images, shardSize: size), to: folder + "/job.yaml")
    print("merged \(totals.images) images into \(folder)/manifest.jsonl")
    if totals.failed > 0 { throw ExitCode(3) }
  }

  /// The inputs of a job in parts as they are now, found as the parts found them; nil if they are not here.
  private func inputs(of merge: MergeParts, _ job: JobFile.Inputs) throws -> [InputFile]? {
    do {
      var found = try job.paths.isEmpty ? [] : InputList.find(job.paths, outside: [merge.folder]).files
      if let list = job.filesFrom {
        let rest = found.count + (job.videosFrom == nil ? job.videos.count : 0)
        guard let listed = try listed(list, merge, behind: rest) else { return nil }
        found = listed + found
      }
      found += try job.videos.map { try InputFile(video: $0) }
      guard let list = job.videosFrom else { return found }
      let bytes = list == "-" ? nil : try FileBytes.readIfThere(list)
      return try bytes.map { found + (try InputFile.videos(listed: $0)) }
    } catch is InputError {
      return nil
    } catch is FrameFolder.Mistake {
      return nil
    }
  }

  /// Those of a list; nil if they are not here.
  /// - Parameter rest: inputs of the job that come behind it.
  private func listed(_ list: String, _ merge: MergeParts, behind rest: Int) throws -> [InputFile]? {
    var listed: [InputFile]
    if list == "-" {
      listed = try merge.names().dropLast(rest).map { InputFile(path: $0, name: $0) }
    } else {
      guard let bytes = try FileBytes.readIfThere(list) else { return nil }
      listed = try InputList.listed(bytes, outside: [merge.folder]).files
    }
    let isHere = try listed.isEmpty || listed.contains { try FileInfo.ifThere($0.path, following: false) != nil }
    return isHere ? listed : nil
  }
}
