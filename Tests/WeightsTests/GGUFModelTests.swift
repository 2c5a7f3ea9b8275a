import Testing
import VTokCore
import VTokModels
import VTokTensor
import VTokWeights

/// Models inside GGUF files: how keys and tensors are refused, each by its name, before anything is reserved for it; and forms
/// of a file that no golden has.
@Suite struct GGUFModelTests {
  /// A Llama of one layer, 32 channels, 4 heads and 2 of keys.
  private static func model(
    fused: Bool = false, divisors: [Float]? = nil, _ change: (inout GGUFBuilder) -> Void = { _ in }
  ) -> GGUFBuilder {
    var generator = SeededGenerator(seed: 7)
    func random(_ rows: Int, _ columns: Int) -> Tensor {
      Tensor((0..<rows * columns).map { _ in Float.random(in: -0.2...0.2, using: &generator) }, shape: [rows, columns])
    }
    var file = GGUFBuilder()
    file.add("general.architecture", "llama")
    for (key, value) in [
      ("block_count", 1), ("context_length", 64), ("embedding_length", 32), ("feed_forward_length", 48),
      ("attention.head_count", 4), ("attention.head_count_kv", 2), ("vocab_size", 40),
    ] {
      file.add("llama.\(key)", UInt32(value))
    }
    file.add("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
    let ones = Tensor([Float](repeating: 1, count: 32), shape: [32])
    let (q, k, v) = (random(32, 32), random(16, 32), random(16, 32))
    file.add("token_embd.weight", random(40, 32))
    file.add("output.weight", random(40, 32))
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] { file.add("\(name).weight", ones) }
    if fused {
      file.add("blk.0.attn_qkv.weight", Tensor(q.values + k.values + v.values, shape: [64, 32]))
    } else {
      for (name, tensor) in [("q", q), ("k", k), ("v", v)] { file.add("blk.0.attn_\(name).weight", tensor) }
    }
    file.add("blk.0.attn_output.weight", random(32, 32))
    for name in ["gate", "up"] { file.add("blk.0.ffn_\(name).weight", random(48, 32)) }
    file.add("blk.0.ffn_down.weight", random(32, 48))
    if let divisors { file.add("rope_freqs.weight", Tensor(divisors, shape: [divisors.count])) }
    change(&file)
    return file
  }

  private func load(_ file: GGUFBuilder) throws -> LanguageModel {
    try LanguageModel.load(Checkpoint(gguf: opened(file, "model.gguf")))
  }

  private func opened(_ file: GGUFBuilder, _ name: String) throws -> GGUF {
    try GGUF(GGUFFile(file.bytes.withUnsafeBytes { MappedFile(copying: $0, name: name) }))
  }

  private func logits(_ file: GGUFBuilder) throws -> [Float] {
    let model = try load(file)
    let ids = [3, 1, 4, 1, 5]
    let tokens = TokenSequence(
      x: try model.embeddings(of: ids), kind: ids.map { _ in .text }, origin: Origin(ids.map { _ in nil }))
    var run = Run(.dense(Shape(tower: nil, decoder: model.shape)))
    return model.logits(model.normed(try model.prefill(tokens, run: &run).tokens.x)).values
  }

  /// The base line of the files that must be refused.
  @Test func aWholeModel() throws {
    let checkpoint = try Checkpoint(gguf: GGUFTests.folder + "ok-model.gguf")
    #expect(try LanguageModel.load(checkpoint).shape.vocabulary == 40)
    #expect(try TextTokenizer(checkpoint).encode("t0").first == 1)
  }

  /// Later parts are not models of their own, and a folder with other weights is no folder of GGUF files.
  @Test func filesOfAFolder() throws {
    try withFolder { folder in
      let names = ["b-00001-of-00003.gguf", "b-00002-of-00003.gguf", "b-00003-of-00003.gguf", "a.gguf", "x-of-2.gguf"]
      for name in names + ["config.json"] { try write("x", folder + "/" + name) }
      #expect(try GGUF.files(in: folder) == ["a.gguf", "b-00001-of-00003.gguf", "x-of-2.gguf"])
      try write("x", folder + "/model.safetensors")
      #expect(try GGUF.files(in: folder).isEmpty)
    }
  }

