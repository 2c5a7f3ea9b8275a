import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// The encoder of Divot (arXiv 2412.04432; `TencentARC/Divot`, `src/models/dc_encoder.py`): a few frames of a clip as 64 vectors, for
/// search and for its language model. Continuous, hence no ``ImageTokenizer``; its decoder is a video diffusion model and no part of
/// vtok.
///
/// ```swift
/// let divot = try Divot(directory: "Divot")
/// let clip = try divot(frames)       // 5 pictures: frames 0, 4, 8, 12 and 15 of 16 at 8 a second
/// ```
public struct Divot: Sendable {
  /// The files it is published in: the tower is Open CLIP's ViT-H/14.
  private static let parts = WeightParts(
    main: "Divot_tokenizer.bin",
    others: [WeightParts.Part(file: "open_clip_pytorch_model.bin", prefix: "vit_model.model")])

  /// Frames of a clip.
  public let frameCount: Int
  private let tower: DivotTower
  private let temporal: DivotTemporal
  private let norm: LayerNorm
  /// Cells of a frame along each side after pooling.
  private let pool: Int
  private let spatialPositions: Tensor, temporalPositions: Tensor
  private let blocks: BlockStack
  private let blocksNorm: LayerNorm
  private let resampler: PerceiverResampler

  /// Opens a folder that holds `Divot_tokenizer.bin` and `open_clip_pytorch_model.bin`, or all tensors in one file.
  /// - Throws: `ModelError`, `WeightError`.
  public init(directory: String) throws {
    try self.init(
      Checkpoint(directory: directory, parts: Self.parts, config: [:])
        ?? Checkpoint(directory: directory, config: [:]))
  }

  /// - Throws: `ModelError`, `WeightError`.
  public init(_ checkpoint: Checkpoint) throws {
    let config = Config(json: checkpoint.config)
    func heads(_ key: String, _ usual: Int) throws -> Int { try config.int(key, usual, in: 1...1024) }
    let visual = checkpoint["vit_model"]["model"]["visual"]
    guard visual.has("class_embedding") else {
      throw ModelError.configuration(
        file: checkpoint.name, key: visual.prefix, found: "not among the tensors",
        expected: "the vision tower, in the same file or as \(Self.parts.others[0].file) beside it")
    }
    tower = try DivotTower(visual, heads: heads("vit.heads", 16))
    temporal = try DivotTemporal(
      checkpoint["temporal_encoder"], inputs: tower.width, heads: heads("temporal_heads", 12))
    frameCount = temporal.positions.rows
    let width = temporal.outputs
    let view = checkpoint["image_proj_model"]
    norm = try checkpoint.norm("norm", width, epsilon: 1e-6)
    spatialPositions = try view.tensor("pos_embed_spatial", [nil, width])
    temporalPositions = try view.tensor("pos_embed_temporal", [frameCount, width])
    let cells = spatialPositions.rows
    pool = Int(Double(cells).squareRoot().rounded())
    guard pool * pool == cells, pool <= tower.grid else {
      throw ModelError.configuration(
        file: checkpoint.name, key: view.full("pos_embed_spatial"), found: "\(cells) cells",
        expected: "those of a square grid of at most \(tower.grid) x \(tower.grid)")
    }
    let spatialHeads = try heads("spatial_heads", 8)
    blocks = try BlockStack(count: view.count("blocks"), width: width, heads: spatialHeads) {
      try view["blocks"][$0].timmBlock(width: width, heads: spatialHeads, epsilon: 1e-6)
    }
    blocksNorm = try view.norm("norm", width, epsilon: 1e-5)
    resampler = try PerceiverResampler(
      view["down_sampler"], inputs: width, heads: heads("resampler_heads", 16),
      headDim: heads("resampler_dim_head", 64))
    try checkpoint.refuseUnknown([Needless("vit_model.*", reason: "the code takes of the tower what it knows")])
  }

  /// Vectors of a clip.
  public var count: Int { resampler.count }
  /// Numbers of a vector.
  public var width: Int { resampler.outputs }
  /// Pixels along a side of a frame: the tower's, times 8/7.
  public var side: Int { tower.side * 8 / 7 }

