import VTokEval

/// The page of a bench of a vision-language model.
public struct AnswerReport: Sendable {
  let title: String
  let table: Table
  let rows: [AnswerRow]
  let bench: AnswerBench
  /// How times were taken, and what was left out.
  let remarks: [String]
  /// Scenes of the gallery, as indices of the data.
  let scenes: [Int]

  /// - Parameter rows: as the table has them, the dense model first.
  public init(
    title: String, table: Table, rows: [AnswerRow], bench: AnswerBench, remarks: [String], scenes: [Int]
  ) {
    (self.title, self.table, self.rows, self.bench) = (title, table, rows, bench)
    (self.remarks, self.scenes) = (remarks, scenes)
  }

  public func html() throws -> String {
    ReportPage(
      model: bench.model.name, about: "\(title) · data \(ReportPage.name(bench.data.path))",
      plots: [
        plot("multiply-adds", "GMACs to the first token", \.costs.gmacs),
        plot("visual tokens", "mean visual tokens a language layer", \.costs.meanTokens),
        plot("KV cache", "MB after the prompt, 16 bit", \.costs.cachePrefill),
        plot("time", "ms to the first token, one thread", { median($0.times.first) }),
      ], table: table,
      notes: escaped(Self.notes + " " + remarks.joined(separator: " ")), gallery: try gallery()
    ).html
  }

  private static let notes = """
    visual tokens: those that leave the last layer of the language model, of those the picture has. GMACs: multiply-adds
    up to the first new token, as a mean over questions; of dense: their share; tower, projector, prefill (layers and
    head) and decode (all later tokens) apart; select: those of choosing tokens, beside them. KV MB: cache after the
    prompt, 16 bit. ms: processor time from prepared picture to first token, median. of MAC gain: share of the
    multiply-adds' speed-up that the clock sees (! below 0.9). retention: score over the dense model's, with its 95%
    paired bootstrap interval over pictures; p: exact McNemar test against dense, where answers are right or wrong.
    agree: answers that are the dense model's, letter by letter. random: mean and range over its seeds.
    """

  private var lines: [(name: String, rows: [AnswerRow])] { ReportPage.lines(rows, method: \.contender.method) }

  private func plot(_ what: String, _ xLabel: String, _ x: (AnswerRow) -> Double) -> ParetoPlot {
    func point(_ row: AnswerRow) -> ParetoPlot.Point {
      let seeds = row.score.values.count > 1 ? row.score.values.map { $0 / rows[0].score.mean } : nil
      return ParetoPlot.Point(
        x: x(row), y: row.retention, low: seeds?.min(), high: seeds?.max(),
        about: "\(row.contender.method), \(row.contender.asked.label): \(fixed(100 * row.retention, 1))% at "
          + "\(fixed(x(row), 3)) \(xLabel)")
    }
    return ParetoPlot(
      title: "score retention against \(what)", xLabel: xLabel, yLabel: "score retention",
      lines: lines.map { ($0.name, $0.rows.map(point)) } + [("dense", [point(rows[0])])])
  }
}
