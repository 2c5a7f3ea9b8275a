import Foundation
import TestSupport
import Testing
import VTok

/// A family is a list of names and of tensors: what looks like one of its models and is another is refused.
@Suite struct FamilyTests {
  private static let towers = goldenCases + "vit-runtime/"
  private static let folders = ConfigShapeTests.folders.map { ($0 as NSString).lastPathComponent }

  private func load(_ path: String) throws { _ = try VisionModel.load(Checkpoint(directory: path)) }

  // MARK: Tensors

  @Test(arguments: folders) func aTensorMoreIsAnotherModel(_ folder: String) throws {
    for name in [
      "blocks.0.attn.q_norm.weight", "rel_pos_bias.relative_position_bias_table",
      "encoder.layers.0.self_attn.q_norm.weight",
      "vision_model.rope.freqs", "attn_pool.latent", "encoder.layer.0.mlp.gate.weight",
    ] {
      try withCopy(of: Self.towers + folder, adding: [name]) { path in
        #expect(modelError { try load(path) } == .unknownTensors([name]), "\(folder) with \(name)")
      }
    }
  }

  /// What published files carry beside the model, by family.
  @Test(arguments: [
    ("timm_dinov2", ["mask_token"]), ("hf_dinov2", ["embeddings.mask_token"]),
    ("hf_clip_vision", ["vision_model.embeddings.position_ids", "visual_projection.weight", "text_projection.weight"]),
    ("hf_clip_zero_shot", ["text_model.embeddings.position_ids"]),
    ("hf_siglip_vision", ["vision_model.embeddings.position_ids", "logit_scale", "logit_bias"]),
    ("hf_vit_cls", ["vit.pooler.dense.weight", "vit.pooler.dense.bias", "vit.embeddings.mask_token"]),
    ("hf_deit_teacher", ["deit.pooler.dense.weight"]),
  ]) func whatIsKnownAndNotNeeded(folder: String, names: [String]) throws {
    let present = Set(try Checkpoint(directory: Self.towers + folder).tensors.map(\.name))
    try withCopy(
      of: Self.towers + folder, adding: names.filter { !present.contains($0) },
      body: { path in
        #expect(throws: Never.self) { try load(path) }
      })
  }