  /// Shorter side to `side`, centre crop, -1...1.
  public var processor: ImageProcessor {
    ImageProcessor(resize: .shortestEdge(side), filter: .bilinear, crop: Size(side), cropRounding: .halfEven)
  }

  // MARK: Clips

  /// - Parameter frames: of one clip in order, `frameCount` of them.
  /// - Returns: `[count, width]`
  /// - Throws: `ModelError.input` for another number of frames.
  public func callAsFunction(_ frames: [Image], threads: Int = 1) throws -> Tensor {
    try encoded(frames.map { processor($0) }, threads: threads).features
  }

  /// What becomes of a clip on its way.
  public struct Encoded: Sendable {
    /// Of every frame what the tower sees, `[3, tower, tower]`, and the patches that leave it, `[patches, tower]`.
    package let pixels: [Tensor], patches: [Tensor]
    /// Patches of every frame that have seen those of other frames, `[patches, width]`.
    package let temporal: [Tensor]
    /// Pooled cells of all frames, and the same when all have seen each other. `[frames * cells, width]`
    package let pooled: Tensor, mixed: Tensor
    /// `[count, width]`
    public let features: Tensor
  }

  /// - Parameter frames: `[3, side, side]` in -1...1, `frameCount` of them.
  /// - Throws: `ModelError.input` for another number or size of frames.
  public func encoded(_ frames: [Tensor], threads: Int = 1) throws -> Encoded {
    guard frames.count == frameCount, frames.allSatisfy({ $0.shape == [3, side, side] }) else {
      throw ModelError.input(
        what: "a clip for divot",
        found: "\(frames.count) frames of shapes \(Set(frames.map(\.shape)).map { "\($0)" }.sorted())",
        expected: "\(frameCount) of [3, \(side), \(side)]",
        fix: "Take frames 0, 4, 8, 12 and 15 of 16 at 8 a second, cut to squares of that size.")
    }
    let pixels = frames.map { tower.prepared($0) }
    let patches = pixels.map { tower($0, threads: threads) }
    let seen = temporal(patches, threads: threads)
    let pooled = norm(Tensor(stacking: seen.map(pooled)))
    var mixed = pooled
    for row in 0..<mixed.rows {
      let (frame, cell) = (row / (pool * pool), row % (pool * pool))
      for (column, (a, b)) in zip(spatialPositions.row(cell), temporalPositions.row(frame)).enumerated() {
        mixed.values[row * mixed.width + column] += a + b
      }
    }
    blocks(&mixed, threads: threads)
    mixed = blocksNorm(mixed)
    return Encoded(
      pixels: pixels, patches: patches, temporal: seen, pooled: pooled, mixed: mixed,
      features: resampler(mixed, threads: threads))
  }

  /// Means of the patches of a frame over a coarser grid, whose bins may overlap (`AdaptiveAvgPool2d`). `[cells, width]`
  private func pooled(_ patches: Tensor) -> Tensor {
    func bin(_ index: Int) -> Range<Int> {
      tower.grid * index / pool..<(tower.grid * (index + 1) + pool - 1) / pool
    }
    let rows = (0..<pool * pool).flatMap { cell in
      patches.mean(of: bin(cell / pool).flatMap { row in bin(cell % pool).map { row * tower.grid + $0 } })
    }
    return Tensor(rows, shape: [pool * pool, patches.width])
  }
}

/// Open CLIP's vision transformer: the patches that leave its last block, without a norm.
private struct DivotTower: Sendable {
  let side: Int, grid: Int, width: Int
  private let patch: Int
  private let projection: Linear
  private let classToken: Tensor, positions: Tensor
  private let preNorm: LayerNorm
  private let blocks: BlockStack

