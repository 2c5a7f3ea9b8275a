import Foundation
import Testing
import VTok

/// `--processor FILE` mends a model whose folder says nothing about images, in every command that sees pictures.
@Suite struct ProcessorFlagTests {
  private static let source = InspectTests.cases + "vit-runtime/hf_vit_cls"
  private static let file = source + "/preprocessor_config.json"

  @Test func aTower() throws {
    try inTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.source, toPath: model)
      try FileManager.default.removeItem(atPath: model + "/preprocessor_config.json")
      let commands = [
        [
          "prune", pictures + "/cat.jpg", "-o", folder + "/pruned", "--method", "tome", "--keep-ratio", "0.5",
          "--model", model,
        ],
        [
          "show", pictures + "/cat.jpg", "-o", folder + "/map.png", "--method", "tome", "--keep-ratio", "0.5",
          "--model", model,
        ],
        ["bench", "--data", pictures, "--limit", "2", "--timing-samples", "0", "--method", "tome", "--model", model],
        [
          "tokenize", pictures + "/cat.jpg", "--feature-distance", "0.9", "-o", folder + "/cat.vtokens", "--model",
          model,
        ],
        ["inspect", model],
      ]
      for command in commands {
        let refused = try vtok(command)
        #expect(refused.status == 1 && refused.isOneError, "\(command[0]): \(refused.error)")
        #expect(refused.error.contains("preprocessor_config.json") && refused.error.contains("--processor"))
        let done = try vtok(command + ["--processor", Self.file])
        #expect(done.status == 0, "\(command[0]): \(done.error)")
      }
      // The same tokens as from a whole folder, and no other job than that which wrote them.
      let whole = try vtok(
        "prune", pictures + "/cat.jpg", "-o", folder + "/whole", "--method", "tome", "--keep-ratio", "0.5", "--model",
        Self.source)
      #expect(whole.status == 0, "\(whole.error)")
      let tokens = try ["/whole", "/pruned"].map { part in
        try Safetensors(path: folder + part + "/tokens-00000.safetensors").tensor("0.tokens").values
      }
      #expect(tokens[0] == tokens[1])
      #expect(try vtok(commands[0] + ["--processor", Self.file]).status == 0)
      let absent = try vtok(commands[0] + ["--processor", folder + "/absent.json"])
      #expect(absent.isOneError && absent.error.contains("absent.json"), "\(absent.error)")
    }
  }

  @Test func aLanguageModel() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let file = folder + "/named.json"
      try FileManager.default.moveItem(atPath: model + "/preprocessor_config.json", toPath: file)
      let command = [
        "generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", GenerateTests.question,
        "--max-tokens", "12",
      ]
      let refused = try vtok(command)
      #expect(refused.status == 1 && refused.isOneError && refused.error.contains("--processor"), "\(refused.error)")
      let done = try vtok(command + ["--processor", file])
      #expect(done.status == 0 && done.out == "]JeYmmmhAm-B\n", "\(done.error)")
    }
  }
}
