import VTokCore
import VTokTensor

/// EViT: between the halves of some blocks, the patches that the class token attends to most stay, the others become one
/// token.
///
/// Liang et al., "Not All Patches are What You Need: Expediting Vision Transformers via Token Reorganizations", ICLR 2022
/// (arXiv 2202.07800); youweiliang/evit. Attention of the class token is averaged over heads; the fused token is the sum
/// of the inattentive ones, each times its attention, and is a patch like the others from there on.
public struct EViT: Compressor {
  public static let name = "evit"
  public static let summary = "keep attentive patches in stages and fuse the others (EViT, ICLR 2022, arXiv 2202.07800)"
  public static let remarks = [
    "No golden vectors: written from the paper and tested against a reference of its own.",
    "Attention weighs the fused token as it is, as in the authors' code: the weights do not sum to 1.",
    "Tokens stay in the order of the image, which a ViT does not notice; the authors sort them by attention.",
  ]

  /// Patches left.
  enum Amount: Sendable, Equatable {
    /// Share kept at each place, rounded up; the fused token comes on top.
    case rate(Double)
    /// At the end, the fused token counted; every place keeps the same share.
    case budget(Budget)
  }

  let amount: Amount
  /// nil: behind a quarter, half and three quarters of the depth, the authors' blocks 3, 6 and 9 of 12.
  let blocks: [Int]?
  let fuses: Bool
  private var counts = Solved<[Int]>()

  public init(keep: Budget, blocks: [Int]? = nil, fuses: Bool = true) {
    amount = .budget(keep)
    self.blocks = blocks
    self.fuses = fuses
  }

  public init(rate: Double, blocks: [Int]? = nil, fuses: Bool = true) {
    amount = .rate(rate)
    self.blocks = blocks
    self.fuses = fuses
  }

  public init(_ options: inout Options) throws(OptionError) {
    let share = try options.take(
      "rate", default: 0.7, in: 0.01...1, as: .amount, "share of the patches kept in each of the blocks")
    let expected = "whole numbers in ascending order, joined with /"
    let given = try options.list("blocks", expected, "cut in these blocks, from 0 (default: 3/6/9 of 12)")
    blocks = given?.compactMap { Int(exactly: $0) }
    if let given, blocks!.count < given.count || blocks![0] < 0 || !zip(blocks!, blocks!.dropFirst()).allSatisfy(<) {
      throw options.invalid("blocks", "\(given)", expected)
    }
    fuses = try options.take("fuse", default: true, "the others become one token; off: they go")
    amount =
      try options.budget("patches left after the last block, the fused one counted", published: true)
      .map(Amount.budget) ?? .rate(share)
  }

  private func places(of depth: Int) -> [Int] { blocks ?? Array(Set([1, 2, 3].map { $0 * depth / 4 })).sorted() }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    guard let tower = model.tower, tower.hasClassifier else {
      throw .unsupported(
        method: Self.name, found: "no class token", expected: "a tower with one",
        fix: CompressionError.anotherMethod)
    }
    _ = try counts(of: tower.patches, places: places(of: tower.depth).count) { model.perTile($0) }
    var plan = Plan()
    for block in places(of: tower.depth) {
      plan.record[.block(block, .middle)] = Request(attention: .classifier)
      plan.act.insert(.block(block, .middle))
    }
    return plan
  }

  /// Patches kept at each place, without fused ones.
  /// - Parameter share: what of a budget a tile has.
  private func counts(of patches: Int, places: Int, share: (Budget) -> Budget) throws(CompressionError) -> [Int] {
    switch amount {
    case .rate(let rate):
      var left = patches
      return (0..<places).map { _ in
        let kept = min(left, Int((rate * Double(left)).rounded(.up)))
        left = kept + (fuses && kept < left ? 1 : 0)
        return kept
      }
    case .budget(let budget):
      let (target, least) = (share(budget).tokens(of: patches), fuses ? 2 : 1)
      guard target >= least else {
        throw .unreachable(
          method: Self.name, asked: "\(target) of \(patches) tokens", reachable: "at least \(least)",
          fix: CompressionError.largerBudget + (fuses ? " Or add fuse=off." : ""))
      }
      let left = Schedule.geometric(from: patches, to: target, steps: places)
      return zip([patches] + left, left).map { before, after in fuses && after < before ? after - 1 : after }
    }
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    guard case .block(let block, .middle) = site, let depth = view.shape.tower?.depth,
      let place = places(of: depth).firstIndex(of: block)
    else { return nil }
    let method = self
    let counts = try self.counts(view) { () throws(CompressionError) in
      try method.counts(of: view.sequences[0].rows(.patch).count, places: method.places(of: depth).count) {
        .tokens(view.perTile($0))
      }
    }
    var reductions: [Reduction] = []
    for (index, tokens) in view.sequences.enumerated() {
      let patches = tokens.rows(.patch)
      let scores = try view.recording(site, index).meanAttention(at: patches, of: tokens)
      let top = Set(notes.top(scores, min(counts[place], patches.count)))
      var rows = tokens.kind.indices.filter { tokens.kind[$0] != .patch } + top.map { patches[$0] }
      rows.sort()
      guard fuses, top.count < patches.count else {
        reductions.append(.keep(rows, of: tokens.count))
        continue
      }
      let others = patches.indices.filter { !top.contains($0) }.sorted { scores[$0] > scores[$1] }
      reductions.append(
        Reduction(
          rows: rows.map { [Int32($0)] } + [others.map { Int32(patches[$0]) }], of: tokens.count,
          blend: .weighted([Float](repeating: 1, count: rows.count) + others.map { scores[$0] })))
    }
    return reductions
  }
}