  /// Rows of q, k and v on top of each other are those of three matrices; rotary frequencies may be divided.
  @Test func otherForms() throws {
    let plain = try logits(Self.model())
    #expect(try logits(Self.model(fused: true)) == plain)
    #expect(try logits(Self.model(divisors: [1, 1, 1, 1])) == plain)
    let divided = try logits(Self.model(divisors: [1, 2, 4, 8]))
    #expect(divided != plain && zip(divided, plain).allSatisfy { abs($0 - $1) < 1 })
    let doubled = try logits(
      Self.model {
        $0.add("llama.rope.scaling.type", "linear")
        $0.add("llama.rope.scaling.factor", Float(2))
      })
    #expect(doubled == (try logits(Self.model(divisors: [2, 2, 2, 2]))))
    // One number a layer, all equal.
    #expect(
      try logits(changing("attention.head_count_kv") { $0.add("llama.attention.head_count_kv", [2] as [Int32]) })
        == plain)
    // Without a head the embeddings are it.
    #expect(try load(Self.model { $0.removeTensor("output.weight") }).shape.vocabulary == 40)
  }

  private func changing(_ key: String, _ change: (inout GGUFBuilder) -> Void) -> GGUFBuilder {
    Self.model {
      $0.remove("llama." + key)
      change(&$0)
    }
  }

  /// Numbers of keys that no model has.
  @Test(arguments: [
    ("block_count", UInt32.max), ("block_count", 0), ("embedding_length", UInt32.max), ("embedding_length", 0),
    ("feed_forward_length", 0), ("feed_forward_length", UInt32.max), ("context_length", 0),
    ("attention.head_count", 0), ("attention.head_count", UInt32.max), ("attention.head_count_kv", 0),
    ("attention.head_count_kv", 3), ("attention.key_length", 7), ("attention.key_length", UInt32.max),
    ("attention.value_length", 16), ("rope.dimension_count", 4), ("vocab_size", UInt32.max),
  ]) func absurdNumbers(key: String, value: UInt32) throws {
    #expect {
      _ = try load(changing(key) { $0.add("llama." + key, value) })
    } throws: { error in
      guard case .configuration(let file, let named, _, _)? = error as? ModelError else { return false }
      return file.hasSuffix("model.gguf") && named == "llama." + key
    }
  }

  @Test(arguments: ["block_count", "embedding_length", "feed_forward_length", "attention.layer_norm_rms_epsilon"])
  func absentKeys(_ key: String) throws {
    #expect {
      _ = try load(changing(key) { _ in })
    } throws: { "\($0)".contains("'llama.\(key)' is missing") }
  }

  private struct Fault: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let change: @Sendable (inout GGUFBuilder) -> Void
  }
  private static let faults: [Fault] = [
    Fault(testDescription: "llama.rope.scaling.type") { $0.add("llama.rope.scaling.type", "yarn") },
    Fault(testDescription: "llama.rope.freq_base") { $0.add("llama.rope.freq_base", Float.nan) },
    Fault(testDescription: "llama.rope.freq_base") { $0.add("llama.rope.freq_base", Float(0)) },
    Fault(testDescription: "llama.attention.layer_norm_rms_epsilon") {
      $0.remove("llama.attention.layer_norm_rms_epsilon")
      $0.add("llama.attention.layer_norm_rms_epsilon", "small")
    },
    Fault(testDescription: "llama.attention.head_count_kv") {
      $0.remove("llama.attention.head_count_kv")
      $0.add("llama.attention.head_count_kv", [2, 1] as [Int32])
    },
    Fault(testDescription: "llama.attention.head_count_kv") {
      $0.remove("llama.attention.head_count_kv")
      $0.add("llama.attention.head_count_kv", [] as [Int32])
    },
    Fault(testDescription: "blk.0.ffn_up.weight") { $0.removeTensor("blk.0.ffn_up.weight") },
    Fault(testDescription: "token_embd.weight") { $0.removeTensor("token_embd.weight") },
    Fault(testDescription: "blk.0.attn_q.weight") {
      $0.removeTensor("blk.0.attn_q.weight")
      $0.add("blk.0.attn_q.weight", Tensor(zeros: [24, 32]))
    },
    Fault(testDescription: "blk.0.attn_q.weight") { $0.removeTensor("blk.0.attn_q.weight") },
    Fault(testDescription: "blk.0.attn_q.bias") { $0.add("blk.0.attn_q.bias", Tensor(zeros: [32])) },
    Fault(testDescription: "blk.0.attn_sinks.weight") { $0.add("blk.0.attn_sinks.weight", Tensor(zeros: [4])) },
    Fault(testDescription: "NVFP4") { $0.add("blk.0.attn_q.scale", Tensor(zeros: [1])) },
    Fault(testDescription: "rope_freqs.weight") { $0.add("rope_freqs.weight", Tensor(zeros: [4])) },
    Fault(testDescription: "rope_freqs.weight") { $0.add("rope_freqs.weight", Tensor([1, 1], shape: [2])) },
    Fault(testDescription: "'gemma3n'") {
      $0.remove("general.architecture")
      $0.add("general.architecture", "gemma3n")
    },
    Fault(testDescription: "general.architecture") { $0.remove("general.architecture") },
  ]

  @Test(arguments: faults.indices) func whatIsWrongIsNamed(_ index: Int) throws {
    let fault = Self.faults[index]
    #expect {
      _ = try load(Self.model(fault.change))
    } throws: { error in
      (error is ModelError || error is WeightError) && "\(error)".contains(fault.testDescription)
        && "\(error)".utf8.allSatisfy { $0 >= 0x20 }
    }
  }

  // MARK: Towers

  /// The keys of a projector's file, with what each must be refused for.
  @Test(arguments: [
    ("clip.projector_type", "'resampler'"), ("clip.projector_type", "clip.projector_type"),
    ("clip.vision.block_count", "clip.vision.block_count"), ("clip.vision.patch_size", "clip.vision.patch_size"),
    ("clip.vision.image_size", "clip.vision.image_size"), ("clip.vision.image_mean", "clip.vision.image_mean"),
    ("clip.vision.attention.head_count", "clip.vision.attention.head_count"),
    ("clip.vision.feature_layer", "clip.vision.feature_layer"), ("clip.use_gelu", "clip.use_gelu"),
  ]) func wrongTowers(key: String, named: String) throws {
    var file = GGUFBuilder()
    file.add("general.architecture", "clip")
    file.add("clip.projector_type", "mlp")
    for (name, value) in [
      ("block_count", 2), ("patch_size", 4), ("image_size", 8), ("embedding_length", 32), ("feed_forward_length", 64),
      ("attention.head_count", 2),
    ] {
      file.add("clip.vision.\(name)", UInt32(value))
    }
    file.add("clip.vision.attention.layer_norm_epsilon", Float(1e-5))
    file.add("mm.2.weight", Tensor(zeros: [32, 32]))
    file.remove(key)
    if named == "'resampler'" {
      file.add(key, "resampler")
    } else if key == "clip.vision.image_mean" {
      file.add(key, [0.5, .nan, 0.5] as [Float])
    } else if key == "clip.vision.feature_layer" {
      file.add(key, [3] as [Int32])
    } else {
      file.add(key, UInt32.max)
    }
    #expect {
      _ = try Checkpoint(gguf: opened(Self.model(), "model.gguf"), mmproj: opened(file, "mmproj.gguf"))
    } throws: { error in error is ModelError && "\(error)".contains(named) && "\(error)".contains("mmproj.gguf") }
  }
}
