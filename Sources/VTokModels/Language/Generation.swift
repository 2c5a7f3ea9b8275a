import VTokCore
import VTokTensor

/// How a token is chosen from logits: greedily, or by lot from the most likely ones.
public struct Sampling: Sendable {
  /// Logits are divided by it; 0 is greedy: the largest, the first one on a tie.
  public let temperature: Float
  /// The lot is drawn among the most likely tokens that together reach this probability (nucleus sampling, arXiv
  /// 1904.09751).
  public let topP: Float
  private var generator: SeededGenerator

  /// - Precondition: `temperature` is not negative, `topP` lies above 0 and not above 1.
  public init(temperature: Float = 0, topP: Float = 1, seed: UInt64 = 0) {
    precondition(temperature >= 0 && topP > 0 && topP <= 1)
    (self.temperature, self.topP, generator) = (temperature, topP, SeededGenerator(seed: seed))
  }

  public static var greedy: Sampling { Sampling() }

  /// The next token from logits `[vocabulary]`.
  public mutating func next(_ logits: [Float]) -> Int {
    if temperature == 0 { return argmax(logits)! }
    let probabilities = softmax(logits.map { $0 / temperature })
    var ranked = topP < 1 ? topK(probabilities, probabilities.count) : Array(probabilities.indices)
    if topP < 1 {
      var sum: Float = 0
      let end = ranked.firstIndex { id in
        sum += probabilities[id]
        return sum >= topP
      }
      if let end { ranked.removeLast(ranked.count - end - 1) }
    }
    var left = generator.uniform() * ranked.reduce(0) { $0 + probabilities[$1] }
    for id in ranked {
      left -= probabilities[id]
      if left < 0 { return id }
    }
    return ranked.last!
  }
}

extension LanguageModel {
  /// Continues a prompt until a stop token, which is part of the answer, or `limit` tokens.
  /// - Parameters:
  ///   - limit: most new tokens, at least 1.
  ///   - stops: ids that end the answer.
  ///   - receive: gets every token as it is chosen; false ends the answer there.
  /// - Returns: the new ids.
  public func generate(
    _ prompt: TokenSequence, run: inout Run, sampling: Sampling = .greedy, limit: Int, stops: Set<Int> = [],
    threads: Int = 1, receive: (Int) -> Bool = { _ in true }
  ) throws(CompressionError) -> [Int] {
    var decoding = try prefill(prompt, run: &run, threads: threads)
    return try generate(
      from: &decoding, run: &run, sampling: sampling, limit: limit, stops: stops, threads: threads, receive: receive)
  }

  /// The same from a prompt that has been read.
  public func generate(
    from decoding: inout Decoding, run: inout Run, sampling: Sampling = .greedy, limit: Int, stops: Set<Int> = [],
    threads: Int = 1, receive: (Int) -> Bool = { _ in true }
  ) throws(CompressionError) -> [Int] {
    precondition(limit > 0, "a limit of \(limit) tokens")
    var sampling = sampling
    var ids: [Int] = []
    while true {
      let id = sampling.next(decoding.logits)
      ids.append(id)
      if !receive(id) || stops.contains(id) || ids.count == limit { return ids }
      try step(id, &decoding, run: &run, threads: threads)
    }
  }
}
