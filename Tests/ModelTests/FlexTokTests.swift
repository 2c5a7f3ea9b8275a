import Foundation
import TestSupport
import Testing
import VTok

/// The official classes with small sizes and random weights, as their own saver wrote them.
private let cases =
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
  + "/Golden/Cases/flextok/"

@Suite struct FlexTokTests {
  /// One register width for both halves and a learned null; two widths and none.
  static let models = ["tiny_a", "tiny_b"]

  static func load(_ name: String) throws -> FlexTok {
    try FlexTok.load(Checkpoint(file: cases + name + "_model.safetensors"), groups: 4)
  }

  static func pixels(_ height: Int = 64, _ width: Int = 64, seed: UInt64 = 1) -> Tensor {
    Tensor(normalNoise(seed: seed, count: 3 * height * width).map { $0 / 2 }, shape: [3, height, width])
  }

  // MARK: Shortcuts

  /// Registers that are not asked for are not run, and nothing changes for the others.
  @Test(arguments: models) func prefix(_ name: String) throws {
    let model = try Self.load(name)
    let pixels = Self.pixels()
    let latents = try model.latents(of: pixels)
    let all = model.encoder(latents, count: model.maxTokens)
    let ids = try model.encode(pixels: pixels)
    #expect(ids.count == model.maxTokens && Set(ids).count > 4)
    for count in 1...model.maxTokens {
      let some = model.encoder(latents, count: count)
      #expect(distance(some.values, all.values.prefix(some.values.count)) < 1e-5, "\(count) registers")
      #expect(try model.encode(pixels: pixels, tokens: count) == Array(ids.prefix(count)))
    }
  }

  /// One row with a heavier key stands for all equal rows.
  @Test(arguments: models) func collapsedRows(_ name: String) throws {
    let model = try Self.load(name)
    let latents = Tensor(normalNoise(seed: 2, count: 4 * 8 * 8), shape: [4, 8, 8])
    func velocity(_ condition: FlowDecoder.Condition) -> [Float] {
      model.decoder(latents, at: 0.6, [condition])[0].values
    }
    var seen: [[Float]] = []
    for count in [1, 2, 7, 15, 16] {
      let codes = model.quantizer.codes((0..<count).map { $0 * 37 % model.codebookSize })
      let all = velocity(model.decoder.condition(codes, collapsed: false))
      #expect(distance(velocity(model.decoder.condition(codes)), all) < 3e-6, "\(count) of 16")
      seen.append(all)
    }
    let none = velocity(model.decoder.unconditional(collapsed: false))
    #expect(distance(velocity(model.decoder.unconditional()), none) < 3e-6)
    // The weight of the row does matter, and so does every condition.
    for other in seen { #expect(distance(other, none) > 1e-3) }
    #expect(distance(seen[0], seen[1]) > 1e-3)
  }

  /// Conditions in company equal each alone.
  @Test(arguments: models) func stacking(_ name: String) throws {
    let model = try Self.load(name)
    let latents = Tensor(normalNoise(seed: 3, count: 4 * 8 * 8), shape: [4, 8, 8])
    let conditions = [
      model.decoder.condition(model.quantizer.codes([1, 2, 3])), model.decoder.unconditional(),
      model.decoder.condition(model.quantizer.codes([5])),
    ]
    let together = model.decoder(latents, at: 0.25, conditions)
    for (condition, found) in zip(conditions, together) {
      #expect(model.decoder(latents, at: 0.25, [condition])[0] == found)
    }
  }

  // MARK: Pictures

  @Test(arguments: models) func threads(_ name: String) throws {
    let model = try Self.load(name)
    let pixels = Self.pixels()
    let ids = try model.encode(pixels: pixels)
    let picture = try model.decode(Array(ids.prefix(5)), steps: 2, guidance: .adaptiveProjected(4))
    for threads in [2, 3, 7] {
      #expect(try model.encode(pixels: pixels, threads: threads) == ids)
      #expect(
        try model.decode(Array(ids.prefix(5)), steps: 2, guidance: .adaptiveProjected(4), threads: threads) == picture)
    }
  }

