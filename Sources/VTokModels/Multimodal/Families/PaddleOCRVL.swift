import VTokCore
import VTokImage
import VTokLibC
import VTokTensor
import VTokWeights

extension MultimodalFamily {
  static let paddleOCRVL = MultimodalFamily(
    name: "paddleocr-vl", types: ["paddleocr_vl"], summary: "PaddleOCR-VL",
    text: .paddleOCRVL, placeholder: 100_295, languageType: { _ in "paddleocr_vl_text" }, isTiedByDefault: true,
    outline: PaddleOCRVL.outline, processors: [.paddleOCRVL], processor: { _ in .paddleOCRVL },
    templates: [.paddleOCRVL], template: { _, _ in .paddleOCRVL },
    published: [
      PublishedModel(
        "paddleocr-vl", ["model_type": "paddleocr_vl", "tie_word_embeddings": false],
        processor: [
          "min_pixels": 147_384, "max_pixels": 2_822_400, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        ])
    ],
    names: { _ in
      .common.but([("visual.vision_model.", "vision."), ("mlp_AR.", "projector.")])
    },
    needless: [
      Needless("*packing_position_embedding*", reason: "positions of another way to feed the tower"),
      Needless("*vision_model.head.*", reason: "SigLIP's pooling head"),
    ], load: { try PaddleOCRVL($0, shape: $1) })
}

/// PaddleOCR-VL: SigLIP for pictures of any size, with learned and with rotary positions, squares of four patches joined into
/// one token, and ERNIE 4.5 with rotary positions of three axes.
/// (transformers: `models/paddleocr_vl`; Cui et al. 2025, arXiv 2510.14528.)
struct PaddleOCRVL: VisualEncoder {
  let tower: VisionTower
  let connector: Connector
  /// Of the tower's rotary positions, a quarter of a head each for rows and columns. `[headDim / 4]`
  private let frequencies: [Float]

  private static func vision(_ config: Config) throws(ModelError) -> Config {
    try config.section("vision_config").over(
      TransformerSize.so400m.config(["image_size": 384, "patch_size": 14, "spatial_merge_size": 2]))
  }

  /// The numbers from `config.json`. The grid is the one of a 1024 x 1024 image.
  static func outline(_ config: Config, _ decoder: Shape.Decoder) throws -> MultimodalFamily.Outline {
    let vision = try vision(config)
    let (patch, merge) = (try vision.int("patch_size"), try vision.int("spatial_merge_size"))
    let side = Int((Float(1024) / Float(patch * merge)).rounded()) * merge
    let own = try SigLIP.shape(vision, featureBlock: nil, fuse: merge * merge)
    guard own.headDim % 4 == 0 else {
      throw vision.unfit("num_attention_heads", "heads of a multiple of 4 channels", found: "\(own.headDim) channels")
    }
    let tower = own.on(rows: side, columns: side)
    let joined = tower.fuse * tower.width
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .native),
        connectorMACs: joined * joined + joined * decoder.width),
      geometry: QwenVLGeometry(tower: tower, isRaster: true))
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let (tower, view, projector) = (shape.tower!, checkpoint["vision"], checkpoint["projector"])
    let vision = try Self.vision(Config(json: checkpoint.config))
    let side = try vision.int("image_size") / tower.patch
    let table = try view.tensor("embeddings.position_embedding.weight", [side * side, tower.width])
    self.tower = try SigLIP.tower(
      view, vision, shape: tower, positions: PositionGrid(table, rows: side, columns: side, kernel: .bilinear),
      isNormed: true)
    let joined = tower.fuse * tower.width
    connector = Connector(
      norm: try projector.norm("pre_norm", tower.width, epsilon: 1e-5),  // fixed in the official code
      first: try projector.linear("linear_1", [joined, joined]),
      second: try projector.linear("linear_2", [shape.decoder!.width, joined]))
    let quarter = tower.headDim / 4
    let theta = try vision.section("rope_parameters").float("rope_theta", 10000)
    frequencies = (0..<quarter).map { powf(theta, -Float(2 * $0) / Float(2 * quarter)) }
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    var x = tower.embedding.projection(image.tiles[0])
    let table = tower.embedding.positions!.table(rows: image.rows, columns: image.columns)
    for index in x.values.indices { x.values[index] += table.values[index] }
    let places = (0..<x.rows).map {
      Position(t: 0, h: Int32($0 / image.columns), w: Int32($0 % image.columns))
    }
    let rotation = Rotary(
      places, frequencies: frequencies + frequencies, sections: [0, frequencies.count, frequencies.count])
    let tokens = TokenSequence(
      x: x, kind: places.map { _ in .patch }, origin: Origin(places.indices.map { first + $0 }))
    return [(tokens, WeightBlocks.Surroundings(rotation: rotation))]
  }
}

extension VisualText {
  /// One placeholder per token of the image, between two marks that templates write.
  static let paddleOCRVL = VisualText(
    placeholder: "<|IMAGE_PLACEHOLDER|>", image: "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>")
}

extension ProcessorKind {
  static let paddleOCRVL = ProcessorKind(names: ["PaddleOCRVLImageProcessor"]) {
    try $0.mergedPatches(area: 147_456...2_359_296, frames: 1, order: .rows, enlargesThin: true)
  }
}

extension KnownTemplate {
  /// Tasks are texts: `OCR:`, `Table Recognition:`, `Formula Recognition:`, `Chart Recognition:`.
  static let paddleOCRVL = KnownTemplate(
    name: "paddleocr-vl",
    body: #"""
      {{- '<|begin_of_sentence|>' -}}
      {%- for m in messages -%}
        {{- 'User: ' if m.role == 'user' else 'Assistant: ' if m.role == 'assistant' -}}
        {{- images(m, '<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>') ~ text(m) -}}
        {{- '<|end_of_sentence|>' if m.role == 'assistant' else '\n' -}}
      {%- endfor -%}
      {{- 'Assistant:' if add_generation_prompt -}}
      """#)
}

extension Config {
  /// The same section, where absent keys have these values.
  /// - Precondition: `defaults` is an object.
  func over(_ defaults: JSON) -> Config {
    var members = defaults.object!
    for (key, value) in json.object ?? JSONObject() where !value.isNull { members[key] = value }
    return Config(json: .object(members), file: file, path: path)
  }
}
