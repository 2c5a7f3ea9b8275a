/// The numbers of a model that methods and the cost ledger need. The model, never the image.
public struct Shape: Sendable, Equatable {
  /// A vision tower.
  public struct Tower: Sendable, Equatable {
    /// Transformer blocks; `featureBlock` is the last one whose output is used (LLaVA: blocks - 2).
    public let blocks: Int, featureBlock: Int
    public let width: Int, heads: Int, headDim: Int
    /// Hidden width of the MLP, and its matrices: 2, or 3 when gated (SwiGLU).
    public let ffn: Int, ffnMatrices: Int
    /// Prefix rows (class, distillation, register tokens) before the patches.
    public package(set) var prefix: Int
    public let hasClassifier: Bool
    /// Patch grid of one tile at the model's own image size.
    public package(set) var rows: Int, columns: Int
    /// Patch edge in pixels, and frames that one patch spans (2 in Qwen, where a still image counts twice).
    public let patch: Int, frames: Int
    /// Patches a connector fuses into one token per side squared (Idefics3, Qwen, QueCC); 1 otherwise.
    public package(set) var fuse: Int
    /// Hidden states that make the features together, side by side (DeepStack; LLaVA with a list of layers).
    public package(set) var states = 1
    /// Attention inside windows; nil: every patch of a tile attends to all of them.
    public let windows: Windows?
    /// Whether images of other sizes can be run by resizing positions.
    public let anySize: Bool
    /// Multiply-adds after the last block (classifier, pooling head, projection) that do not depend on tokens, and per token.
    public package(set) var headMACs: Int, headMACsPerToken: Int

    public init(
      blocks: Int, featureBlock: Int? = nil, width: Int, heads: Int, ffn: Int, ffnMatrices: Int = 2, prefix: Int,
      hasClassifier: Bool, rows: Int, columns: Int, patch: Int, frames: Int = 1, fuse: Int = 1,
      windows: Windows? = nil, anySize: Bool = true, headMACs: Int = 0, headMACsPerToken: Int = 0
    ) {
      self.blocks = blocks
      self.featureBlock = featureBlock ?? blocks - 1
      self.width = width
      self.heads = heads
      self.headDim = width / heads
      self.ffn = ffn
      self.ffnMatrices = ffnMatrices
      self.prefix = prefix
      self.hasClassifier = hasClassifier
      self.rows = rows
      self.columns = columns
      self.patch = patch
      self.frames = frames
      self.fuse = fuse
      self.windows = windows
      self.anySize = anySize
      self.headMACs = headMACs
      self.headMACsPerToken = headMACsPerToken
    }

    /// Blocks whose patches attend inside square windows of `side` patches, cut row by row and ragged at the borders
    /// (Qwen2.5-VL); the blocks in `global` attend to the whole image.
    public struct Windows: Sendable, Equatable {
      public let side: Int, global: [Int]
      public init(side: Int, global: [Int]) {
        self.side = side
        self.global = global
      }
    }

    /// Patches of one tile.
    public var patches: Int { rows * columns }

    /// Blocks that run: those up to the features.
    public var depth: Int { featureBlock + 1 }

    /// Rows of every group that attends to itself in block `block`, over one tile: its windows, or all rows.
    public func groups(in block: Int) -> [Int] {
      guard let windows, !windows.global.contains(block) else { return [prefix + patches] }
      let heights = stride(from: 0, to: rows, by: windows.side).map { min(windows.side, rows - $0) }
      let widths = stride(from: 0, to: columns, by: windows.side).map { min(windows.side, columns - $0) }
      return heights.flatMap { height in widths.map { height * $0 } }
    }

    /// The same tower before a connector that fuses so many patches into one token.
    public func fusing(_ patches: Int) -> Tower {
      var tower = self
      tower.fuse = patches
      return tower
    }

    /// The same tower on images of another grid.
    public func on(rows: Int, columns: Int) -> Tower {
      var tower = self
      (tower.rows, tower.columns) = (rows, columns)
      return tower
    }

    /// The largest grid of about the same proportions with at most `patches` cells.
    package static func grid(rows: Int, columns: Int, patches: Int) -> (rows: Int, columns: Int) {
      let scale = (Double(patches) / Double(rows * columns)).squareRoot()
      var best = (rows: 1, columns: 1)
      for candidate in 1...max(1, min(rows, Int((Double(rows) * scale).rounded(.up)))) {
        let width = min(columns, max(1, Int((Double(candidate * columns) / Double(rows)).rounded(.toNearestOrEven))))
        for columns in [width, width - 1] where columns >= 1 && candidate * columns <= patches {
          if candidate * columns > best.rows * best.columns { best = (candidate, columns) }
        }
      }
      return best
    }
  }

  /// A language model.
  public struct Decoder: Sendable, Equatable {
    public let layers: Int, width: Int, heads: Int, kvHeads: Int, headDim: Int, ffn: Int, vocabulary: Int
    /// Rotary frequencies `[headDim / 2]` (fewer where the last channels of a head do not turn), and how M-RoPE deals them to its three axes (empty without it).
    public let frequencies: [Float], sections: [Int]
    /// Whether M-RoPE deals them to t, h, w in turn (Qwen3-VL), not in runs (Qwen2-VL).
    public let isInterleaved: Bool
    /// Frequencies of layers with a window, where they are others; else empty.
    public package(set) var windowFrequencies: [Float] = []
    /// What queries are multiplied by before their products with keys.
    public package(set) var queryScale: Float
    /// What mixes the rows of every layer; empty: all of them attend to all rows before.
    public package(set) var mixers: [Mixer] = []
    /// Of the layers that are gated delta nets; nil: none is.
    public package(set) var deltaNet: DeltaNet?
    /// Whether every head of q has a gate for what the head gives (Qwen3.5).
    public package(set) var gatesAttention = false
    /// Whether the rows of an image see all of it, whichever comes first (Gemma 3).
    public package(set) var seesWholeImages = false
    /// Share of the visual tokens that every layer computes while the others pass it by (mixture of depths), nil: all.
    /// Empty where no layer has a router.
    public let shares: [Double?]

