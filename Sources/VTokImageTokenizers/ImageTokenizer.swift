import VTokImage
import VTokLibC
import VTokModels
import VTokTensor

/// How many tokens stand for one picture.
public enum TokenLengths: Sendable, Equatable {
  /// So many and no other number: the decoder was never trained on fewer.
  case fixed(Int)
  /// Coarse to fine: the first k tokens are a picture of their own for every k in 1 ... this.
  case prefixes(Int)

  public var most: Int {
    switch self {
    case .fixed(let count), .prefixes(let count): count
    }
  }

  public func contains(_ count: Int) -> Bool {
    switch self {
    case .fixed(let all): count == all
    case .prefixes(let most): (1...most).contains(count)
    }
  }
}

/// A picture as the numbers of a one-dimensional tokenizer.
public struct ImageTokens: Sendable, Equatable {
  /// In coding order, each in `0..<codebookSize`.
  public var ids: [Int]
  /// Size of the picture that they decode to, in pixels.
  public var size: Size

  public init(ids: [Int], size: Size) {
    self.ids = ids
    self.size = size
  }

  /// The first `count` tokens; a picture for tokenizers whose `lengths` are prefixes.
  public func prefix(_ count: Int) -> ImageTokens { ImageTokens(ids: Array(ids.prefix(count)), size: size) }
}

/// Pictures to a short sequence of whole numbers. The way back is that of a ``PaintingTokenizer``; what the numbers mean as a
/// whole is told by a ``FeatureTokenizer``.
public protocol ImageTokenizer: Sendable {
  /// The family and, where one family has several, what tells them apart: `flextok`.
  var name: String { get }
  /// Number of different tokens.
  var codebookSize: Int { get }
  /// The numbers of tokens that a prepared picture of this size can have.
  func lengths(for size: Size) -> TokenLengths
  /// The part of a picture that `encode` looks at, resized: what a reconstruction is compared with.
  func prepare(_ image: Image) -> Image
  /// - Parameter tokens: how many; nil for all. `encode(x, tokens: k)` is `encode(x).prefix(k)`, at less cost where the
  ///   model allows it.
  /// - Throws: `ModelError.input` for a number of tokens that `lengths` does not contain.
  func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens
  /// The vectors that stand for ids, as the tokenizer's own decoder or a language model takes them, `[tokens, width]`; nil where
  /// an id is no vector's.
  /// - Throws: `ModelError.input` for ids that the tokenizer cannot have written.
  func embeddings(of tokens: ImageTokens) throws -> Tensor?
}

/// A tokenizer whose tokens become pictures again.
///
/// ```swift
/// let tokens = try tokenizer.encode(photo, tokens: 32)
/// let picture = try tokenizer.decode(tokens)     // compare with tokenizer.prepare(photo)
/// ```
public protocol PaintingTokenizer: ImageTokenizer {
  /// - Parameter seed: of decoders that draw noise; others give the same picture for every seed.
  /// - Throws: `ModelError.input` for ids, or a number of them, that the tokenizer cannot have written.
  func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image
}

/// A tokenizer whose tokens give one vector of the whole picture: pictures of like content have vectors of like direction.
public protocol FeatureTokenizer: ImageTokenizer {
  /// Numbers of a vector.
  var featureWidth: Int { get }
  /// The vector of a picture, `[featureWidth]`, not normalised; compare by cosine.
  /// - Parameter tokens: all that the picture has.
  /// - Throws: `ModelError.input` for fewer, or for ids that the tokenizer cannot have written.
  func feature(of tokens: ImageTokens, threads: Int) throws -> [Float]
}

extension FeatureTokenizer {
  public func feature(of tokens: ImageTokens) throws -> [Float] { try feature(of: tokens, threads: 1) }
}

extension PaintingTokenizer {
  public func decode(_ tokens: ImageTokens, seed: UInt64 = 0) throws -> Image {
    try decode(tokens, seed: seed, threads: 1)
  }

  /// Refuses tokens of a picture of another size than this tokenizer's one.
  package func check(_ tokens: ImageTokens, size: Size) throws(ModelError) {
    try check(tokens)
    guard tokens.size == size else {
      throw ModelError.input(
        what: "tokens of \(name)", found: "a picture of \(tokens.size)", expected: "\(size)",
        fix: "Decode with the tokenizer that wrote them.")
    }
  }
}

extension ImageTokenizer {
  /// Information in one token if all are equally likely.
  public var bitsPerToken: Double { log2(Double(codebookSize)) }

  public func encode(_ image: Image, tokens: Int? = nil) throws -> ImageTokens {
    try encode(image, tokens: tokens, threads: 1)
  }

  public func embeddings(of tokens: ImageTokens) throws -> Tensor? { nil }

  /// The number of tokens asked for, all of them for nil.
  package func length(_ tokens: Int?, for size: Size) throws(ModelError) -> Int {
    let lengths = lengths(for: size)
    let count = tokens ?? lengths.most
    guard lengths.contains(count) else { throw unfit(count, lengths) }
    return count
  }

  /// Refuses tokens that this tokenizer cannot have written.
  package func check(_ tokens: ImageTokens) throws(ModelError) {
    let lengths = lengths(for: tokens.size)
    guard lengths.contains(tokens.ids.count) else { throw unfit(tokens.ids.count, lengths) }
    if let id = tokens.ids.first(where: { !(0..<codebookSize).contains($0) }) {
      throw ModelError.input(
        what: "tokens of \(name)", found: "the id \(id)", expected: "ids in 0..<\(codebookSize)",
        fix: "Decode with the tokenizer that wrote them.")
    }
  }

  private func unfit(_ count: Int, _ lengths: TokenLengths) -> ModelError {
    switch lengths {
    case .fixed(let all):
      ModelError.input(
        what: "tokens of \(name)", found: "\(count)", expected: "\(all)",
        fix: "This tokenizer has one length; FlexTok and One-D-Piece can be cut.")
    case .prefixes(let most):
      ModelError.input(
        what: "tokens of \(name)", found: "\(count)", expected: "1 to \(most)", fix: "Choose a number in that range.")
    }
  }
}

extension Image {
  /// A decoder's output as a picture: `range` becomes 0...255, rounded; what lies outside is clamped. NaN becomes 0.
  /// - Parameters:
  ///   - pixels: `[3, height, width]`.
  ///   - rounding: official code differs in what becomes of halves.
  public init(
    pixels: Tensor, range: ClosedRange<Float> = 0...1, rounding: FloatingPointRoundingRule = .toNearestOrEven
  ) {
    precondition(pixels.shape.count == 3 && pixels.shape[0] == 3, "pixels of shape \(pixels.shape)")
    let (height, width) = (pixels.shape[1], pixels.shape[2])
    let scale = 255 / (range.upperBound - range.lowerBound)
    var rgb = [UInt8](repeating: 0, count: 3 * height * width)
    for index in pixels.values.indices {
      let level = ((pixels.values[index] - range.lowerBound) * scale).rounded(rounding)
      rgb[index % (height * width) * 3 + index / (height * width)] = level > 0 ? UInt8(min(255, level)) : 0
    }
    self.init(width: width, height: height, rgb: rgb)
  }
}
