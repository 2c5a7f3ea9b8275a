import VTokCore
import VTokImage
import VTokLibC
import VTokTensor
import VTokWeights

/// Qwen2-VL and Qwen2.5-VL: a tower with rotary positions for pictures of any size, cells of four patches merged into one
/// token, Qwen2 with rotary positions of three axes. The newer tower attends inside windows in most of its blocks. The third
/// generation is in `QwenVL+DeepStack.swift`.
/// (transformers: `models/qwen2_vl`, `models/qwen2_5_vl`; Wang et al. 2024, arXiv 2409.12191; Bai et al. 2025,
/// arXiv 2502.13923.)
struct QwenVL: VisualEncoder {
  let tower: VisionTower
  let connector: Connector
  /// Of earlier states of the tower, whose rows are added behind the first layers of the language model (DeepStack).
  let deepStack: [Connector]
  private let grid: QwenVLGeometry
  /// Of the tower's rotary positions, a quarter of a head each for rows and columns. `[headDim / 4]`
  let frequencies: [Float]

  /// The numbers from `config.json`. The grid is the one of a 1024 x 1024 image.
  /// - Parameter isWindowed: whether the tower is Qwen2.5-VL's, with windows and a gated MLP.
  static func outline(
    _ config: Config, _ decoder: Shape.Decoder, isWindowed: Bool
  ) throws -> MultimodalFamily.Outline {
    let vision = try config.section("vision_config")
    let width = try isWindowed ? vision.int("hidden_size", 1280) : vision.int("embed_dim", 1280)
    let (patch, merge) = (try vision.int("patch_size", 14), try vision.int("spatial_merge_size", 2))
    let heads = try vision.int("num_heads", 16)
    let ffn = try isWindowed ? vision.int("intermediate_size", 3420) : Int(Float(width) * vision.float("mlp_ratio", 4))
    let blocks = try vision.int("depth", 32)
    let global = try vision.ints("fullatt_block_indexes") ?? [7, 15, 23, 31]
    let window = Shape.Tower.Windows(
      side: try vision.int("window_size", 112) / patch / merge * merge, global: global)
    guard window.side > 0 || !isWindowed else {
      throw ModelError.configuration(
        file: "config.json", key: "window_size", found: "less than a cell", expected: "at least \(patch * merge)")
    }
    let side = (Float(1024) / Float(patch * merge)).rounded()
    let tower = try Shape.Tower.checked(
      blocks: blocks, width: width, heads: heads, ffn: ffn, ffnMatrices: isWindowed ? 3 : 2, prefix: 0,
      rows: Int(side) * merge, columns: Int(side) * merge, patch: patch,
      frames: vision.int("temporal_patch_size", 2), fuse: merge * merge, windows: isWindowed ? window : nil)
    let fused = merge * merge * width
    return MultimodalFamily.Outline(
      shape: Shape(
        tower: tower, decoder: decoder, layout: Shape.Layout(tiling: .native, comesInCells: true),
        connectorMACs: fused * fused + fused * decoder.width),
      geometry: QwenVLGeometry(
        tower: tower, videos: .timed(perSecond: isWindowed ? try vision.float("tokens_per_second", 4) : nil)))
  }

  /// The text keys stand at the top of these files.
  static func published(_ name: String, type: String, _ text: DecoderSize, vision: JSON) -> PublishedModel {
    var config = text.config.object!
    config["model_type"] = JSON(type)
    config["vision_config"] = vision
    config["rope_scaling"] = ["type": "mrope", "mrope_section": [16, 24, 24]]
    return PublishedModel(name, .object(config), processor: ["min_pixels": 3136, "max_pixels": 12_845_056])
  }

  /// - Parameter config: of the tower.
  init(_ tower: VisionTower, _ connector: Connector, deepStack: [Connector], config: Config) throws {
    self.tower = tower
    self.connector = connector
    self.deepStack = deepStack
    grid = QwenVLGeometry(tower: tower.shape)
    frequencies = try Self.frequencies(config, headDim: tower.shape.headDim)
  }

