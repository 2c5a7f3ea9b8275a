import Synchronization
import VTokData
import VTokEval
import VTokFiles
import VTokImage
import VTokImageTokenizers
import VTokModels
import VTokPipeline
import VTokTensor
import VTokWeights

/// Pictures to tokens, side by side on the cores.
public struct TokenizeJob: Sendable {
  /// What the decoded picture has to be like.
  public enum Target: Sendable {
    /// At least so many dB of PSNR.
    case psnr(Double)
    /// At most so far from the picture in a model's eyes: 1 less the cosine of the pooled embeddings.
    case featureDistance(Double, Pipeline)

    func isReached(by value: Double) -> Bool {
      switch self {
      case .psnr(let least): value >= least
      case .featureDistance(let most, _): value <= most
      }
    }
  }

  /// How many tokens a picture gets.
  public enum Length: Sendable {
    /// So many; nil for all.
    case tokens(Int?)
    /// The fewest that reach a target, at most so many. Found by doubling and halving: the fewest if more tokens always
    /// bring it nearer, which they do but for ripples.
    case reaching(Target, most: Int?)
  }

  /// What became of a picture.
  public struct Row: Sendable {
    public let name: String
    public let outcome: Result<Done, ImageError>
  }
  public struct Done: Sendable {
    public let size: Size
    /// Tokens of the picture.
    public let tokens: Int
    /// As it stands in a token file: the ids themselves would take ten times the memory in a long job.
    let record: [UInt8]
    /// PSNR (infinite when nothing is lost) or distance of the decoded tokens, where there is a target.
    public let reached: Double?
    /// Whether the target is out of reach of all tokens it may have.
    public let isShort: Bool
  }

  public let tokenizer: LoadedTokenizer
  public let inputs: [InputFile]
  public let length: Length
  public let threads: Int
  public let decode: DecodeOptions

  public init(
    _ tokenizer: LoadedTokenizer, inputs: [InputFile], length: Length, threads: Int = 1, decode: DecodeOptions = .init()
  ) {
    self.tokenizer = tokenizer
    self.inputs = inputs
    self.length = length
    self.threads = threads
    self.decode = decode
  }

  /// Rows in input order. A picture that cannot be read is a row of its own.
  /// - Throws: `ModelError` for a length that the tokenizer does not have, and for a target if it does not paint.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [Row] {
    if case .reaching = length { _ = try tokenizer.painter }
    return try inOrder(inputs.count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let name = inputs[index].name
      let decoded = Result { () throws(ImageError) in
        try inputs[index].read().decoded(options: decode).image
      }
      switch decoded {
      case .success(let image): return (Row(name: name, outcome: .success(done(try tokens(of: image), name))), true)
      case .failure(let error): return (Row(name: name, outcome: .failure(try error.ofPicture())), false)
      }
    }
  }

  /// Writes the token file of the pictures that could be read, whole or not at all.
  public func write(_ rows: [Row], to path: String) throws {
    let records = rows.compactMap { try? $0.outcome.get().record }
    try Folder.makeAbove(path)
    try TokenFile.write(tokenizer, records: records, to: path)
  }

  private func done(_ found: Found, _ name: String) -> Done {
    let record = TokenFile.record(
      .init(name: name, tokens: found.tokens), codebookSize: tokenizer.tokenizer.codebookSize)
    return Done(
      size: found.tokens.size, tokens: found.tokens.ids.count, record: record, reached: found.reached,
      isShort: found.isShort)
  }

  private struct Found {
    let tokens: ImageTokens, reached: Double?, isShort: Bool
  }

  private func tokens(of image: Image) throws -> Found {
    switch length {
    case .tokens(let count):
      return Found(tokens: try tokenizer.tokenizer.encode(image, tokens: count), reached: nil, isShort: false)
    case .reaching(let target, let most):
      let tokenizer = try tokenizer.painter
      let original = tokenizer.prepare(image)
      let all = try tokenizer.encode(image, tokens: most)
      let measure = try measure(target, original)
      func done(_ count: Int) throws -> Found {
        let tokens = all.prefix(count)
        let value = try measure(tokenizer.decode(tokens))
        return Found(tokens: tokens, reached: value, isShort: !target.isReached(by: value))
      }
      guard case .prefixes = tokenizer.lengths(for: original.size) else { return try done(all.ids.count) }
      var short = 0  // too few
      var found = try done(1)
      while found.isShort, found.tokens.ids.count < all.ids.count {
        short = found.tokens.ids.count
        found = try done(min(2 * short, all.ids.count))
      }
      guard !found.isShort else { return found }
      while short + 1 < found.tokens.ids.count {
        let middle = try done((short + found.tokens.ids.count) / 2)
        if middle.isShort { short = middle.tokens.ids.count } else { found = middle }
      }
      return found
    }
  }

  private func measure(_ target: Target, _ original: Image) throws -> (Image) throws -> Double {
    switch target {
    case .psnr: return { PictureQuality.psnr(PictureQuality.meanSquaredError(original, $0)) }
    case .featureDistance(_, let judge):
      let expected = try judge(original).pooled
      return { 1 - Statistics.cosine(try judge($0).pooled, expected) }
    }
  }
}

/// Tokens to pictures, side by side on the cores.
public struct DetokenizeJob: Sendable {
  public let tokenizer: any PaintingTokenizer
  public let file: TokenFile
  public let threads: Int

  /// - Parameter path: of the token file, for messages.
  /// - Throws: `TokenFileError` if another tokenizer wrote the file, `ModelError` for one that does not paint.
  public init(_ tokenizer: LoadedTokenizer, _ file: TokenFile, path: String, threads: Int = 1) throws {
    try file.check(tokenizer, path: path)
    self.tokenizer = try tokenizer.painter
    self.file = file
    self.threads = threads
  }

  /// Files that `run` would write over.
  public func taken(in folder: String) throws -> Int {
    let names = OutputNames(file.pictures.lazy.map(\.name))
    return try file.pictures.count { try FileInfo.ifThere(folder + "/" + names.png($0.name), following: false) != nil }
  }

  /// Writes `<folder>/<name>.png` for every picture, each whole or not at all. Names stay below the folder.
  /// - Returns: how many were written.
  public func run(
    into folder: String, seed: UInt64 = 0, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> Int {
    let names = OutputNames(file.pictures.lazy.map(\.name))
    return try inOrder(file.pictures.count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let picture = file.pictures[index]
      let image = try tokenizer.decode(picture.tokens, seed: mixedSeed(seed, picture.name))
      let path = folder + "/" + names.png(picture.name)
      try Folder.makeAbove(path)
      try WholeFile.write(image.pngData(), to: path, synced: false)
      return ((), true)
    }.count
  }
}
