import Foundation
import TestSupport
import Testing
import VTok

/// What goldens do not see of DINOv3, SigLIP 2, EVA-02, BEiT and timm's own forms.
@Suite struct TowerFormTests {
  static let cases = TowerPositionTests.cases

  private func load(_ folder: String) throws -> VisionModel {
    try VisionModel.load(Checkpoint(directory: folder))
  }

  // MARK: timm's SigLIP

  /// timm's tensors under timm's names, from those of Hugging Face.
  private func timmSigLIP(_ source: Checkpoint, count: Int, width: Int) throws -> [(String, Tensor)] {
    var tensors: [(String, Tensor)] = []
    func tensor(_ name: String) throws -> Tensor {
      try source.tensor(name, source.shape(name)!.map { $0 })
    }
    func copy(_ to: String, _ from: String) throws {
      for part in ["weight", "bias"] {
        tensors.append(("\(to).\(part)", try tensor("\(from).\(part)")))
      }
    }
    let positions = try tensor("embeddings.position_embedding.weight")
    tensors.append(("pos_embed", positions.reshaped([1, positions.rows, width])))
    try copy("patch_embed.proj", "embeddings.patch_embedding")
    for block in 0..<count {
      let (to, from) = ("blocks.\(block)", "encoder.layers.\(block)")
      for (one, other) in [
        ("norm1", "layer_norm1"), ("norm2", "layer_norm2"), ("attn.proj", "self_attn.out_proj"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
      ] { try copy("\(to).\(one)", "\(from).\(other)") }
      for part in ["weight", "bias"] {
        let parts = try ["q", "k", "v"].map { try tensor("\(from).self_attn.\($0)_proj.\(part)") }
        let shape = part == "weight" ? [3 * width, width] : [3 * width]
        tensors.append(("\(to).attn.qkv.\(part)", Tensor(parts.flatMap(\.values), shape: shape)))
      }
    }
    try copy("norm", "post_layernorm")
    tensors.append(("attn_pool.latent", try tensor("head.probe")))
    let (packed, bias) = (
      try tensor("head.attention.in_proj_weight"), try tensor("head.attention.in_proj_bias").values
    )
    tensors.append(("attn_pool.q.weight", packed.gathered(Array(0..<width))))
    tensors.append(("attn_pool.q.bias", Tensor(Array(bias[..<width]), shape: [width])))
    tensors.append(("attn_pool.kv.weight", packed.gathered(Array(width..<3 * width))))
    tensors.append(("attn_pool.kv.bias", Tensor(Array(bias[width...]), shape: [2 * width])))
    for (one, other) in [
      ("proj", "attention.out_proj"), ("norm", "layernorm"), ("mlp.fc1", "mlp.fc1"),
      ("mlp.fc2", "mlp.fc2"),
    ] { try copy("attn_pool.\(one)", "head.\(other)") }
    return tensors
  }

  /// The same weights in both forms give the same rows and the same pooled vector.
  @Test(arguments: ["map", "avg"]) func timmsSigLIPIsSigLIP(pool: String) throws {
    let folder = Self.cases + "hf_siglip2_fixed"
    let official = try load(folder)
    let shape = official.tower.shape
    let source = try Checkpoint(directory: folder)
    let view = source.has("vision_model.head.probe") ? source["vision_model"] : source
    let tensors = try timmSigLIP(view, count: shape.blocks, width: shape.width)
      .filter { pool == "map" || !$0.0.hasPrefix("attn_pool") }
    let name =
      pool == "map"
      ? "vit_base_patch16_siglip_224.v2_webli" : "vit_base_patch16_siglip_gap_224.webli"
    let config: JSON = [
      "architecture": JSON(name),
      "model_args": [
        "embed_dim": JSON(shape.width), "depth": JSON(shape.blocks), "num_heads": JSON(shape.heads),
        "patch_size": JSON(shape.patch), "img_size": JSON(shape.rows * shape.patch),
        "mlp_ratio": JSON(Double(shape.ffn) / Double(shape.width)), "act_layer": "gelu_tanh",
      ], "num_classes": 0,
    ]
    let copy = FileManager.default.temporaryDirectory.path + "/timm-siglip-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    try Data(config.text().utf8).write(to: URL(fileURLWithPath: copy + "/config.json"))
    try Safetensors.write(tensors.map { ($0.0, .f32($0.1)) }, to: copy + "/model.safetensors")
    let timm = try load(copy)
    #expect(timm.tower.shape.prefix == 0 && !timm.tower.shape.hasClassifier)
    var generator = SeededGenerator(seed: 2)
    let side = shape.rows * shape.patch
    let pixels = Tensor(
      (0..<3 * side * side).map { _ in generator.normal() }, shape: [3, side, side])
    let (a, b) = (official(pixels), timm(pixels))
    #expect(zip(a.tokens.x.values, b.tokens.x.values).allSatisfy { abs($0 - $1) < 1e-5 })
    if pool == "map" {
      #expect(zip(a.pooled, b.pooled).allSatisfy { abs($0 - $1) < 1e-5 } && b.logits == nil)
    } else {
      let mean = a.tokens.x.mean(of: Array(0..<a.tokens.count), weights: a.tokens.mass)
      #expect(zip(mean, b.pooled).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }

  // MARK: What is refused

  @Test func aRelativeBiasKnowsOneGrid() throws {
    let folder = Self.cases + "timm_beitv2"
    func load(_ side: Int) throws {
      try withCopy(
        of: folder,
        config: {
          var values = $0["pretrained_cfg"]!.object!
          values["input_size"] = JSON([3, side, side])
          $0["pretrained_cfg"] = .object(values)
        }, body: { _ = try LoadedModel.load($0) })
    }
    try load(40)
    let error = modelError { try load(48) }
    #expect(error?.description.contains("5x5 patches") == true)
    let many =
      #"{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40}, "do_center_crop": false}"#
    try withCopy(of: folder, files: ["many.json": many]) { path in
      #expect(modelError { _ = try LoadedModel.load(path, processor: path + "/many.json") } != nil)
    }
  }

  /// Tensors of another form than the architecture's are an error: none is left unread, none is guessed.
  @Test(arguments: [
    ("timm_eva02_base", "eva02_tiny_patch14_224"), ("timm_eva02_tiny", "eva02_base_patch14_224"),
    ("timm_eva02_clip", "eva02_base_patch14_224"),
    ("timm_eva02_base", "eva02_base_patch16_clip_224"),
    ("timm_dinov3", "vit_small_plus_patch16_dinov3"),
    ("timm_dinov3", "vit_small_patch16_dinov3_qkvb"),
    ("timm_dinov3", "vit_small_patch16_224"), ("timm_beitv2", "vit_base_patch16_224"),
    ("timm_eva02_tiny", "vit_tiny_patch16_224"),
  ]) func anotherForm(folder: String, architecture: String) throws {
    try withCopy(
      of: Self.cases + folder, config: { $0["architecture"] = JSON(architecture) },
      body: { path in #expect(throws: (any Error).self) { try self.load(path) } })
  }

  @Test(
    arguments: [
      ("timm_eva02_tiny", "rope_type", "mixed"), ("timm_eva02_tiny", "rope_grid_indexing", "xy"),
      ("timm_eva02_tiny", "use_post_norm", true), ("timm_eva02_tiny", "qk_norm", true),
      ("timm_dinov3", "rope_temperature", 10000), ("timm_dinov3", "num_heads", 16),
      ("timm_beitv2", "swiglu_mlp", true),
      ("timm_beitv2", "use_abs_pos_emb", true), ("timm_eva02_tiny", "unheard_of", 1),
    ] as [(String, String, JSON)]) func anArgument(folder: String, key: String, value: JSON) throws
  {
    try withCopy(
      of: Self.cases + folder,
      config: {
        var arguments = $0["model_args"]!.object!
        arguments[key] = value
        $0["model_args"] = .object(arguments)
      },
      body: { path in
        let error = modelError { _ = try load(path) }
        #expect(error?.description.contains(key) == true, "\(error.map { "\($0)" } ?? "read")")
      })
  }

  // MARK: NaFlex

  /// Pictures of any proportions come in whole patches within the limit, and the tower takes them.
  @Test(arguments: [(64, 64), (200, 40), (40, 200), (1000, 3), (7, 7), (33, 97)])
  func anyResolution(width: Int, height: Int) throws {
    let pipeline = try Pipeline(
      model: Self.cases + "hf_siglip2_naflex_up", method: "tome", keep: .ratio(0.5))
    let image = Image(width: width, height: height, colour: [9, 200, 90])
    let prepared = pipeline.prepare(image)
    let limit = 16
    #expect((1...limit).contains(prepared.rows * prepared.columns))
    #expect(prepared.pixels.shape == [3, prepared.rows * 8, prepared.columns * 8])
    let result = try pipeline(image)
    #expect(
      result.tokensIn == prepared.rows * prepared.columns
        && result.keep.allSatisfy { $0 < result.tokensIn })
    #expect(result.pooled.allSatisfy { $0.isFinite })
  }

  @Test func processorsOfNaFlex() throws {
    let folder = Self.cases + "hf_siglip2_naflex_up"
    func load(_ text: String) throws -> ImageProcessor {
      try withCopy(of: folder, files: ["preprocessor_config.json": text]) {
        try LoadedModel.load($0).processor
      }
    }
    let type = #""image_processor_type": "Siglip2ImageProcessorFast""#
    #expect(try load("{\(type), \"patch_size\": 8}").resize == .patches(side: 8, most: 256))
    #expect(
      try load("{\(type), \"patch_size\": 8, \"max_num_patches\": 1024}").resize
        == .patches(side: 8, most: 1024))
    #expect(modelError { _ = try load("{\(type)}") }?.description.contains("patch_size") == true)
    #expect(throws: ModelError.self) {
      try load(#"{"image_processor_type": "SiglipImageProcessor"}"#)
    }
    #expect(throws: ModelError.self) {
      try load("{\(type), \"patch_size\": 8, \"do_resize\": false}")
    }
  }

  // MARK: Published shapes

  @Test(arguments: [
    ("dinov3-vits16", 201, 384, 2), ("dinov3-vith16plus", 201, 1280, 3),
    ("eva02-l-448", 1025, 1024, 3),
    ("eva02-t-336", 577, 192, 3), ("beitv2-b", 197, 768, 2),
    ("siglip2-so400m-16-naflex", 256, 1152, 2),
  ]) func publishedShapes(name: String, rows: Int, width: Int, matrices: Int) throws {
    let tower = try #require(Shape.published(name)?.tower)
    #expect(
      (tower.prefix + tower.patches, tower.width, tower.ffnMatrices) == (rows, width, matrices))
    // As the page counts: four projections, two products, the MLP, the patches.
    let n = tower.prefix + tower.patches
    let block = 4 * n * width * width + 2 * n * n * width + matrices * n * width * tower.ffn
    let whole = tower.blocks * block + tower.patches * 3 * tower.patch * tower.patch * width
    let cost = Cost(denseWith: tower.patches, shape: Shape(tower: tower))
    let head = Double(tower.headMACs + tower.headMACsPerToken * tower.patches)
    #expect(abs(cost.gmacs - (Double(whole) + head) * 1e-9) < 1e-6 * cost.gmacs)
  }
}
