import VTokCore
import VTokTensor

/// Keeps the patches the class token attends to most, cut once at the end of one block.
///
/// The score of EViT (Liang et al., ICLR 2022, arXiv 2202.07800) and of many others, without fusion: attention of the
/// class token averaged over heads.
public struct ClsAttention: Compressor {
  public static let name = "cls-attention"
  public static let summary =
    "keep the patches with the largest class-token attention at one block (as EViT, arXiv 2202.07800, no fusion)"

  let cut: BlockCut

  public init(keep: Budget, block: Int? = nil) { cut = BlockCut(budget: keep, block: block) }
  public init(_ options: inout Options) throws(OptionError) { cut = try BlockCut(&options) }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let site = try cut.site(in: model, for: Self.name)
    guard model.tower?.hasClassifier == true else {
      throw .unsupported(
        method: Self.name, found: "no class token", expected: "a tower with one",
        fix: CompressionError.anotherMethod)
    }
    return Plan(record: [site: Request(attention: .classifier)], act: [site])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let patches = tokens.rows(.patch)
      let scores = try view.recording(site, index).meanAttention(at: patches, of: tokens)
      let top = notes.top(scores, min(view.perTile(cut.budget), patches.count))
      reductions.append(cut.reduction(keeping: top.map { patches[$0] }, of: tokens))
    }
    return reductions
  }
}
