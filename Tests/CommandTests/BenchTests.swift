import Foundation
import Testing
import VTok

/// `vtok bench`: its rows, its formats and its page.
@Suite struct BenchTests {
  /// A list of four pictures with their classes.
  func list(in folder: String) throws -> String {
    let path = folder + "/list.txt"
    let lines = [
      ("cat.jpg", "cat"), ("ship.jpg", "ship"), ("airplane-alpha.png", "airplane"), ("frog-exif6.jpg", "frog"),
    ]
    try lines.map { "\(pictures)/\($0)\t\($1)\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  func rows(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map {
      try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  @Test func rowsSayWhatTheyMeasured() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "bench", "--data", list(in: folder), "--method", "tome", "--method", "divprune", "--keep-ratio", "0.5,0.25",
        "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try rows(done.out)
      #expect(
        rows.map { $0["method"] as? String } == [
          "dense", "tome", "tome", "divprune", "divprune", "random", "random", "random:at=features",
          "random:at=features", "downsample", "downsample",
        ])
      // Chance where each method is: before the tower's depth and behind it.
      let costs = rows.map { ($0["gmacs"] as? [String: Any])?["reduced"] as? Double }
      #expect(costs[7] == costs[3] && costs[5]! < costs[7]!)
      let budget = try #require(rows[8]["budget"] as? [String: Any])
      #expect(budget["asked_count"] as? Int == 64 && budget["reached_count"] as? Int == 64)
      #expect(budget["counted"] as? String == "visual tokens" && budget["reason"] is NSNull)
      for row in rows {
        #expect(row["schema"] as? String == "vtok-bench/1" && row["images"] as? Int == 4)
        #expect((row["gmacs"] as? [String: Any])?["dense"] as? Double ?? 0 > 0.8)
        let speedup = try #require(row["speedup"] as? [String: Any])
        #expect(speedup["tower"] as? Double ?? 0 > 0)
        #expect(row["retention"] is Double && (row["retention_ci95"] as? [Double])?.count == 2)
      }
      #expect(rows[0]["retention"] as? Double == 1 && rows[0]["mcnemar_p"] as? Double == 1)
      let range = try #require(rows[5]["top1"] as? [String: Any], "random has a range")
      #expect(range["n"] as? Int == 5)
      let tokens = try #require(rows[2]["tokens"] as? [String: Any])
      #expect(tokens["out"] as? Double == 64)
    }
  }

  /// Seeds that take turns are those that otherwise run on every picture, and a method that the head does not see gives the
  /// same row whether it runs or not.
  @Test func whatIsLeftOutChangesNothing() throws {
    try inTemporaryFolder { folder in
      let model = try LoadedModel.load("vtok-tiny")
      let data = try LabelledImages(list(in: folder), classes: model.vision.labels)
      func contender(_ method: String, _ seeds: [UInt64]) throws -> Bench.Contender {
        let pipeline = try Pipeline(model, method: MethodSpec(method), keep: .ratio(0.25))
        return Bench.Contender(method: method, asked: .budget(.ratio(0.25)), subject: pipeline, seeds: seeds)
      }
      let contenders = [try contender("random", [0, 1, 2]), try contender("divprune", [0])]
      let whole = try Bench(model, data: data, contenders: contenders)
      let split = try Bench(model, data: data, contenders: contenders, splitsSeeds: true)
      let sample = try split.sample(2)
      for (all, part) in zip(try whole.run(), try split.run(sample: sample)) {
        #expect(all.outcomes[1].count == 3 && part.outcomes[1].count == 1)
        let turn = split.part(of: all.index, among: 3)
        #expect(part.outcomes[1][0].divergence == all.outcomes[1][turn].divergence)
        let (ran, known) = (all.outcomes[2][0], part.outcomes[2][0])
        #expect(known.top == ran.top && known.divergence == ran.divergence && known.agrees == ran.agrees)
        #expect(known.costs.tokensOut == 64 && ran.costs.tokensOut == 64)
        #expect(known.costs.selectionGmacs == ran.costs.selectionGmacs && known.costs.gmacs == ran.costs.gmacs)
      }
      // Without turns every seed has an outcome, whether the method ran or not.
      let seeded = try Bench(model, data: data, contenders: [try contender("divprune", [0, 1])])
      let twice = try seeded.sample(1)
      let both = BenchRow(try seeded.run(sample: twice), twice, contender: 1, of: seeded)
      #expect(both.top1?.values.count == 2 && both.retention == 1)
      let row = BenchRow(try split.run(sample: sample), sample, contender: 1, of: split)
      let right = try whole.run().map { $0.outcomes[1][split.part(of: $0.index, among: 3)].isRight! ? 1.0 : 0 }
      #expect(row.top1?.mean == right.reduce(0, +) / Double(right.count))
      #expect(row.mcNemar == nil && row.costs.tokensOut == 64)
    }
  }

  @Test func splitSeedsAreSaidSo() throws {
    try inTemporaryFolder { folder in
      let data = try list(in: folder)
      let done = try vtok("bench", "--data", data, "--keep-ratio", "0.5", "--seeds", "2", "--split-seeds")
      #expect(done.status == 0 && done.out.contains("Random's 2 runs see a part of them each"), "\(done.error)")
      #expect(done.out.contains("| random x2"))
      // A single picture: one run has none, and there is no range.
      let one = try vtok(
        "bench", "--data", data, "--keep-ratio", "0.5", "--seeds", "2", "--split-seeds", "--limit", "1", "--format",
        "jsonl")
      #expect(one.status == 0, "\(one.error)")
      #expect(try rows(one.out).contains { $0["method"] as? String == "random" && $0["top1"] is Double })
      try "{}\n".write(toFile: folder + "/asked.jsonl", atomically: true, encoding: .utf8)
      let asked = try vtok("bench", "--data", folder + "/asked.jsonl", "--split-seeds")
      #expect(asked.status == 2 && asked.error.contains("--split-seeds"), "\(asked.error)")
    }
  }

  @Test func sharesOfTheCostAreSolved() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "bench", "--data", list(in: folder), "--method", "tome", "--method", "divprune", "--method", "evit", "--seeds",
        "2", "--mac-ratio", "0.7",
        "--format", "jsonl", "--limit", "2")
      #expect(done.status == 0, "\(done.error)")
      for row in try rows(done.out).dropFirst() {
        let share = try #require((row["gmacs"] as? [String: Any])?["ratio"] as? Double)
        // DivPrune acts behind the tower: it keeps that share of its tokens and says that it saves nothing.
        let isBehind = ["divprune", "random:at=features"].contains(row["method"] as? String)
        #expect(isBehind ? share == 1 : abs(share - 0.7) < 0.04)
      }
    }
  }

  @Test func picturesWithoutLabelsAreJudgedByAgreement() throws {
    let done = try vtok("bench", "--data", pictures, "--keep-ratio", "0.5", "--format", "jsonl", "--limit", "3")
    #expect(done.status == 0, "\(done.error)")
    for row in try rows(done.out) {
      #expect(row["top1"] is NSNull && row["retention"] is NSNull)
      #expect((row["loyalty"] as? [String: Any])?["top1_agreement"] is Double)
    }
  }

  @Test func theReportIsOnePage() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "bench", "--data", list(in: folder), "--keep-ratio", "0.5,0.25", "--report", folder + "/report")
      #expect(done.status == 0, "\(done.error)")
      let page = try String(contentsOfFile: folder + "/report/index.html", encoding: .utf8)
      #expect(page.components(separatedBy: "<svg").count == 3, "two plots")
      #expect(page.components(separatedBy: "<figure>").count - 1 == 4 * 4, "dense and three methods on every picture")
      #expect(!page.contains("://"), "nothing is fetched")
      #expect(!page.contains(">NaN") && !page.contains("\"NaN"), "nothing is missing")
      let untimed = try vtok(
        "bench", "--data", list(in: folder), "--keep-ratio", "0.5", "--timing-samples", "0", "--report",
        folder + "/untimed")
      #expect(untimed.status == 0 && untimed.out.contains("Nothing was timed."), "\(untimed.error)")
      let short = try String(contentsOfFile: folder + "/untimed/index.html", encoding: .utf8)
      #expect(short.components(separatedBy: "<svg").count == 2, "no plot of times")
    }
  }

  @Test func badFilesAreCountedAndMistakesNamed() throws {
    try inTemporaryFolder { folder in
      let path = try list(in: folder)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try (text + "\(malformed)/png-trunc-idat.png\tcat\n").write(toFile: path, atomically: true, encoding: .utf8)
      let done = try vtok("bench", "--data", path, "--format", "jsonl")
      #expect(done.status == 3 && done.error.contains("png-trunc-idat.png"))
      #expect(try rows(done.out)[0]["images"] as? Int == 4)
      try (text + "x.png\tzebra\n").write(toFile: path, atomically: true, encoding: .utf8)
      let unknown = try vtok("bench", "--data", path)
      #expect(unknown.status == 2 && unknown.error.contains("'zebra'"))
      let both = try vtok("bench", "--data", path, "--mac-ratio", "0.5", "--keep-ratio", "0.5")
      #expect(both.status == 2 && both.error.contains("expected one of them"))
      #expect(try vtok("bench", "--data", path, "--mac-ratio", "2").status == 2)
    }
  }
}
