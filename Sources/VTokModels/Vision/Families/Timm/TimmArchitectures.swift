extension TimmArguments {
  /// Every timm architecture that can be run, literally. timm 1.0.31, `models/{vision_transformer,deit,eva,beit}.py`; the
  /// official files of DeiT and MAE are named after theirs. All others have other blocks, positions or pools.
  static let architectures: [String: TimmArguments] = {
    var all: [String: TimmArguments] = [:]
    for (names, arguments) in groups {
      for name in names { all[name] = arguments }
    }
    return all
  }()

  static func vit(
    _ width: Int, _ depth: Int, _ heads: Int, patch: Int = 16, _ change: (inout TimmArguments) -> Void = { _ in }
  ) -> TimmArguments {
    var arguments = TimmArguments()
    (arguments.width, arguments.depth, arguments.heads, arguments.patch) = (width, depth, heads, patch)
    change(&arguments)
    return arguments
  }

  private static let groups: [([String], TimmArguments)] =
    plain + deit + openCLIP + dinov2 + siglip + dinov3 + eva02 + beit

  private static let plain: [([String], TimmArguments)] = [
    (["vit_tiny_patch4_64"], vit(192, 6, 3, patch: 4)),  // the model inside the program
    (["vit_tiny_patch16_224", "vit_tiny_patch16_384", "vit_tiny_patch16_224_in21k"], vit(192, 12, 3)),
    (["vit_small_patch32_224", "vit_small_patch32_384", "vit_small_patch32_224_in21k"], vit(384, 12, 6, patch: 32)),
    (
      ["vit_small_patch16_224", "vit_small_patch16_384", "vit_small_patch16_224_in21k", "vit_small_patch16_224_dino"],
      vit(384, 12, 6)
    ),
    (["vit_small_patch8_224", "vit_small_patch8_224_dino"], vit(384, 12, 6, patch: 8)),
    (
      ["vit_base_patch32_224", "vit_base_patch32_384", "vit_base_patch32_224_in21k", "vit_base_patch32_224_sam"],
      vit(768, 12, 12, patch: 32)
    ),
    (
      [
        "vit_base_patch16_224", "vit_base_patch16_384", "vit_base_patch16_224_in21k", "vit_base_patch16_224_sam",
        "vit_base_patch16_224_dino",
      ], vit(768, 12, 12)
    ),
    (
      ["vit_base_patch8_224", "vit_base_patch8_224_in21k", "vit_base_patch8_224_dino"], vit(768, 12, 12, patch: 8)
    ),
    (
      ["vit_large_patch32_224", "vit_large_patch32_384", "vit_large_patch32_224_in21k"], vit(1024, 24, 16, patch: 32)
    ),
    (["vit_large_patch16_224", "vit_large_patch16_384", "vit_large_patch16_224_in21k"], vit(1024, 24, 16)),
    (["vit_large_patch14_224"], vit(1024, 24, 16, patch: 14)),
    (["vit_huge_patch14_224", "vit_huge_patch14_224_in21k"], vit(1280, 32, 16, patch: 14)),
    (["vit_giant_patch14_224"], vit(1408, 40, 16, patch: 14) { $0.ratio = 48 / 11 }),
    (["vit_gigantic_patch14_224"], vit(1664, 48, 16, patch: 14) { $0.ratio = 64 / 13 }),
    (["vit_base_patch16_224_miil", "vit_base_patch16_224_miil_in21k"], vit(768, 12, 12) { $0.hasBiases = false }),
    (["vit_base_patch32_plus_256"], vit(896, 12, 14, patch: 32) { $0.hasLayerScale = true }),
    (["vit_base_patch16_plus_240"], vit(896, 12, 14) { $0.hasLayerScale = true }),
    (["vit_small_patch16_36x1_224"], vit(384, 36, 6) { $0.hasLayerScale = true }),
    (["flexivit_small"], vit(384, 12, 6) { ($0.placesPrefix, $0.side) = (false, 240) }),
    (["flexivit_base"], vit(768, 12, 12) { ($0.placesPrefix, $0.side) = (false, 240) }),
    (["flexivit_large"], vit(1024, 24, 16) { ($0.placesPrefix, $0.side) = (false, 240) }),
    (["eva_large_patch14_196", "eva_large_patch14_336"], vit(1024, 24, 16, patch: 14) { $0.pool = .avg }),
    // Official files of MAE.
    (["mae_finetuned_vit_base"], vit(768, 12, 12) { $0.pool = .avg }),
    (["mae_finetuned_vit_large"], vit(1024, 24, 16) { $0.pool = .avg }),
    (["mae_finetuned_vit_huge"], vit(1280, 32, 16, patch: 14) { $0.pool = .avg }),
  ]

  private static let deit: [([String], TimmArguments)] =
    [
      (["deit_tiny_patch16_224"], vit(192, 12, 3)), (["deit_small_patch16_224"], vit(384, 12, 6)),
      (["deit_base_patch16_224", "deit_base_patch16_384"], vit(768, 12, 12)),
      (["deit_tiny_distilled_patch16_224"], vit(192, 12, 3) { $0.isDistilled = true }),
      (["deit_small_distilled_patch16_224"], vit(384, 12, 6) { $0.isDistilled = true }),
      (
        ["deit_base_distilled_patch16_224", "deit_base_distilled_patch16_384"],
        vit(768, 12, 12) { $0.isDistilled = true }
      ),
      (third("small", 16, [224, 384]), thirdDeiT(384, 12, 6)), (third("medium", 16, [224]), thirdDeiT(512, 12, 8)),
      (third("base", 16, [224, 384]), thirdDeiT(768, 12, 12)),
      (third("large", 16, [224, 384]), thirdDeiT(1024, 24, 16)),
      (third("huge", 14, [224]), thirdDeiT(1280, 32, 16, patch: 14)),
    ]

  /// Names of DeiT III, the later ones of weights that saw 22,000 classes first.
  private static func third(_ size: String, _ patch: Int, _ sides: [Int]) -> [String] {
    sides.flatMap { side in ["", "_in21ft1k"].map { "deit3_\(size)_patch\(patch)_\(side)\($0)" } }
  }

  private static func thirdDeiT(_ width: Int, _ depth: Int, _ heads: Int, patch: Int = 16) -> TimmArguments {
    vit(width, depth, heads, patch: patch) { ($0.placesPrefix, $0.hasLayerScale) = (false, true) }
  }

  /// OpenCLIP's and OpenAI's towers, "quickgelu" in the name of the latter.
  private static let openCLIP: [([String], TimmArguments)] = [
    tower("xsmall_patch16_clip", [224], 256, 10, 4), tower("medium_patch32_clip", [224], 512, 12, 8, patch: 32),
    tower("medium_patch16_clip", [224], 512, 12, 8), tower("betwixt_patch32_clip", [224], 640, 12, 10, patch: 32),
    tower("base_patch32_clip", [224, 256, 384, 448], 768, 12, 12, patch: 32),
    tower("base_patch32_clip_quickgelu", [224], 768, 12, 12, patch: 32),
    tower("base_patch16_clip", [224, 384], 768, 12, 12), tower("base_patch16_clip_quickgelu", [224], 768, 12, 12),
    tower("base_patch16_plus_clip", [240], 896, 12, 14),
    tower("large_patch14_clip", [224, 336], 1024, 24, 16, patch: 14),
    tower("large_patch14_clip_quickgelu", [224, 336], 1024, 24, 16, patch: 14),
    tower("huge_patch14_clip", [224, 336, 378], 1280, 32, 16, patch: 14),
    tower("huge_patch14_clip_quickgelu", [224, 378], 1280, 32, 16, patch: 14),
    tower("giant_patch14_clip", [224], 1408, 40, 16, patch: 14, ratio: 48 / 11),
    tower("gigantic_patch14_clip", [224, 378], 1664, 48, 16, patch: 14, ratio: 64 / 13),
    tower("gigantic_patch14_clip_quickgelu", [224], 1664, 48, 16, patch: 14, ratio: 64 / 13),
  ]

  private static func tower(
    _ name: String, _ sides: [Int], _ width: Int, _ depth: Int, _ heads: Int, patch: Int = 16, ratio: Double = 4
  ) -> ([String], TimmArguments) {
    let arguments = vit(width, depth, heads, patch: patch) {
      ($0.hasPreNorm, $0.epsilon, $0.ratio) = (true, 1e-5, ratio)
      if name.hasSuffix("quickgelu") { $0.activation = .quickGELU }
    }
    return (sides.map { "vit_\(name)_\($0)" }, arguments)
  }

  private static let dinov2: [([String], TimmArguments)] = [
    (["vit_small_patch14_dinov2"], dino(384, 12, 6)), (["vit_base_patch14_dinov2"], dino(768, 12, 12)),
    (["vit_large_patch14_dinov2"], dino(1024, 24, 16)),
    (["vit_giant_patch14_dinov2"], dino(1536, 40, 24, isGated: true)),
    (["vit_small_patch14_reg4_dinov2"], dino(384, 12, 6, registers: 4)),
    (["vit_base_patch14_reg4_dinov2"], dino(768, 12, 12, registers: 4)),
    (["vit_large_patch14_reg4_dinov2"], dino(1024, 24, 16, registers: 4)),
    (["vit_giant_patch14_reg4_dinov2"], dino(1536, 40, 24, registers: 4, isGated: true)),
  ]

  /// The giant's MLP is gated, both halves in one matrix. With registers, positions are of patches alone.
  private static func dino(
    _ width: Int, _ depth: Int, _ heads: Int, registers: Int = 0, isGated: Bool = false
  ) -> TimmArguments {
    vit(width, depth, heads, patch: 14) {
      ($0.hasLayerScale, $0.registers, $0.placesPrefix, $0.side) = (true, registers, registers == 0, 518)
      if isGated { ($0.isGated, $0.ratio, $0.activation) = (true, 2.66667 * 2, .silu) }
    }
  }
}
