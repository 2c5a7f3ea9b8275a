import VTokCore
import VTokWeights

// The numbers of a vision-language model from config.json alone. Published files list only what differs from the
// class defaults of their day, so every key has its default (transformers: `models/<family>/configuration_*.py`).

extension Shape {
  /// A vision tower or a vision-language model of any family that is known.
  /// - Parameters:
  ///   - config: `config.json` as published.
  ///   - processor: where a tower takes its image size from it.
  /// - Throws: `ModelError`.
  public init(config: JSON, processor: ProcessorFile? = nil) throws {
    if let family = MultimodalModel.family(config) {
      self = try family.shape(Config(json: config))
    } else {
      self.init(tower: try Tower(config: config, processor: processor))
    }
    try Self.check(parameters: connectorMACs, of: "connector")
  }

  /// LLaVA-1.5, and LLaVA-NeXT where the file has image pinpoints: CLIP, a two-layer projector, Llama or Mistral.
  init(llava config: Config) throws {
    let vision = try config.llavaVision()
    let states = try vision.featureStates(config)
    let compressor = try QueCC.Settings(
      config, grid: vision.int("image_size", 224) / vision.int("patch_size", 32))
    let deepest = ((compressor?.states ?? []) + states).max()!
    guard deepest <= (try vision.int("num_hidden_layers", 12)) else {
      throw ModelError.configuration(
        file: "config.json", key: "num_hidden_layers", found: "fewer than \(deepest)",
        expected: "the states \(compressor?.states ?? []) that quecc takes")
    }
    let tower = try Tower.clip(vision, featureBlock: deepest - 1, anySize: false)
    let decoder = try DecoderConfig(config.text()).shape
    if let compressor {
      self.init(
        tower: tower.fusing(compressor.cell * compressor.cell), decoder: decoder, layout: .single,
        connectorMACs: compressor.macs(width: tower.width) + (tower.width + decoder.width) * decoder.width)
      return
    }
    self.init(
      tower: tower, decoder: decoder, layout: try config.isNext() ? .anyres : .single,
      connectorMACs: (tower.width * states.count + decoder.width) * decoder.width)
  }

  /// Idefics3 and SmolVLM: SigLIP, squares of patches side by side in one row, one linear layer, Llama.
  init(idefics3 config: Config) throws {
    let vision = try config.section("vision_config")
    let (patch, scale) = (try vision.int("patch_size"), try config.int("scale_factor", 2))
    let side = try vision.int("image_size") / patch
    guard side > 0, side % scale == 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "scale_factor", found: "\(scale)", expected: "a divisor of the \(side) patches a side"
      )
    }
    let width = try vision.int("hidden_size")
    let tower = try Tower.checked(
      blocks: vision.int("num_hidden_layers", 12), width: width, heads: vision.int("num_attention_heads"),
      ffn: vision.int("intermediate_size", 3072), prefix: 0, rows: side, columns: side, patch: patch,
      fuse: scale * scale, anySize: false)
    let decoder = try DecoderConfig(config.text()).shape
    self.init(tower: tower, decoder: decoder, layout: .split, connectorMACs: scale * scale * width * decoder.width)
  }

  /// Qwen2-VL and Qwen2.5-VL: a tower with rotary positions for any size of image, squares of patches through two
  /// layers, Qwen2 with rotary positions of three axes. The grid is the one of a 1024 x 1024 image.
  /// - Parameter isNewer: whether it is Qwen2.5-VL, with windows and a gated MLP.
  init(qwen config: Config, isNewer: Bool) throws {
    let vision = try config.section("vision_config")
    let width = try isNewer ? vision.int("hidden_size", 1280) : vision.int("embed_dim", 1280)
    let (patch, merge) = (try vision.int("patch_size", 14), try vision.int("spatial_merge_size", 2))
    let heads = try vision.int("num_heads", 16)
    let ffn = try isNewer ? vision.int("intermediate_size", 3420) : Int(Float(width) * vision.float("mlp_ratio", 4))
    let blocks = try vision.int("depth", 32)
    let global = try vision.ints("fullatt_block_indexes") ?? [7, 15, 23, 31]
    let window = Tower.Windows(side: try vision.int("window_size", 112) / patch / merge * merge, global: global)
    guard window.side > 0 || !isNewer else {
      throw ModelError.configuration(
        file: "config.json", key: "window_size", found: "less than a cell", expected: "at least \(patch * merge)")
    }
    let side = (Float(1024) / Float(patch * merge)).rounded()
    let tower = try Tower.checked(
      blocks: blocks, width: width, heads: heads, ffn: ffn, ffnMatrices: isNewer ? 3 : 2, prefix: 0,
      rows: Int(side) * merge, columns: Int(side) * merge, patch: patch,
      frames: vision.int("temporal_patch_size", 2), fuse: merge * merge, windows: isNewer ? window : nil)
    let decoder = try DecoderConfig(config.text()).shape
    let fused = merge * merge * width
    self.init(
      tower: tower, decoder: decoder, layout: .dynamic, connectorMACs: fused * fused + fused * decoder.width)
  }
}

extension Config {
  /// The text part of a configuration, with what stands outside it in some files.
  func text() throws(ModelError) -> Config {
    let family = MultimodalModel.family(json)
    guard let section = try sectionIfPresent("text_config"), var text = section.json.object else {
      return family?.absentText.map { Config(json: $0) } ?? self
    }
    if text["model_type"] == nil { text["model_type"] = JSON(family?.textType ?? "llama") }
    for key in ["rope_scaling", "rope_theta"] where text[key] == nil && text["rope_parameters"] == nil {
      text[key] = json[key]
    }
    return Config(json: .object(text), file: file, path: section.path)
  }

  /// The tower of a LLaVA: the defaults of an absent section; keys absent from a present one have CLIP's own.
  func llavaVision() throws(ModelError) -> Config {
    guard let vision = try sectionIfPresent("vision_config") else {
      return Config(
        json: [
          "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14,
        ])
    }
    let type = try vision.string("model_type") ?? "clip_vision_model"
    guard type == "clip_vision_model" else {
      throw .unknownFamily(found: "a LLaVA with a tower of type '\(shortened(type))'", known: ["clip_vision_model"])
    }
    return vision
  }

  /// Whether a LLaVA cuts images into tiles, as LLaVA-NeXT does.
  func isNext() throws(ModelError) -> Bool {
    try string("model_type") == "llava_next" || has("image_grid_pinpoints")
  }

  /// Hidden states of the tower (this) that LLaVA's features are made of: 0 enters block 0, i + 1 leaves block i.
  func featureStates(_ config: Config) throws -> [Int] {
    let layers = try config.intOrInts("vision_feature_layer") ?? [config.int("mm_vision_select_layer", -2)]
    let blocks = try int("num_hidden_layers", 12)
    let states = layers.map { $0 < 0 ? blocks + 1 + $0 : $0 }
    guard let last = states.max(), last > 0, states.allSatisfy({ (0...blocks).contains($0) }) else {
      throw config.unfit("vision_feature_layer", "layers of the \(blocks) in the tower", found: "\(layers)")
    }
    return states
  }
}

extension Shape.Decoder {
  /// The language model of `config.json`: its `text_config`, or the file itself where it keeps the text keys at the top.
  /// - Throws: `ModelError`.
  public init(config: JSON) throws {
    self = try DecoderConfig(Config(json: config).text()).shape
  }
}
