import Foundation
import Testing
import VTokTensor
import VTokWeights

@Suite struct CheckpointTests {
  private func values(_ shape: [Int]) -> Safetensors.Value {
    .f32(Tensor((0..<shape.reduce(1, *)).map { Float($0) }, shape: shape))
  }

  /// A folder with a small model, and what `change` does to it.
  private func withModel<Result>(
    _ change: (String) throws -> Void = { _ in }, _ body: (String) throws -> Result
  ) throws -> Result {
    try withFolder { folder in
      try write(#"{"hidden_size": 4, "ratio": Infinity}"#, folder + "/config.json")
      try Safetensors.write(
        [
          ("blocks.0.attn.qkv.weight", values([12, 4])), ("blocks.0.attn.qkv.bias", values([12])),
          ("blocks.0.norm.weight", values([4])), ("blocks.0.norm.bias", values([4])),
          ("blocks.1.attn.qkv.weight", .f16(Tensor(zeros: [12, 4]))), ("pos_embed", values([1, 5, 4])),
          ("patch_embed.proj.weight", values([4, 3, 2, 2])), ("logit_scale", values([])), ("scale1", values([1])),
          ("embeddings.position_ids", .i64([0, 1], shape: [1, 2])), ("mask_token", values([1, 1, 4])),
        ], metadata: ["format": "pt"], to: folder + "/model.safetensors")
      try change(folder)
      return try body(folder)
    }
  }

  @Test func asksByPathAndShape() throws {
    try withModel { folder in
      let checkpoint = try Checkpoint(directory: folder)
      #expect(checkpoint.config["hidden_size"] == 4 && checkpoint.config["ratio"]?.double == .infinity)
      let block = checkpoint["blocks"][0]
      #expect(block.prefix == "blocks.0" && checkpoint.count("blocks") == 2 && checkpoint.count("layers") == 0)
      let c = 4
      #expect(try block.weight("attn.qkv.weight", [3 * c, c]).row(1) == [4, 5, 6, 7])
      #expect(try block["norm"].vector("weight", [c]) == [0, 1, 2, 3])
      #expect(try block.vectorIfPresent("attn.qkv.bias", [3 * c])?.count == 12)
      #expect(try checkpoint["blocks"][1].vectorIfPresent("attn.qkv.bias", [nil]) == nil)
      #expect(try block.vector("norm.bias", [c]) == [0, 1, 2, 3])
      #expect(try checkpoint.tensor("pos_embed", [1, nil, c]).shape == [1, 5, 4])
      let patches = try checkpoint.weight("patch_embed.proj.weight", [c, 3, nil, nil])
      #expect(patches.rows == 4 && patches.columns == 12)
      #expect(try checkpoint.scalar("logit_scale") == 0 && checkpoint.scalar("scale1") == 0)
      #expect(try checkpoint.vectorIfPresent("cls", [c]) == nil)
      #expect(checkpoint.has("pos_embed") && !block.has("pos_embed") && block.shape("norm.bias") == [4])
      #expect(block.tensors.count == 4 && checkpoint.tensors.count == 11)
      #expect(checkpoint.metadata == ["format": "pt"] && checkpoint.files.count == 1)
    }
  }

  @Test func tellsWhatIsWrong() throws {
    try withModel { folder in
      let checkpoint = try Checkpoint(directory: folder)
      let shape = weightError { _ = try checkpoint["blocks"][0].weight("attn.qkv.weight", [8, nil]) }
      #expect(
        shape?.description == """
          \(folder)/model.safetensors: tensor `blocks.0.attn.qkv.weight`: found shape [12, 4], expected [8, any]. \
          The weights are not those of the model in config.json: fetch both from one revision.
          """)
      #expect(weightError { _ = try checkpoint.vector("pos_embed", [4]) }?.kind == .shape)
      let missing = weightError { _ = try checkpoint["block"][0].vector("norm.weight", [4]) }
      #expect(
        missing?.description == """
          \(folder): tensor `block.0.norm.weight`: found no such tensor among 11, expected shape [4]. \
          Similar names: `blocks.0.norm.weight`.
          """)
      let prefixed = weightError { _ = try checkpoint["model"].tensor("pos_embed", [nil, nil, nil]) }
      #expect(prefixed?.fix == "Similar names: `pos_embed`.")
      #expect(weightError { _ = try checkpoint.vector("qq", [4]) }?.fix.hasPrefix("Nothing similar") == true)
      #expect(weightError { _ = try checkpoint.tensor("embeddings.position_ids", [1, 2]) }?.kind == .unsuitableType)
    }
  }

  @Test func remembersWhatWasAskedFor() throws {
    try withModel { folder in
      let checkpoint = try Checkpoint(directory: folder)
      for entry in checkpoint["blocks"].tensors { _ = try checkpoint.tensor(entry.name, entry.shape) }
      DispatchQueue.concurrentPerform(iterations: 200) { index in
        _ = try? checkpoint.tensor(
          ["pos_embed", "logit_scale", "nothing"][index % 3], index % 3 == 0 ? [1, 5, 4] : [])
      }
      #expect(checkpoint.unusedNames() == ["patch_embed.proj.weight", "scale1"])
      #expect(checkpoint.unusedNames(ignoring: ["*.weight", "s*1", "*_ids"]) == ["mask_token"])
      #expect(checkpoint["blocks"].unusedNames() == [])
      #expect(try Checkpoint(directory: folder)["blocks"].unusedNames().count == 5)
    }
  }

  @Test func otherNames() throws {
    try withModel { folder in
      let checkpoint = try Checkpoint(directory: folder)
      let renamed = checkpoint.renamed { $0.hasPrefix("blocks.") ? "layers." + $0.dropFirst(7) : $0 }
      let layer = renamed["layers"][0]
      #expect(renamed.count("layers") == 2 && renamed.count("blocks") == 0 && layer.tensors.count == 4)
      #expect(try layer.weight("attn.qkv.weight", [12, 4]).rows == 12 && renamed.has("pos_embed"))
      #expect(layer.shape("norm.weight") == [4] && !renamed.has("blocks.0.norm.weight"))
      // Lists and messages have the names of the file, and all views share what was asked for.
      #expect(checkpoint["blocks"].unusedNames() == layer.unusedNames() + ["blocks.1.attn.qkv.weight"])
      let missing = weightError { _ = try renamed["layers"][1].vector("norm.weight", [4]) }
      #expect(missing?.tensor == "blocks.1.norm.weight" && missing?.fix == "Similar names: `blocks.0.norm.weight`.")
      #expect(weightError { _ = try layer.vector("norm.bias", [3]) }?.tensor == "blocks.0.norm.bias")
      let both = checkpoint.renamed { $0.hasSuffix("norm.bias") || $0.hasSuffix("norm.weight") ? "norm" : $0 }
      #expect(both.has("norm") && both.tensors.count == 11)
    }
  }

  @Test func readsOtherFiles() throws {
    try withModel { folder in
      let checkpoint = try Checkpoint(directory: folder)
      #expect(try checkpoint.json("preprocessor_config.json") == nil)
      try write("{\"size\": 224}", folder + "/preprocessor_config.json")
      #expect(try checkpoint.json("preprocessor_config.json")?["size"] == 224)
      try write("{\"size\": 224", folder + "/preprocessor_config.json")
      let error = weightError { _ = try checkpoint.json("preprocessor_config.json") }
      #expect(error?.kind == .malformedJSON && error?.found.contains("byte 12") == true)
      try write("", folder + "/preprocessor_config.json")
      #expect(weightError { _ = try checkpoint.json("preprocessor_config.json") }?.kind == .emptyFile)
    }
  }

  @Test func readsMemory() throws {
    let config = Array("{\"depth\": 1}".utf8)
    let weights = try Safetensors.encode([("a", values([2, 2]))])
    try config.withUnsafeBytes { config in
      try weights.withUnsafeBytes { weights in
        let checkpoint = try Checkpoint(name: "vtok-tiny", config: config, weights: weights)
        #expect(checkpoint.config["depth"] == 1 && checkpoint.name == "vtok-tiny")
        #expect(try checkpoint.weight("a", [2, 2]).row(1) == [2, 3])
        #expect(try checkpoint.json("tokenizer.json") == nil)
        #expect(weightError { _ = try checkpoint.vector("b", [1]) }?.description.hasPrefix("vtok-tiny: tensor") == true)
      }
    }
  }

  // MARK: Shards

  private func withShards(_ index: String?, _ body: (String) throws -> Void) throws {
    try withModel(
      { folder in
        try FileManager.default.removeItem(atPath: folder + "/model.safetensors")
        try Safetensors.write([("a", values([2])), ("b", values([3]))], to: folder + "/model-1.safetensors")
        try Safetensors.write([("c", values([4]))], to: folder + "/model-2.safetensors")
        if let index { try write(index, folder + "/model.safetensors.index.json") }
      }, body)
  }

  @Test func readsShards() throws {
    let map = #"{"a": "model-1.safetensors", "c": "model-2.safetensors", "b": "model-1.safetensors"}"#
    try withShards("{\"metadata\": {\"total_size\": 36}, \"weight_map\": \(map)}") { folder in
      let checkpoint = try Checkpoint(directory: folder)
      #expect(checkpoint.tensors.map(\.name) == ["a", "b", "c"])
      #expect(checkpoint.tensors[2].file == folder + "/model-2.safetensors")
      #expect(try checkpoint.vector("c", [4]) == [0, 1, 2, 3] && checkpoint.vector("b", [3]) == [0, 1, 2])
      try FileManager.default.removeItem(atPath: folder + "/model-2.safetensors")
      let error = weightError { _ = try Checkpoint(directory: folder) }
      #expect(error?.kind == .missingFile && error?.file == folder + "/model-2.safetensors")
      try Safetensors.write([("c", values([4])), ("a", values([1]))], to: folder + "/model-2.safetensors")
      #expect(weightError { _ = try Checkpoint(directory: folder) }?.tensor == "a")
    }
  }

  static let badIndexes: [(String, WeightError.Kind, String)] = [
    ("{}", .index, "weight_map missing"), (#"{"weight_map": {}}"#, .index, "an object of 0"),
    (#"{"weight_map": 3}"#, .index, "the number 3"), (#"{"weight_map": {"a": 1}}"#, .index, "the number 1"),
    (#"{"weight_map": {"a": "../model-1.safetensors"}}"#, .index, "a file in this folder"),
    (#"{"weight_map": {"a": "/etc/passwd"}}"#, .index, "a file in this folder"),
    (#"{"weight_map": {"a": ".."}}"#, .index, "a file in this folder"),
    (#"{"weight_map": {"zz": "model-1.safetensors"}}"#, .index, "no such tensor in model-1.safetensors"),
    (#"{"weight_map": {"a": "model-9.safetensors"}}"#, .missingFile, "a shard that"), ("{", .malformedJSON, "byte 1"),
  ]

  @Test(arguments: badIndexes) func refusesIndexes(_ index: String, _ kind: WeightError.Kind, _ part: String) throws {
    try withShards(index) { folder in
      let error = weightError { _ = try Checkpoint(directory: folder) }
      #expect(error?.kind == kind && error?.description.contains(part) == true, "\(error?.description ?? "")")
    }
  }

  // MARK: Folders

  @Test func refusesFolders() throws {
    try withFolder { folder in
      func refused() -> WeightError? { weightError { _ = try Checkpoint(directory: folder) } }
      #expect(weightError { _ = try Checkpoint(directory: folder + "/no") }?.kind == .notADirectory)
      #expect(refused()?.found == "no weights")
      try write("x", folder + "/flax_model.msgpack")
      let other = refused()
      #expect(other?.kind == .unsupportedFormat && other?.fix.contains("save_pretrained") == true)
      #expect(weightError { _ = try Checkpoint(directory: folder + "/flax_model.msgpack") }?.found == "a file")
      try Safetensors.write([("a", values([2]))], to: folder + "/vit.safetensors")
      #expect(refused()?.file == folder + "/config.json")
      try write("{}", folder + "/config.json")
      #expect(try Checkpoint(directory: folder).has("a"))
      try Safetensors.write([("a", values([2]))], to: folder + "/other.safetensors")
      #expect(refused()?.found.hasPrefix("2 weight files and no index") == true)
    }
  }

  /// Parts of a mapped file that were forgotten are read again; memory that is no file keeps what it has.
  @Test func forgottenPagesComeBack() throws {
    let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try withFolder { folder in
      try write(bytes, folder + "/file")
      let mapped = try MappedFile(path: folder + "/file")
      let copy = bytes.withUnsafeBytes { MappedFile(copying: $0, name: "copy") }
      for file in [mapped, copy] {
        for range in [0..<50_000, 5_000..<30_000, 4_096..<8_192, 49_000..<50_000, 100..<200, 7..<7] {
          file.withBytes { file.forget(UnsafeRawBufferPointer(rebasing: $0[range])) }
          #expect(file.withBytes { Array($0) } == bytes)
        }
      }
    }
  }

  @Test func refusesWhatIsNoFile() throws {
    try withFolder { folder in
      func kind(_ name: String) -> WeightError.Kind? {
        weightError { _ = try MappedFile(path: folder + "/" + name) }?.kind
      }
      #expect(kind("none") == .missingFile && kind("") == .notAFile)
      try write("", folder + "/empty")
      #expect(kind("empty") == .emptyFile && kind("empty/x") == .missingFile)
      #expect(mkfifo(folder + "/pipe", 0o600) == 0 && kind("pipe") == .notAFile)
      #expect(symlink(folder + "/gone", folder + "/link") == 0 && kind("link") == .missingFile)
      #expect(symlink(folder + "/loop", folder + "/loop") == 0 && kind("loop") == .unreadableFile)
      try write("x", folder + "/secret")
      chmod(folder + "/secret", 0)
      if geteuid() != 0 { #expect(kind("secret") == .unreadableFile) }
      chmod(folder + "/secret", 0o600)
      let file = try MappedFile(path: folder + "/secret")
      #expect(file.count == 1 && file.withBytes { $0[0] } == UInt8(ascii: "x"))
    }
  }
}
