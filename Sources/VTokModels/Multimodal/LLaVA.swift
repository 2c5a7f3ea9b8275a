import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision: a CLIP or SigLIP tower, most often stopped before its last block, a projector
/// of two layers, and a language model.
/// (transformers: `models/llava`, `models/llava_next`, `models/llava_onevision`; Liu et al. 2023, arXiv 2310.03744;
/// LLaVA-NeXT, January 2024; Li et al. 2024, arXiv 2408.03326.)
struct LLaVA: VisualEncoder {
  let tower: VisionTower
  let connector: Connector
  /// Before the connector, in checkpoints trained with it.
  let compressor: QueCC?
  /// Behind every row of the grid in LLaVA-NeXT; nil in LLaVA-1.5. `[1, width]`
  let newline: Tensor?

  /// What differs between the families.
  struct Variant: Sendable {
    /// Whether images are cut into tiles.
    let isTiled: @Sendable (Config) -> Bool
    /// The section on the tower where a file has none.
    var absentVision: JSON = [
      "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
      "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
    ]
    /// Hidden state of the tower that is the features, and which of its rows go on, where a file says nothing.
    var layer = -2, strategy = "default"
    /// Whether files lack the last block of the tower, which their `config.json` counts.
    var lacksLastBlock = false
    /// The key for the cells that a grid may have, in tiles' worth, before it is taken to fewer, and what stands there where a
    /// file says nothing; nil: a grid may have any number.
    var gridLimit: (key: String, absent: String?)?

    /// Old files of tiled models have the type of LLaVA-1.5, and list the grids that images may be cut into.
    static let plain = Variant { $0.has("image_grid_pinpoints") }
    static let next = Variant { _ in true }
  }

  /// A tower that pictures may pass.
  private struct TowerKind: Sendable {
    /// `model_type` of its section.
    let type: String
    let shape: @Sendable (Config, _ featureBlock: Int) throws -> Shape.Tower
    let load: @Sendable (Checkpoint, Config, Shape.Tower) throws -> VisionTower
  }

  private static let towers = [
    TowerKind(
      type: "clip_vision_model", shape: { try CLIP.shape($0, featureBlock: $1, anySize: false) },
      load: { try CLIP.tower($0, $1, shape: $2) }),
    TowerKind(
      type: "siglip_vision_model", shape: { try SigLIP.shape($0, featureBlock: $1) },
      load: { try SigLIP.tower($0, $1, shape: $2, isNormed: false) }),
  ]

  /// The numbers from `config.json`: a tower, a projector of two layers, a language model.
  static func outline(_ config: Config, _ decoder: Shape.Decoder, _ variant: Variant) throws
    -> MultimodalFamily.Outline
  {
    let vision = try vision(config, variant)
    let states = try featureStates(of: vision.section, config, variant)
    let isTiled = variant.isTiled(config)
    let compressor = try QueCC.Settings(
      config, grid: vision.section.int("image_size", 224) / vision.section.int("patch_size", 32))
    if compressor != nil, isTiled { throw config.unfit("image_grid_pinpoints", "none beside quecc") }
    let deepest = ((compressor?.states ?? []) + states).max()!
    guard deepest <= (try vision.section.int(layersKey, defaultLayers)) else {
      throw ModelError.configuration(
        file: "config.json", key: layersKey, found: "fewer than \(deepest)",
        expected: "the states \(compressor?.states ?? []) that quecc takes")
    }
    let plain = try vision.kind.shape(vision.section, deepest - 1)
    var tower = compressor.map { plain.fusing($0.cell * $0.cell) } ?? plain
    if compressor == nil { tower.states = states.count }
    let projector = (tower.width * (compressor == nil ? states.count : 1) + decoder.width) * decoder.width
    let shape = Shape(
      tower: tower, decoder: decoder, layout: Shape.Layout(tiling: isTiled ? .cut : .one, hasNewline: isTiled),
      connectorMACs: (compressor?.macs(width: tower.width) ?? 0) + projector)
    return MultimodalFamily.Outline(shape: shape, geometry: try LLaVAGeometry(shape, config, compressor, variant))
  }

