import VTokCore
import VTokTensor

/// HoloV: the list of visual tokens is cut into runs, every run gets a share of the budget by its attention and by how much
/// its tokens differ, and fills it with what is attended to most.
///
/// Zou et al., "Don't Just Chase "Highlighted Tokens" in MLLMs: Revisiting Visual Holistic Context Retention", NeurIPS 2025
/// (arXiv 2510.02912); obananas/HoloV.
public struct HoloV: Compressor {
  public static let name = "holov"
  public static let summary =
    "share the budget by runs of the list, by attention and variety (HoloV, NeurIPS 2025, arXiv 2510.02912)"
  public static let remarks = [
    "Crops are runs of the list in raster order, not squares, and variety hardly moves their shares: where rows are not at "
      + "right angles or parallel all runs get the same factor.",
    "Tokens enter the prompt run by run, in a run by falling attention, not by position.",
    "A run of one row counts a thousandth of others, as in the official code.",
    "Where a run has fewer rows than its share, rows of zeros fill up as in the official code (overflow=drop leaves them "
      + "out).",
    "LLaVA-NeXT: runs are cut of the thumbnail and the grid without padding; no newline is placed.",
    "Qwen-VL: what the published code plainly means: the span of the image, attention in the order of its tokens. The "
      + "code is off by one token and reads attention in window order.",
  ]
  public static let rounding: String? =
    "there are no more tokens than patches that show the image; with overflow=drop a run may have fewer than its share"

  public enum Overflow: String, Sendable, CaseIterable { case zeros, drop }

  enum Amount: Sendable, Equatable {
    /// Official Qwen path: of the merged tokens, rounded down.
    case ratio(Double)
    case budget(Budget)
  }

  let amount: Amount
  /// Runs; nil: as published.
  let crops: Int?
  let alpha: Double
  let overflow: Overflow

  public init(keep: Budget, crops: Int? = nil, alpha: Double = 0.09, overflow: Overflow = .zeros) {
    (amount, self.crops, self.alpha, self.overflow) = (.budget(keep), crops, alpha, overflow)
  }

  /// - Parameter ratio: of the tokens of an image, rounded down as the authors do for Qwen-VL.
  public init(ratio: Double, crops: Int? = nil, alpha: Double = 0.09, overflow: Overflow = .zeros) {
    (amount, self.crops, self.alpha, self.overflow) = (.ratio(ratio), crops, alpha, overflow)
  }