  init(_ checkpoint: Checkpoint, heads: Int) throws {
    let kernel = try checkpoint.shape("conv1.weight", rank: 4)
    let (width, patch) = (kernel[0], kernel[3])
    projection = try checkpoint.patchProjection("conv1", width: width, patch: patch, bias: false)
    classToken = Tensor(try checkpoint.vector("class_embedding", [width]), shape: [1, width])
    positions = try checkpoint.tensor("positional_embedding", [nil, width])
    let grid = Int(Double(positions.rows - 1).squareRoot().rounded())
    guard grid > 0, grid * grid == positions.rows - 1, grid * patch <= 4096, grid * patch % 7 == 0 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("positional_embedding"),
        found: "\(positions.rows) positions of patches of \(patch)",
        expected: "those of a class token and a square grid whose sides are multiples of 7 pixels")
    }
    (self.grid, self.width, self.patch, side) = (grid, width, patch, grid * patch)
    preNorm = try checkpoint.norm("ln_pre", width, epsilon: 1e-5)
    let list = checkpoint["transformer"]
    blocks = try BlockStack(count: list.count("resblocks"), width: width, heads: heads) {
      try list["resblocks"][$0].clipBlock(width: width, heads: heads)
    }
  }

  /// A frame in -1...1 at the tower's size, as CLIP wants it: bicubic with corners that stay where they are, not rounded. The blur
  /// that kornia puts before it leaves this ratio of sizes as it is.
  func prepared(_ frame: Tensor) -> Tensor {
    let table = channelsLast(frame)
    let resized = PositionGrid(
      table.reshaped([table.rows, 3]), rows: frame.shape[1], columns: frame.shape[2], kernel: .alignedCubic
    ).table(rows: side, columns: side)
    let (mean, deviation) = (ImageProcessor.clipMean, ImageProcessor.clipStd)
    return Tensor(shape: [3, side, side]) { out in
      for channel in 0..<3 {
        for pixel in 0..<side * side {
          let value = (resized.values[3 * pixel + channel] + 1) / 2
          out[channel * side * side + pixel] = (value - mean[channel]) / deviation[channel]
        }
      }
    }
  }

  func callAsFunction(_ pixels: Tensor, threads: Int) -> Tensor {
    var x = classToken
    x.append(rows: projection(pixels.patches(patch), threads: threads))
    x = preNorm(x + positions)
    blocks(&x, threads: threads)
    return x.gathered(Array(1..<x.rows))
  }
}

/// Every patch through the frames: a sequence of its own, one row a frame.
private struct DivotTemporal: Sendable {
  /// Of frames, `[frames, width]`.
  let positions: Tensor
  private let input: Linear, output: Linear
  private let norm: LayerNorm
  private let blocks: BlockStack

  var outputs: Int { output.weight.rows }

  init(_ checkpoint: Checkpoint, inputs: Int, heads: Int) throws {
    positions = try checkpoint.tensor("positional_embedding", [nil, nil])
    let width = positions.width
    input = try checkpoint.linear("input_proj", [width, inputs])
    output = try checkpoint.linear("output_proj", [nil, width])
    norm = try checkpoint.norm("ln_final", width, epsilon: 1e-6)
    let list = checkpoint["transformer"]
    blocks = try BlockStack(count: list.count("resblocks"), width: width, heads: heads) {
      try list["resblocks"][$0].clipBlock(width: width, heads: heads, activation: .quickGELU, epsilon: 1e-6)
    }
  }

  /// - Parameter frames: `[patches, inputs]` each.
  /// - Returns: `[patches, outputs]` each.
  func callAsFunction(_ frames: [Tensor], threads: Int) -> [Tensor] {
    let (patches, count) = (frames[0].rows, frames.count)
    var x = Tensor(stacking: frames.map { input($0, threads: threads) })
    // All frames of a patch side by side, so that they are one window.
    x = x.gathered((0..<patches * count).map { $0 % count * patches + $0 / count })
    for row in 0..<x.rows {
      for (column, value) in positions.row(row % count).enumerated() { x.values[row * x.width + column] += value }
    }
    blocks(&x, windows: (0..<patches).map { $0 * count..<($0 + 1) * count }, threads: threads)
    let seen = output(norm(x), threads: threads)
    return (0..<count).map { frame in seen.gathered((0..<patches).map { $0 * count + frame }) }
  }
}

extension Tensor {
  /// Matrices of one width on top of each other.
  init(stacking parts: [Tensor]) {
    self.init(parts.flatMap(\.values), shape: [parts.reduce(0) { $0 + $1.rows }, parts[0].width])
  }
}
