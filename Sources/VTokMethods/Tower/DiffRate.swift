import VTokCore
import VTokTensor

/// DiffRate with given counts: in every block the least important tokens are pruned, then the less important of the rest
/// are merged into the most similar of the important ones.
///
/// Chen et al., "DiffRate: Differentiable Compression Rate for Efficient Vision Transformers", ICCV 2023
/// (arXiv 2305.17997); OpenGVLab/DiffRate. Importance is class attention averaged over heads. Learning the counts is
/// calibration and not part of the method; their result is a file.
public struct DiffRate: Compressor {
  public static let name = "diffrate"
  public static let summary =
    "prune, then merge to learned counts in every block (DiffRate, ICCV 2023, arXiv 2305.17997)"
  public static let remarks = [
    "The published counts are presets; a budget makes a uniform schedule of ours instead, since nobody learned one.",
    "Presets: \(Preset.all.map(\.name).joined(separator: ", ")).",
    "CAFormer's published counts are left out: that model cannot be loaded here.",
    "A merged token's mass is kept above zero; the official evaluation would take the logarithm of a negative number.",
    "A row of zeros has cosine 0 to all others; the official code gives NaN.",
  ]

  /// How many tokens every block keeps.
  enum Amount: Sendable, Equatable {
    case schedule(Schedule)
    case preset(Preset)
    case budget(Budget)
  }

  let amount: Amount
  private var schedule = Solved<Schedule>()

  public init(schedule: Schedule) { amount = .schedule(schedule) }
  public init(preset: Preset) { amount = .preset(preset) }
  public init(keep: Budget) { amount = .budget(keep) }

  public init(_ options: inout Options) throws(OptionError) { amount = try Amount(&options) }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    guard let tower = model.tower, tower.hasClassifier, tower.prefix == 1 else {
      throw .unsupported(
        method: Self.name, found: model.tower.map { "\($0.prefix) prefix tokens" } ?? "no vision tower",
        expected: "a tower whose only prefix token is the class token", fix: CompressionError.anotherMethod)
    }
    try amount.check(tower) { model.perTile($0) }
    var plan = Plan(massBias: true)
    for block in 0..<tower.depth {
      plan.record[.block(block, .middle)] = Request(attention: .classifier)
      plan.act.insert(.block(block, .middle))
    }
    return plan
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .block(let block, .middle) = site, let tower = view.shape.tower else { return nil }
    let amount = amount
    let schedule = try self.schedule(view) { () throws(CompressionError) in
      try amount.schedule(tokens: view.sequences[0].count, blocks: tower.depth) { .tokens(view.perTile($0)) }
    }
    let (prune, merge) = (schedule.prune[block], schedule.merge[block])
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let importance = try view.recording(site, index).meanAttention(at: Array(0..<tokens.count), of: tokens)
      reductions.append(
        Self.reduction(of: tokens, importance: importance, prune: prune, merge: merge, notes: &notes))
    }
    return reductions
  }

  /// One block: rows by importance (the class token first), cut to `prune` rows, then merged to `merge` rows. Both
  /// counts include the class token; a count above what is there changes nothing.
  ///
  /// A merged row is the plain mean of its members. Its mass grows by the mass of each source times its cosine to the
  /// destination; nothing merges into the class token. Both counts are 2 or above.
  public static func reduction(
    of tokens: TokenSequence, importance: [Float], prune: Int, merge: Int, notes: inout Notes
  ) -> Reduction {
    let n = tokens.count
    let kept = min(n, prune)
    // Of the class token's own attention nothing depends on; it stays first whatever it is.
    let patches = topK(Array(importance.dropFirst()), n - 1).map { $0 + 1 }
    if kept < n { notes.book(margin: importance[patches[kept - 2]] - importance[patches[kept - 1]]) }
    let order = ([0] + patches).prefix(kept).map { $0 }
    guard merge < prune, merge < kept else { return .keep(order, of: n) }
    notes.book(margin: importance[order[merge - 1]] - importance[order[merge]])
    let features = notes.normalised(tokens.x.gathered(order))
    let sources = Array(merge..<kept)
    let similarities = notes.product(features.gathered(sources), features.gathered(Array(1..<merge)))
    var rows = order[..<merge].map { [Int32($0)] }
    var mass = order[..<merge].map { tokens.mass[$0] }
    for (index, source) in sources.enumerated() {
      let line = Array(similarities.row(index))
      let destination = notes.first(line) + 1
      rows[destination].append(Int32(order[source]))
      mass[destination] += tokens.mass[order[source]] * line[destination - 1]
    }
    return Reduction(rows: rows, of: n, blend: .byCount, mass: mass.map { max($0, smallestMass) })
  }

  /// A guard only: log(mass) must stay finite.
  private static let smallestMass: Float = 1e-6
}
