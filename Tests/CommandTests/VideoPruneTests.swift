import Foundation
import Testing
import VTok

/// Videos as inputs of `prune`, and in question files of `bench`.
@Suite struct VideoPruneTests {
  private static let cases = repository + "/Tests/Golden/Cases/"
  private static let oneVision = cases + "lvlm/llavaov-tiny-a", qwen = cases + "qwen3-vl/qwen3vl-tiny-e"

  /// Folders `a` with four frames and `b` with three.
  private static func videos(in folder: String) throws -> [String] {
    try [("a", 4), ("b", 3)].map { name, count in
      let path = folder + "/" + name
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      for number in 0..<count { try frame(number, count).write(to: URL(fileURLWithPath: "\(path)/\(number).png")) }
      return path
    }
  }

  private static func frame(_ number: Int, _ kind: Int, width: Int = 96) throws -> Data {
    var image = Image(width: width, height: 64, colour: [40, 90, 200])
    for index in image.rgb.indices { image.rgb[index] = UInt8((index * (number + kind) / 7) % 256) }
    return Data(try image.pngData())
  }

  /// The rows of the frames as they enter the first layer, span by span.
  @Test(arguments: [(oneVision, 1, "divprune:keep=0.5"), (qwen, 2, "divprune:keep=0.5"), (qwen, 2, "gprune:keep=0.5")])
  func writesWhatTheLanguageModelWouldRead(_ model: String, _ spans: Int, _ spec: String) throws {
    try inTemporaryFolder { folder in
      let paths = try Self.videos(in: folder)
      let out = folder + "/out"
      let done = try vtok(
        ["prune", "-o", out, "--model", model, "--method", spec, "--fps", "4"] + paths.flatMap { ["--video", $0] })
      #expect(done.status == 0 && done.out.contains("2 inputs"), "\(done.error)")
      let lines = try manifest(out)
      #expect(lines.map { $0["file"] as? String } == paths)
      let file = try Safetensors(path: out + "/tokens-00000.safetensors")
      let generator = try Generator(model: model, method: spec)
      for (place, path) in paths.enumerated() {
        let count = 4 - place
        #expect(lines[place]["video"] as? [String: Int] == ["frames": count, "fps": 4])
        let frames = try (0..<count).map { try Image.decode(contentsOf: "\(path)/\($0).png").image }
        let video = try generator.video(Video(frames, rate: 4, names: (0..<count).map { "\($0)" }))
        let prompt = try generator.prepare(ChatMessage.question("?", aboutVideo: nil), about: [video])
        var run = Run(generator.composition, seed: mixedSeed(0, path))
        var entering: Tensor?
        let decoding = try generator.model.prefill(prompt.ids, prompt.images, run: &run) { layer, hidden in
          if layer == 0 { entering = hidden }
        }
        let ids = decoding.caches[0][0].id
        let rows = run.images[0].spans.map { span in ids.indices.filter { span.contains(ids[$0]) } }
        #expect(rows.count == spans)
        let tokens = try file.tensor("\(place).tokens")
        let isSame = tokens == entering!.gathered(rows.flatMap(\.self))
        #expect(isSame)
        #expect(try file.integers("\(place).spans") == rows.reduce(into: [0]) { $0.append($0.last! + Int64($1.count)) })
        let counts = try #require(lines[place]["tokens"] as? [String: Any])
        #expect(counts["out"] as? Int == tokens.rows && (counts["in"] as! Int) > tokens.rows)
        #expect(try file.integers("\(place).keep").count == tokens.rows)
      }
    }
  }

