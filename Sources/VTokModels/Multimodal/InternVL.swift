import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// InternVL3 and InternVL3.5: InternViT, squares of patches joined into one token, a projector of two layers, Qwen2, Qwen3 or
/// Llama.
/// (transformers: `models/internvl`; OpenGVLab/InternVL: `internvl_chat`; Zhu et al. 2025, arXiv 2504.10479; Wang et al. 2025,
/// arXiv 2508.18265.)
struct InternVL: VisualEncoder {
  let tower: VisionTower
  let connector: Connector

  /// What differs between transformers' files and the authors' own.
  struct Layout: Sendable {
    /// Keys of the section on the tower: biases of q, k and v, norms of q and k; of the file: the layer of the features.
    let biases: String, norms: String, layer: String
    /// Numbers of a file that leaves them out.
    let size: TransformerSize, side: Int, norm: String, isNormed: Bool
    /// Names of tensors in the tower.
    let names: Names
  }

  /// Names of the tensors of a tower and of its blocks.
  struct Names: Sendable {
    let classifier: String, positions: String, patches: String, blocks: String
    let norm1: String, norm2: String
    /// Three names, or one of all rows on top of each other.
    let qkv: [String]
    let queryNorm: String, keyNorm: String, output: String, scale1: String, scale2: String
  }

  /// The numbers from `config.json`.
  static func outline(_ config: Config, _ decoder: Shape.Decoder, _ layout: Layout) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let side = try config.side("force_image_size") ?? vision.side("image_size") ?? layout.side
    let patch = try vision.side("patch_size") ?? 14
    let ratio = try config.double("downsample_ratio", 0.5, in: 1.0 / 16...1)
    let edge = Int(1 / ratio)
    guard side / patch > 0, side / patch % edge == 0 else {
      throw config.unfit("downsample_ratio", "a divisor of the \(side / patch) patches a side in its inverse")
    }
    let blocks = try vision.int("num_hidden_layers", layout.size.layers)
    try refuse(config, vision, blocks)
    let width = try vision.int("hidden_size", layout.size.width)
    let tower = try Shape.Tower.checked(
      blocks: blocks, featureBlock: try state(config, blocks, layout) - 1, width: width,
      heads: vision.int("num_attention_heads", layout.size.heads),
      ffn: vision.int("intermediate_size", layout.size.ffn), prefix: 1, rows: side / patch, columns: side / patch,
      patch: patch, fuse: edge * edge, anySize: false)
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .cut),
        connectorMACs: (edge * edge * width + decoder.width) * decoder.width),
      geometry: InternVLGeometry(tower: tower))
  }

  /// Hidden state that the features are: 0 enters block 0, i + 1 leaves block i.
  private static func state(_ config: Config, _ blocks: Int, _ layout: Layout) throws -> Int {
    let layer = try config.int(layout.layer, -1, in: -1024...1024)
    let state = layer < 0 ? blocks + 1 + layer : layer
    guard (1...blocks).contains(state) else {
      throw config.unfit(layout.layer, "a layer of the \(blocks) in the tower", found: "\(layer)")
    }
    return state
  }

  /// What files may say and no published one does.
  private static func refuse(_ config: Config, _ vision: Config, _ blocks: Int) throws {
    guard try config.string("vision_feature_select_strategy") ?? "default" == "default" else {
      throw config.unfit("vision_feature_select_strategy", "default: with the class token the patches are no square")
    }
    guard try vision.bool("use_absolute_position_embeddings", true) else {
      throw vision.unfit("use_absolute_position_embeddings", "true")
    }
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape, _ layout: Layout) throws {
    let (tower, view, names) = (shape.tower!, checkpoint["vision"], layout.names)
    let config = Config(json: checkpoint.config)
    let vision = try config.section("vision_config")
    let width = tower.width
    let epsilon = try vision.float("layer_norm_eps", 1e-6)
    let kind = try vision.string("norm_type") ?? layout.norm
    guard ["layer_norm", "rms_norm"].contains(kind) else { throw vision.unfit("norm_type", "layer_norm or rms_norm") }
    func rms(_ name: String, in view: Checkpoint, _ epsilon: Float) throws -> RMSNorm {
      RMSNorm(weight: try view.vector("\(name).weight", [width]), epsilon: epsilon)
    }
    func norm(_ name: String, in view: Checkpoint) throws -> Norm {
      kind == "rms_norm" ? .rms(try rms(name, in: view, epsilon)) : try view.norm(name, width, epsilon: epsilon)
    }
    let (hasBiases, isNormed) = (try vision.bool(layout.biases, false), try vision.bool(layout.norms, layout.isNormed))
    let activation = try vision.activation(.gelu)
    let blocks = try (0..<tower.blocks).map { index in
      let block = names.blocks.split(separator: ".").reduce(view) { $0[String($1)] }[index]
      var made = TransformerBlock(
        heads: tower.heads, norm1: try norm(names.norm1, in: block),
        qkv: names.qkv.count == 1
          ? try block.linear(names.qkv[0], [3 * width, width], bias: hasBiases)
          : try block.linear(stacking: names.qkv, [width, width], bias: hasBiases),
        output: try block.linear(names.output, [width, width]), scale1: try block.vector(names.scale1, [width]),
        norm2: try norm(names.norm2, in: block), up: try block.linear("mlp.fc1", [tower.ffn, width]),
        down: try block.linear("mlp.fc2", [width, tower.ffn]), mlp: .plain(activation),
        scale2: try block.vector(names.scale2, [width]))
      if isNormed {
        // Fixed in transformers; the authors take that of the other norms, which is the same in every published file.
        made.wideNorms = (try rms(names.queryNorm, in: block, 1e-6), try rms(names.keyNorm, in: block, 1e-6))
      }
      return made
    }
    /// Dimensions of 1 in front are in all files but some GGUF ones.
    func bare(_ name: String, _ shape: [Int]) throws -> Tensor {
      let leading = [Int](repeating: 1, count: max(0, (view.shape(name)?.count ?? 3) - shape.count))
      return try view.tensor(name, leading + shape).reshaped(shape)
    }
    let table = try bare(names.positions, [tower.patches + 1, width])
    let classifier = try bare(names.classifier, [width]).values
    let embedding = VisionTower.Embedding(
      patch: tower.patch, projection: try view.patchProjection(names.patches, width: width, patch: tower.patch),
      prefix: [(.classifier, zip(classifier, table.row(0)).map(+))],
      positions: PositionGrid(
        table.gathered(Array(1..<table.rows)), rows: tower.rows, columns: tower.columns, kernel: .plain), norm: nil)
    let pools = try vision.bool("use_mean_pooling", true)
    var whole = VisionTower(
      embedding: embedding, blocks: blocks,
      finalNorm: pools ? nil : try view.norm("layernorm", width, epsilon: epsilon), shape: tower)
    whole.featureStates = [tower.featureBlock + 1]
    self.tower = whole
    let (joined, projector) = (tower.fuse * width, checkpoint["projector"])
    let inner = shape.decoder!.width
    connector = Connector(
      joinedNorm: try projector.norm("layer_norm", joined, epsilon: 1e-5),  // of the class, not of the file
      first: try projector.linear("linear_1", [inner, joined]),
      activation: try config.activation(.gelu, key: "projector_hidden_act"),
      second: try projector.linear("linear_2", [inner, inner]))
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    image.tiles.enumerated().map { index, tile in
      (tower.embed(tile, first: first + index * tower.shape.patches), WeightBlocks.Surroundings())
    }
  }
}

