import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

extension MultimodalFamily {
  // The first generation of SmolVLM is of this type too.
  static let idefics3 = MultimodalFamily(
    name: "idefics3", types: ["idefics3"], summary: "Idefics3",
    text: .idefics3, placeholder: 128_257, languageType: { _ in "llama" }, absentLanguage: Idefics3.absentLanguage,
    outline: Idefics3.outline, processors: [.idefics3], processor: { _ in .idefics3 },
    templates: [.smolVLM, .idefics3], template: Idefics3.template,
    published: [
      PublishedModel(
        "idefics3-8b",
        Idefics3.published(
          .so400m, side: 364, patch: 14, scale: 2,
          DecoderSize(width: 4096, layers: 32, heads: 32, kvHeads: 8, ffn: 14336, vocabulary: 128259, theta: 5e5)))
    ],
    gguf: GGUFProjector(
      name: "idefics3", architectures: ["llama"], last: "mm.model.fc.weight", read: Idefics3.read),
    load: { try Idefics3($0, shape: $1) })
}

/// Idefics3 and SmolVLM: a SigLIP tower, squares of patches joined into one token ("pixel shuffle"), a linear layer,
/// Llama. Every tile is a visual span of its own, the whole image the last one.
/// (transformers: `models/idefics3`, `models/smolvlm`; Laurençon et al. 2024, arXiv 2408.12637.)
struct Idefics3: VisualEncoder {
  let tower: VisionTower
  let connector: Connector

  /// The numbers from `config.json`: SigLIP, squares of patches side by side in one row, one linear layer, Llama.
  static func outline(_ config: Config, _ decoder: Shape.Decoder) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let (patch, scale) = (try vision.int("patch_size"), try config.int("scale_factor", 2))
    let side = try vision.int("image_size") / patch
    guard side > 0, side % scale == 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "scale_factor", found: "\(scale)", expected: "a divisor of the \(side) patches a side"
      )
    }
    let width = try vision.int("hidden_size")
    let tower = try Shape.Tower.checked(
      blocks: vision.int("num_hidden_layers", 12), width: width, heads: vision.int("num_attention_heads"),
      ffn: vision.int("intermediate_size", 3072), prefix: 0, rows: side, columns: side, patch: patch,
      fuse: scale * scale, anySize: false)
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .cut, hasSpanPerTile: true),
        connectorMACs: scale * scale * width * decoder.width), geometry: Idefics3Geometry(tower: tower))
  }

  /// The language model of a file that says nothing of it.
  static let absentLanguage: JSON = ["model_type": "llama", "rms_norm_eps": 1e-5]

  static func template(_ language: String, _ knows: (String) -> Bool) -> KnownTemplate? {
    knows("<|begin_of_text|>") ? .idefics3 : knows("<|im_start|>") ? .smolVLM : nil
  }

  static func published(
    _ vision: TransformerSize, side: Int, patch: Int, scale: Int, _ text: DecoderSize
  ) -> JSON {
    [
      "model_type": "idefics3", "scale_factor": JSON(scale), "text_config": text.config,
      "vision_config": vision.config(["image_size": JSON(side), "patch_size": JSON(patch)]),
    ]
  }

  /// SmolVLM too.
  static func read(_ tower: GGUFTower) throws -> GGUFVision {
    let side = try tower.side
    // Old files leave the longest edge out.
    let longest = try tower.keys.int("preproc_image_size", 4 * side, in: 1...8192)
    let names = try tower.names("vision.encoder.layers.", GGUFTower.encoder).with(
      layers: [("v.patch_embd", "vision.embeddings.patch_embedding"), ("v.post_ln", "vision.post_layernorm")],
      [
        "mm.model.fc.weight": "connector.modality_projection.proj.weight",
        "v.position_embd.weight": "vision.embeddings.position_embedding.weight",
      ])
    return GGUFVision(
      config: [
        ("vision_config", try tower.config([("image_size", JSON(side))])),
        ("scale_factor", JSON(try tower.keys.int("projector.scale_factor", in: 1...16))),
      ],
      processor: try tower.processor([
        ("size", ["longest_edge": JSON(longest)]), ("max_image_size", ["longest_edge": JSON(side)]),
      ]), names: names)
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let (tower, view) = (shape.tower!, checkpoint["vision"])
    let config = try Config(json: checkpoint.config).section("vision_config")
    self.tower = try SigLIP.tower(view, config, shape: tower, isNormed: true)
    connector = Connector(
      first: try checkpoint["connector.modality_projection"].linear(
        "proj", [shape.decoder!.width, tower.fuse * tower.width], bias: false))
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    image.tiles.enumerated().map { index, tile in
      let first = first + index * tower.shape.patches
      guard let size = image.visible?[index], size != Size(width: tile.shape[2], height: tile.shape[1]) else {
        return (tower.embed(tile, first: first), WeightBlocks.Surroundings())
      }
      let patch = tower.shape.patch
      // A patch with one visible pixel is visible.
      let rows = min((size.height + patch - 1) / patch, tower.shape.rows)
      let columns = min((size.width + patch - 1) / patch, tower.shape.columns)
      let cells = (0..<tower.shape.patches).map { (row: $0 / tower.shape.columns, column: $0 % tower.shape.columns) }
      let isVisible = cells.map { $0.row < rows && $0.column < columns }
      let down = buckets(rows, of: tower.shape.rows)
      let across = buckets(columns, of: tower.shape.columns)
      // Padding has position 0.
      let positions = zip(cells, isVisible).map { $1 ? down[$0.row] * tower.shape.columns + across[$0.column] : 0 }
      return (
        tower.embed(tile, positions: tower.embedding.positions!.table.gathered(positions), first: first),
        WeightBlocks.Surroundings(keyBias: isVisible.map { $0 ? 0 : -.infinity })
      )
    }
  }

  /// Which of `full` positions along an edge each of `count` visible patches has: the picture is stretched over all.
  private func buckets(_ count: Int, of full: Int) -> [Int] {
    // float32, as the official code: where i / count meets a boundary, rounding decides.
    (0..<count).map { index in
      let place = min(Float(index) / Float(count), 1 - 1e-6)
      return (1..<full).prefix { Float($0) / Float(full) <= place }.count
    }
  }
}