  @Test func seeds() throws {
    let model = try Self.load("tiny_a")
    let one = try model.decode([3, 1, 4], steps: 2, seed: 1)
    #expect(try model.decode([3, 1, 4], steps: 2, seed: 1) == one)
    #expect(try model.decode([3, 1, 4], steps: 2, seed: 2) != one)
    // Scale 1 is no guidance, however it is called.
    #expect(try model.decode([3, 1, 4], steps: 2, guidance: .classifierFree(1), seed: 1) == one)
    #expect(try model.decode([3, 1, 4], steps: 2, guidance: .adaptiveProjected(1), seed: 1) == one)
    #expect(try model.decode([3, 1, 4], steps: 2, guidance: .classifierFree(2), seed: 1) != one)
    // This one draws from the posterior, too.
    let drawing = try Self.load("tiny_b")
    #expect(drawing.samplesPosterior && !model.samplesPosterior)
    #expect(try drawing.latents(of: Self.pixels(), seed: 1) == drawing.latents(of: Self.pixels(), seed: 1))
    #expect(try drawing.latents(of: Self.pixels(), seed: 1) != drawing.latents(of: Self.pixels(), seed: 2))
    #expect(try model.latents(of: Self.pixels(), seed: 1) == model.latents(of: Self.pixels(), seed: 2))
  }

  @Test func asImageTokenizer() throws {
    var flextok = try Self.load("tiny_a")
    flextok.steps = 2
    let model: any PaintingTokenizer = flextok
    let photo = try Image.decode(contentsOf: pictures + "/cat.jpg").image
    #expect(model.prepare(photo).size == Size(64))
    #expect(model.codebookSize == 64_000 && abs(model.bitsPerToken - 15.966) < 1e-3)
    #expect(model.lengths(for: photo.size) == .prefixes(16))
    let all = try model.encode(photo)
    #expect(all.ids.count == 16 && all.size == Size(64))
    #expect(try model.encode(photo, tokens: 3) == all.prefix(3))
    let picture = try model.decode(all.prefix(3), seed: 5)
    #expect(picture.size == Size(64))
    #expect(try model.decode(all.prefix(3), seed: 5) == picture)
    let pixels = try flextok.decode(Array(all.ids.prefix(3)), seed: 5)
    #expect(Image(pixels: pixels, range: -1...1) == picture)
  }

  /// Other sizes than the trained one, up to the table of positions.
  @Test func otherSizes() throws {
    let model = try Self.load("tiny_a")
    let ids = try model.encode(pixels: Self.pixels(32, 48))
    #expect(ids.count == 16)
    #expect(try model.decode(ids, steps: 1, size: Size(width: 48, height: 32)).shape == [3, 32, 48])
  }

