import VTokCore
import VTokImage
import VTokModels

// MARK: Many questions about the same pictures

extension Generator {
  /// Pictures behind tower, connector and packing, from where any number of prompts about them can go on.
  struct Seen: Sendable {
    let run: Run
    let spans: [[TokenSequence]]
  }

  /// The text of new tokens, without those that end it.
  func text(of ids: [Int]) -> String { tokenizer.decode(ids.filter { !model.stops.contains($0) }) }

  /// Tokens of the pictures when nothing is reduced.
  func visualTokens(of images: [PreparedImage]) throws -> Int {
    try images.reduce(0) { $0 + (try model.spans(of: $1).reduce(0, +)) }
  }

  /// Whether what becomes of the pictures before the language model depends on the question.
  var looksAtQuestion: Bool { composition.joint != nil }

  /// - Parameter question: for methods that compare pictures with it.
  func look(
    at images: [PreparedImage], question: String, seed: UInt64, shared: [SharedBlocks]? = nil, threads: Int = 1
  ) throws -> Seen {
    var run = Run(composition, seed: seed)
    run.question = companion?.embed(question)
    let spans = try model.encode(images, run: &run, shared: shared, threads: threads)
    return Seen(run: run, spans: spans)
  }

  /// The pass through the language model up to the first token.
  func read(_ prompt: Prompt, seen: Seen, shared: SharedPrefixes? = nil, threads: Int = 1) throws -> (
    run: Run, decoding: Decoding
  ) {
    var run = seen.run
    let tokens = try model.prompt(prompt.ids, prompt.images, spans: seen.spans, run: &run)
    let decoding = try model.language.prefill(tokens, run: &run, shared: shared, threads: threads)
    let visual = try visualTokens(of: prompt.images)
    if let budget, !composition.methods.isEmpty, budget.tokens(of: visual) < visual,
      !run.trace.acts.contains(where: { $0.output < $0.input })
    {
      throw CompressionError.unreachable(
        method: method, asked: "\(budget.tokens(of: visual)) of \(visual) tokens", reachable: "no fewer than all",
        fix: "Choose another budget or method.")
    }
    return (run, decoding)
  }
}