/// Every tile is a span, the whole image the last one.
struct Idefics3Geometry: VisualGeometry {
  package let tower: Shape.Tower

  package func check(_ image: PreparedImage) throws(ModelError) {
    try checkTiles(image)
    let tiles = image.rows * image.columns
    guard image.tiles.count == 1 + tiles, image.visible?.allSatisfy({ $0.width > 0 && $0.height > 0 }) ?? true else {
      throw .input(
        what: "image", found: "\(image.tiles.count) tiles",
        expected: "\(1 + tiles) that show something, the whole image last",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: image.rows, tileColumns: image.columns, side: tower.rows, thumbnail: image.tiles.count - 1,
      width: image.original.width, height: image.original.height, spans: [])
  }

  package func spans(of image: PreparedImage) -> [Int] { image.tiles.map { _ in tower.patches / tower.fuse } }

  /// `<fake_token_around_image><row_1_col_1>` before a tile, a line break where a row begins, `<global-img>` in place of
  /// the number before the whole image, and one more `<fake_token_around_image>` behind it.
  package func markers(of image: PreparedImage) -> [Int] {
    image.tiles.indices.map { $0 > 0 && $0 % image.columns == 0 ? 3 : 2 } + [1]
  }

  package func groups(of image: PreparedImage) -> [[Int32]]? { tower.squares(rows: tower.rows, columns: tower.columns) }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    perTile(tiles)
  }
}

extension ProcessorKind {
  static let idefics3 = ProcessorKind(names: ["Idefics3ImageProcessor", "SmolVLMImageProcessor"]) {
    try $0.splitting()
  }
}

extension ProcessorValues {
  fileprivate func splitting() throws -> SplittingProcessor {
    let side = try settings.intIfPresent("max_image_size.longest_edge") ?? tower("image_size") ?? 364
    if settings.has("size"), !settings.has("size.longest_edge") {
      throw settings.unfit("size", "an object with longest_edge")
    }
    let longest = try settings.intIfPresent("size.longest_edge") ?? 4 * side
    let across = (longest + side - 1) / side
    guard across * across <= Self.tileLimit else {
      throw settings.unfit("size.longest_edge", "at most \(Self.tileLimit) tiles of \(side) pixels")
    }
    return SplittingProcessor(
      pixels: try pixels(filter: .lanczos, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]),
      longestEdge: try settings.bool("do_resize", true) ? longest : nil, side: side,
      splits: try settings.bool("do_image_splitting", true))
  }
}

extension VisualText {
  /// Tiles by row and column, then the whole image, a placeholder per token of each.
  public static let idefics3 = VisualText(placeholder: "<image>") { rows, columns, spans in
    let mark = "<fake_token_around_image>"
    var text = ""
    for row in 0..<rows {
      for column in 0..<columns { text += "\(mark)<row_\(row + 1)_col_\(column + 1)>" + spans[row * columns + column] }
      text += "\n"
    }
    return text + (rows > 0 ? "\n" : "") + "\(mark)<global-img>" + spans[spans.count - 1] + mark
  }
}

extension KnownTemplate {
  static let smolVLM = KnownTemplate(name: "smolvlm", body: turns(after: "<|im_start|>"))
  static let idefics3 = KnownTemplate(name: "idefics3", body: turns(after: "<|begin_of_text|>"))

  private static func turns(after start: String) -> String {
    "{{- '\(start)' -}}"
      + #"""
      {%- for m in messages -%}
        {{- m.role | capitalize ~ (':' if m.content[0].type == 'image' else ': ') -}}
        {%- for p in m.content -%}{{ '<image>' if p.type == 'image' else p.text }}{%- endfor -%}
        {{- '<end_of_utterance>\n' -}}
      {%- endfor -%}
      {{- 'Assistant:' if add_generation_prompt -}}
      """#
  }
}