  /// The section on the tower: the defaults of an absent one; keys absent from a present one have the tower's own.
  private static func vision(_ config: Config, _ variant: Variant) throws(ModelError) -> (
    kind: TowerKind, section: Config
  ) {
    var section = try config.sectionIfPresent("vision_config") ?? Config(json: variant.absentVision)
    if variant.lacksLastBlock, var values = section.json.object {
      values[layersKey] = JSON(try section.int(layersKey, defaultLayers) - 1)
      section = Config(json: .object(values), file: section.file, path: section.path)
    }
    let type = try section.string("model_type") ?? towers[0].type
    guard let kind = towers.first(where: { $0.type == type }) else {
      throw .unknownFamily(found: "a LLaVA with a tower of type '\(shortened(type))'", known: towers.map(\.type))
    }
    return (kind, section)
  }

  private static let layersKey = "num_hidden_layers", defaultLayers = 12

  /// Hidden states of the tower that the features are made of: 0 enters block 0, i + 1 leaves block i.
  private static func featureStates(of vision: Config, _ config: Config, _ variant: Variant) throws -> [Int] {
    let named = try config.intOrInts("vision_feature_layer") ?? config.intOrInts("mm_vision_select_layer")
    let layers = named ?? [variant.layer]
    let blocks = try vision.int(layersKey, defaultLayers) + (variant.lacksLastBlock ? 1 : 0)
    let states = layers.map { $0 < 0 ? blocks + 1 + $0 : $0 }
    guard let last = states.max(), last > 0, states.allSatisfy({ (0...blocks).contains($0) }) else {
      throw config.unfit("vision_feature_layer", "layers of the \(blocks) in the tower", found: "\(layers)")
    }
    return states
  }

  /// A trained compressor stands in front of the projector and moves it one place on.
  static func names(_ config: Config) -> NamePrefixes {
    guard QueCC.Settings.isNamed(in: config) else { return .common }
    return .common.but([
      ("mm_projector.0.", "projector.compressor."), ("mm_projector.1.", "projector.linear_1."),
      ("mm_projector.3.", "projector.linear_2."),
    ])
  }

  static let needless = [
    Needless("*vision_tower*.post_layernorm.*", reason: "the norm of the last state, which LLaVA does not use"),
    Needless("*vision_tower*.head.*", reason: "SigLIP's pooling head, which LLaVA does not use"),
  ]

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape, _ variant: Variant) throws {
    let config = Config(json: checkpoint.config)
    let vision = try Self.vision(config, variant)
    if let separate = try config.string("mm_vision_tower"),
      !checkpoint.has("vision.embeddings.patch_embedding.weight")
    {
      throw ModelError.configuration(
        file: "config.json", key: "mm_vision_tower", found: "'\(separate)', whose weights are not in this folder",
        expected: "a checkpoint that holds its tower (llava-hf)")
    }
    let states = try Self.featureStates(of: vision.section, config, variant)
    var tower = try vision.kind.load(checkpoint["vision"], vision.section, shape.tower!)
    let settings = try QueCC.Settings(config, grid: shape.tower!.rows)
    tower.featureStates = (settings?.states ?? []) + states
    self.tower = tower
    compressor = try settings.map {
      try QueCC(
        checkpoint["projector.compressor"], $0, width: tower.shape.width, states: tower.shape.width * $0.states.count)
    }
    let (width, inner) = (shape.decoder!.width, tower.shape.width * (settings == nil ? states.count : 1))
    let hasBiases = try config.bool("multimodal_projector_bias", true)
    connector = Connector(
      first: try checkpoint["projector"].linear("linear_1", [width, inner], bias: hasBiases),
      activation: try config.activation(.gelu, key: "projector_hidden_act"),
      second: try checkpoint["projector"].linear("linear_2", [width, width], bias: hasBiases))
    let isTiled = shape.layout!.hasNewline
    newline = isTiled ? Tensor(try checkpoint.vector("image_newline", [width]), shape: [1, width]) : nil
  }

  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence {
    guard let compressor else { return connector(tile, joining: groups, threads: threads) }
    guard let groups, let question else { preconditionFailure("QueCC joins squares and sees the question") }
    // All states beside each other, the features last.
    var tile = tile
    let width = tower.shape.width
    let squares = compressor(
      tile.x.columns(tile.x.width - width..<tile.x.width), states: tile.x.columns(0..<tile.x.width - width),
      question: question, threads: threads)
    tile.apply(Reduction(rows: groups, of: tile.count, blend: .byCount), features: squares.tokens)
    return connector(tile, threads: threads)
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    image.tiles.enumerated().map { index, tile in
      (tower.embed(tile, first: first + index * tower.shape.patches), WeightBlocks.Surroundings())
    }
  }
}
