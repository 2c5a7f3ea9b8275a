import VTokCore
import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// Most memory that a run is expected to hold, mapped weights included, from shapes alone: what the system tells of the process
/// when it has ended (`Machine.peakMemory`). `Benchmarks/memory.py` measures how far it is off.
public struct MemoryEstimate: Sendable, Equatable {
  /// How weights lie in files, and how products take them.
  public struct Weights: Sendable, Equatable {
    public let precision: Precision
    /// Bytes of a number in the file: 2 where it has half precision.
    public let stored: Double

    public init(precision: Precision = .f32, stored: Double = 2) {
      self.precision = precision
      self.stored = stored
    }

    /// Those of a checkpoint.
    public init(_ checkpoint: Checkpoint) {
      let tensors = checkpoint.tensors
      let numbers = tensors.reduce(0) { $0 + $1.count }
      let bytes = tensors.reduce(0) { $0 + $1.range.count }
      self.init(precision: checkpoint.precision, stored: numbers == 0 ? 2 : Double(bytes) / Double(numbers))
    }

    /// Bytes of a number in memory.
    func bytes(_ precision: Precision, elsewhere: Double) -> Double {
      switch precision {
      case .f32, .file: elsewhere
      case .bf16: 2
      case .int8: 1
      case .int4: 18.0 / 32  // a scale for every 32
      }
    }
  }

  /// A picture as a model takes it.
  public struct Picture: Sendable, Equatable {
    public let size: Size
    public let tiles: Int
    /// Of every tile.
    public let patches: Int
    /// Numbers of all tiles.
    let numbers: Int
    /// Tokens that it becomes when nothing is reduced.
    public let tokens: Int
  }

  /// What the program holds whatever it runs, text tokenizer included.
  public let program: Int
  /// Weights of tower and connector, and of the language model with its head.
  public let tower: Int, language: Int
  /// Decoded pictures and their tiles.
  public let pictures: Int
  /// What the tower needs beside these while it runs, and the language model while it reads the prompt, with what it keeps.
  public let looking: Int, reading: Int

  let precision: Precision, threads: Int
  /// nil: no prompt is read.
  let kv: CachePrecision?

  /// What reading the text tokenizer takes for a while, before the weights.
  public let opening: Int

  public var total: Int { max(opening, program + tower + language + pictures + max(looking, reading)) }

  /// The rows that a language model reads.
  public struct Prompt: Sendable, Equatable {
    /// In layer 0, and before a method has cut the whole prompt.
    public let rows: Int, entering: Int
    /// Entries that there is memory for in its caches, all layers together.
    public let entries: Int
    /// How they hold them.
    public let kv: CachePrecision

    /// - Parameter entering: nil: as many as in layer 0.
    public init(rows: Int, entering: Int? = nil, entries: Int, kv: CachePrecision = .f32) {
      (self.rows, self.entering, self.entries, self.kv) = (rows, entering ?? rows, entries, kv)
    }
  }

  /// - Parameters:
  ///   - pictures: of one prompt, or the one of a tower.
  ///   - prompt: nil: the language model does not run.
  ///   - threads: of one pass.
  ///   - workers: passes that run side by side.
  ///   - kept: bytes that every worker keeps for later ones.
  public init(
    _ shape: Shape, _ weights: Weights, pictures: [Picture], prompt: Prompt?, threads: Int, workers: Int = 1,
    kept: Int = 0
  ) {
    (precision, self.threads, kv) = (weights.precision, threads, prompt?.kv)
    program = Self.bare + (shape.decoder.map { $0.vocabulary * Self.token } ?? 0)
    opening = Self.bare + (shape.decoder.map { $0.vocabulary * Self.read } ?? 0)
    let seeing = (shape.tower?.weights ?? 0) + shape.connectorMACs
    tower = Int(Double(seeing) * weights.bytes(weights.precision.ofTower, elsewhere: 4))
    self.pictures = workers * pictures.reduce(0) { $0 + 3 * $1.size.width * $1.size.height + 4 * $1.numbers }
    let looked = pictures.map { picture in shape.tower.map { Self.looking($0, picture, threads: threads) } ?? 0 }
    looking = workers * ((looked.max() ?? 0) + kept)
    guard let decoder = shape.decoder else {
      (language, reading) = (0, 0)
      return
    }
    let elsewhere = decoder.isSmall ? 4 : weights.stored
    let layers = Double(decoder.weights) * weights.bytes(weights.precision, elsewhere: elsewhere)
    let isMapped = [.f32, .file].contains(weights.precision) && !decoder.isSmall
    guard let prompt else {  // what stays in the file is not touched
      (language, reading) = (isMapped ? 0 : Int(layers), 0)
      return
    }
    language = Int(layers + Double(decoder.tableWeights) * elsewhere)
    let pending = shape.layout?.comesInCells == true ? (shape.tower?.states ?? 1) - 1 : 0
    reading =
      workers
      * (Self.reading(decoder, prompt, pending: pending, rounds: weights.precision != .f32, threads: threads) + kept)
  }

  /// Rows of all tiles as they enter and leave a block, and the scratch memory of one.
  private static func looking(_ tower: Shape.Tower, _ picture: Picture, threads: Int) -> Int {
    let rows = picture.patches + tower.prefix
    let states = tower.states > 1 ? 2 * tower.states + 1 : 2
    return 4 * (picture.tiles * rows * states * tower.width + tower.scratch(rows: rows, threads: threads))
  }

