import Foundation
import VTokCore
import VTokImage
import VTokModels

// MARK: Many questions about the same pictures

extension Generator {
  /// Pictures behind tower, connector and packing, from where any number of prompts about them can go on.
  struct Seen: Sendable {
    let run: Run
    let spans: [[TokenSequence]]
    /// Tokens of the question alone, where the connector is conditioned on it.
    let question: Int
  }

  /// The text of new tokens, without those that end it.
  func text(of ids: [Int]) -> String { tokenizer.decode(ids.filter { !model.stops.contains($0) }) }

  /// Tokens of the pictures when nothing is reduced.
  func visualTokens(of images: [PreparedImage]) throws -> Int {
    try images.reduce(0) { $0 + (try model.spans(of: $1).reduce(0, +)) }
  }

  /// Whether what becomes of the pictures before the language model depends on the question.
  var looksAtQuestion: Bool { composition.joint != nil || model.seesQuestion }

  /// - Parameter question: for methods that compare pictures with it, and for connectors conditioned on it.
  func look(
    at images: [PreparedImage], question: String, seed: UInt64, keepingNotes: Bool = false,
    shared: [SharedBlocks]? = nil, threads: Int = 1
  ) throws -> Seen {
    var run = Run(composition, seed: seed, keepingNotes: keepingNotes)
    run.question = companion?.embed(question)
    let alone = model.seesQuestion ? tokenizer.encode(question.trimmingCharacters(in: .whitespacesAndNewlines)) : []
    if model.seesQuestion { try model.read(question: alone, run: &run, threads: threads) }
    let spans = try model.encode(images, run: &run, shared: shared, threads: threads)
    return Seen(run: run, spans: spans, question: alone.count)
  }

  /// The pass through the language model up to the first token.
  func read(_ prompt: Prompt, seen: Seen, shared: SharedPrefixes? = nil, threads: Int = 1) throws -> (
    run: Run, decoding: Decoding
  ) {
    var run = seen.run
    let tokens = try model.prompt(prompt.ids, prompt.images, spans: seen.spans, run: &run)
    let decoding = try model.language.prefill(tokens, run: &run, shared: shared, threads: threads)
    // A cache may be cut later (Keyformer).
    let isReduced = composition.managesCache || run.trace.acts.contains { $0.output < $0.input }
    try check(visualTokens(of: prompt.images), wereReduced: isReduced)
    return (run, decoding)
  }

  /// Refuses a budget below the number of tokens that has led to nothing.
  func check(_ visual: Int, wereReduced: Bool) throws(CompressionError) {
    guard let budget, !composition.methods.isEmpty, budget.tokens(of: visual) < visual, !wereReduced else { return }
    throw .unreachable(
      method: method, asked: "\(budget.tokens(of: visual)) of \(visual) tokens", reachable: "no fewer than all",
      fix: "Choose another budget or method.")
  }
}
