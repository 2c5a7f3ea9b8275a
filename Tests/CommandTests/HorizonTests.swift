import Foundation
import Testing
import VTok

/// `vtok bench horizon`: where random cuts are as good as any method's.
@Suite struct HorizonTests {
  @Test func everyLayerIsCutAlone() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (
        try AnswerBenchTests.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder)
      )
      let generator = try Generator(model: model)
      let methods = try ["fastv", "divprune", "dart"].map { try MethodSpec($0) }
      let cuts = try Horizon.cuts(of: generator, by: methods, keep: .ratio(0.25), seeds: 2)
      // Chance, nothing and two methods at three layers; divprune has no layer.
      #expect(cuts.count == 3 * 4)
      let task = try QuestionTask(
        generator, data: QuestionFile(data).withoutAnswers(), contenders: cuts.map(\.contender), limit: 3,
        keepsGoing: true)
      let results = try QuestionBench(task, threads: 2).run()
      let horizon = Horizon(results, cuts)
      #expect(horizon.layers.map(\.layer) == [1, 2, 3] && horizon.depth == 4 && horizon.dense == 1)
      for (index, layer) in horizon.layers.enumerated() {
        let rows = results.rows[(1 + 4 * index)..<(5 + 4 * index)].map { $0 }
        #expect(rows.map(\.entry.method).last == "dart:layer=\(layer.layer)")
        #expect(layer.best == max(rows[2].mean(.score), rows[3].mean(.score)))
        #expect(layer.random.values == rows[0].means(.score))
        // Behind the layer nothing is left; before it everything is there.
        #expect(rows[1].mean(.tokens(entering: layer.layer)) == 0)
        #expect(rows[1].mean(.tokens(entering: layer.layer - 1)) == results.rows[0].mean(.tokensIn))
        #expect(layer.empty == rows[1].mean(.score))
      }
    }
  }

  /// A row a layer, the horizon in each, and a sentence in Markdown.
  @Test func theCommandPrintsIt() throws {
    try inTemporaryFolder { folder in
      let (data, model) = (
        try AnswerBenchTests.questions(in: folder), try TinyModel.make("llava15-tiny-d", in: folder)
      )
      let base = [
        "bench", "horizon", "--model", model, "--data", data, "--label-free", "--seeds", "2", "--max-tokens", "2",
        "--method", "fastv",
      ]
      let done = try vtok(base + ["--layers", "1,3", "--format", "jsonl"])
      #expect(done.status == 0, "\(done.error)")
      let rows = try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      #expect(rows.map { $0["layer"]?.int } == [1, 3])
      #expect(
        rows.allSatisfy { $0["schema"] == "vtok-horizon/1" && $0["best_method"] == "fastv" && $0["horizon"] != nil })
      let page = try vtok(base + ["--report", folder + "/out"])
      #expect(page.status == 0 && page.out.contains("nformation horizon: "), "\(page.error)")
      #expect(FileManager.default.fileExists(atPath: folder + "/out/rows.json"))
      for (flags, says) in [
        (["--layers", "4"], "1...3"), (["--keep-ratio", "0.5,0.25"], "2 of them"), (["--target-gmacs", "1"], "a cost"),
        (["--method", "divprune"], ""),
      ] {
        let refused = try vtok(base + flags)
        #expect(
          says.isEmpty ? refused.status == 0 : refused.status == 2 && refused.error.contains(says), "\(refused.error)")
      }
      let none = try vtok(
        ["bench", "horizon", "--model", model, "--data", data, "--method", "divprune", "--max-tokens", "2"])
      #expect(none.status == 2 && none.error.contains("no layer that one of them can cut alone"), "\(none.error)")
    }
  }

  /// The horizon is where chance begins to hold up and never falls back.
  @Test func methodsThatCutOneLayer() {
    let names = Methods.cuttingOneLayer.map(\.description)
    #expect(names.contains("fastv") && names.contains("dart") && names.contains("pyramiddrop"))
    #expect(!names.contains("deep-random") && !names.contains("divprune") && !names.contains("sparsevlm"))
    #expect(try! MethodSpec("fastv").cutting(atLayer: 3)?.description == "fastv:layer=3")
    #expect(try! MethodSpec("fastv:layer=1").cutting(atLayer: 3) == nil)
    #expect(try! MethodSpec("pyramiddrop:keep=0.5").cutting(atLayer: 3)?.description == "pyramiddrop:keep=0.5,layers=3")
  }
}
