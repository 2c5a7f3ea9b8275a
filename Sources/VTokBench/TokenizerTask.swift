import Foundation
import VTokData
import VTokEval
import VTokImage
import VTokImageTokenizers
import VTokMethods
import VTokModels
import VTokPipeline
import VTokTensor

/// Image tokenizers at several lengths, JPEG at several qualities and sizes, and what other programs made, on the same
/// images: rate, distortion, what a classifier sees in the reconstructions, and time: `Bench<TokenizerTask>`.
///
/// Every image is first cut to the same square, so that all rows are about the same pixels.
public struct TokenizerTask: BenchTask {
  public typealias Entry = Coder
  public static let name = "tokenizers"

  /// What makes a row.
  public enum Coder: Sendable, Equatable, BenchEntry {
    case tokenizer(Int, tokens: Int)
    /// Of the image with so many times shorter sides, enlarged again: at few bytes the fairer rival.
    case jpeg(quality: Int, scale: Int)
    case other(Int)

    public var seeds: [UInt64] { [0] }
  }

  /// One coder on one image.
  public struct Run: BenchRun {
    /// Of samples in 0...1.
    public let meanSquaredError: Double
    public let ssim: Double
    /// Of tokens in a token file without name and size, or of the whole file.
    public let bytes: Int
    /// Milliseconds of this thread's processor. Tokens are written once, at the greatest length.
    public let encode: Double, decode: Double
    /// Whether the classifier's first answer is that for the original; nil without a classifier.
    public let agrees: Bool?
    /// Of the model's embeddings of reconstruction and original.
    public let cosine: Double
    public var outcome: BudgetOutcome? { nil }
  }

  public let tokenizers: [LoadedTokenizer]
  private let painters: [any PaintingTokenizer]
  public let others: [OtherCoder]
  public let entries: [Coder]
  public let data: LabelledImages
  /// Judges reconstructions.
  public let judge: Pipeline
  public let side: Int
  public let decode: DecodeOptions
  /// An image to draw at every length; nil: none.
  public let sheet: Image?

  public var count: Int { data.count }
  public var dataPath: String { data.path }
  public var modelName: String { judge.name }

  private static let jpegs: [Coder] =
    [1, 3, 5, 8, 12, 20, 30, 50, 75, 90].map { .jpeg(quality: $0, scale: 1) }
    + [2, 4].flatMap { scale in [5, 15, 35, 65].map { .jpeg(quality: $0, scale: scale) } }

  /// - Parameters:
  ///   - counts: lengths to try; nil: powers of two up to each tokenizer's own. One that a tokenizer cannot have is left
  ///     out for it.
  ///   - others: reconstructions that are there already.
  ///   - side: of the square in pixels.
  /// - Throws: `ModelError` when a tokenizer can have none of the lengths, or does not paint.
  public init(
    _ tokenizers: [LoadedTokenizer], data: LabelledImages, model: LoadedModel, counts: [Int]? = nil,
    others: [OtherCoder] = [], side: Int = 256, decode: DecodeOptions = .init(), sheet: Image? = nil
  ) throws {
    self.tokenizers = tokenizers
    painters = try tokenizers.map { try $0.painter }
    self.others = others
    self.data = data
    self.side = side
    self.decode = decode
    self.sheet = sheet
    judge = try Pipeline(model, method: nil)
    let rows = try tokenizers.enumerated().flatMap { index, loaded in
      let lengths = loaded.tokenizer.lengths(for: Size(side))
      let all = counts ?? (0..<24).map { 1 << $0 }.filter { $0 < lengths.most } + [lengths.most]
      let possible = all.filter { lengths.contains($0) }
      guard !possible.isEmpty else {
        throw ModelError.input(
          what: "tokenizer '\(loaded.name)'", found: "none of its lengths among \(all)",
          expected: "at least one of them", fix: "It has \(lengths.most) tokens at most.")
      }
      return possible.map { Coder.tokenizer(index, tokens: $0) }
    }
    entries = rows + Self.jpegs + others.indices.map { .other($0) }
  }