  @Test func wrongInputs() throws {
    let model = try Self.load("tiny_a")
    func refused(_ part: String, _ body: () throws -> Void) {
      let error = #expect(throws: ModelError.self) { try body() }
      #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }
    refused("flextok: 0, expected 1 to 16") { _ = try model.decode([]) }
    refused("flextok: 17, expected 1 to 16") { _ = try model.decode([Int](repeating: 0, count: 17)) }
    refused("the id 64000") { _ = try model.decode([0, 64_000]) }
    refused("the id -1") { _ = try model.decode([-1]) }
    refused("flextok: 0, expected 1 or more") { _ = try model.decode([0], steps: 0) }
    refused("size to decode to: 24x128") { _ = try model.decode([0], size: Size(width: 24, height: 128)) }
    refused("flextok: 0, expected 1 to 16") { _ = try model.encode(pixels: Self.pixels(), tokens: 0) }
    for shape in [[3, 64, 60], [3, 80, 64], [3, 0, 64], [1, 64, 64], [64, 64]] {
      refused("pixels of flextok") { _ = try model.encode(pixels: Tensor(zeros: shape)) }
    }
    refused("guidance of flextok: nan") { _ = try model.decode([0], guidance: .adaptiveProjected(.nan)) }
    for size in [Size(1), Size(0), Size(65), Size(width: 64, height: -16), Size(128)] {
      refused("size to decode to") { _ = try model.decode(ImageTokens(ids: [1], size: size), seed: 0, threads: 1) }
    }
  }

  // MARK: Files

  /// The tensors of a file under other names, with a configuration that was changed.
  private func altered(
    _ name: String = "tiny_a", half: Bool = false, rename: (String) -> String? = { $0 },
    config change: (inout [String: JSON]) -> Void = { _ in }
  ) throws -> Checkpoint {
    let source = try Safetensors(path: cases + name + "_model.safetensors")
    let checkpoint = try Checkpoint(file: cases + name + "_model.safetensors")
    var members: [String: JSON] = [:]
    for (key, value) in try checkpoint.literalMetadata().object! { members[key] = value }
    change(&members)
    let tensors = try source.entries.compactMap { entry -> (String, Safetensors.Value)? in
      guard let name = rename(entry.name) else { return nil }
      var tensor = try source.tensor(entry.name)
      if name.contains("mid_block.attentions"), name.hasSuffix("weight"), name != entry.name {
        tensor = tensor.reshaped(tensor.shape + [1, 1])
      }
      return (name, half ? .f16(tensor) : .f32(tensor))
    }
    let path = FileManager.default.temporaryDirectory.path + "/flextok-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(
      tensors, metadata: members.mapValues { value in value.string ?? pythonText(value) }, to: path)
    return try Checkpoint(file: path)
  }

  private func pythonText(_ value: JSON) -> String {
    switch value {
    case .null: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .array(let values): return "(" + values.map { pythonText($0) + "," }.joined() + ")"
    case .object(let members):
      return "{" + members.map { "'\($0.key)': " + pythonText($0.value) }.joined(separator: ", ") + "}"
    default: return value.text()
    }
  }

  @Test(arguments: models) func everyTensorIsKnown(_ name: String) throws {
    let checkpoint = try Checkpoint(file: cases + name + "_model.safetensors")
    #expect(FlexTok.matches(checkpoint))
    _ = try FlexTok.load(checkpoint, groups: 4)
    #expect(checkpoint.unusedNames(ignoring: []).isEmpty)
  }

  /// Names of other writers, and half precision.
  @Test func otherLayouts() throws {
    let pixels = Self.pixels()
    let ids = try Self.load("tiny_a").encode(pixels: pixels)
    let renamed = try altered(rename: { name in
      var name = name
      for (new, old) in [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")] {
        name = name.replacingOccurrences(of: "attentions.0.\(new)", with: "attentions.0.\(old)")
      }
      guard name.contains("_transformer.blocks.") else { return name }
      return name.replacingOccurrences(of: ".attn.", with: "._checkpoint_wrapped_module.attn.")
        .replacingOccurrences(of: ".mlp.", with: "._checkpoint_wrapped_module.mlp.")
        .replacingOccurrences(of: ".adaLN_modulation.1", with: "._checkpoint_wrapped_module.adaLN_modulation.1")
        .replacingOccurrences(of: "dec_to_patches._checkpoint_wrapped_module", with: "dec_to_patches")
    })
    let model = try FlexTok.load(renamed, groups: 4)
    #expect(renamed.unusedNames(ignoring: []).isEmpty)
    #expect(try model.encode(pixels: pixels) == ids)
    let half = try FlexTok.load(altered(half: true), groups: 4)
    let latents = try Self.load("tiny_a").latents(of: pixels)
    #expect(try distance(half.latents(of: pixels).values, latents.values) < 0.02)
    #expect(try half.decode(ids, steps: 1).values.allSatisfy(\.isFinite))
  }

