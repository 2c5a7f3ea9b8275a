import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// LLaVA-1.5 and LLaVA-NeXT: a CLIP tower stopped before its last block, a projector of two layers, Llama or Mistral.
/// (transformers: `models/llava`, `models/llava_next`; Liu et al. 2023, arXiv 2310.03744, and LLaVA-NeXT, January 2024.)
struct LLaVA: VisualEncoder {
  let tower: VisionTower
  let connector: Connector
  /// Before the connector, in checkpoints trained with it.
  let compressor: QueCC?
  /// Behind every row of the grid in LLaVA-NeXT; nil in LLaVA-1.5. `[1, width]`
  let newline: Tensor?

  /// The numbers from `config.json`: CLIP, a two-layer projector, Llama or Mistral.
  /// - Parameter isTiled: whether images are cut into tiles, as LLaVA-NeXT does.
  static func outline(_ config: Config, _ decoder: Shape.Decoder, isTiled: Bool) throws -> MultimodalFamily.Outline {
    let vision = try vision(config)
    let states = try featureStates(of: vision, config)
    let compressor = try QueCC.Settings(
      config, grid: vision.int("image_size", 224) / vision.int("patch_size", 32))
    if compressor != nil, isTiled { throw config.unfit("image_grid_pinpoints", "none beside quecc") }
    let deepest = ((compressor?.states ?? []) + states).max()!
    guard deepest <= (try vision.int("num_hidden_layers", 12)) else {
      throw ModelError.configuration(
        file: "config.json", key: "num_hidden_layers", found: "fewer than \(deepest)",
        expected: "the states \(compressor?.states ?? []) that quecc takes")
    }
    let plain = try CLIP.shape(vision, featureBlock: deepest - 1, anySize: false)
    let tower = compressor.map { plain.fusing($0.cell * $0.cell) } ?? plain
    let projector = (tower.width * (compressor == nil ? states.count : 1) + decoder.width) * decoder.width
    let shape = Shape(
      tower: tower, decoder: decoder, layout: Shape.Layout(tiling: isTiled ? .cut : .one, hasNewline: isTiled),
      connectorMACs: (compressor?.macs(width: tower.width) ?? 0) + projector)
    return MultimodalFamily.Outline(shape: shape, geometry: try LLaVAGeometry(shape, config, compressor))
  }

  /// The section on the tower: the defaults of an absent one; keys absent from a present one have CLIP's own.
  private static func vision(_ config: Config) throws(ModelError) -> Config {
    guard let vision = try config.sectionIfPresent("vision_config") else {
      return Config(
        json: [
          "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 336, "patch_size": 14,
        ])
    }
    let known = "clip_vision_model"
    let type = try vision.string("model_type") ?? known
    guard type == known else {
      throw .unknownFamily(found: "a LLaVA with a tower of type '\(shortened(type))'", known: [known])
    }
    return vision
  }

  /// Hidden states of the tower that the features are made of: 0 enters block 0, i + 1 leaves block i.
  private static func featureStates(of vision: Config, _ config: Config) throws -> [Int] {
    let layers = try config.intOrInts("vision_feature_layer") ?? [config.int("mm_vision_select_layer", -2)]
    let blocks = try vision.int("num_hidden_layers", 12)
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
    Needless("*vision_tower*.post_layernorm.*", reason: "CLIP's norm of its pooled token, which LLaVA does not use")
  ]

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let config = Config(json: checkpoint.config)
    let vision = try Self.vision(config)
    if let separate = try config.string("mm_vision_tower"), !checkpoint.has("vision.pre_layrnorm.weight") {
      throw ModelError.configuration(
        file: "config.json", key: "mm_vision_tower", found: "'\(separate)', whose weights are not in this folder",
        expected: "a checkpoint that holds its tower (llava-hf)")
    }
    let states = try Self.featureStates(of: vision, config)
    var tower = try CLIP.tower(checkpoint["vision"], vision, shape: shape.tower!)
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
    let strategy = try config.string("vision_feature_select_strategy") ?? "default"
    let expected = isTiled ? ["default"] : ["default", "full"]
    guard expected.contains(strategy) else {
      throw config.unfit("vision_feature_select_strategy", expected.joined(separator: " or "))
    }
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

/// The thumbnail first, then the tiles of the grid, each row of cells ended by a newline; LLaVA-1.5 has one tile.
struct LLaVAGeometry: VisualGeometry {
  package let tower: Shape.Tower
  /// Whether images are cut into tiles.
  private let isTiled: Bool
  /// Whether the class token goes on to the language model ("full").
  private let keepsClassifier: Bool
  private let compressor: QueCC.Settings?

