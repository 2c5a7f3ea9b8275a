import Foundation
import VTokEval
import VTokImage
import VTokModels
import VTokTensor

/// Image tokenizers at several lengths, JPEG at several qualities and sizes, and what other programs made, on the same
/// pictures: rate, distortion, what a classifier sees in the reconstructions, and time.
///
/// Every picture is first cut to the same square, so that all rows are about the same pixels.
public struct TokenizerBench: Sendable {
  /// What makes a row.
  public enum Coder: Sendable, Equatable {
    case tokenizer(Int, tokens: Int)
    /// Of the picture with so many times shorter sides, enlarged again: at few bytes the fairer rival.
    case jpeg(quality: Int, scale: Int)
    case other(Int)
  }

  /// One coder on one picture.
  public struct Outcome: Sendable {
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
  }

  public struct ImageResult: Sendable {
    public let index: Int
    /// In the order of `coders`.
    public var outcomes: [Outcome] = []
    public var failure: String?
  }

  public let tokenizers: [LoadedTokenizer]
  public let others: [OtherCoder]
  public let coders: [Coder]
  public let data: LabelledImages
  /// Judges reconstructions.
  public let judge: Pipeline
  public let side: Int
  public let threads: Int
  public let decode: DecodeOptions

  static let jpegs: [Coder] =
    [1, 3, 5, 8, 12, 20, 30, 50, 75, 90].map { .jpeg(quality: $0, scale: 1) }
    + [2, 4].flatMap { scale in [5, 15, 35, 65].map { .jpeg(quality: $0, scale: scale) } }

  /// - Parameters:
  ///   - counts: lengths to try; nil: powers of two up to each tokenizer's own. One that a tokenizer cannot have is left
  ///     out for it.
  ///   - others: reconstructions that are there already.
  ///   - side: of the square in pixels.
  /// - Throws: `ModelError` when a tokenizer can have none of the lengths.
  public init(
    _ tokenizers: [LoadedTokenizer], data: LabelledImages, model: LoadedModel, counts: [Int]? = nil,
    others: [OtherCoder] = [], side: Int = 256, threads: Int = 1, decode: DecodeOptions = .init()
  ) throws {
    (self.tokenizers, self.others, self.data, self.side) = (tokenizers, others, data, side)
    (self.threads, self.decode) = (threads, decode)
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
    coders = rows + Self.jpegs + others.indices.map { .other($0) }
  }

  /// Results by picture, in the data's order. Pictures left out after a cancellation are missing.
  public func run(
    limit: Int? = nil, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [ImageResult] {
    let count = min(limit ?? data.count, data.count)
    return try inOrder(count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let result = try result(index)
      return (result, result.failure == nil)
    }
  }

  /// The square that all coders get.
  public func square(_ image: Image) -> Image {
    ImageProcessor(resize: .shortestEdge(side), filter: .bicubic, crop: Size(side)).prepare(image)
  }

  private func result(_ index: Int) throws -> ImageResult {
    var result = ImageResult(index: index)
    let square: Image
    do {
      square = self.square(try data.image(index, options: decode))
    } catch {
      result.failure = try error.ofPicture().description
      return result
    }
    let answer = try judge(square)
    var encoded: [Int: (tokens: ImageTokens, seconds: Double)] = [:]
    for coder in coders {
      let start = threadSeconds()
      var original = square
      let made: Image
      let bytes: Int
      let encode: Double
      let decode: Double  // seconds
      switch coder {
      case .tokenizer(let number, let count):
        let tokenizer = tokenizers[number].tokenizer
        let all = try encoded[number] ?? longest(number, square)
        encoded[number] = all
        original = tokenizer.prepare(square)
        encode = all.seconds
        let middle = threadSeconds()
        made = try tokenizer.decode(all.tokens.prefix(count))
        decode = threadSeconds() - middle
        bytes = TokenFile.bytes(tokens: count, codebookSize: tokenizer.codebookSize)
      case .jpeg(let quality, let scale):
        let small = max(1, side / scale)
        let file = try square.resized(to: small).jpegData(quality: quality)
        let middle = threadSeconds()
        made = try Image.decode(file).image.resized(to: side)
        (encode, decode) = (middle - start, threadSeconds() - middle)
        bytes = file.count
      case .other(let number):
        let (picture, image) = try others[number](data.items[index].name, side: side)
        (bytes, made) = (picture.bytes, image)
        (encode, decode) = (picture.encode / 1000, picture.decode / 1000)
      }
      let seen = try judge(made)
      result.outcomes.append(
        Outcome(
          meanSquaredError: PictureQuality.meanSquaredError(original, made), ssim: PictureQuality.ssim(original, made),
          bytes: bytes, encode: 1000 * encode, decode: 1000 * decode,
          agrees: answer.logits.flatMap { expected in seen.logits.map { argmax($0) == argmax(expected) } },
          cosine: Statistics.cosine(seen.pooled, answer.pooled)))
    }
    return result
  }

  private func longest(_ number: Int, _ square: Image) throws -> (tokens: ImageTokens, seconds: Double) {
    let counts = coders.map { coder in
      if case .tokenizer(number, let count) = coder { count } else { 0 }
    }
    let start = threadSeconds()
    let tokens = try tokenizers[number].tokenizer.encode(square, tokens: counts.max())
    return (tokens, threadSeconds() - start)
  }

  /// One picture by every tokenizer, the original and then the reconstructions from few tokens to many, seven in a row and
  /// at most 160 pixels wide.
  public func sheet(_ image: Image) throws -> Image {
    let square = self.square(image)
    let rows = try tokenizers.indices.flatMap { number in
      let all = try longest(number, square).tokens
      let pictures =
        try [square]
        + coders.compactMap { coder in
          guard case .tokenizer(number, let count) = coder else { return nil }
          return try tokenizers[number].tokenizer.decode(all.prefix(count))
        }
      let cells = pictures.map { $0.resized(to: min(side, 160)) }
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
