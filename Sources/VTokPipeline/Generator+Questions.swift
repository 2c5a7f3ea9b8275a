import Foundation
import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokModels

// MARK: Many questions about the same pictures

extension Generator {
  /// Pictures behind tower, connector and packing, from where any number of prompts about them can go on.
  package struct Seen: Sendable {
    package let run: Run
    package let spans: [[TokenSequence]]
    /// Tokens of the question alone, where the connector is conditioned on it.
    let question: Int
  }

  /// The text of new tokens, without those that end it.
  package func text(of ids: [Int]) -> String { tokenizer.decode(ids.filter { !model.stops.contains($0) }) }

  /// Tokens of the pictures when nothing is reduced.
  package func visualTokens(of images: [PreparedImage]) throws -> Int {
    try images.reduce(0) { $0 + (try model.spans(of: $1).reduce(0, +)) }
  }

  /// Whether what becomes of the pictures before the language model depends on the question.
  package var looksAtQuestion: Bool {
    composition.joint != nil || composition.readsWords || model.seesQuestion
  }

  /// - Parameter question: for methods that compare pictures with it, and for connectors conditioned on it.
  package func look(
    at images: [PreparedImage], question: String, seed: UInt64, keepingNotes: Bool = false,
    shared: [SharedBlocks]? = nil, threads: Int = 1
  ) throws -> Seen {
    var run = Run(composition, seed: seed, keepingNotes: keepingNotes)
    run.question = companion?.embed(question)
    try run.read(question: question) { words in
      try model.language.embeddings(of: words.flatMap { tokenizer.encode($0, special: false) })
    }
    let alone = model.seesQuestion ? tokenizer.encode(question.trimmingCharacters(in: .whitespacesAndNewlines)) : []
    if model.seesQuestion { try model.read(question: alone, run: &run, threads: threads) }
    let spans = try model.encode(images, run: &run, shared: shared, threads: threads)
    return Seen(run: run, spans: spans, question: alone.count)
  }

  /// The pass through the language model up to the first token.
  package func read(_ prompt: Prompt, seen: Seen, shared: SharedPrefixes? = nil, threads: Int = 1) throws -> (
    run: Run, decoding: Decoding
  ) {
    var run = seen.run
    let tokens = try model.prompt(prompt.ids, prompt.images, spans: seen.spans, run: &run)
    let decoding = try model.language.prefill(tokens, run: &run, shared: shared, threads: threads)
    // A cache may be cut later (Keyformer).
    let isReduced =
      composition.managesCache || composition.shrink != nil || run.trace.acts.contains { $0.output < $0.input }
    try check(prompt.images, wereReduced: isReduced)
    try checkShrunk(prompt.images)
    return (run, decoding)
  }

  /// Refuses a budget below the number of tokens that has led to nothing.
  func check(_ images: [PreparedImage], wereReduced: Bool) throws {
    let outcome = methods.accounting.outcome(
      of: try images.map(wholeTokens(of:)), reached: Double(try visualTokens(of: images)))
    guard let asked = outcome.asked, asked < outcome.dense, !wereReduced else { return }
    throw CompressionError.unreachable(
      method: method, asked: "\(Int(asked)) of \(Int(outcome.dense)) tokens", reachable: "no fewer than all",
      fix: "Choose another budget or method.")
  }

  /// What was asked for and left of a prompt's pictures, or of its cache.
  /// - Parameter trace: of a run of this generator as far as the first new token.
  package func outcome(of images: [PreparedImage], _ trace: Trace) throws -> BudgetOutcome {
    let layers = trace.language.prefix(outline.shape.decoder!.layers)
    let visual = try images.map(wholeTokens(of:))
    switch methods.accounting.counted {
    case .tokens:
      let table = CostTable(trace, dense: trace, shape: outline.shape)
      return methods.accounting.outcome(of: visual, reached: Double(table.tokensOut))
    case .entries:
      let text = layers[0].rows.reduce(0, +) - layers[0].visual
      let caches = outline.shape.decoder!.cutCaches
      let held = caches.reduce(0) { $0 + layers[layers.startIndex + $1].cached }
      return methods.accounting.outcome(
        of: [visual.reduce(Double(text), +)], reached: Double(held) / Double(caches.count))
    }
  }
}
