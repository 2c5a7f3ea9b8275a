import Foundation
import Testing
import VTok

/// `vtok search`: successive halving over methods, places and budgets at a cost.
@Suite struct SearchTests {
  func photos(_ count: Int, in folder: String) throws -> String {
    let names = ["cat.jpg", "ship.jpg", "chart.png", "solids-grey.jpg"]
    var lines = ""
    for index in 0..<count {
      let name = names[index % names.count]
      try FileManager.default.copyItem(atPath: pictures + "/" + name, toPath: "\(folder)/\(index)-\(name)")
      lines += "\(index)-\(name)\t\(["cat", "ship", "ship", "cat"][index % 4])\n"
    }
    try write(lines, folder + "/list.txt")
    return folder + "/list.txt"
  }

  func found(_ folder: String) throws -> JSON {
    try JSON(parsing: [UInt8](try #require(FileManager.default.contents(atPath: folder + "/search.json"))))
  }

  @Test func halvesUntilFewAreLeft() throws {
    try inTemporaryFolder { folder in
      let list = try photos(8, in: folder)
      let done = try vtok(
        "search", "--data", list, "--target-gmacs", "0.5", "--method", "tome", "--method", "cls-attention", "--method",
        "downsample", "--method", "evit", "--first", "2", "--finalists", "2", "--levels", "1,0.8", "-o",
        folder + "/out",
        "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let all = try found(folder + "/out")
      #expect(all["schema"] == "vtok-search/1" && all["items"]?.int == 4)
      let rounds = try #require(all["rounds"]?.array)
      #expect(rounds.map { $0["items"]?.int } == [2, 4], "twice as many, as many as are not held back")
      let first = try #require(rounds[0]["candidates"]?.array)
      // Every method as it is, and those with one cut also at other places.
      let names = first.compactMap { $0["method"]?.string }
      #expect(Set(["tome", "cls-attention", "downsample", "evit"]).isSubset(of: names))
      #expect(names.contains { $0.hasPrefix("cls-attention:block=") } && first.allSatisfy { $0["level"]?.double == 1 })
      #expect(first.count { $0["goes_on"] == true } < first.count)
      let second = try #require(rounds[1]["candidates"]?.array)
      #expect(second.contains { $0["level"]?.double == 0.8 } && second.contains { $0["method"]!.string!.contains("+") })
      // What goes on is at least as right as what does not, but for the best single method.
      for level in [1.0, 0.8] {
        let own = second.filter { $0["level"]?.double == level }
        let scores = own.compactMap { $0["score"]?.double }
        #expect(scores == scores.sorted(by: >))
        #expect(own.count { $0["goes_on"] == true } <= 3)
      }
      let finalists = try #require(all["finalists"]?.array).dropFirst()
      #expect(finalists.contains { $0["single"] == true })
      for one in finalists {
        let (cost, level) = (try one.double("cost"), try one.double("level"))
        #expect(cost <= level * 0.5 + 1e-6 && one["keep-tokens"]?.int != nil, "\(one["method"]!)")
      }
      // The front: nothing is cheaper and as right, or as cheap and more right.
      let points = try #require(all["finalists"]?.array).map {
        (try $0.double("cost"), try $0.double("score"), $0["on_front"] == true)
      }
      for (cost, score, isOn) in points {
        let beaten = points.contains { $0.0 <= cost && $0.1 >= score && ($0.0 < cost || $0.1 > score) }
        #expect(isOn == !beaten)
      }
      let verdicts = try #require(all["verdicts"]?.array)
      #expect(verdicts.map { $0["level"]?.double } == [1, 0.8])
      for name in ["job.yaml", "front.svg", "index.html", "rows.json", "table.md"] {
        #expect(FileManager.default.fileExists(atPath: folder + "/out/" + name), "\(name)")
      }
      #expect(try String(contentsOfFile: folder + "/out/front.svg", encoding: .utf8).contains("Pareto front"))
      #expect(
        try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }.count == finalists.count + 1)
      // The same search again finds the same.
      let again = try vtok(
        "search", "--data", list, "--target-gmacs", "0.5", "--method", "tome", "--method", "cls-attention", "--method",
        "downsample", "--method", "evit", "--first", "2", "--finalists", "2", "--levels", "1,0.8", "-o",
        folder + "/two",
        "--threads", "1", "--quiet")
      #expect(again.status == 0, "\(again.error)")
      #expect(try found(folder + "/two")["rounds"] == all["rounds"])
    }
  }