  /// A layer without its bias has not the bias 0 in silence.
  @Test(arguments: folders) func everyBiasIsNeeded(_ folder: String) throws {
    let names = try Checkpoint(directory: Self.towers + folder).tensors.map(\.name).filter {
      $0.hasSuffix(".bias") && !$0.hasPrefix("text_") && !$0.contains("head.bias") && !$0.contains("classifier")
        && !$0.contains("head_dist")
    }
    for name in Set(names.map { $0.replacing(#/\.\d+\./#, with: ".0.") }).sorted() where names.contains(name) {
      try withCopy(
        of: Self.towers + folder, tensors: { $0 == name ? nil : ($0, $1) },
        body: { path in
          let error = #expect(throws: WeightError.self, "\(folder) without \(name)") { try load(path) }
          #expect(error?.kind == .missingTensor && error?.tensor == name)
        })
    }
  }

  @Test(arguments: ["hf_dinov2", "hf_vit_cls", "timm_deit"]) func attentionWithoutBiases(_ folder: String) throws {
    let isTimm = folder.hasPrefix("timm")
    func setBiases(_ config: inout JSONObject) {
      if isTimm {
        var arguments = config["model_args"]!.object!
        arguments["qkv_bias"] = false
        config["model_args"] = .object(arguments)
      } else {
        config["qkv_bias"] = false
      }
    }
    let isBias = { (name: String) in
      [".attn.qkv.bias", ".query.bias", ".key.bias", ".value.bias"].contains { name.hasSuffix($0) }
    }
    try withCopy(of: Self.towers + folder, config: setBiases) { path in
      guard case .unknownTensors(let names)? = modelError({ try load(path) }) else {
        Issue.record("biases that the configuration denies were read")
        return
      }
      #expect(names.allSatisfy(isBias))
    }
    try withCopy(
      of: Self.towers + folder, config: setBiases, tensors: { isBias($0) ? nil : ($0, $1) },
      body: { path in
        #expect(throws: Never.self) { try load(path) }
      })
  }

  @Test func aPoolingHeadThatIsNotUsed() throws {
    try withCopy(
      of: Self.towers + "hf_siglip_vision", config: { $0["vision_use_head"] = false },
      body: { path in
        let model = try VisionModel.load(Checkpoint(directory: path))
        guard case .mean(nil, nil) = model.head else {
          Issue.record("the head is \(model.head)")
          return
        }
      })
  }

  @Test func registersOnlyWhereTheTypePromisesThem() throws {
    try withCopy(
      of: Self.towers + "hf_dinov2_registers", config: { $0["model_type"] = "dinov2" },
      body: { path in
        #expect(modelError { try load(path) } == .unknownTensors(["embeddings.register_tokens"]))
      })
    try withCopy(
      of: Self.towers + "hf_dinov2", config: { $0["model_type"] = "dinov2_with_registers" },
      body: { path in
        let error = #expect(throws: WeightError.self) { try load(path) }
        #expect(error?.tensor == "embeddings.register_tokens")
      })
  }

  // MARK: timm

  /// Models of timm that this tower is not, and what it said for the first three of them before: other tokens, no error.
  static let others = [
    "eva02_enormous_patch14_clip_224.laion2b", "vit_base_patch16_rope_reg1_gap_256.sbb_in1k",
    "vit_pe_core_base_patch16_224.fb", "eva02_base_patch14", "eva_giant_patch14_224",
    "vit_betwixt_patch16_rope_reg4_gap_256", "vit_mediumd_patch16_rope_reg1_gap_256", "vit_small_patch16_rope_224",
    "vit_base_patch16_rope_mixed_ape_224", "vit_pe_lang_large_patch14_448", "vit_pe_spatial_base_patch16_512",
    "vit_small_patch16_lingbot", "vit_base_patch16_sapiens2", "beit3_base_patch16_224", "cait_xxs24_224",
    "swin_tiny_patch4_window7_224",
    "xcit_nano_12_p16_224", "levit_128", "vitamin_small_224", "naflexvit_base_patch16_gap",
    "vit_base_patch16_siglip_225", "vit_base_patch16_gap_224",
    "vit_medium_patch16_gap_256", "vit_so150m_patch16_reg4_map_256", "vit_base_patch16_rpn_224",
    "vit_small_patch16_18x2_224", "vit_base_patch16_xp_224", "vit_pwee_patch16_reg1_gap_256",
    "vit_dwee_patch16_reg1_gap_256", "vit_intern300m_patch14_448", "aimv2_large_patch14_224", "samvit_base_patch16",
    "vit_relpos_base_patch16_224", "vit_base_r50_s16_224", "hiera_tiny_224", "resnet50", "convnext_tiny", "test_vit3",
    "vit_base_patch16_224_of_mine", "VIT_BASE_PATCH16_224", "", "vit",
  ]

  @Test(arguments: others) func anotherArchitecture(_ name: String) throws {
    #expect {
      try withCopy(of: Self.towers + "timm_deit", config: { $0["architecture"] = JSON(name) }, body: load)
    } throws: { error in
      guard case .unknownFamily(let found, _, let nearest) = error as? ModelError else { return false }
      return found.contains("'\(name.prefix(60))") && nearest != nil && "\(error)".contains(nearest!)
    }
    #expect(throws: ModelError.self) { try Shape(config: ["architecture": JSON(name)]) }
  }

  /// Published names, with tags and checksums as they are found.
  @Test(arguments: [
    ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 12, 192, 3), ("vit_large_patch14_clip_336.openai", 24, 1024, 16),
    ("vit_huge_patch14_clip_224.laion2b", 32, 1280, 16), ("deit3_medium_patch16_224.fb_in1k", 12, 512, 8),
    ("deit_small_patch16_224-cd65a155", 12, 384, 6), ("vit_giant_patch14_reg4_dinov2.lvd142m", 40, 1536, 24),
    ("vit_base_patch16_224.mae", 12, 768, 12), ("vit_gigantic_patch14_clip_quickgelu_224.metaclip2", 48, 1664, 16),
    ("vit_base_patch16_plus_clip_240", 12, 896, 14), ("vit_small_patch16_224_in21k", 12, 384, 6),
  ]) func aPublishedArchitecture(name: String, blocks: Int, width: Int, heads: Int) throws {
    let tower = try #require(Shape(config: ["architecture": JSON(name)]).tower)
    #expect((tower.blocks, tower.width, tower.heads) == (blocks, width, heads))
  }