  /// - Parameter checkpoint: with names as `NamePrefixes` gives them.
  init(_ checkpoint: Checkpoint, shape: Shape) throws {
    let (tower, view) = (shape.tower!, checkpoint["vision"])
    let config = try Config(json: checkpoint.config).section("vision_config")
    let isGated = tower.ffnMatrices == 3
    let width = tower.width
    let activation = try config.activation(isGated ? .silu : .quickGELU)
    guard !isGated || activation == .silu, tower.headDim % 4 == 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "vision_config",
        found: "activation \(activation) and heads of \(tower.headDim) channels",
        expected: "silu in a gated MLP, and heads of a multiple of 4 channels")
    }
    let epsilon: Float = 1e-6  // fixed in the official code
    func norm(_ name: String, in view: Checkpoint) throws -> Norm {
      isGated
        ? .rms(RMSNorm(weight: try view.vector("\(name).weight", [width]), epsilon: epsilon))
        : try view.norm(name, width, epsilon: epsilon)
    }
    let blocks = try (0..<tower.blocks).map { index in
      let block = view["blocks"][index]
      return TransformerBlock(
        heads: tower.heads, norm1: try norm("norm1", in: block), qkv: try block.linear("attn.qkv", [3 * width, width]),
        output: try block.linear("attn.proj", [width, width]), scale1: nil, norm2: try norm("norm2", in: block),
        up: isGated
          ? try block["mlp"].linear(stacking: ["gate_proj", "up_proj"], [tower.ffn, width], bias: true)
          : try block.linear("mlp.fc1", [tower.ffn, width]),
        down: try block.linear(isGated ? "mlp.down_proj" : "mlp.fc2", [width, tower.ffn]),
        mlp: isGated ? .gated : .plain(activation), scale2: nil)
    }
    let kernel = try view.weight("patch_embed.proj.weight", [width, 3, tower.frames, tower.patch, tower.patch])
    let embedding = VisionTower.Embedding(
      patch: tower.patch, projection: Linear(weight: kernel.packed, bias: nil), prefix: [], positions: nil,
      norm: nil)
    let (joined, merger) = (tower.fuse * width, view["merger"])
    try self.init(
      VisionTower(embedding: embedding, blocks: blocks, finalNorm: nil, shape: tower),
      Connector(
        norm: try norm("ln_q", in: merger), first: try merger.linear("mlp.0", [joined, joined]),
        second: try merger.linear("mlp.2", [shape.decoder!.width, joined])), deepStack: [], config: config)
  }

  /// Of rotary positions, from the section on the tower.
  private static func frequencies(_ config: Config, headDim: Int) throws -> [Float] {
    let quarter = headDim / 4
    let rope = try config.section("rope_parameters")
    guard try ["axial", "default", nil].contains(rope.string("rope_type")) else {
      throw rope.unfit("rope_type", "axial")
    }
    let theta = try rope.float("rope_theta", 10000)
    return (0..<quarter).map { powf(theta, -Float(2 * $0) / Float(2 * quarter)) }
  }

  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)] {
    let places = (0..<image.tiles[0].rows).map { grid.place(ofRow: $0, in: image) }
    let order = grid.rows(of: image)
    var start = 0
    let ranges = grid.windows(of: image).map { window in
      defer { start += window.count * tower.shape.fuse }
      return start..<start + window.count * tower.shape.fuse
    }
    let rotation = Rotary(
      order.map { Position(t: 0, h: Int32(places[$0].row), w: Int32(places[$0].column)) },
      frequencies: frequencies + frequencies, sections: [0, frequencies.count, frequencies.count])
    let frames = tower.shape.frames
    return image.tiles.enumerated().map { index, tile in
      var x = tower.embedding.projection(tile)
      if let table = tower.embedding.positions?.table(rows: image.rows, columns: image.columns) {
        x.add(table.gathered(places.map { $0.row * image.columns + $0.column }))
      }
      let first = first + index * image.rows * image.columns
      var tokens = TokenSequence(
        x: x, kind: places.map { _ in .patch },
        origin: Origin(places.map { first + $0.row * image.columns + $0.column }))
      if order != Array(0..<x.rows) { tokens.apply(.keep(order, of: x.rows)) }
      let around = WeightBlocks.Surroundings(
        rotation: rotation, windows: ranges, pixels: { image.patchPixels(frames: frames) })
      return (tokens, around)
    }
  }

  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence {
    guard !deepStack.isEmpty else { return connector(tile, joining: groups, threads: threads) }
    // All states beside each other, the last one behind the others.
    let width = tower.shape.width
    func state(_ index: Int) -> Tensor { tile.x.columns(index * width..<(index + 1) * width) }
    var last = tile
    last.x = state(deepStack.count)
    var tokens = connector(last, joining: groups, threads: threads)
    for (index, merger) in deepStack.enumerated() {
      tokens.postpone(merger.rows(of: state(index), joining: groups, threads: threads))
    }
    return tokens
  }
}

/// One tile of any grid, its patches cell by cell, cells of one window together. Those of PaddleOCR-VL come row by row. A video
/// has a tile of that grid for every pair of frames.
struct QwenVLGeometry: VisualGeometry {
  package let tower: Shape.Tower
  /// Patches along one edge of a cell.
  let edge: Int
  private let isRaster: Bool
  private let videos: Videos?

  /// How videos lie in prompts.
  enum Videos: Sendable {
    /// One span, whose positions tell the time: so many steps a second, or one for every tile (Qwen2-VL).
    case timed(perSecond: Float?)
    /// A span for every tile, the time in the text before it (Qwen3-VL).
    case told
  }