  public init(_ options: inout Options) throws(OptionError) {
    crops = try options.take(
      "crops", default: nil, in: 1...100_000, "runs that the list is cut into (default: 16; Qwen-VL: by the ratio)")
    alpha = try options.take("alpha", default: 0.09, in: 0...1000, "weight of variety beside attention")
    overflow = try options.take(
      "overflow", default: Overflow.zeros, "what a run with fewer rows than its share leaves: zeros, or nothing (drop)")
    let ratio = try options.amount(
      "ratio", in: 0...1, "share of an image's tokens, rounded down (official: keep_ratio)")
    let budget = try options.budget("visual tokens kept of an image")
    amount = ratio.map { .ratio($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let (tower, isMerged) = try model.patchesOrMerged(for: Self.name)
    let block = Site.block(tower.featureBlock, .end)
    if isMerged {
      return Plan(
        record: [block: Request(attention: .all, summed: true), .features: Request(tokens: true)], act: [.pack])
    }
    _ = try model.classifierTower(for: Self.name)
    try model.packs(for: Self.name)
    return Plan(record: [block: Request(attention: .classifier)], act: [.pack])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let (tower, tiles) = (view.shape.tower!, Tiles(view))
    let block = Site.block(tower.featureBlock, .end)
    var attention = [Float](repeating: 0, count: tiles.count)
    for (tile, tokens) in view.sequences.enumerated() {
      let rows = tokens.rows(.patch)
      let shares =
        tower.fuse > 1
        ? try view.received(block, tile: tile, at: rows, of: tokens).map {
          $0 / Float(tower.heads * tower.fuse * tokens.count)
        }
        : try view.recording(block, tile).meanAttention(at: rows, of: tokens)
      for (row, share) in zip(rows, shares) { attention[tiles.source(tile, row)] = share }
    }
    let sources = tiles.inOrder(view.sequences.map { $0.rows(.patch) }, of: view, cutsPadding: true)
    let count = keep(of: sources.count, view)
    guard let count else { return nil }
    let crops = self.crops ?? (tower.fuse > 1 ? max(1, Int(1024.0 / 576 * Double(sources.count) / Double(count))) : 16)
    var x = view.sequences[0].x
    for tokens in view.sequences.dropFirst() { x.append(rows: tokens.x) }
    let shares = sources.map { attention[$0] }
    let found = Self.select(
      x.gathered(sources), attention: shares, keep: count, crops: crops, alpha: alpha, notes: &notes)
    notes.keep("attention", shares)
    notes.keep("candidates", sources.map { Float($0) })
    notes.keep("kept", found.kept.map { Float($0) })
    let rows = (overflow == .drop ? found.kept.filter { $0 >= 0 } : found.kept)
    guard rows.contains(where: { $0 < 0 }) else { return [.keep(rows.map { sources[$0] }, of: tiles.count)] }
    return [
      Reduction(
        rows: rows.map { [Int32(sources[$0 < 0 ? found.fill : $0])] }, of: tiles.count,
        blend: .weighted(rows.map { $0 < 0 ? 0 : 1 }))
    ]
  }

  /// Tokens kept of so many candidates; nil: the image stays as it is.
  private func keep(of count: Int, _ view: borrowing View) -> Int? {
    switch amount {
    case .ratio(let ratio): return max(1, Int(Double(count) * ratio))
    case .budget(let budget):
      let wanted = view.wanted(budget)
      return wanted == view.whole ? nil : max(1, min(wanted, count))
    }
  }

  public struct Selection: Sendable {
    /// `keep` rows, run by run; -1 is a row of zeros.
    public let kept: [Int]
    /// Share of every run.
    public let allocated: [Int]
    /// The row that rows of zeros stand beside: the last one of the last run that had too few.
    let fill: Int
  }

  /// - Parameters:
  ///   - x: rows behind the connector. `[n, width]`
  ///   - attention: that every row receives from the class token. `[n]`
  public static func select(
    _ x: Tensor, attention: [Float], keep: Int, crops: Int, alpha: Double, notes: inout Notes
  ) -> Selection {
    let n = x.rows
    var start = 0
    let runs = (0..<min(crops, n)).map { run in
      defer { start += n / crops + (run < n % crops ? 1 : 0) }
      return start..<start + n / crops + (run < n % crops ? 1 : 0)
    }
    let scores = runs.map { score(of: $0, x, attention, Float(alpha), notes: &notes) }
    let total = scores.reduce(0, +) + epsilon
    let weights = scores.map { $0 / total }
    for weight in weights {
      let share = weight * Float(keep)
      notes.book(margin: min(share - share.rounded(.down), share.rounded(.up) - share))
    }
    var allocated = weights.map { Int(($0 * Float(keep)).rounded(.down)) }
    for run in notes.top(weights, min(runs.count, keep - allocated.reduce(0, +))) { allocated[run] += 1 }
    var kept: [Int] = []
    var fill = 0
    for (run, count) in zip(runs, allocated) {
      if count >= run.count {
        kept += run
        if count > run.count { fill = run.upperBound - 1 }
      } else {
        kept += notes.top(Array(attention[run]), count).map { run.lowerBound + $0 }
      }
    }
    kept = Array(kept.prefix(keep))
    return Selection(
      kept: kept + [Int](repeating: -1, count: keep - kept.count), allocated: allocated, fill: fill)
  }

  private static let epsilon: Float = 1e-6

  /// Mean attention of a run, times 1000, with the variance of its rows' cosines beside it.
  private static func score(
    of run: Range<Int>, _ x: Tensor, _ attention: [Float], _ alpha: Float, notes: inout Notes
  ) -> Float {
    let m = run.count
    let mean = attention[run].reduce(0, +) / Float(m)
    if m == 1 { return mean }
    let rows = x.gathered(Array(run))
    let lengths = (0..<m).map { row in
      let length = rows.row(row).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      return length / (length + Double(epsilon))
    }
    let cosines = notes.cosines(rows)
    var variance = 0.0  // mean over the run
    for row in 0..<m {
      let line = cosines.row(row).enumerated().map { column, cosine in
        column == row ? 0 : Double(cosine) * lengths[row] * lengths[column]
      }
      let mean = line.reduce(0, +) / Double(m - 1)
      variance += line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(m - 1) / Double(m)
    }
    // |b| and v are of one sign: their means are those of their sizes.
    let spread = Float(variance)
    return 1000 * mean * (1 + alpha * spread / (spread + epsilon))
  }
}
