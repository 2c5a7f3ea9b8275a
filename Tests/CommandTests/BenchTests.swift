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
        #expect(row["schema"] as? String == "vtok-bench-images/1" && row["images"] as? Int == 4)
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

  /// Seeds that take turns are those that otherwise run on every image, and a method that the head does not see gives the
  /// same row whether it runs or not.
  @Test func whatIsLeftOutChangesNothing() throws {
    try inTemporaryFolder { folder in
      let model = try LoadedModel.load("vtok-tiny")
      func contender(_ method: String, _ seeds: [UInt64]) throws -> Contender<Pipeline> {
        let pipeline = try Pipeline(model, method: MethodSpec(method), keep: .ratio(0.25))
        return Contender(method: method, asked: .budget(.ratio(0.25)), subject: pipeline, seeds: seeds)
      }
      let contenders = [try contender("random", [0, 1, 2]), try contender("divprune", [0])]
      func bench(_ data: LabelledImages, _ rows: [Contender<Pipeline>], split: Bool = false) throws -> ImageBench {
        ImageBench(try ImageTask(model, data: data, contenders: rows, splitsSeeds: split), threads: 2)
      }
      let path = try list(in: folder)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      var right: [Double] = []
      for line in text.split(separator: "\n") {
        try write(String(line) + "\n", folder + "/one.txt")
        let one = try LabelledImages(folder + "/one.txt", classes: model.vision.labels)
        let split = try bench(one, contenders, split: true)
        let (all, part) = (try bench(one, contenders).run().rows, try split.run(sample: split.sample(1)).rows)
        #expect(all[1].runs == 3 && part[1].runs == 1)
        let turn = split.task.part(of: 0, among: 3)
        #expect(part[1].mean(.divergence) == all[1].means(.divergence)[turn])
        right.append(all[1].means(.isRight)[turn])
        let figures: [Figure<ImageTask.Run>] = [
          .isRight, .divergence, .agrees, .tokensOut, .gmacs, .selectionGmacs,
        ]
        for figure in figures { #expect(part[2].mean(figure) == all[2].mean(figure), "\(figure.name)") }
        #expect(part[2].mean(.tokensOut) == 64)
      }
      // Without turns every seed has an outcome, whether the method ran or not.
      let data = try LabelledImages(path, classes: model.vision.labels)
      let seeded = try bench(data, [contender("divprune", [0, 1])])
      let both = try seeded.run(sample: seeded.sample(1)).rows[1]
      #expect(both.top1?.values.count == 2 && both.retention == 1)
      let split = try bench(data, contenders, split: true)
      let row = try split.run(sample: split.sample(2)).rows[1]
      #expect(row.top1?.mean == right.reduce(0, +) / Double(right.count) && row.mean(.tokensOut) == 64)
      #expect(split.columns.first { $0.key == "mcnemar_p" }?.json(row) == .null)
    }
  }

  /// A column is one value: a heading or a key of its own, and a figure that no other means.
  @Test func columnsAreToldApart() throws {
    try inTemporaryFolder { folder in
      let model = try LoadedModel.load("vtok-tiny")
      let data = try LabelledImages(list(in: folder), classes: model.vision.labels)
      let columns = try ImageTask(model, data: data, contenders: []).columns
      let (names, keys) = (columns.compactMap(\.name), columns.compactMap(\.key))
      #expect(columns.allSatisfy { $0.name != nil || $0.key != nil })
      #expect(Set(names).count == names.count && Set(keys).count == keys.count)
      // The values that rows of earlier versions had are where they were.
      let done = try vtok("bench", "--data", folder + "/list.txt", "--seeds", "1", "--limit", "1", "--format", "jsonl")
      let row = try JSON(parsing: Array(done.out.split(separator: "\n")[1].utf8))
      let known = try JSON(
        parsing: Array(
          Data(contentsOf: URL(fileURLWithPath: repository + "/Benchmarks/results/cifar10-vtok-tiny/rows.json"))))
      func paths(_ json: JSON, _ path: String) -> Set<String> {
        guard let members = json.object else { return [path] }
        return members.reduce(into: []) { $0.formUnion(paths($1.value, path + "." + $1.key)) }
      }
      let (old, new) = (paths(known[1]!, ""), paths(row, ""))
      #expect(old.subtracting(new).isEmpty, "\(old.subtracting(new))")
    }
  }

  @Test func aColumnOfOnesOwn() throws {
    try inTemporaryFolder { folder in
      let model = try LoadedModel.load("vtok-tiny")
      let data = try LabelledImages(list(in: folder), classes: model.vision.labels)
      let half = Contender(
        method: "tome", asked: .budget(.ratio(0.5)),
        subject: try Pipeline(model, method: MethodSpec("tome"), keep: .ratio(0.5)))
      let task = try ImageTask(model, data: data, contenders: [half])
      let share = Figure<ImageTask.Run>("share of tokens") { Double($0.image.keep.count) / Double($0.image.tokensIn) }
      let bench = ImageBench(task, columns: task.columns + [.mean(share, "kept", "tokens.kept")])
      let table = BenchReport(try bench.run(limit: 2), Provenance()).table
      #expect(table.columns.last == "kept" && table.rows[1].cells.last == "0.500")
      #expect(try table.rows[1].json.double("tokens.kept") == 0.5 && table.rows[0].json.double("tokens.kept") == 1)
    }
  }

  /// Model, version, seed, processor, date and command stand in every file that is no bare table.
  @Test func everyOutputSaysWhereItComesFrom() throws {
    try inTemporaryFolder { folder in
      let flags = [
        "--data", try list(in: folder), "--limit", "1", "--seed", "7", "--timing-samples", "0", "--seeds", "1",
      ]
      let done = try vtok(["bench", "images"] + flags + ["--report", folder + "/report"])
      #expect(done.status == 0, "\(done.error)")
      let model = try LoadedModel.load("vtok-tiny")
      func file(_ name: String) throws -> String {
        try String(contentsOfFile: folder + "/report/" + name, encoding: .utf8)
      }
      for text in [done.out, try file("table.md"), try file("index.html"), try file("rows.json")] {
        for part in [model.sha256, vtokVersion, cpuLevel, "vtok bench images --data", "--seed 7"] {
          #expect(text.contains(part), "\(part)")
        }
        #expect(text.firstMatch(of: #/20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ/#) != nil)
        #expect(text == done.out || !text.contains(folder), "results travel")
      }
      let rows = try JSON(parsing: Array(file("rows.json").utf8))
      #expect(rows[1]?.value(at: "run.method") == "tome" && rows[1]?["schema"] == "vtok-bench-images/1")
    }
  }

  @Test func everyBenchIsACommand() throws {
    for name in ["images", "questions", "tokenizers"] {
      #expect(try vtok("bench", "--help").out.contains(name))
      let own = try vtok("bench", name, "--help")
      #expect(own.status == 0 && own.out.contains("USAGE: vtok bench \(name)"), "\(own.error)")
    }
    let questions = try vtok("bench", "questions", "--data", pictures)
    #expect(questions.status == 2 && questions.error.contains("no question file"), "\(questions.error)")
    let images = try vtok("bench", "images", "--data", "a.jsonl")
    #expect(images.status == 2 && images.error.contains("vtok bench questions"), "\(images.error)")
    try inTemporaryFolder { folder in
      try write("data: \(pictures)\nlimit: 1\ntoken-counts: 4\nformat: jsonl\n", folder + "/job.yaml")
      let job = try vtok("bench", "tokenizers", "--config", folder + "/job.yaml")
      #expect(job.status == 0 && job.out.contains("vtok-bench-tokenizers/1"), "\(job.error)")
    }
  }

  @Test func splitSeedsAreSaidSo() throws {
    try inTemporaryFolder { folder in
      let data = try list(in: folder)
      let done = try vtok("bench", "--data", data, "--keep-ratio", "0.5", "--seeds", "2", "--split-seeds")
      let said = "The 2 runs of a method that draws lots see a part of them each"
      #expect(done.status == 0 && done.out.contains(said), "\(done.error)")
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

  /// What the page's script joins: rows, lines of the plots and keys of the legend have the same names; a stage of a map
  /// has a note.
  @Test func rowsAndLinesOfTheReportFit() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "bench", "--data", list(in: folder), "--method", "tome", "--keep-ratio", "0.5", "--precision", "f32,int8",
        "--timing-samples", "0", "--limit", "2", "--gallery", "1", "--report", folder + "/report")
      #expect(done.status == 0, "\(done.error)")
      let page = try String(contentsOfFile: folder + "/report/index.html", encoding: .utf8)
      func names(_ element: String, _ attribute: String) -> [String] {
        page.components(separatedBy: "<" + element + " ").dropFirst().compactMap { part in
          part.prefix { $0 != ">" }.components(separatedBy: "data-\(attribute)=\"").dropFirst().first
            .map { String($0.prefix { $0 != "\"" }) }
        }
      }
      let lines = names("g", "line")
      #expect(Set(lines) == Set(names("button", "line")) && lines.count == Set(lines).count, "\(lines)")
      #expect(Set(names("tr", "line")).isSubset(of: lines) && lines.contains("tome, int8"), "\(names("tr", "line"))")
      #expect(Set(names("tr", "precision")) == ["f32", "int8"])
      #expect(page.contains("<option>f32</option><option>int8</option>") && page.contains("id=\"stage\""))
      #expect(names("img", "note").contains { $0.hasSuffix(" left") }, "ToMe merges in every block")
      #expect(page.contains("<dt>model</dt>") && page.contains("<dt>command</dt>"))
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