/// The tiles row by row, the whole image behind several, all in one span.
struct InternVLGeometry: VisualGeometry {
  package let tower: Shape.Tower

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    let tiles = image.rows * image.columns
    guard image.tiles.count == tiles || tiles > 1 && image.tiles.count == tiles + 1 else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles",
        expected: "\(tiles)\(tiles > 1 ? ", and perhaps the whole image last" : "")",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: image.rows, tileColumns: image.columns, side: tower.rows,
      thumbnail: image.tiles.count > image.rows * image.columns ? image.tiles.count - 1 : nil,
      width: image.original.width, height: image.original.height, spans: [])
  }

  package func spans(of image: PreparedImage) -> [Int] { [image.tiles.count * tower.patches / tower.fuse] }
  /// `<img>` and `</img>`.
  package func markers(of image: PreparedImage) -> [Int] { [1, 1] }
  package func features(of tile: TokenSequence) -> Reduction? { .keep(tile.rows(.patch), of: tile.count) }
  package func groups(of image: PreparedImage) -> [[Int32]]? { tower.squares(rows: tower.rows, columns: tower.columns) }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    let count = tiles.reduce(0) { $0 + $1.count }
    return [.keep(Array(0..<count), of: count)]
  }
}

extension Config {
  /// One number, or height and width that are equal; nil where the key is absent or null.
  func side(_ key: String) throws(ModelError) -> Int? {
    guard let sides = try intOrInts(key) else { return nil }
    guard let side = sides.first, sides.count <= 2, sides.allSatisfy({ $0 == side }) else {
      throw unfit(key, "one number, or two that are equal")
    }
    return side
  }
}