  /// Every argument that changes the maths is read, or refused with its name.
  @Test(
    arguments: [
      ("qk_norm", true), ("scale_attn_norm", true), ("scale_mlp_norm", true), ("proj_bias", false),
      ("class_token", false), ("pos_embed", "none"), ("pos_embed", ""), ("pool_include_prefix", true),
      ("dynamic_img_pad", true), ("attn_layer", "diff"), ("block_fn", "ParallelScalingBlock"),
      ("mlp_layer", "SwiGLU"), ("embed_layer", "HybridEmbed"), ("embed_norm_layer", "rmsnorm"), ("in_chans", 1),
      ("norm_layer", "rmsnorm"), ("norm_layer", "layernormfp32"), ("act_layer", "mish"), ("global_pool", "map"),
      ("global_pool", "max"), ("global_pool", "avgmax"), ("fc_norm", true), ("features_only", true),
      ("patch_size", [8, 16]), ("rope_type", "axial"), ("use_rot_pos_emb", true), ("depth", 4), ("embed_dim", 96),
      ("patch_size", 16), ("mlp_ratio", 2), ("num_heads", 7), ("something_new", 1), ("depth", "three"),
    ] as [(String, JSON)]) func anArgumentThatChangesTheMaths(key: String, value: JSON) throws
  {
    try withCopy(
      of: Self.towers + "timm_deit", config: { set(key, value, &$0) },
      body: { path in
        let error = #expect(throws: (any Error).self) { try load(path) }
        #expect(error is ModelError || error is WeightError)
      })
  }

  /// Tensors that such an argument makes or takes away are missed or refused.
  @Test(
    arguments: [
      ("init_values", 1e-5, "ls1.gamma"), ("reg_tokens", 2, "reg_token"), ("pre_norm", true, "norm_pre.weight"),
      ("no_embed_class", true, "pos_embed"), ("global_pool", "avg", "fc_norm.weight"),
      ("final_norm", false, "norm.weight"),
    ] as [(String, JSON, String)]) func anArgumentThatNeedsOtherTensors(key: String, value: JSON, tensor: String) throws
  {
    try withCopy(
      of: Self.towers + "timm_deit", config: { set(key, value, &$0) },
      body: { path in
        let error = #expect(throws: (any Error).self) { try load(path) }
        #expect("\(error!)".contains(tensor), "\(error!)")
      })
  }

  @Test(
    arguments: [
      ("drop_path_rate", 0.1), ("drop_rate", 0.5), ("weight_init", "skip"), ("dynamic_img_size", true),
      ("qk_norm", false), ("init_values", .null), ("fc_norm", .null), ("act_layer", "gelu"),
      ("norm_layer", "layernorm"),
      ("img_size", [32, 32]), ("attn_layer", "attn"), ("num_classes", 10), ("pos_embed", "learn"), ("in_chans", 3),
    ] as [(String, JSON)]) func anArgumentThatChangesNothing(key: String, value: JSON) throws
  {
    let pixels = Tensor((0..<3 * 32 * 32).map { Float($0 % 17) / 8 - 1 }, shape: [3, 32, 32])
    let expected = try VisionModel.load(Checkpoint(directory: Self.towers + "timm_deit"))(pixels)
    try withCopy(
      of: Self.towers + "timm_deit", config: { set(key, value, &$0) },
      body: { path in
        let found = try VisionModel.load(Checkpoint(directory: path))(pixels)
        #expect(found.tokens.x == expected.tokens.x)
      })
  }

