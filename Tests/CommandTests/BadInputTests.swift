import Foundation
import Testing
import VTok

/// What can be wrong with a model or a question, for every command that runs a vision-language model: one line on
/// stderr, nothing on stdout, before any work.
@Suite struct BadInputTests {
  enum Command: String, CaseIterable, Sendable { case generate, bench, prune }

  /// - Parameter question: of the prompt, or of the only line of the question file.
  func run(
    _ command: Command, _ model: String, in folder: String, image: String = pictures + "/cat.jpg",
    question: String = "What?", _ more: [String] = []
  ) throws -> Finished {
    let model = ["--model", model] + more
    switch command {
    case .generate: return try vtok(["generate", "--image", image, "--prompt", question] + model)
    case .bench:
      let data = folder + "/questions.jsonl"
      let line: JSON = [
        "image": JSON(image), "question": JSON(question), "answers": ["a"], "metric": "exact",
      ]
      try write(line.text() + "\n", data)
      return try vtok(["bench", "--data", data, "--timing-samples", "0", "--max-tokens", "1"] + model)
    case .prune:
      let method = more.contains("--method") ? [] : ["--method", "cdpruner:kernel=openvino"]
      return try vtok(["prune", image, "-o", folder + "/out", "--force", "--prompt", question] + method + model)
    }
  }

  func isOneLine(_ done: Finished, _ says: String) -> Bool {
    done.status > 0 && done.out.isEmpty && done.error.hasPrefix("vtok: error: ") && done.error.contains(says)
      && done.error.split(separator: "\n").count == 1
  }

  @Test(arguments: Command.allCases) func promptsThatDoNotFit(_ command: Command) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let twice = try run(command, model, in: folder, question: "What is <image>?")
      #expect(isOneLine(twice, "the template places"), "\(twice.error)")
      for empty in ["", " \n"] {
        let done = try run(command, model, in: folder, question: empty)
        #expect(isOneLine(done, command == .bench ? "no question" : "--prompt"), "\(done.error)")
      }
      let refused = try run(command, model, in: folder, ["--method", "globalcom2"])
      #expect(refused.status == 2 && isOneLine(refused, "images of one tile"), "\(refused.error)")
    }
  }

  /// A tokenizer of a kind that is not built, and one with a part that is not.
  @Test(arguments: Command.allCases) func unknownPiecesOfATokenizer(_ command: Command) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let good = try String(contentsOfFile: model + "/tokenizer.json", encoding: .utf8)
      for (from, to, says) in [
        (#""type":"BPE""#, #""type":"Unigram""#, "Unigram"),
        (#""type":"Replace","pattern":{"String":" "}"#, #""type":"Mystery""#, "Mystery"),
      ] {
        #expect(good.contains(from))
        try write(good.replacingOccurrences(of: from, with: to), model + "/tokenizer.json")
        let done = try run(command, model, in: folder)
        #expect(done.status == 1 && isOneLine(done, says), "\(done.error)")
      }
    }
  }

  @Test(arguments: Command.allCases) func aMissingShard(_ command: Command) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let names = try Safetensors(path: model + "/model.safetensors").entries.map(\.name)
      let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
      try FileManager.default.moveItem(atPath: model + "/model.safetensors", toPath: model + "/" + shards[0])
      let map = JSONObject(names.enumerated().map { ($1, JSON($0 < names.count - 1 ? shards[0] : shards[1])) })
      try write(JSON.object(JSONObject([("weight_map", .object(map))])).text(), model + "/model.safetensors.index.json")
      let done = try run(command, model, in: folder)
      #expect(done.status == 1 && isOneLine(done, shards[1]), "\(done.error)")
    }
  }

  /// Too long and thin for any model: an error, and in a job the error of that picture.
  @Test(arguments: Command.allCases) func aPictureOfOneByFourThousandPixels(_ command: Command) throws {
    try inTemporaryFolder { folder in
      let thin = folder + "/thin.png"
      try WholeFile.write(try Image(width: 1, height: 4000, colour: [9, 9, 9]).pngData(), to: thin)
      for name in ["llava15-tiny-d", "llavanext-tiny-d", "idefics3-tiny-a", "qwen2vl-tiny-a"] {
        let model = try TinyModel.make(name, in: folder)
        let done = try run(
          command, model, in: folder, image: thin, command == .prune ? ["--method", "divprune"] : [])
        #expect(done.error.contains("thin.png") && done.error.contains("1x4000"), "\(name): \(done.error)")
        #expect(done.status == (command == .generate ? 1 : command == .bench ? 2 : 3), "\(name): \(done.error)")
      }
    }
  }
}
