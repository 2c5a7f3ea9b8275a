import VTok

/// Keeps the patches of largest norm after the tower.
public struct LargestNorm: Compressor {
  public static let name = "largest-norm"
  public static let summary = "keep the patches of largest norm"
  let budget: Budget

  public init(keep: Budget) { budget = keep }
  public init(_ options: inout Options) throws(OptionError) {
    budget = try options.budget("patches kept") ?? .ratio(0.5)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan { Plan(act: [.features]) }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    // A language model takes patches alone.
    let keepsOthers = view.standard == nil
    return view.sequences.map { tokens in
      let patches = tokens.rows(.patch)
      let norms = patches.map { row in tokens.x.row(row).reduce(0) { $0 + $1 * $1 } }
      let best = notes.top(norms, view.perTile(budget)).map { patches[$0] }
      let others = tokens.kind.indices.filter { keepsOthers && tokens.kind[$0] != .patch }
      return .keep((others + best).sorted(), of: tokens.count)
    }
  }
}