  /// Rows of the prompt in three places, what waits to be added to them, scratch memory, and the caches.
  private static func reading(
    _ decoder: Shape.Decoder, _ prompt: Prompt, pending: Int, rounds: Bool, threads: Int
  ) -> Int {
    let rows = prompt.entering * decoder.width * (3 + 2 * pending)
    let made = decoder.scratch(rows: prompt.rows, keys: prompt.rows, kv: prompt.kv, threads: threads)
    let nets = (0..<decoder.layers).count { decoder.mixer(of: $0) == .deltaNet }
    let cached = prompt.entries * 2 * decoder.kvHeads * prompt.kv.bytes(of: decoder.headDim)
    let kept = nets * (decoder.deltaNet?.stateSize ?? 0) + decoder.vocabulary
    // Rows in 8 bits, for the widest product.
    let rounded = rounds ? prompt.rows * max(decoder.ffn, decoder.heads * decoder.headDim) : 0
    return 4 * (rows + made + kept) + cached + rounded
  }

  /// In MB of 2^20 bytes, as measured peaks are told.
  public static func megabytes(_ bytes: Int) -> Double { Double(bytes) / 1_048_576 }
  public var megabytes: Double { Self.megabytes(total) }

  /// What it consists of, for people.
  private var parts: [(name: String, bytes: Int)] {
    [
      ("program", program), ("tower", tower), ("language model", language), ("pictures", pictures),
      ("work", max(looking, reading)),
    ]
  }

  public var text: String {
    "predicted peak memory \(Int(megabytes.rounded())) MB at \(precision.rawValue)"
      + (kv.map { $0 == .f32 ? "" : ", caches \($0.rawValue)," } ?? "") + " on \(threads) "
      + "thread\(threads == 1 ? "" : "s"): " + shares
  }

  /// Megabytes of every part.
  public var shares: String {
    parts.map { "\($0) \(Int(Self.megabytes($1).rounded()))" }.joined(separator: ", ")
  }

  public var json: JSON {
    let shares = parts.map { ($0.name.replacing(" ", with: "_") + "_mb", JSON(Self.megabytes($0.bytes))) }
    return .object(
      JSONObject(
        [("peak_mb", JSON(megabytes)), ("precision", JSON(precision.rawValue))]
          + (kv.map { [("kv", JSON($0.rawValue))] } ?? []) + [("threads", JSON(threads))] + shares))
  }

  /// Measured: the program without a model, and of every entry of a vocabulary once it is read, and while it is.
  private static let bare = 24 << 20, token = 330, read = 1300
}

extension ModelOutline {
  /// A picture of this size in memory.
  /// - Throws: `ImageError` if the processor refuses the size.
  public func memory(of size: Size) throws -> MemoryEstimate.Picture {
    let tower = shape.tower!
    guard let geometry else {
      return MemoryEstimate.Picture(
        size: size, tiles: 1, patches: tower.patches, numbers: 3 * tower.patches * tower.patch * tower.patch, tokens: 0)
    }
    if let grid = try nativeGrid(of: size) {
      let patches = grid.rows * grid.columns
      return MemoryEstimate.Picture(
        size: size, tiles: 1, patches: patches, numbers: patches * 3 * tower.frames * tower.patch * tower.patch,
        tokens: patches / tower.fuse)
    }
    let image = try prepared(size)
    let grid = geometry.grid(of: image)
    return MemoryEstimate.Picture(
      size: size, tiles: image.tiles.count, patches: grid.rows * grid.columns,
      numbers: image.tiles.reduce(0) { $0 + $1.values.count }, tokens: geometry.spans(of: image).reduce(0, +))
  }
}

extension MemoryEstimate {
  /// A question of so many text tokens about pictures, without any method.
  public init(
    _ model: ModelOutline, _ weights: Weights, pictures: [Picture], text: Int, newTokens: Int,
    kv: CachePrecision = .f32, threads: Int, workers: Int = 1, kept: Int = 0
  ) {
    let rows = text + pictures.reduce(0) { $0 + $1.tokens }
    let caches = model.shape.decoder.map { decoder in
      (0..<decoder.layers).count { decoder.mixer(of: $0) != .deltaNet }
    }
    let entries = Shape.Decoder.room(for: (caches ?? 0) * (rows + newTokens), newTokens: newTokens)
    self.init(
      model.shape, weights, pictures: pictures, prompt: Prompt(rows: rows, entries: entries, kv: kv),
      threads: threads, workers: workers, kept: kept)
  }

  /// A run that was rehearsed.
  /// - Parameter trace: of the same pictures.
  public init(
    _ model: ModelOutline, _ weights: Weights, pictures: [Picture], trace: Trace, kv: CachePrecision = .f32,
    threads: Int
  ) {
    let prompt = model.shape.decoder.map { decoder in
      let cost = LanguageCost(of: trace, decoder: decoder)
      let entries = Shape.Decoder.room(for: cost.peakEntries, newTokens: cost.decode.count + 1)
      let cut = trace.acts.first { $0.site == .layer(0) }
      return Prompt(rows: cost.prefill[0].tokens, entering: cut?.input, entries: entries, kv: kv)
    }
    self.init(model.shape, weights, pictures: pictures, prompt: prompt, threads: threads)
  }
}
