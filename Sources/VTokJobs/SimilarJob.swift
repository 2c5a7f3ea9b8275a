import VTokData
import VTokEval
import VTokImage
import VTokImageTokenizers
import VTokModels
import VTokPipeline
import VTokTensor

/// The pictures of a token file that are most like some others: those whose features point the same way. The file's pictures are not
/// needed, their tokens are.
public struct SimilarJob: Sendable {
  /// What to look for.
  public enum Query: Sendable, Equatable {
    /// A picture, which is tokenized first.
    case image(InputFile)
    /// A picture of the token file by its number; it is not among its own answers.
    case picture(Int)
  }

  /// A picture of the file.
  public struct Match: Sendable, Equatable {
    public let name: String
    /// Of the angle between the features, -1...1.
    public let cosine: Double
  }

  /// What was found.
  public struct Row: Sendable {
    public let query: String
    /// The most alike first; of equal ones the first in the file.
    public let outcome: Result<[Match], ImageError>
  }

  public let tokenizer: any FeatureTokenizer
  public let file: TokenFile
  public let queries: [Query]
  /// Answers to a query.
  public let most: Int
  public let threads: Int
  public let decode: DecodeOptions

  /// - Parameter path: of the token file, for messages.
  /// - Throws: `TokenFileError` if another tokenizer wrote the file, `ModelError` for one whose tokens give no feature.
  public init(
    _ tokenizer: LoadedTokenizer, _ file: TokenFile, path: String, queries: [Query], most: Int, threads: Int = 1,
    decode: DecodeOptions = .init()
  ) throws {
    self.tokenizer = try tokenizer.describer
    try file.check(tokenizer, path: path)
    self.file = file
    self.queries = queries
    self.most = most
    self.threads = threads
    self.decode = decode
  }

  /// A row for every query, in their order. A picture that cannot be read is a row of its own.
  /// - Throws: `ModelError` for pictures of the file that have too few tokens for a feature.
  public func run(
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [Row] {
    let silent: @Sendable (Int, Int, Int) -> Void = { _, _, _ in }
    let asked = try inOrder(queries.count, threads: threads, progress: silent, isCancelled: isCancelled) { index in
      (try feature(of: queries[index]), true)
    }
    guard asked.count == queries.count else { return [] }
    let none = [[Match]](repeating: [], count: queries.count)
    let found = try inOrder(
      file.pictures.count, threads: threads, into: none, progress: progress, isCancelled: isCancelled
    ) { number in
      let own = try tokenizer.feature(of: file.pictures[number].tokens)
      return (asked.map { (try? $0.get()).map { Statistics.cosine($0, own) } }, true)
    } fold: { found, number, cosines in
      for (index, cosine) in cosines.enumerated() where queries[index] != .picture(number) {
        if let cosine { add(Match(name: file.pictures[number].name, cosine: cosine), to: &found[index]) }
      }
    }
    return queries.indices.map { index in
      Row(query: name(of: queries[index]), outcome: asked[index].map { _ in found[index] })
    }
  }

  private func name(of query: Query) -> String {
    switch query {
    case .image(let input): input.name
    case .picture(let number): file.pictures[number].name
    }
  }

  private func feature(of query: Query) throws -> Result<[Float], ImageError> {
    switch query {
    case .picture(let number): return .success(try tokenizer.feature(of: file.pictures[number].tokens))
    case .image(let input):
      let image: Image
      do throws(ImageError) {
        image = try input.read().decoded(options: decode).image
      } catch {
        return .failure(try error.ofPicture())
      }
      return .success(try tokenizer.feature(of: tokenizer.encode(image)))
    }
  }

  /// Keeps the best so many, sorted.
  private func add(_ match: Match, to found: inout [Match]) {
    let place = found.firstIndex { $0.cosine < match.cosine } ?? found.count
    guard place < most else { return }
    found.insert(match, at: place)
    if found.count > most { found.removeLast() }
  }
}