  @Test(arguments: ["quick_gelu", "gelu_tanh", "silu"]) func activationsAreRead(_ name: String) throws {
    let pixels = Tensor((0..<3 * 32 * 32).map { Float($0 % 17) / 8 - 1 }, shape: [3, 32, 32])
    let plain = try VisionModel.load(Checkpoint(directory: Self.towers + "timm_deit"))(pixels)
    try withCopy(
      of: Self.towers + "timm_deit", config: { set("act_layer", JSON(name), &$0) },
      body: { path in
        let found = try VisionModel.load(Checkpoint(directory: path))(pixels)
        #expect(found.tokens.x != plain.tokens.x)
      })
  }

  private func set(_ key: String, _ value: JSON, _ config: inout JSONObject) {
    var arguments = config["model_args"]!.object!
    arguments[key] = value
    config["model_args"] = .object(arguments)
  }

  /// A timm model as transformers saves it.
  @Test(arguments: ["timm_deit", "timm_dinov2_reg4", "timm_mae_avg_fcnorm"]) func theWrapper(_ folder: String) throws {
    let plain = try VisionModel.load(Checkpoint(directory: Self.towers + folder))
    let wrap = { (config: inout JSONObject) in
      config["model_type"] = "timm_wrapper"
      config["architectures"] = ["TimmWrapperForImageClassification"]
      for key in ["num_features", "global_pool"] { config[key] = nil }
    }
    try withCopy(
      of: Self.towers + folder, config: wrap, tensors: { ("timm_model." + $0, $1) },
      body: { path in
        let wrapped = try VisionModel.load(Checkpoint(directory: path))
        #expect(wrapped.shape == plain.shape && wrapped.processor == plain.processor)
        let side = plain.tower.shape.rows * plain.tower.shape.patch
        let pixels = Tensor((0..<3 * side * side).map { Float($0 % 19) / 9 - 1 }, shape: [3, side, side])
        #expect(wrapped(pixels).logits == plain(pixels).logits && wrapped(pixels).logits != nil)
      })
  }

  // MARK: Hugging Face

  @Test(arguments: [
    ("siglip3_vision_model", "siglip"), ("dinov3_convnext", "dinov3"), ("beit", "deit"), ("vit_mae", "vit"),
    ("clip_text_model", "clip"), ("qwen3_vl_moe", "qwen3_vl"), ("llava_onevision", "llava"), ("gemma4", "gemma3"),
  ]) func anotherType(type: String, near: String) throws {
    try withCopy(
      of: Self.towers + "hf_vit_cls", config: { $0["model_type"] = JSON(type) },
      body: { path in
        guard case .unknownFamily(let found, let known, let nearest)? = modelError({ try load(path) }) else {
          Issue.record("\(type) was read")
          return
        }
        #expect(found.contains("'\(type)'") && known.contains("dinov2") && known.contains("qwen2-vl"))
        #expect(nearest?.hasPrefix(near) == true, "\(nearest ?? "")")
      })
  }

  @Test(
    arguments: [
      ("hf_vit_cls", "hidden_act", "relu"), ("hf_vit_cls", "hidden_act", 3), ("hf_clip_vision", "hidden_act", "mish"),
      ("hf_dinov2", "use_swiglu_ffn", true), ("hf_dinov2", "mlp_ratio", 3), ("hf_dinov2", "use_swiglu_ffn", "no"),
      ("hf_vit_cls", "qkv_bias", 1), ("hf_vit_cls", "num_attention_heads", 7), ("hf_clip_vision", "patch_size", 8),
      ("hf_vit_cls", "intermediate_size", 100), ("hf_siglip_vision", "vision_use_head", "yes"),
      ("hf_clip_vision", "num_hidden_layers", 2), ("hf_vit_cls", "num_hidden_layers", 2),
    ] as [(String, String, JSON)]) func aValueThatIsNotOfTheWeights(folder: String, key: String, value: JSON) throws
  {
    try withCopy(
      of: Self.towers + folder, config: { $0[key] = value },
      body: { path in
        let error = #expect(throws: (any Error).self) { try load(path) }
        #expect(error is ModelError || error is WeightError, "\(error!)")
      })
  }

