import ArgumentParser
import VTok

/// Memory that a command may take.
struct MemoryFlag: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Memory to take at most, as 6GB or 800MB (2^30 and 2^20 bytes), mapped weights included: larger pictures are read smaller, "
        + "and what fits at no size is refused before work, by a prediction (see 'vtok flops').", valueName: "SIZE"),
    transform: MemoryFlag.bytes)
  var maxMemory: Int?

  var limit: MemoryLimit? { maxMemory.map { MemoryLimit(bytes: $0) } }

  private static let units = [("GiB", 30), ("GB", 30), ("G", 30), ("MiB", 20), ("MB", 20), ("M", 20), ("B", 0)]

  @Sendable private static func bytes(_ text: String) throws -> Int {
    for (unit, power) in units where text.hasSuffix(unit) {
      guard let number = Double(text.dropLast(unit.count)), number > 0 else { break }
      let bytes = number * Double(1 << power)
      guard bytes >= 1, bytes < 0x1p60 else { break }
      return Int(bytes)
    }
    throw OutOfRange(expected: "a number above 0 with GB or MB, as 6GB")
  }

  /// For a model whose pictures all have one size, or for pictures that nobody has seen yet.
  /// - Parameters:
  ///   - workers: images that run side by side.
  ///   - prompt: text tokens and new tokens; nil: the language model does not run.
  ///   - kept: bytes that every worker keeps for later ones.
  /// - Returns: pixels that a picture may have; nil: any number.
  func pixels(
    _ model: ModelOutline, _ weights: MemoryEstimate.Weights, workers: Int, prompt: (text: Int, new: Int)? = nil,
    kv: CachePrecision = .f32, kept: Int = 0, quiet: Bool
  ) throws -> Int? {
    guard let limit else { return nil }
    let found = try limit.pixels { size in
      let picture = try model.memory(of: size)
      guard let prompt else {
        return MemoryEstimate(
          model.shape, weights, pictures: [picture], prompt: nil, threads: 1, workers: workers, kept: kept)
      }
      return MemoryEstimate(
        model, weights, pictures: [picture], text: prompt.text, newTokens: prompt.new, kv: kv, threads: 1,
        workers: workers, kept: kept)
    }
    if let pixels = found.pixels, !quiet {
      VTokCommand.say(
        "--max-memory: pictures of more than \(pixels) pixels are read smaller, for \(megabytes(found.estimate.total)) of "
          + "\(megabytes(limit.bytes))")
    }
    return found.pixels
  }

  /// Sizes at which the pictures of one prompt fit.
  func sizes(
    _ pictures: [Image], _ model: ModelOutline, _ weights: MemoryEstimate.Weights, text: Int, newTokens: Int,
    kv: CachePrecision, threads: Int, quiet: Bool
  ) throws -> (sizes: [Size], estimate: MemoryEstimate)? {
    guard let limit else { return nil }
    let sizes = pictures.map(\.size)
    let found = try limit.fitted(sizes) { sizes in
      MemoryEstimate(
        model, weights, pictures: try sizes.map { try model.memory(of: $0) }, text: text, newTokens: newTokens, kv: kv,
        threads: threads)
    }
    if found.sizes != sizes, !quiet {
      let shown = zip(sizes, found.sizes).prefix(4).map { "\($0) at \($1)" }.joined(separator: ", ")
      VTokCommand.say(
        "--max-memory: pictures are read smaller, \(shown) pixels, for \(megabytes(found.estimate.total)) of "
          + "\(megabytes(limit.bytes))")
    }
    return found
  }

  private func megabytes(_ bytes: Int) -> String { "\(fixed(MemoryEstimate.megabytes(bytes), 0)) MB" }
}