  /// The square that all coders get.
  public func square(_ image: Image) -> Image {
    ImageProcessor(resize: .shortestEdge(side), filter: .bicubic, crop: Size(side)).prepare(image)
  }

  public func measure(_ item: Int, _ sample: BenchSample, into notes: inout ItemNotes<Self>) throws {
    let square = self.square(try data.image(item, options: decode))
    let answer = try judge(square)
    var encoded: [Int: (tokens: ImageTokens, seconds: Double)] = [:]
    for (row, coder) in entries.enumerated() {
      let made = try made(coder, of: square, name: data.items[item].name, &encoded)
      let seen = try judge(made.image)
      notes.add(
        Run(
          meanSquaredError: PictureQuality.meanSquaredError(made.original, made.image),
          ssim: PictureQuality.ssim(made.original, made.image), bytes: made.bytes, encode: 1000 * made.encode,
          decode: 1000 * made.decode,
          agrees: answer.logits.flatMap { expected in seen.logits.map { argmax($0) == argmax(expected) } },
          cosine: Statistics.cosine(seen.pooled, answer.pooled)), row: row, seed: 0)
    }
  }

  /// A reconstruction beside what it should be. Seconds.
  private typealias Made = (original: Image, image: Image, bytes: Int, encode: Double, decode: Double)

  private func made(
    _ coder: Coder, of square: Image, name: String, _ encoded: inout [Int: (tokens: ImageTokens, seconds: Double)]
  ) throws -> Made {
    let start = threadSeconds()
    switch coder {
    case .tokenizer(let number, let count):
      let tokenizer = painters[number]
      let all = try encoded[number] ?? longest(number, square)
      encoded[number] = all
      let original = tokenizer.prepare(square)
      let middle = threadSeconds()
      let image = try tokenizer.decode(all.tokens.prefix(count))
      let bytes = TokenFile.bytes(tokens: count, codebookSize: tokenizer.codebookSize)
      return (original, image, bytes, all.seconds, threadSeconds() - middle)
    case .jpeg(let quality, let scale):
      let file = try square.resized(to: max(1, side / scale)).jpegData(quality: quality)
      let middle = threadSeconds()
      let image = try Image.decode(file).image.resized(to: side)
      return (square, image, file.count, middle - start, threadSeconds() - middle)
    case .other(let number):
      let (picture, image) = try others[number](name, side: side)
      return (square, image, picture.bytes, picture.encode / 1000, picture.decode / 1000)
    }
  }

  private func longest(_ number: Int, _ square: Image) throws -> (tokens: ImageTokens, seconds: Double) {
    let counts = entries.map { coder in
      if case .tokenizer(number, let count) = coder { count } else { 0 }
    }
    let start = threadSeconds()
    let tokens = try tokenizers[number].tokenizer.encode(square, tokens: counts.max())
    return (tokens, threadSeconds() - start)
  }

  /// One image by every tokenizer, the original and then the reconstructions from few tokens to many, seven in a row and
  /// at most 160 pixels wide.
  public func sheet(of image: Image) throws -> Image {
    let square = self.square(image)
    let rows = try tokenizers.indices.flatMap { number in
      let all = try longest(number, square).tokens
      let images =
        try [square]
        + entries.compactMap { coder in
          guard case .tokenizer(number, let count) = coder else { return nil }
          return try painters[number].decode(all.prefix(count))
        }
      let cells = images.map { $0.resized(to: min(side, 160)) }
      return stride(from: 0, to: cells.count, by: 7).map { Array(cells[$0..<min($0 + 7, cells.count)]) }
    }
    return Image.grid(rows)
  }
}

extension Image {
  /// As a square of that side.
  fileprivate func resized(to side: Int) -> Image {
    size == Size(side) ? self : resized(width: side, height: side, filter: .bicubic)
  }
}

/// `TokenizerBench(TokenizerTask([tokenizer], data: images, model: judge))`
public typealias TokenizerBench = Bench<TokenizerTask>
