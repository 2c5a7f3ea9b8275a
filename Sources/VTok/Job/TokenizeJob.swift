import Foundation
import Synchronization
import VTokEval
import VTokImage
import VTokModels
import VTokTensor
import VTokWeights

/// Pictures to tokens, side by side on the cores.
public struct TokenizeJob: Sendable {
  /// How many tokens a picture gets.
  public enum Length: Sendable, Equatable {
    /// So many; nil for all.
    case tokens(Int?)
    /// The fewest whose picture reaches a PSNR in dB, at most so many. Found by doubling and halving: the fewest if the
    /// PSNR grows with the tokens, which it does but for ripples.
    case psnr(Double, most: Int?)
  }

  /// What became of a picture.
  public struct Row: Sendable {
    public let name: String
    public let outcome: Result<Done, ImageError>
  }
  public struct Done: Sendable {
    public let tokens: ImageTokens
    /// Of the decoded tokens, where it was asked for. Infinite when nothing is lost.
    public let psnr: Double?
  }

  public let tokenizer: LoadedTokenizer
  public let inputs: [InputFile]
  public let length: Length
  public let threads: Int
  public let decode: DecodeOptions

  public init(
    _ tokenizer: LoadedTokenizer, inputs: [InputFile], length: Length, threads: Int = 1, decode: DecodeOptions = .init()
  ) {
    (self.tokenizer, self.inputs, self.length) = (tokenizer, inputs, length)
    (self.threads, self.decode) = (threads, decode)
  }

  /// Rows in input order. A picture that cannot be read is a row of its own.
  /// - Throws: `ModelError` for a length that the tokenizer does not have.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [Row] {
    try inOrder(inputs.count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let name = inputs[index].name
      let decoded = Result { () throws(ImageError) in
        try Image.decode(contentsOf: inputs[index].path, options: decode).image
      }
      switch decoded {
      case .success(let image): return (Row(name: name, outcome: .success(try tokens(of: image))), true)
      case .failure(let error): return (Row(name: name, outcome: .failure(error)), false)
      }
    }
  }

  /// The token file of the pictures that could be read.
  public func file(_ rows: [Row]) -> TokenFile {
    TokenFile(
      tokenizer,
      pictures: rows.compactMap { row in
        guard case .success(let done) = row.outcome else { return nil }
        return TokenFile.Picture(name: row.name, tokens: done.tokens)
      })
  }

  private func tokens(of image: Image) throws -> Done {
    let tokenizer = tokenizer.tokenizer
    switch length {
    case .tokens(let count): return Done(tokens: try tokenizer.encode(image, tokens: count), psnr: nil)
    case .psnr(let target, let most):
      let original = tokenizer.prepare(image)
      let all = try tokenizer.encode(image, tokens: most)
      func done(_ count: Int) throws -> Done {
        let tokens = all.prefix(count)
        let error = PictureQuality.meanSquaredError(original, try tokenizer.decode(tokens))
        return Done(tokens: tokens, psnr: PictureQuality.psnr(error))
      }
      guard case .prefixes = tokenizer.lengths(for: original.size) else { return try done(all.ids.count) }
      var short = 0  // too few
      var found = try done(1)
      while found.psnr! < target, found.tokens.ids.count < all.ids.count {
        short = found.tokens.ids.count
        found = try done(min(2 * short, all.ids.count))
      }
      guard found.psnr! >= target else { return found }
      while short + 1 < found.tokens.ids.count {
        let middle = try done((short + found.tokens.ids.count) / 2)
        if middle.psnr! >= target { found = middle } else { short = middle.tokens.ids.count }
      }
      return found
    }
  }
}

/// Tokens to pictures, side by side on the cores.
public struct DetokenizeJob: Sendable {
  public let tokenizer: LoadedTokenizer
  public let file: TokenFile
  public let threads: Int

  /// - Parameter path: of the token file, for messages.
  /// - Throws: `TokenFileError` if another tokenizer wrote the file.
  public init(_ tokenizer: LoadedTokenizer, _ file: TokenFile, path: String, threads: Int = 1) throws(TokenFileError) {
    guard tokenizer.sha256 == file.sha256, tokenizer.tokenizer.codebookSize == file.codebookSize else {
      func text(_ name: String, _ sha256: String) -> String { "'\(name)' with weights \(sha256.prefix(12))..." }
      throw .otherTokenizer(
        path, found: text(file.tokenizer, file.sha256), expected: text(tokenizer.name, tokenizer.sha256))
    }
    (self.tokenizer, self.file, self.threads) = (tokenizer, file, threads)
  }

  /// Writes `<folder>/<name>.png` for every picture, each whole or not at all. Names stay below the folder.
  /// - Returns: how many were written.
  public func run(
    into folder: String, seed: UInt64 = 0, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> Int {
    try inOrder(file.pictures.count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let picture = file.pictures[index]
      let image = try tokenizer.tokenizer.decode(picture.tokens, seed: mixedSeed(seed, picture.name))
      let path = folder + "/" + InputList.cleaned(picture.name) + ".png"
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try WholeFile.write(image.pngData(), to: path, synced: false)
      return ((), true)
    }.count
  }
}
