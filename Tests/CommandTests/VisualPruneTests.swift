import Foundation
import Testing
import VTok

/// `vtok prune` with a vision-language model: visual tokens behind projector and packing.
@Suite struct VisualPruneTests {
  /// The tokens of an output folder's only shard, by the manifest's index.
  func tensors(_ folder: String) throws -> Safetensors { try Safetensors(path: folder + "/tokens-00000.safetensors") }

  /// The rows that enter the first layer of the language model in a run of the same method.
  @Test(arguments: ["hired:keep=0.4", "divprune:keep=0.25", "tome:keep=0.5", "downsample:keep=0.25"])
  func writesWhatTheLanguageModelWouldRead(_ spec: String) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let done = try vtok("prune", pictures + "/cat.jpg", "-o", folder + "/out", "--model", model, "--method", spec)
      #expect(done.status == 0, "\(done.error)")
      let row = try #require(manifest(folder + "/out").first)
      #expect((row["tokens"] as? [String: Any])?["in"] as? Int == 64)
      let file = try tensors(folder + "/out")
      let (tokens, keep) = (try file.tensor("0.tokens"), try file.integers("0.keep"))
      let generator = try Generator(model: model, method: spec)
      let image = try Image.decode(contentsOf: pictures + "/cat.jpg").image
      var rows: Tensor?
      let prompt = try generator.prepare("Hm?", about: [image])
      var run = Run(generator.composition, seed: mixedSeed(0, "cat.jpg"))
      _ = try generator.model.prefill(prompt.ids, prompt.images, run: &run) { layer, hidden in
        if layer == 0 { rows = hidden }
      }
      let start = Int(run.images[0].spans[0].lowerBound)
      let isSame = tokens == rows!.gathered(Array(start..<start + tokens.rows))
      #expect(isSame && keep.count == tokens.rows && tokens.rows < 64)
      #expect(try file.integers("0.spans") == [0, Int64(keep.count)] && (0..<64).contains(Int(keep[0])))
    }
  }

  /// Newlines stand for no patch; several tiles; several spans.
  @Test func modelsWithTiles() throws {
    try inTemporaryFolder { folder in
      for (name, spans) in [("llavanext-tiny-d", 1), ("idefics3-tiny-a", 0), ("qwen2vl-tiny-a", 1)] {
        let model = try TinyModel.make(name, in: folder)
        let out = folder + "/out-" + name
        let done = try vtok(
          "prune", pictures + "/chart.png", "-o", out, "--model", model, "--method", "divprune", "--keep-ratio", "0.5")
        #expect(done.status == 0, "\(name): \(done.error)")
        let (file, row) = (try tensors(out), try #require(manifest(out).first))
        let (keep, starts) = (try file.integers("0.keep"), try file.integers("0.spans"))
        let tokens = try #require(row["tokens"] as? [String: Int])
        #expect(tokens["out"] == keep.count && tokens["in"]! > keep.count && starts.last == Int64(keep.count))
        #expect(spans == 0 ? starts.count > 2 : starts.count == 2)
        let grid = try #require(row["grid"] as? [String: Int])
        #expect(keep.allSatisfy { (-1..<Int64(grid["tiles"]! * grid["rows"]! * grid["columns"]!)).contains($0) })
        let overlay = try vtok("prune", pictures, "-o", out, "--model", model, "--overlay", "--method", "divprune")
        #expect(overlay.status == 2 && overlay.error.contains("--overlay"))
      }
    }
  }

  /// A number above what an image has keeps all of it, and its row says so.
  @Test func moreThanThereIs() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llavanext-tiny-d", in: folder)
      let done = try vtok(
        "prune", pictures + "/chart.png", "-o", folder + "/out", "--model", model, "--method", "divprune",
        "--keep-tokens", "100000")
      #expect(done.status == 0 && done.error.contains("there are no more than"), "\(done.error)")
      let row = try #require(manifest(folder + "/out").first)
      let (budget, tokens) = (row["budget"] as? [String: Any], row["tokens"] as? [String: Any])
      #expect(budget?["reached"] as? Int == tokens?["in"] as? Int && budget?["asked"] as? Int == 100_000)
      #expect((budget?["reason"] as? String)?.contains("no more than") == true)
      let shown = try vtok(
        "show", pictures + "/chart.png", "-o", folder + "/map.png", "--model", model, "--method", "globalcom2",
        "--keep-ratio", "0.5")
      #expect(shown.status == 0 && shown.out.contains("newlines or class tokens"), "\(shown.out)\(shown.error)")
    }
  }

  /// Parts and threads make the same files; a job goes on where it stopped.
  @Test func isDurableLikeAnyOtherJob() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let input = folder + "/in"
      try FileManager.default.createDirectory(atPath: input, withIntermediateDirectories: true)
      try manyPictures(12, in: input)
      let base = ["prune", input, "--model", model, "--method", "random:keep=0.3", "--shard-size", "5"]
      #expect(try vtok(base + ["-o", folder + "/one", "--threads", "1"]).status == 0)
      #expect(try vtok(base + ["-o", folder + "/two", "--threads", "2"]).status == 0)
      let whole = files(folder + "/one", leavingOut: ["job.yaml"])
      #expect(differences(whole, files(folder + "/two", leavingOut: ["job.yaml"])).isEmpty)
      let killed = try vtok(base + ["-o", folder + "/three", "--threads", "1"]) {
        FileManager.default.fileExists(atPath: folder + "/three/.done/00000")
      }
      _ = killed
      #expect(try vtok(base + ["-o", folder + "/three"]).status == 0)
      #expect(differences(whole, files(folder + "/three", leavingOut: ["job.yaml"])).isEmpty)
      for part in ["0/2", "1/2"] { #expect(try vtok(base + ["-o", folder + "/parts", "--shard", part]).status == 0) }
      #expect(try vtok("prune", "--merge", folder + "/parts", "--shard-size", "5").status == 0)
      #expect(try manifest(folder + "/parts").count == 12)
      // A question is part of what a job is.
      let other = try vtok(base + ["-o", folder + "/one", "--prompt", "Hm?"])
      #expect(other.status == 2 && other.error.contains("prompt"))
    }
  }

  @Test func aQuestionWhereItIsReadAndNoMethodBehindIt() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      func prune(_ arguments: String...) throws -> Finished {
        try vtok(["prune", pictures + "/cat.jpg", "-o", folder + "/out", "--force", "--model", model] + arguments)
      }
      for spec in ["fastv:layer=1", "elastic-cache", "sparsevlm:layers=1/2,counts=9/5", "visionzip+fastv:layer=1"] {
        let done = try prune("--method", spec)
        #expect(done.status == 2 && done.error.contains("language model"), "\(spec): \(done.error)")
      }
      let reader = "cdpruner:kernel=openvino,keep=0.25"
      let silent = try prune("--method", reader)
      #expect(silent.status == 2 && silent.error.contains("--prompt"))
      var kept: [[Int64]] = []
      for question in ["What colour?", "zzzzz (99)"] {
        #expect(try prune("--method", reader, "--prompt", question).status == 0)
        kept.append(try tensors(folder + "/out").integers("0.keep"))
      }
      #expect(kept[0].count == 16 && kept[0] != kept[1])
      #expect(try prune("--method", "divprune", "--target-gmacs", "1").status == 2)
    }
  }
}