  /// prune, bench and generate take what was found.
  @Test func theJobRuns() throws {
    try inTemporaryFolder { folder in
      let list = try photos(4, in: folder)
      let base = [
        "search", "--data", list, "--target-gmacs", "0.5", "--method", "tome", "-o", folder + "/out", "--quiet",
      ]
      #expect(try vtok(base).status == 0)
      let job = folder + "/out/job.yaml"
      let text = try String(contentsOfFile: job, encoding: .utf8)
      #expect(text.contains("method: \"tome") && text.contains("keep-tokens: "), "\(text)")
      let pruned = try vtok(
        "prune", folder + "/0-cat.jpg", "--config", job, "-o", folder + "/pruned", "--format", "jsonl")
      #expect(pruned.status == 0, "\(pruned.error)")
      let benched = try vtok("bench", "--data", list, "--config", job, "--timing-samples", "0", "--format", "jsonl")
      #expect(benched.status == 0, "\(benched.error)")
      let row = try JSON(parsing: Array(try #require(benched.out.split(separator: "\n").dropFirst().first).utf8))
      #expect(text.contains("method: \"\(row["method"]!.string!)\""))
      #expect(try row.double("gmacs.reduced") <= 0.5)
      let refused = try vtok(base)
      #expect(refused.status == 2 && refused.isOneError, "a folder with something in it: \(refused.error)")
      #expect(try vtok(base + ["--force"]).status == 0)
    }
  }

  @Test func questionsWithoutAnswersWillDo() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (
        try AnswerBenchTests.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder)
      )
      let done = try vtok(
        "search", "--model", model, "--data", data, "--label-free", "--target-tokens", "24", "--method", "divprune",
        "--method", "fastv", "--method", "downsample", "--first", "1", "--finalists", "2", "--held-back", "0.4",
        "--levels", "1", "--max-tokens", "2", "-o", folder + "/out", "--format", "jsonl", "--quiet")
      #expect(done.status == 0, "\(done.error)")
      let all = try found(folder + "/out")
      let finalists = try #require(all["finalists"]?.array)
      #expect(finalists[0]["score"]?.double == 1 && finalists.count > 1)
      #expect(try finalists.dropFirst().allSatisfy { try $0.double("cost") <= 24 * 2 + 1e-6 })
      let answer = try vtok(
        "generate", "--config", folder + "/out/job.yaml", "--image", folder + "/cat.jpg", "--prompt", "What is it?",
        "--max-tokens", "2")
      #expect(answer.status == 0, "\(answer.error)")
    }
  }

  @Test func mistakesAreTold() throws {
    try inTemporaryFolder { folder in
      let list = try photos(2, in: folder)
      for (flags, says) in [
        ([], "no cost"), (["--keep-ratio", "0.5"], "--keep-ratio"), (["--target-gmacs", "1000"], "by no method here"),
        (["--target-gmacs", "0.5", "--method", "tome:r=3"], "an amount of its own"),
        (["--target-gmacs", "0.5", "--label-free"], "questions (.jsonl)"),
        (["--target-gmacs", "0.5", "--levels", "2"], "'2'"),
        (["--target-gmacs", "0.5", "--method", "nothing"], "nothing"),
      ] {
        let done = try vtok(["search", "--data", list, "-o", folder + "/out"] + flags)
        #expect(done.status == 2 && done.isOneError && done.error.contains(says), "\(flags): \(done.error)")
      }
    }
  }
}
