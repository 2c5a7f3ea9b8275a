import VTokCore
import VTokWeights

/// A family of vision towers: all that depends on its name.
struct VisionFamily: Sendable {
  let name: String
  /// `model_type` in `config.json`; of timm its architectures.
  let types: [String]
  let summary: String
  /// Tensors that tell the family where `config.json` names no type.
  let marks: [String]
  let needless: [Needless]
  let shape: @Sendable (Config, ProcessorFile?) throws -> Shape.Tower
  let load: @Sendable (Checkpoint) throws -> VisionModel
}

extension VisionModel {
  /// Every family, in the order in which tensors are asked where the configuration says nothing.
  static let families: [VisionFamily] = [
    VisionFamily(
      name: "timm", types: [TimmViT.wrapper] + TimmArguments.architectures.keys.sorted(),
      summary: "ViT, DeiT (distilled too), AugReg, CLIP, MAE fine-tuned, DINOv2 with and without registers, SwiGLU",
      marks: ["blocks.0.attn.qkv.weight"], needless: [.mask],
      shape: { config, _ in try TimmViT.shape(TimmArguments(config), config) }, load: TimmViT.load),
    VisionFamily(
      name: "clip", types: ["clip", "clip_vision_model"],
      summary: "Hugging Face CLIP, whole or vision tower alone", marks: ["vision_model.pre_layrnorm.weight"],
      needless: [
        .positions, Needless("text_model.*", "text_projection.weight", reason: "the text tower of a whole CLIP"),
        Needless("visual_projection.weight", "logit_scale", reason: "compare pictures with texts"),
      ], shape: { config, _ in try .clip(config.visionPart()) }, load: CLIP.loadVision),
    VisionFamily(
      name: "siglip", types: ["siglip", "siglip_vision_model"],
      summary: "Hugging Face SigLIP and SigLIP 2 of fixed resolution, whole or vision tower alone",
      marks: ["vision_model.head.probe", "head.probe"],
      needless: [
        .positions, Needless("text_model.*", reason: "the text tower of a whole SigLIP"),
        Needless("logit_scale", "logit_bias", reason: "compare pictures with texts"),
        Needless("vision_model.head.*", "head.*", reason: "the pooling head where vision_use_head is false"),
      ], shape: { config, _ in try .siglip(config.visionPart()) }, load: SigLIP.loadVision),
    VisionFamily(
      name: "dinov2", types: ["dinov2", "dinov2_with_registers"],
      summary: "Hugging Face DINOv2, with and without registers and classifier",
      marks: ["encoder.layer.0.layer_scale1.lambda1", "dinov2.layernorm.weight"], needless: [.mask],
      shape: { try .dinov2($0, $1) }, load: DINOv2.load),
    VisionFamily(
      name: "vit", types: ["vit", "deit"], summary: "Hugging Face ViT and DeiT",
      marks: ["vit.", "deit.", ""].map { $0 + "encoder.layer.0.layernorm_before.weight" },
      needless: [
        .mask, Needless("*pooler.dense.*", reason: "a head that no published classifier uses"),
        Needless("decoder.*", reason: "paints hidden patches in pre-training"),
      ], shape: { config, _ in try .vit(config) }, load: HuggingFaceViT.load),
  ]

  /// The family that a configuration names, or, where it names none, that tensors tell.
  /// - Throws: `ModelError.unknownFamily` with what was found.
  static func family(of config: JSON, has: (String) -> Bool = { _ in false }) throws(ModelError) -> VisionFamily {
    let file = Config(json: config)
    let type = try file.string("model_type")
    if type == nil || type == TimmViT.wrapper, let architecture = try file.string("architecture") {
      _ = try TimmArguments(architecture: architecture)  // names the nearest one where it is unknown
      return families[0]
    }
    let known = type.map { type in families.first { $0.types.contains(type) } }
    guard let family = known ?? families.first(where: { $0.marks.contains(where: has) }) else {
      throw ModelFamily.unknown(config, known: ModelFamily.all.filter { $0.kind != .tokenizer }.map(\.name))
    }
    return family
  }

  /// Loads whatever family the checkpoint belongs to.
  /// - Throws: `ModelError`, `WeightError` or `JSONError`.
  public static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let family = try family(of: checkpoint.config, has: checkpoint.has)
    try checkpoint.refuseQuantised()
    let model = try family.load(checkpoint)
    try checkpoint.refuseUnknown(family.needless)
    try model.checkInput()
    return model
  }
}