  /// A list, pictures beside videos, parts, and frames that change.
  @Test func aJobFollowsItsFrames() throws {
    try inTemporaryFolder { folder in
      let paths = try Self.videos(in: folder)
      try write(paths.joined(separator: "\n") + "\n" + folder + "/none\n", folder + "/list.txt")
      let base = [
        "prune", pictures + "/cat.jpg", "--videos-from", folder + "/list.txt", "--model", Self.oneVision, "--method",
        "divprune:keep=0.5",
      ]
      func run(_ more: [String]) throws -> Finished { try vtok(base + more) }
      let first = try run(["-o", folder + "/out"])
      #expect(first.status == 3 && first.error.contains("none"), "\(first.error)")
      let rows = try manifest(folder + "/out")
      #expect(rows.map { $0["status"] as? String } == ["ok", "ok", "ok", "failed"] && rows[0]["video"] == nil)
      #expect((rows[3]["error"] as? [String: String])?["kind"] == "frames")
      let whole = files(folder + "/out", leavingOut: ["job.yaml"])
      let again = try run(["-o", folder + "/out"])
      #expect(again.out.contains("3 done before; 1 failed before"), "\(again.out)")
      #expect(differences(whole, files(folder + "/out", leavingOut: ["job.yaml"])).isEmpty)

      for (part, status) in [("0/2", 0), ("1/2", 3)] {
        #expect(try run(["-o", folder + "/parts", "--shard", part]).status == status)
      }
      #expect(try vtok("prune", "--merge", folder + "/parts").status == 3)
      let names = ["manifest.jsonl", "tokens-00000.safetensors"]
      for name in names { #expect(files(folder + "/parts")[name] == whole[name]) }

      try Self.frame(9, 9).write(to: URL(fileURLWithPath: paths[0] + "/2.png"))
      #expect(try run(["-o", folder + "/out"]).out.contains("2 done before; 1 changed"))
      try FileManager.default.removeItem(atPath: paths[1] + "/2.png")
      #expect(try run(["-o", folder + "/out"]).out.contains("2 done before; 1 changed"))
      try Self.frame(2, 3, width: 64).write(to: URL(fileURLWithPath: paths[1] + "/2.png"))
      let mixed = try run(["-o", folder + "/out"])
      #expect(mixed.status == 3 && mixed.error.contains("64x64 pixels, expected 96x64"), "\(mixed.error)")
      let rate = try run(["-o", folder + "/out", "--fps", "5"])
      #expect(rate.status == 2 && rate.error.contains("fps"), "\(rate.error)")
    }
  }

  @Test func whereAVideoHasNoMeaning() throws {
    try inTemporaryFolder { folder in
      let video = try Self.videos(in: folder)[0]
      func refused(_ arguments: [String], _ text: String) throws {
        let done = try vtok(["prune", "-o", folder + "/out"] + arguments)
        #expect(done.status == 2 && done.isOneError && done.error.contains(text), "\(arguments): \(done.error)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
      }
      let llava = try TinyModel.make("llava15-tiny-d", in: folder)
      try refused(["--video", video], "--video: a model that is not run on videos here")
      try refused(["--video", video, "--model", llava], "llava-onevision")
      try refused(["--video", video, "--model", Self.qwen, "--max-memory", "4GB"], "--max-memory")
      try refused(["--video", video, "--model", Self.qwen, "--keep-mean", "0.5"], "--keep-mean")
      try refused(["--video", video, "--model", Self.qwen, "--overlay"], "--overlay")
      try refused(["--video", video, "--model", Self.qwen, "--method", "pixelprune"], "a video, expected still images")
      try refused(["--video", folder + "/none", "--model", Self.qwen], "expected a folder")
      try refused([pictures, "--fps", "2"], "--fps: it without a video")
      try refused(["--stream", "--video", video], "--video: it beside --stream")
      try write("\n", folder + "/empty.txt")
      try refused(["--videos-from", folder + "/empty.txt", "--model", Self.qwen], "no paths")
    }
  }

  /// Answers are those of `generate --video`, whether the folder is named or its frames.
  @Test(arguments: [oneVision, qwen]) func questionsAboutVideos(_ model: String) throws {
    try inTemporaryFolder { folder in
      _ = try Self.videos(in: folder)
      let data = folder + "/questions.jsonl"
      let frames = (0..<4).map { "\"a/\($0).png\"" }.joined(separator: ", ")
      try write(
        """
        {"video": "a", "question": "What happens?", "answers": ["x"], "metric": "exact"}
        {"video": [\(frames)], "fps": 2, "question": "What happens?", "answers": ["x"], "metric": "exact"}
        {"video": "b", "fps": 0.5, "question": "Where?", "answers": ["x"], "metric": "exact"}
        {"image": "a/0.png", "question": "What is it?", "answers": ["x"], "metric": "exact"}
        """, data)
      let done = try vtok(
        "bench", "--model", model, "--data", data, "--method", "divprune", "--keep-ratio", "0.5", "--max-tokens", "4",
        "--timing-samples", "2", "--answers", folder + "/all.jsonl", "--format", "jsonl", "--report", folder + "/report"
      )
      try #require(done.status == 0, "\(done.error)")
      let rows = try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      #expect(rows[0]["images"] == 4 && rows[0]["questions"] == 4)
      let answers = try String(contentsOfFile: folder + "/all.jsonl", encoding: .utf8).split(separator: "\n")
        .map { try JSON(parsing: Array($0.utf8)) }
      func said(_ line: Int, _ method: String) -> String? {
        answers.first { $0["line"]?.int == line && $0["method"]?.string == method }?["answer"]?.string
      }
      for (line, video, more) in [(1, "a", []), (2, "a", []), (3, "b", ["--fps", "0.5"])] {
        for method in [[], ["--method", "divprune", "--keep-ratio", "0.5"]] {
          let alone = try vtok(
            [
              "generate", "--model", model, "--video", "\(folder)/\(video)", "--prompt",
              line == 3 ? "Where?" : "What happens?",
            ]
              + ["--max-tokens", "4", "--format", "json"] + more + method)
          let row = try #require(JSON(parsing: alone.out)[0], "\(alone.error)")
          #expect(row["answer"]?.string == said(line, method.isEmpty ? "dense" : "divprune"), "\(line) \(method)")
        }
      }
    }
  }

  @Test(arguments: [
    (#"{"video": "a", "image": "a/0.png", "question": "?"}"#, "both image and video"),
    (#"{"video": "none", "question": "?"}"#, "it cannot be read"),
    (#"{"video": ["a/0.png", "a/9.png"], "question": "?"}"#, "no picture"),
    (#"{"video": [], "question": "?"}"#, "video []"), (#"{"video": 3, "question": "?"}"#, "video 3"),
    (#"{"video": "a", "fps": 0, "question": "?"}"#, "fps 0"), (#"{"video": "a", "fps": "2", "question": "?"}"#, "fps"),
    (#"{"image": "a/0.png", "fps": 2, "question": "?"}"#, "fps without a video"),
  ]) func questionsThatAreWrong(_ line: String, _ text: String) throws {
    try inTemporaryFolder { folder in
      _ = try Self.videos(in: folder)
      try write(line + "\n", folder + "/q.jsonl")
      let done = try vtok("bench", "--model", Self.qwen, "--data", folder + "/q.jsonl", "--keep-ratio", "0.5")
      #expect(done.status != 0 && done.isOneError && done.error.contains("line 1"), "\(done.error)")
      #expect(done.error.contains(text), "\(done.error)")
    }
  }

  @Test func questionsThatNobodyCanAnswer() throws {
    try inTemporaryFolder { folder in
      _ = try Self.videos(in: folder)
      let data = folder + "/q.jsonl"
      try write(#"{"video": "a", "question": "What happens?"}"# + "\n", data)
      let llava = try TinyModel.make("llava15-tiny-d", in: folder)
      func refused(_ arguments: [String], _ text: String) throws {
        let done = try vtok(arguments + ["--data", data])
        #expect(done.status != 0 && done.isOneError && done.error.contains(text), "\(arguments): \(done.error)")
      }
      let bench = ["bench", "--keep-ratio", "0.5", "--model"]
      try refused(bench + [llava], "line 1: a video for a model that is not run on videos here")
      try refused(bench + [Self.qwen, "--max-memory", "4GB"], "--max-memory")
      try refused(bench + [Self.qwen, "--method", "pixelprune"], "a video, expected still images")
      try refused(
        ["bench", "--model", Self.qwen, "--method", "divprune", "--target-gmacs", "1"], "questions about videos")
      try refused(
        ["search", "--model", Self.qwen, "--target-tokens", "4", "-o", folder + "/found"], "questions about videos")
      try refused(["bench", "horizon", "--model", llava, "--keep-ratio", "0.5"], "line 1: a video")
    }
  }
}