    public init(
      layers: Int, width: Int, heads: Int, kvHeads: Int, headDim: Int, ffn: Int, vocabulary: Int, frequencies: [Float],
      sections: [Int] = [], isInterleaved: Bool = false, shares: [Double?] = []
    ) {
      self.layers = layers
      self.width = width
      self.heads = heads
      self.kvHeads = kvHeads
      self.headDim = headDim
      self.ffn = ffn
      self.vocabulary = vocabulary
      self.frequencies = frequencies
      self.sections = sections
      self.isInterleaved = isInterleaved
      self.shares = shares
      queryScale = 1 / Float(headDim).squareRoot()
    }

    /// What mixes the rows of a layer.
    public enum Mixer: Sendable, Equatable {
      /// Attention to all rows before.
      case full
      /// Attention to so many rows, its own included.
      case window(Int)
      /// A gated delta net, whose state takes the place of a cache.
      case deltaNet
    }

    /// The size of gated delta nets: heads of q and k, heads of v, and rows that the short convolution sees.
    public struct DeltaNet: Sendable, Equatable {
      public let keyHeads: Int, keyDim: Int, valueHeads: Int, valueDim: Int, taps: Int

      public init(keyHeads: Int, keyDim: Int, valueHeads: Int, valueDim: Int, taps: Int) {
        self.keyHeads = keyHeads
        self.keyDim = keyDim
        self.valueHeads = valueHeads
        self.valueDim = valueDim
        self.taps = taps
      }

      public var valueWidth: Int { valueHeads * valueDim }
      /// Of q, k and v together.
      public var channels: Int { 2 * keyHeads * keyDim + valueWidth }
      /// Numbers that a layer keeps: the state, and the rows before the next one.
      public var stateSize: Int { valueHeads * keyDim * valueDim + (taps - 1) * channels }
    }

    public func mixer(of layer: Int) -> Mixer { mixers.isEmpty ? .full : mixers[layer] }

    /// Layers whose caches methods may cut: those that attend to all rows before. Where a window slides, entries leave by age,
    /// and cutting one lets the window reach further back than it was trained for.
    public var cutCaches: [Int] { (0..<layers).filter { mixer(of: $0) == .full } }

    /// Whether attention to all rows answers a request on entering a layer, and not a window or nothing.
    public func forms(_ request: Request, entering layer: Int) -> Bool {
      let looksBack = request.attention != .none || request.keys
      return (!looksBack || layer > 0 && mixer(of: layer - 1) == .full)
        && (request.probe == .none && !request.projections || layer < layers && mixer(of: layer) == .full)
    }

    /// The layer nearest to `layer` on entering which that is so, the smaller one on a tie; nil: there is none.
    public func nearestCut(to layer: Int, for request: Request) -> Int? {
      (1..<layers).filter { forms(request, entering: $0) }.min { (abs($0 - layer), $0) < (abs($1 - layer), $1) }
    }

    package func frequencies(of mixer: Mixer) -> [Float] {
      if case .window = mixer, !windowFrequencies.isEmpty { return windowFrequencies }
      return frequencies
    }

    /// How many of so many visual tokens a layer computes, in float32 as official code counts; nil: all, without a router.
    public func computed(of visual: Int, in layer: Int) -> Int? {
      guard visual > 0, shares.indices.contains(layer), let share = shares[layer] else { return nil }
      return Int(Float(visual) * Float(share))
    }
  }

  /// How images become visual tokens: what can be said before one is seen.
  public struct Layout: Sendable, Equatable {
    public enum Tiling: Sendable {
      /// Every image is one tile of the tower's grid.
      case one
      /// An image is cut into as many tiles as its size asks for, beside one that shows all of it.
      case cut
      /// Every image is one tile, of a grid of its own.
      case native
    }

    public let tiling: Tiling
    /// Whether every tile is a visual span of its own; else all tiles of an image are packed into one.
    public let hasSpanPerTile: Bool
    /// Whether tiles are laid out as one grid, its padding cut and every row ended by a row of the model's own.
    public let hasNewline: Bool
    /// Whether patches come cell by cell of those that the connector joins, with their pixels (Qwen-VL); else row by row.
    public let comesInCells: Bool

    public init(
      tiling: Tiling, hasSpanPerTile: Bool = false, hasNewline: Bool = false, comesInCells: Bool = false
    ) {
      self.tiling = tiling
      self.hasSpanPerTile = hasSpanPerTile
      self.hasNewline = hasNewline
      self.comesInCells = comesInCells
    }
  }

  public let tower: Tower?, decoder: Decoder?
  /// nil: a tower alone, or a language model alone.
  public let layout: Layout?
  /// Multiply-adds of the connector for every token that leaves it.
  public let connectorMACs: Int

  public init(tower: Tower?, decoder: Decoder? = nil, layout: Layout? = nil, connectorMACs: Int = 0) {
    self.tower = tower
    self.decoder = decoder
    self.layout = layout
    self.connectorMACs = connectorMACs
  }
}
