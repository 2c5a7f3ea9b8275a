import Foundation
import TestSupport
import Testing
import VTok

/// Models with trained parts that reduce tokens: p-MoD's routers, QueCC's connector. The numbers are the goldens' matter; here is
/// how they live in whole models.
@Suite struct TrainedModelTests {
  // MARK: Checkpoints made of a golden one

  private static let base = TinyModels.folder + "llava15-tiny-d"

  /// The golden checkpoint with other names and more tensors.
  private static func model(
    _ change: (inout [(String, Tensor)], inout JSONObject) throws -> Void
  ) throws -> (model: MultimodalModel, outline: ModelOutline) {
    let file = try Safetensors(path: base + "/model.safetensors")
    var tensors = try file.entries.map { ($0.name, try file.tensor($0.name)) }
    var config = try Checkpoint(directory: base).config.object!
    try change(&tensors, &config)
    let path = FileManager.default.temporaryDirectory.path + "/trained-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(tensors.map { ($0, .f32($1)) }, to: path)
    let json = JSON.object(config)
    return (try .load(Checkpoint(file: path, config: json)), try ModelOutline(config: json))
  }

  private static func noise(_ shape: [Int], _ generator: inout SeededGenerator, scale: Float = 0.3) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { _ in scale * generator.normal() }, shape: shape)
  }

  private static func set(_ values: [(String, JSON)], at section: String, in config: inout JSONObject) {
    var members = config[section]!.object!
    for (key, value) in values { members[key] = value }
    config[section] = .object(members)
  }

  // MARK: p-MoD

  /// Layers 2 and 3 of 4 with routers, as published checkpoints name them.
  private static func mixture(_ settings: [(String, JSON)]) throws -> (model: MultimodalModel, outline: ModelOutline) {
    try model { tensors, config in
      set(settings, at: "text_config", in: &config)
      var generator = SeededGenerator(seed: 5)
      let shape = try ModelOutline(config: .object(config)).shape.decoder!
      tensors = tensors.map { name, tensor in
        let parts = name.split(separator: ".")
        guard name.hasPrefix("language_model.model.layers."), shape.shares[Int(parts[3])!] != nil else {
          return (name, tensor)
        }
        return (name.replacing("layers.\(parts[3]).", with: "layers.\(parts[3]).decoder_layer."), tensor)
      }
      for layer in shape.shares.indices where shape.shares[layer] != nil {
        let name = "language_model.model.layers.\(layer).router.router."
        tensors += [
          (name + "weight", noise([1, shape.width], &generator)), (name + "bias", Tensor([0.1], shape: [1])),
        ]
      }
    }
  }

  @Test func visualTokensPassLayersBy() throws {
    let (model, outline) = try Self.mixture([
      ("mod_target_layers", "deep_all_include_last"), ("mod_router_factor", 0.3),
    ])
    let image = TinyModels.noise(for: model, seed: 1)
    let ids = try TinyModels.prompt(model, [image])
    var run = Run(.dense(model.shape))
    var decoding = try model.prefill(ids, [image], run: &run)
    try model.language.step(7, &decoding, run: &run)
    let (text, inside) = (ids.count - 1, 19)  // 0.3 of 64, cut
    #expect(run.trace.language.map { $0.rows[0] } == [text + 64, text + 64, text + inside, text + inside, 1, 1, 1, 1])
    #expect(run.trace.language.map(\.bypassing) == [0, 0, 45, 45, 0, 0, 0, 0])
    #expect(decoding.caches.map { $0[0].count } == [text + 65, text + 65, text + inside + 1, text + inside + 1])
    #expect(decoding.tokens.count == 1 && decoding.position == text + 65)
    // In a cache stands what entered, at its own place in the prompt.
    for cache in decoding.caches { #expect(cache[0].position.map(\.t) == cache[0].id) }
    // Sites see whole sequences; nothing is lost at the end, and without a picture nothing is routed.
    let all = try TinyModels.logits(model, [image])
    #expect(all.tokens.count == text + 64)
    #expect(try TinyModels.logits(model, [], ids: [5, 9, 4]).run.trace.language.allSatisfy { $0.bypassing == 0 })
    // The ledger knows the routers, and so does a rehearsal.
    let cost = Cost(of: run.trace, shape: model.shape)
    #expect(cost.language!.prefill.map(\.probes) == [0, 0, 64 * 48, 64 * 48])
    let rehearsed = try Rehearsal.trace(
      [], of: outline, ids: ids, placeholder: model.placeholder, images: [image], newTokens: 2)
    #expect(Cost(of: rehearsed, shape: model.shape) == cost)
    let table = CostTable(run.trace, dense: rehearsed, shape: model.shape)
    #expect(table.tokensIn == 64 && table.tokensOut == 64)
  }

  /// A method may cut before and between routed layers, and on their caches; it may not rank what only some tokens took part in.
  @Test func methodsBesideRouters() throws {
    let (model, _) = try Self.mixture([("mod_target_layers", "deep_all_include_last"), ("mod_router_factor", 0.3)])
    let image = TinyModels.noise(for: model, seed: 1)
    func entering(_ spec: String) throws -> [Int] {
      let methods = try MethodSpec(spec).make(budget: nil)
      return try TinyModels.logits(model, [image], methods).run.trace.language.map { $0.visual }
    }
    #expect(try entering("fastv:layer=2,keep=20") == [64, 64, 6, 6])
    #expect(try entering("divprune:keep=32") == [32, 32, 9, 9])
    #expect(try entering("pyramiddrop:layers=2/3,ratios=0.5/0.25") == [64, 64, 9, 4])
    #expect(try entering("elastic-cache:policy=local,keep=0.5") == [64, 64, 19, 19])
    for spec in ["fastv:layer=3", "transprune:layers=1/3", "dart:layer=3"] {
      let methods = try MethodSpec(spec).make(budget: .ratio(0.5))
      #expect { try Composition(methods, for: model.shape) } throws: { "\($0)".contains("mixture of depths") }
    }
  }

  static let misfits: [[(String, JSON)]] = [
    [("mod_target_layers", "some")], [("mod_target_layers", "shiftedcos_decay_0.85")],
    [("mod_target_layers", "sines_decay_0.85_0.15")], [("mod_target_layers", "deep_all"), ("mod_router_factor", 2)],
    [("mod_target_layers", "deep_all"), ("mod_weight_norm", "relu_1_1")],
    [("mod_target_layers", "deep_all"), ("mod_weight_norm", "tanh_a_1")],
    [("mod_target_layers", "deep_all"), ("mod_target_token_type", "vision_hr")],
  ]
  @Test(arguments: misfits.indices) func routersThatAreNotBuilt(_ index: Int) throws {
    #expect(throws: ModelError.self) { try Self.mixture(Self.misfits[index]) }
  }

  /// 2 of 32 layers' figures as published: 53.75% of the KV cache, and what the paper's formula gives for FLOPs.
  @Test func theLedgerOfProgressiveRatioDecay() throws {
    func share(_ name: String, of plain: String, _ convention: Convention) throws -> Double {
      func value(_ name: String) throws -> Double {
        let model = ModelOutline.published(name)!
        let trace = try Rehearsal.trace([], of: model, prompt: .init(picture: Size(672), text: 32, newTokens: 1))
        return convention.value(of: trace, shape: model.shape)
      }
      return 100 * (try value(name)) / (try value(plain))
    }
    #expect(try abs(share("p-mod-llava-1.5-7b", of: "llava-1.5-7b", .linear) - 53.75) < 0.1)
    #expect(try abs(share("p-mod-llava-1.5-7b", of: "llava-1.5-7b", .mac3Image) - 53.4) < 0.1)
    #expect(try abs(share("p-mod-llava-next-7b", of: "llava-next-7b", .mac3Image) - 52.35) < 0.1)
  }

  // MARK: QueCC

  /// Its connector on the golden tower, whose blocks are repeated to 24.
  private static func conditioned(_ settings: [(String, JSON)] = []) throws -> (
    model: MultimodalModel, outline: ModelOutline
  ) {
    try model { tensors, config in
      let known: [(String, JSON)] = [
        ("mm_vision_token_compression_type", "quecc"), ("mm_vision_token_compression_kernel_size", 4),
        ("mm_vision_token_compression_stride", 4), ("mm_vision_output_text_embedding_size", 48),
      ]
      for (key, value) in known + settings { config[key] = value }
      set([("num_hidden_layers", 24)], at: "vision_config", in: &config)
      let prefix = "vision_tower.encoder.layers."
      let blocks = tensors.filter { $0.0.hasPrefix(prefix) }
      for block in 5..<24 {
        for (name, tensor) in blocks where name.hasPrefix("\(prefix)\(block % 5).") {
          tensors.append((name.replacing("\(prefix)\(block % 5).", with: "\(prefix)\(block)."), tensor))
        }
      }
      var generator = SeededGenerator(seed: 2)
      let name = "model.mm_projector.0."
      func add(_ part: String, _ shape: [Int]) { tensors.append((name + part, noise(shape, &generator, scale: 0.2))) }
      for (part, width) in [("q_proj", 32), ("k_proj", 128), ("v_proj", 128)] {
        for (place, shape) in [("0", [32, width]), ("2", [32, 32])] {
          add("\(part).\(place).weight", shape)
          add("\(part).\(place).bias", [32])
        }
        add("\(part).3.weight", [32])
        add("\(part).3.bias", [32])
      }
      for (part, shape) in [
        ("text_projection.0.weight", [32, 48]), ("text_projection.0.bias", [32]), ("text_projection.1.weight", [32]),
        ("text_projection.1.bias", [32]), ("q_downsample.weight", [32, 1, 4, 4]), ("q_downsample.bias", [32]),
        ("clip_attn.in_proj_weight", [96, 32]), ("clip_attn.in_proj_bias", [96]),
        ("clip_attn.out_proj.weight", [32, 32]), ("clip_attn.out_proj.bias", [32]),
      ] { add(part, shape) }
    }
  }

  @Test func aConnectorThatSeesTheQuestion() throws {
    let (model, outline) = try Self.conditioned()
    #expect(model.seesQuestion && model.shape.tower!.fuse == 16)
    let image = TinyModels.noise(for: model, seed: 1)
    #expect(try model.spans(of: image) == [4])
    let ids = try TinyModels.prompt(model, [image])
    func prompt(_ question: [Int]) throws -> (tokens: TokenSequence, run: Run) {
      var run = Run(.dense(model.shape))
      try model.read(question: question, run: &run)
      return (try model.prompt(ids, [image], run: &run), run)
    }
    let (tokens, before) = try prompt([5, 17, 3])
    #expect(tokens.rows(.patch).count == 4)
    // Every token stands for the patches of its square.
    for (square, row) in tokens.rows(.patch).enumerated() {
      let patches = tokens.origin.patches[tokens.origin.range(row)].map(Int.init)
      let (top, left) = (square / 2 * 4, square % 2 * 4)
      #expect(patches == (0..<16).map { (top + $0 / 4) * 8 + left + $0 % 4 })
    }
    let other = try prompt([5, 17, 4]).tokens
    let changed = tokens.id.indices.filter { tokens.x.row($0).elementsEqual(other.x.row($0)) == false }
    #expect(changed == tokens.rows(.patch), "the question changes visual tokens, and only these")
    let unasked = #expect(throws: CompressionError.self) {
      var run = Run(.dense(model.shape))
      _ = try model.prompt(ids, [image], run: &run)
    }
    #expect("\(unasked!)".contains("no question"))
    // The ledger has the question's own pass, and so has a rehearsal.
    var run = before
    _ = try model.language.prefill(tokens, run: &run)
    let cost = Cost(of: run.trace, shape: model.shape)
    #expect(cost.question > 0 && cost.macs == cost.tower + cost.question + cost.connector + cost.language!.first)
    let rehearsed = try Rehearsal.trace(
      [], of: outline, ids: ids, placeholder: model.placeholder, images: [image], question: 3, newTokens: 1)
    #expect(Cost(of: rehearsed, shape: model.shape) == cost)
  }

  /// Whole squares must reach it; what comes after is free.
  @Test func methodsBesideAConnectorOfSquares() throws {
    let shape = try Self.conditioned().model.shape
    for spec in ["tome:keep=0.5", "visionzip:keep=0.5", "token-corr", "mustdrop:layers=1/2"] {
      let methods = try MethodSpec(spec).make(budget: nil)
      #expect(throws: CompressionError.self, "\(spec)") { try Composition(methods, for: shape) }
    }
    for spec in ["divprune:keep=2", "fastv:layer=1,keep=2", "elastic-cache:keep=0.5"] {
      _ = try Composition(try MethodSpec(spec).make(budget: nil), for: shape)
    }
  }

  @Test func connectorsThatAreNotBuilt() {
    for settings: [(String, JSON)] in [
      [("mm_vision_token_compression_type", "tokenpacker")], [("mm_vision_token_compression_kernel_size", 9)],
      [("image_grid_pinpoints", [[56, 112]])], [("mm_vision_token_compression_states", [])],
      [("mm_vision_token_compression_states", [12, 16, 22, 25])],
    ] {
      #expect(throws: ModelError.self) { try Self.conditioned(settings) }
    }
  }

  /// 8.5 GMACs at 36 tokens of a CLIP-L, without the projector.
  @Test func costOfTheConnector() throws {
    let shape = try ModelOutline(config: [
      "model_type": "llava_llama", "mm_vision_token_compression_type": "quecc",
      "mm_vision_token_compression_kernel_size": 4, "mm_vision_token_compression_stride": 4,
    ]).shape
    let projector = (1024 + 4096) * 4096
    #expect(abs(Double((shape.connectorMACs - projector) * 36) * 1e-9 - 8.5) < 0.1)
  }
}
