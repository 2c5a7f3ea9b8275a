import VTokCore
import VTokTensor

/// Task-related compression by explainability: a small trained net turns the attention that visual tokens get from the
/// instruction in the first layer into their relevance for the answer; the most relevant ones enter the language model.
///
/// "Task-Related Token Compression in MLLMs from an Explainability Perspective", ICLR 2026 (arXiv 2506.01097). No code is
/// public; labels to train the net on are `RelevanceMaps`.
public struct GenericExplain: Compressor {
  public static let name = "generic-explain"
  public static let summary =
    "keep what a small net finds relevant, from first-layer attention (explainability, ICLR 2026, arXiv 2506.01097)"
  public static let remarks = [
    "No code or weights are public: net and labels follow the paper's text, its kernels and last layer are our choice.",
    "weights names a safetensors file: layers.I.depthwise.weight [in, 1, kernel], layers.I.pointwise.weight [out, in, 1], "
      + "output.weight [1, in, 1], and biases.",
    "In a language model every image keeps its share, and positions are numbered anew.",
  ]

  let budget: Budget
  /// nil: options without a file, which are listed and never run.
  private let net: RelevanceNet?

  public init(_ options: inout Options) throws(OptionError) {
    budget = try options.budget("visual tokens kept, of each image") ?? .ratio(0.5)
    let file = try options.file("weights", isRequired: true, "safetensors file with the trained net")
    do throws(RelevanceNet.Misfit) {
      net = try file.map { file throws(RelevanceNet.Misfit) in try RelevanceNet(file.tensors) }
    } catch {
      throw options.invalid("weights", error.found, error.expected)
    }
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    _ = try model.decoder(for: Self.name)
    return Plan(
      record: [.layer(0): Request(probe: .text)], act: [.layer(0)],
      positions: PositionRule(cut: .renumbered, decode: .next), readsQuestion: true)
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard let net else {
      throw .unsupported(
        method: Self.name, found: "no trained net", expected: "one",
        fix: "Name its file with the option weights.")
    }
    let tokens = view.sequences[0]
    let visual = view.visual(tokens)
    if visual.isEmpty { return nil }
    let recording = view.recording(site)
    let probe = recording.probe!  // [heads, text, keys]
    guard probe.shape[1] > 0 else {
      throw .unsupported(
        method: Self.name, found: "no text after the image", expected: "an instruction there",
        fix: "Put the question after the image.")
    }
    let columns = try recording.columns(of: tokens)
    var kept: [Int] = []
    for image in view.images.indices {
      let rows = view.visual(tokens, image: image)
      if rows.isEmpty { continue }
      let attention = probe.headMean(at: rows.map { columns[$0] })  // [text, rows]
      let received = attention.lineSum().map { $0 / Float(attention.rows) }
      let logits = net(received, notes: &notes)
      notes.keep("image\(image).attention", received)
      notes.keep("image\(image).relevance", softmax(logits))
      kept += notes.top(logits, min(budget.tokens(of: rows.count), rows.count)).map { rows[$0] }
    }
    return [.keep(kept, among: visual, of: tokens.count)]
  }
}