  init(_ shape: Shape, _ config: Config, _ compressor: QueCC.Settings?) throws(ModelError) {
    (tower, isTiled, self.compressor) = (shape.tower!, shape.layout!.hasNewline, compressor)
    keepsClassifier = try config.string("vision_feature_select_strategy") == "full"
  }

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    let tiles = image.rows * image.columns
    guard image.tiles.count == (isTiled ? 1 + tiles : 1) else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles",
        expected: isTiled ? "\(1 + tiles), thumbnail included" : "1",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: isTiled ? image.rows : 1, tileColumns: isTiled ? image.columns : 1, side: tower.rows,
      thumbnail: isTiled ? 0 : nil, width: image.original.width, height: image.original.height, spans: [])
  }

  package var seesQuestion: Bool { compressor != nil }

  package func groups(of image: PreparedImage) -> [[Int32]]? { compressor?.groups }

  package func spans(of image: PreparedImage) -> [Int] {
    if let compressor { return [compressor.groups.count] }
    let patches = tower.patches
    if !isTiled { return [patches + (keepsClassifier ? 1 : 0)] }
    guard let grid = anyresGrid(of: image) else { return [patches + 1] }
    return [patches + grid.visible.rows.count * (grid.visible.columns.count + 1)]
  }

  package func visiblePatches(of image: PreparedImage) -> Int {
    guard let visible = anyresGrid(of: image)?.visible else { return patches(of: image) }
    return tower.patches + visible.rows.count * visible.columns.count
  }

  package func features(of tile: TokenSequence) -> Reduction? {
    keepsClassifier ? nil : .keep(tile.rows(.patch), of: tile.count)
  }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    let rows = tiles.map(\.count)
    let starts = rows.indices.map { rows[..<$0].reduce(0, +) }
    let count = rows.reduce(0, +)
    guard isTiled else { return [.keep(Array(0..<count), of: count)] }
    let patches = tower.patches
    let isComplete = tiles.allSatisfy { tile in
      tile.count == patches && tile.id.enumerated().allSatisfy { Int($1) == $0 + tower.prefix }
    }
    let thumbnail = Array(0..<rows[0])
    guard let grid = anyresGrid(of: image) else {
      return [.keep(isComplete ? thumbnail + [count] : thumbnail, of: count + 1)]
    }
    var placed: [(place: Int, source: Int)] = []  // places count through the visible grid
    var unplaced: [Int] = []
    for (index, tile) in tiles.enumerated().dropFirst() {
      for row in 0..<tile.count {
        let range = tile.origin.range(row)
        if range.isEmpty {
          unplaced.append(starts[index] + row)
        } else if let place = grid.place(
          tile: index - 1, cell: Int(tile.origin.patches[range.lowerBound]) - first - index * patches)
        {
          placed.append((place, starts[index] + row))
        }
      }
    }
    placed.sort { $0 < $1 }
    // A thinned grid has no rows that a newline could end.
    guard isComplete else { return [.keep(thumbnail + placed.map(\.source) + unplaced, of: count + 1)] }
    let lines = grid.visible.rows.indices.flatMap { line in
      let width = grid.visible.columns.count
      let start = line - grid.visible.rows.lowerBound
      return placed[start * width..<(start + 1) * width].map(\.source) + [count]
    }
    return [.keep(thumbnail + lines, of: count + 1)]
  }

  private func anyresGrid(of image: PreparedImage) -> AnyresGrid? {
    image.tiles.count == 1
      ? nil
      : AnyresGrid(
        rows: image.rows, columns: image.columns, side: tower.rows, width: image.original.width,
        height: image.original.height)
  }
}
