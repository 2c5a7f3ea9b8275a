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
    self.temperature = temperature
    self.topP = topP
    generator = SeededGenerator(seed: seed)
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
  /// Runs a prompt through all layers, letting methods look and act at every site.
  /// - Parameters:
  ///   - prompt: x `[n, width]`; its positions are the rotary ones, its ids row numbers of the whole prompt. `run.images`
  ///     says which of them are visual.
  ///   - shared: what earlier prompts have left of the rows that this one begins with; not used where `observe` is given.
  ///   - observe: the rows entering every layer, then those after the last one and the final norm.
  /// - Precondition: the prompt is not empty and has the model's width.
  public func prefill(
    _ prompt: TokenSequence, run: inout Run, shared: SharedPrefixes? = nil, threads: Int = 1,
    observe: ((_ layer: Int, _ hidden: Tensor) -> Void)? = nil
  ) throws(CompressionError) -> Decoding {
    precondition(prompt.count > 0 && prompt.x.width == shape.width, "a prompt of \(prompt.x.shape)")
    let layers = WeightLayers(self, threads: threads)
    guard let shared, observe == nil else {
      var walk = DecoderWalk(layers)
      return try walk.prefill(prompt, run: &run, observe: observe)
    }
    var walk = DecoderWalk(MemoisedLayers(layers, shared))
    return try walk.prefill(prompt, run: &run)
  }

  /// Feeds one more token.
  /// - Precondition: the token is in the vocabulary.
  public func step(_ token: Int, _ decoding: inout Decoding, run: inout Run, threads: Int = 1) throws(CompressionError)
  {
    var walk = DecoderWalk(WeightLayers(self, threads: threads))
    try walk.step(token, &decoding, run: &run)
  }

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
