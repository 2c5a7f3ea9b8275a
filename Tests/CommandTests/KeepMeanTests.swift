import Foundation
import Testing
import VTok

/// `--keep-mean`: amounts that differ between pictures under a mean of all.
@Suite struct KeepMeanTests {
  /// Pictures of which some parts are noise, the rest plain.
  static func picture(noisy share: Double, seed: UInt64) -> Image {
    var generator = SeededGenerator(seed: seed)
    var image = Image(width: 224, height: 224, colour: [90, 90, 90])
    for row in 0..<Int(224 * share) {
      for place in 3 * 224 * row..<3 * 224 * (row + 1) { image.rgb[place] = UInt8(generator.next() & 255) }
    }
    return image
  }

  @Test func theMeanIsMetAndDetailCounts() {
    let shares = [0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 0.05]
    let details = shares.enumerated().map { MeanBudget.detail(of: Self.picture(noisy: $1, seed: UInt64($0))) }
    for mean in [0.1, 0.25, 0.5, 0.75, 1] {
      let budget = MeanBudget(mean: mean, details: details)
      let kept = details.map(budget.share)
      #expect(abs(kept.reduce(0, +) / Double(kept.count) - mean) < 1 / 256.0, "\(mean): \(kept)")
      // More to see, more kept.
      for (a, b) in zip(shares.indices, shares.indices.dropFirst()) where b < 7 { #expect(kept[a] <= kept[b]) }
      #expect(mean == 1 || kept[0] < kept[6])
      #expect(kept.allSatisfy { $0 > 0 && $0 <= 1 && (256 * $0).rounded() == 256 * $0 })
    }
  }

  /// Where all pictures are alike all keep the mean.
  @Test func plainPicturesKeepTheMean() {
    let details = (0..<4).map { _ in MeanBudget.detail(of: Image(width: 50, height: 30, colour: [7, 8, 9])) }
    #expect(details[0].count == 256 && details[0].allSatisfy { $0 < 1e-3 })
    let budget = MeanBudget(mean: 0.25, details: details)
    #expect(details.allSatisfy { budget.share(of: $0) == 0.25 })
  }

  @Test func rowsRecordEveryCount() throws {
    try inTemporaryFolder { folder in
      for (index, share) in [0.1, 0.3, 0.6, 0.9].enumerated() {
        try WholeFile.write(try Self.picture(noisy: share, seed: 3).pngData(), to: "\(folder)/\(index).png")
      }
      let done = try vtok(
        "bench", "images", "--data", folder, "--method", "tome", "--method", "cls-attention", "--keep-mean", "0.25",
        "--timing-samples", "1", "--seeds", "2", "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      let kinds = rows.map { "\($0["method"]?.string ?? "") \($0.value(at: "budget.kind")?.string ?? "")" }
      #expect(
        kinds == ["dense dense"]
          + ["tome", "cls-attention", "random", "downsample"].flatMap { ["\($0) keep-ratio", "\($0) keep-mean"] })
      for row in rows where row.value(at: "budget.kind") == "keep-mean" {
        let counts = try #require(row.value(at: "tokens.per_picture")?.doubles)
        #expect(counts.count == 4 && Set(counts).count > 2, "\(counts)")
        #expect(counts == counts.sorted(), "more to see, more kept")
        #expect(try abs(counts.reduce(0, +) / 4 - row.double("tokens.out")) < 1e-9)
        #expect(try abs(row.double("budget.asked_count") - 64) < 1)
        #expect(row.value(at: "budget.asked")?.double == 0.25)
      }
      #expect(rows[1].value(at: "tokens.per_picture") == nil)
    }
  }

  @Test func ofQuestionsToo() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (
        try AnswerBenchTests.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder)
      )
      let done = try vtok(
        "bench", "questions", "--model", model, "--data", data, "--method", "divprune", "--keep-mean", "0.25",
        "--timing-samples", "1", "--seeds", "1", "--max-tokens", "2", "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      #expect(rows[2]["method"] == "divprune" && rows[2].value(at: "budget.kind") == "keep-mean")
      #expect(rows[2].value(at: "tokens.per_picture")?.doubles?.count == 3)
      for (flags, says) in [
        (["--keep-ratio", "0.5"], "both"), (["--keep-mean", "2"], "2"), (["--target-gmacs", "1"], "both"),
      ] {
        let refused = try vtok(
          ["bench", "questions", "--model", model, "--data", data, "--keep-mean", "0.25"] + flags)
        #expect(refused.status == 2 && refused.error.contains(says), "\(refused.error)")
      }
    }
  }

  /// Counts stand in the manifest; a job that follows its inputs keeps its threshold.
  @Test func foldersToo() throws {
    try inTemporaryFolder { folder in
      let input = folder + "/in"
      try FileManager.default.createDirectory(atPath: input, withIntermediateDirectories: true)
      for (index, share) in [0.1, 0.3, 0.6, 0.9].enumerated() {
        try WholeFile.write(try Self.picture(noisy: share, seed: 3).pngData(), to: "\(input)/\(index).png")
      }
      let flags = ["prune", input, "--method", "cls-attention", "--keep-mean", "0.25", "-o", folder + "/out"]
      let done = try vtok(flags + ["--format", "json"])
      #expect(done.status == 0 && done.out.contains("keep-mean"), "\(done.error)")
      func counts() throws -> [Int] {
        try manifest(folder + "/out").map { ($0["tokens"] as! [String: Any])["out"] as! Int }
      }
      let first = try counts()
      #expect(first == first.sorted() && Set(first).count > 2 && abs(first.reduce(0, +) - 256) <= 2, "\(first)")
      let job = try String(contentsOfFile: folder + "/out/job.yaml", encoding: .utf8)
      #expect(job.contains("keep-mean: 0.25") && job.contains("  mean-threshold: "))
      try WholeFile.write(try Self.picture(noisy: 1, seed: 9).pngData(), to: input + "/4.png")
      let again = try vtok(flags)
      #expect(again.status == 0, "\(again.error)")
      #expect(try Array(counts().prefix(4)) == first && counts().count == 5)
      let both = try vtok(flags + ["--keep-ratio", "0.5"])
      #expect(both.status == 2 && both.error.contains("both"), "\(both.error)")
      let stream = try vtok("prune", "--stream", "--keep-mean", "0.5", "--method", "tome", input: "")
      #expect(stream.status == 2 && stream.error.contains("--keep-mean"), "\(stream.error)")
    }
  }
}
