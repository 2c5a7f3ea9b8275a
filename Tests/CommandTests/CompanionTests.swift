import Foundation
import Testing
import VTok

/// CDPruner as published, with the CLIP that a model's tower comes from.
@Suite struct CompanionTests {
  /// A CLIP around the tower of `llava15-tiny-d`, everything else random.
  static func clip(of model: String, in folder: String, vocabulary: Int = 1114) throws -> String {
    let directory = folder + "/clip"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let source = try Safetensors(path: model + "/model.safetensors")
    var generator = SeededGenerator(seed: 5)
    var tensors: [(String, Safetensors.Value)] = []
    let prefix = "vision_tower."
    for entry in source.entries where entry.name.hasPrefix(prefix) {
      tensors.append(("vision_model." + entry.name.dropFirst(prefix.count), .f32(try source.tensor(entry.name))))
    }
    func random(_ name: String, _ shape: [Int]) {
      let values = (0..<shape.reduce(1, *)).map { _ in name.contains("norm") ? 1 : 0.3 * generator.normal() }
      tensors.append((name, .f32(Tensor(values, shape: shape))))
    }
    let width = 16
    for name in ["vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias"]
    where !tensors.contains(where: { $0.0 == name }) { random(name, [32]) }
    random("visual_projection.weight", [8, 32])
    random("text_projection.weight", [8, width])
    random("logit_scale", [])
    let text = "text_model."
    random(text + "embeddings.token_embedding.weight", [vocabulary, width])
    random(text + "embeddings.position_embedding.weight", [12, width])
    for name in ["encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2", "final_layer_norm"] {
      for part in ["weight", "bias"] { random("\(text)\(name).\(part)", [width]) }
    }
    let layer = text + "encoder.layers.0."
    for (name, rows, columns) in ["q", "k", "v", "out"].map({ ("self_attn.\($0)_proj", width, width) })
      + [("mlp.fc1", 32, width), ("mlp.fc2", width, 32)]
    {
      random("\(layer)\(name).weight", [rows, columns])
      random("\(layer)\(name).bias", [rows])
    }
    try Safetensors.write(tensors, metadata: [:], to: directory + "/model.safetensors")
    let tokenizer = repository + "/Tests/Golden/Cases/clip-tokenizer/mini_600/"
    for name in try FileManager.default.contentsOfDirectory(atPath: tokenizer) {
      try FileManager.default.copyItem(atPath: tokenizer + name, toPath: directory + "/" + name)
    }
    let own = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: model + "/config.json"))))
    let merges = try String(contentsOfFile: tokenizer + "merges.txt", encoding: .utf8)
    let names = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: tokenizer + "vocab.json"))))
    let ids = try CLIPTokenizer(vocabulary: names, merges: merges)
    let config: JSON = [
      "model_type": "clip", "projection_dim": 8, "vision_config": own["vision_config"]!,
      "text_config": [
        "model_type": "clip_text_model", "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2,
        "num_hidden_layers": 1, "max_position_embeddings": 12, "vocab_size": JSON(vocabulary),
        "eos_token_id": JSON(ids.end),
      ],
    ]
    try write(config.text(), directory + "/config.json")
    return directory
  }

  @Test func questionsChooseTokens() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let clip = try Self.clip(of: model, in: folder)
      let common = ["--model", model, "--method", "cdpruner", "--keep-tokens", "16", "--companion", clip]
      var kept: [[Int64]] = []
      for question in ["what is it", "a much longer question about the cat, in several pieces of text"] {
        let done = try vtok(
          ["prune", pictures + "/cat.jpg", "-o", folder + "/out", "--force", "--prompt", question] + common)
        #expect(done.status == 0, "\(done.error)")
        let file = try Safetensors(path: folder + "/out/tokens-00000.safetensors")
        kept.append(try file.integers("0.keep"))
        // The same by hand: features and question in the space of the CLIP, one piece a row.
        let whole = try CLIP.load(Checkpoint(directory: clip))
        let tokenizer = try CLIPTokenizer(Checkpoint(directory: clip))
        let ids = [tokenizer.start] + tokenizer.encode(question) + [tokenizer.end]
        let pieces = stride(from: 0, to: ids.count, by: 12).map { start in
          let piece = Array(ids[start..<min(start + 12, ids.count)])
          return whole.text(piece + [Int](repeating: 0, count: 12 - piece.count)).projected
        }
        let generator = try Generator(model: model)
        var joined = generator.model
        joined.joint = JointSpace(whole)
        let method = try MethodSpec("cdpruner").make(budget: .tokens(16))
        var run = Run(try Composition(method, for: joined.shape), seed: mixedSeed(0, "cat.jpg"))
        run.question = Tensor(pieces.flatMap { $0 }, shape: [pieces.count, 8])
        let image = try generator.picture(Image.decode(contentsOf: pictures + "/cat.jpg").image)
        let spans = try joined.encode([image], run: &run)
        let isSame = try spans[0][0].x == file.tensor("0.tokens")
        #expect(isSame && pieces.count > (kept.count - 1))
      }
      #expect(kept[0].count == 16 && kept[0] != kept[1])

      let answer = try vtok(
        [
          "generate", "--image", pictures + "/cat.jpg", "--prompt", "what is it", "--max-tokens", "3", "--format",
          "jsonl",
        ]
          + common)
      #expect(answer.status == 0, "\(answer.error)")
      #expect(try JSON(parsing: Array(answer.out.utf8)).value(at: "tokens.out") == 16)
    }
  }

  /// A bench reads every question anew; without the CLIP the method is left out with the reason.
  @Test func benchesAskEveryQuestion() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let clip = try Self.clip(of: model, in: folder)
      let data = try AnswerBenchTests.questions(in: folder)
      let generator = try Generator(model: model, companion: clip)
      let pruned = try generator.with(MethodSpec("cdpruner"), keep: .tokens(16))
      let task = try QuestionTask(
        generator, data: QuestionFile(data), contenders: [.init(method: "cdpruner", asked: .own, subject: pruned)],
        limit: 4, keepsAnswers: true)
      let alone = try task.data.items.flatMap { shown in
        let images = try shown.paths.map { try Image.decode(contentsOf: $0).image }
        let seed = mixedSeed(0, shown.names.joined())
        return try shown.questions.map { try pruned($0.text, about: images, limit: 4, seed: seed).text }
      }
      #expect(try QuestionBench(task).run().rows[1].records[0].map(\.answer) == alone)
      let base = ["bench", "--model", model, "--data", data, "--method", "cdpruner", "--max-tokens", "2"]
      let refused = try vtok(base)
      #expect(refused.status == 2 && refused.error.contains("--companion"))
      let left = try vtok(base + ["--skip-refused"])
      #expect(left.status == 0 && left.out.contains("Left out: cdpruner"))
    }
  }

  @Test func aCompanionOfAnotherTower() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let other = repository + "/Tests/Golden/Cases/vit-runtime/hf_clip_zero_shot"
      let small = try Self.clip(of: model, in: folder, vocabulary: 500)
      for (clip, says) in [(other, "no text tokenizer"), (small, "500"), (folder + "/none", "none")] {
        let done = try vtok(
          "generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", "?", "--method", "cdpruner",
          "--companion", clip)
        #expect(done.status == 1 && done.error.contains(says), "\(done.error)")
      }
    }
  }
}