  /// - Parameters:
  ///   - isRaster: whether patches come row by row.
  ///   - videos: nil: there are none.
  init(tower: Shape.Tower, isRaster: Bool = false, videos: Videos? = nil) {
    self.tower = tower
    self.videos = videos
    edge = Int(Double(tower.fuse).squareRoot())
    self.isRaster = isRaster
  }

  package func check(_ image: PreparedImage) throws(ModelError) {
    let area = 3 * tower.frames * tower.patch * tower.patch
    let (rows, columns) = (image.rows, image.columns)
    guard rows > 0, columns > 0, rows % edge == 0, columns % edge == 0, image.tiles.count == 1 || image.isVideo,
      image.tiles.allSatisfy({ $0.shape == [rows * columns, area] })
    else {
      throw .input(
        what: "image", found: "\(rows)x\(columns) patches in tensors \(image.tiles.map(\.shape))",
        expected: "one tensor [patches, \(area)], sides a multiple of \(edge)",
        fix: "Prepare the image with the processor of this model.")
    }
  }

  package var takesVideos: Bool { videos != nil }

  /// Every patch is a tile of its own, because the grid need not be square; frames lie below each other.
  package func layout(_ image: PreparedImage) -> ImageLayout {
    ImageLayout(
      tileRows: image.tiles.count * image.rows, tileColumns: image.columns, side: 1, thumbnail: nil,
      width: image.original.width,
      height: image.original.height, spans: [])
  }

  package func grid(of image: PreparedImage) -> (rows: Int, columns: Int) { (image.rows, image.columns) }
  package func spans(of image: PreparedImage) -> [Int] {
    let tile = image.rows * image.columns / tower.fuse
    return isParted(image) ? image.tiles.map { _ in tile } : [image.tiles.count * tile]
  }
  /// Whether every tile is a span of its own.
  private func isParted(_ image: PreparedImage) -> Bool {
    if image.isVideo, case .told = videos { return true }
    return false
  }
  /// `<|vision_start|>` and `<|vision_end|>`.
  package func markers(of image: PreparedImage) -> [Int] { spans(of: image).map { _ in 1 } + [1] }
  package func cells(of image: PreparedImage) -> PositionCells? {
    var cells = PositionCells(rows: image.rows / edge, columns: image.columns / edge, edge: edge)
    cells.times = image.tiles.indices.map { tile in
      switch videos {
      case .timed(let rate): rate.map { Int(Float(tile) * Float(Double($0) * image.pace)) } ?? tile
      case .told, nil: 0
      }
    }
    return cells
  }

  /// Cells of every window, windows row by row and ragged at the borders; one window of all without.
  func windows(of image: PreparedImage) -> [[Int]] {
    let (rows, columns) = (image.rows / edge, image.columns / edge)
    guard let side = tower.windows.map({ $0.side / edge }) else { return [Array(0..<rows * columns)] }
    return stride(from: 0, to: rows, by: side).flatMap { top in
      stride(from: 0, to: columns, by: side).map { left in
        (top..<min(top + side, rows)).flatMap { row in
          (left..<min(left + side, columns)).map { row * columns + $0 }
        }
      }
    }
  }

  /// The processor's rows in the order in which they enter the tower: window by window.
  func rows(of image: PreparedImage) -> [Int] {
    windows(of: image).flatMap { window in
      window.flatMap { cell in (0..<tower.fuse).map { cell * tower.fuse + $0 } }
    }
  }

  /// Where a row of the processor lies: cells row by row, their patches behind each other.
  func place(ofRow index: Int, in image: PreparedImage) -> (row: Int, column: Int) {
    if isRaster { return (index / image.columns, index % image.columns) }
    let (cell, inner, columns) = (index / tower.fuse, index % tower.fuse, image.columns / edge)
    return (cell / columns * edge + inner / edge, cell % columns * edge + inner % edge)
  }

  package func order(of image: PreparedImage) -> [Int]? {
    rows(of: image).map { row in
      let place = place(ofRow: row, in: image)
      return place.row * image.columns + place.column
    }
  }

  /// Back from window order: the cells row by row.
  package func groups(of image: PreparedImage) -> [[Int32]]? {
    if isRaster { return tower.squares(rows: image.rows, columns: image.columns) }
    let order = windows(of: image).flatMap { $0 }
    let fuse = tower.fuse
    var groups = [[Int32]](repeating: [], count: order.count)
    for (place, cell) in order.enumerated() { groups[cell] = (0..<fuse).map { Int32(place * fuse + $0) } }
    return groups
  }

  package func packing(_ tiles: [TokenSequence], of image: PreparedImage, first: Int) -> [Reduction] {
    if isParted(image) { return perTile(tiles) }
    let count = tiles.reduce(0) { $0 + $1.count }
    return [.keep(Array(0..<count), of: count)]
  }
}