  /// Without a header the configuration of the Hub's `config.json`, at top level or under `config`.
  @Test func configFile() throws {
    let pixels = Self.pixels()
    let ids = try Self.load("tiny_a").encode(pixels: pixels)
    let header = try Checkpoint(file: cases + "tiny_a_model.safetensors").literalMetadata()
    let bare = try altered(config: { $0 = [:] })
    #expect(!FlexTok.matches(bare))
    #expect(throws: ModelError.self) { try FlexTok.load(bare, groups: 4) }
    for config in [header, ["config": header]] {
      let path = FileManager.default.temporaryDirectory.path + "/flextok-\(UUID().uuidString)"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: path) }
      try WholeFile.write(config.text(), to: path + "/config.json")
      try WholeFile.write(Array(bare.files[0].bytes), to: path + "/model.safetensors")
      let checkpoint = try Checkpoint(directory: path)
      #expect(FlexTok.matches(checkpoint))
      #expect(try FlexTok.load(checkpoint, groups: 4).encode(pixels: pixels) == ids)
    }
  }

  /// What would compute something else is refused, with the key that says so.
  @Test func refusedConfigurations() throws {
    func refused(_ key: String, _ change: (inout [String: JSON]) -> Void) throws {
      let checkpoint = try altered(config: change)
      let error = #expect(throws: (any Error).self) { try FlexTok.load(checkpoint, groups: 4) }
      #expect("\(error!)".contains(key), "\(error!)")
    }
    func set(_ path: String, _ value: JSON) -> (inout [String: JSON]) -> Void {
      { members in
        var keys = path.split(separator: ".").map(String.init)
        let root = keys.removeFirst()
        members[root] = keys.isEmpty ? value : members[root]!.setting(keys, value)
      }
    }
    let encoder = "encoder.module_dict."
    let decoder = "decoder.module_dict."
    for (path, value) in [
      ("_target_", "os.system"), ("vae._target_", "os.system"), ("pipeline._target_", "some.Pipeline"),
      (encoder + "enc_to_latents._target_", "builtins.eval"), ("encoder._target_", "torch.nn.Sequential"),
      ("vae.scaling_factor", .null), ("vae.scaling_factor", 0), ("regularizer.levels", []),
      ("regularizer.levels", [8, 1]),
      ("regularizer.levels", [65536, 65536, 65536, 65536, 65536]),
      (encoder + "enc_to_latents.use_mup_readout", true), (decoder + "dec_to_patches.use_mup_readout", true),
      (encoder + "enc_seq_packer.mask_mode", "causal"), (decoder + "dec_seq_packer.mask_mode", "causal_last"),
      (encoder + "enc_seq_packer.input_list_read_keys", ["enc_registers", "enc_vae_latents_patched"]),
      (encoder + "enc_register_module.ordering_mode", "avg_pool"), (encoder + "enc_register_module.n_max", 0),
      (decoder + "dec_nested_dropout.eval_keep_k_read_key", .null),
      (decoder + "dec_latent_dropout.eval_drop_flag_read_key", .null),
      (decoder + "dec_transformer.norm_layer", ["elementwise_affine": true]),
      (encoder + "enc_posemb_module.posemb_scaling", "interpolate"), (encoder + "enc_posemb_module.max_sizes", [0, 4]),
      (encoder + "enc_transformer.head_dim", 0), (encoder + "enc_transformer.head_dim", 7),
      (encoder + "enc_transformer.depth", 3),
      (encoder + "enc_transformer.qk_norm", false), (decoder + "dec_transformer.gated_mlp", false),
      (decoder + "dec_transformer.adaLN_expansion", 3), (decoder + "dec_transformer.adaLN_emb_read_key", .null),
      (decoder + "dec_noise_patch_emb.patch_sizes", [2, 4]), (decoder + "dec_noise_patch_emb.patch_sizes", [0, 0]),
      (decoder + "dec_to_patches.patch_sizes", [4, 4]), (decoder + "dec_time_embedder.max_timestep", 0),
      (decoder + "dec_time_embedder.frequency_embedding_size", 7),
    ] as [(String, JSON)] {
      try refused(path, set(path, value))
    }
    // Values that do not fit the tensors.
    try refused("enc_to_latents.proj.weight", set("regularizer.levels", [8, 8, 8, 5, 5]))
    try refused("enc_transformer.blocks.0.mlp.fc1.weight", set(encoder + "enc_transformer.dim", 64))
    // Registers get their positions before some are masked, not after.
    try refused("dec_registers_posemb_module before dec_nested_dropout") { members in
      var modules = JSONObject()
      let old = members["decoder"]!["module_dict"]!.object!
      for (key, value) in old where key != "dec_registers_posemb_module" {
        modules[key] = value
        if key == "dec_nested_dropout" { modules["dec_registers_posemb_module"] = old["dec_registers_posemb_module"] }
      }
      members["decoder"] = members["decoder"]!.setting(["module_dict"], .object(modules))
    }
  }

  /// A damaged literal is not taken for a string, and what is missing is named.
  @Test func damagedFiles() throws {
    let damaged = try altered(config: { $0["decoder"] = "{'_target_': nan}" })
    #expect(throws: WeightError.self) { try FlexTok.load(damaged, groups: 4) }
    for name in ["vae.vae.encoder.conv_in.weight", "decoder.module_dict.dec_nested_dropout.dropout_mask_token"] {
      let checkpoint = try altered(rename: { $0 == name ? nil : $0 })
      let error = #expect(throws: WeightError.self) { try FlexTok.load(checkpoint, groups: 4) }
      #expect(error?.kind == .missingTensor && error?.tensor == name)
    }
    #expect(throws: ModelError.self) { try FlexTok.load(Checkpoint(file: cases + "tiny_a_model.safetensors")) }
    #expect(throws: ModelError.self) {
      try FlexTok.load(Checkpoint(file: cases + "tiny_a_model.safetensors"), groups: 0)
    }
  }

  // MARK: Parts

  /// Every id of some code books is its own code's id.
  @Test(arguments: [[8, 8, 8, 5, 5, 5], [7, 5, 5, 4], [2], [2, 3]]) func codeBook(_ levels: [Int]) {
    let quantizer = FiniteScalarQuantizer(levels: levels)
    let ids = Array(0..<quantizer.codebookSize)
    let codes = quantizer.codes(ids)
    #expect(codes.values.allSatisfy { (-1...1).contains($0) })
    // The bound that a code's own level comes from, inverted.
    var z = codes
    for index in z.values.indices {
      let level = levels[index % levels.count]
      let half = Float(level - 1) * 1.001 / 2
      let offset: Float = level % 2 == 0 ? 0.5 : 0
      z.values[index] =
        atanhf((codes.values[index] * Float(level / 2) + offset) / half) - atanhf(offset / half)
    }
    #expect(quantizer.quantize(z).ids == ids)
    #expect(quantizer.quantize(z).codes == codes)
  }

  @Test func noise() {
    let noise = normalNoise(seed: 11, count: 200_000).map(Double.init)
    let mean = noise.reduce(0, +) / 200_000
    func moment(_ power: Double) -> Double { noise.reduce(0) { $0 + pow($1 - mean, power) } / 200_000 }
    #expect(abs(mean) < 0.01 && abs(moment(2) - 1) < 0.015 && abs(moment(3)) < 0.03 && abs(moment(4) - 3) < 0.1)
    #expect(noise.count { abs($0) > 3 } > 400 && noise.count { abs($0) > 3 } < 680)
    // By counter: a longer stream begins with the shorter one, and seeds are not shifted copies of each other.
    #expect(normalNoise(seed: 11, count: 10) == Array(normalNoise(seed: 11, count: 99).prefix(10)))
    let other = normalNoise(seed: 12, count: 1000)
    #expect(Set(other).intersection(normalNoise(seed: 11, count: 1000)).count < 3)
  }
}

extension JSON {
  /// The value with another one under `keys`.
  fileprivate func setting(_ keys: [String], _ value: JSON) -> JSON {
    guard let key = keys.first else { return value }
    var members = object!
    members[key] = (members[key] ?? .null).setting(Array(keys.dropFirst()), value)
    return .object(members)
  }
}