  // MARK: Vision-language models

  @Test func aLLaVAWithAnotherTower() throws {
    let change = { (config: inout JSONObject) in
      var vision = config["vision_config"]!.object!
      vision["model_type"] = "siglip_vision_model"
      config["vision_config"] = .object(vision)
    }
    try withCopy(of: goldenCases + "checkpoint-layouts/llava15-saved", config: change) { path in
      // Its tensors are CLIP's: a SigLIP is never made of them.
      #expect(throws: (any Error).self) { try MultimodalModel.load(Checkpoint(directory: path)) }
    }
  }

  @Test(
    arguments: [
      ("llava15-saved", "text_config", "layer_types", ["sliding_attention", "full_attention"]),
      ("qwen25vl-saved", "text_config", "layer_types", ["linear_attention", "full_attention"]),
      ("llava15-saved", "text_config", "partial_rotary_factor", 0.5),
      ("llava15-saved", "text_config", "hidden_act", "gelu"),
      ("qwen25vl-saved", "vision_config", "rope_parameters", ["rope_type": "yarn"]),
      ("llava15-saved", "text_config", "attention_bias", true),
    ] as [(String, String, String, JSON)]) func aLanguageModelThatIsAnother(
      folder: String, section: String, key: String, value: JSON
    ) throws
  {
    let change = { (config: inout JSONObject) in
      var part = config[section]!.object!
      part[key] = value
      config[section] = .object(part)
    }
    try withCopy(of: goldenCases + "checkpoint-layouts/" + folder, config: change) { path in
      let error = #expect(throws: (any Error).self) { _ = try MultimodalModel.load(Checkpoint(directory: path)) }
      #expect(error is ModelError || error is WeightError, "\(error!)")
    }
  }

  // MARK: Lists

  @Test func everyFamilyIsListedOnce() {
    let names = Families.all.map(\.name)
    #expect(Set(names).count == names.count && names.contains("timm") && names.contains("qwen2.5-vl"))
    let types = Families.all.flatMap(\.types)
    // lmms-lab's LLaVA-OneVision calls itself as LLaVA-1.5 does; what it claims beside tells the two apart.
    #expect(Set(types).count == types.count - 1 && types.count { $0 == "llava" } == 2)
    #expect(Families.all.allSatisfy { !$0.summary.isEmpty })
    for kind in FamilyKind.allCases { #expect(Families.all.contains { $0.kind == kind }) }
  }

  /// A family of vision-language models whose checkpoint is not among the tiny ones says why.
  @Test func everyFamilyOfVisionLanguageModelsIsTested() {
    let others = [
      "p-mod": "its layers are a golden case, and a model trained here answers as it did in training"
    ]
    let types = Set(TinyModels.names.map(TinyModels.type))
    for family in Families.all where family.kind == .languageVision {
      #expect(types.isDisjoint(with: family.types) == (others[family.name] != nil), "\(family.name)")
    }
  }

  @Test func everyPublishedModelIsRead() {
    let names = Families.published.map(\.name)
    #expect(Set(names).count == names.count && names.contains("deit-s") && names.contains("llava-1.5-7b"))
    for name in names { #expect(ModelOutline.published(name)?.shape == Shape.published(name), "\(name)") }
    let templates = PromptTemplate.builtIn
    #expect(Set(templates).count == templates.count && templates.first == "llava")
  }
}
