import VTokCore
import VTokEval
import VTokMethods
import VTokPipeline
import VTokWeights

/// What a search has found: its rounds, and the last candidates on items that no round has seen.
public struct SearchOutcome<Task: SearchableTask>: Sendable {
  public let target: Target
  let levels: [Double]
  public let candidates: [Candidate<Task.Subject>]
  public let rounds: [Search<Task>.Round]
  /// On the items held back; the dense row first, then the candidates.
  public let results: BenchResults<Task>
  /// Of every candidate in the last round that it was ranked in.
  let scores: [Double]

  /// A candidate on the items held back.
  public struct Finalist: Sendable {
    public let candidate: Candidate<Task.Subject>
    public let row: BenchRow<Task>
    /// Measured, in the target's unit.
    public let cost: Double
    public let score: Double
    /// In the last round, by which it was chosen.
    public let ranked: Double
  }

  public var finalists: [Finalist] {
    results.rows.dropFirst().map { row in
      Finalist(
        candidate: candidates[row.index - 1], row: row, cost: Task.cost(row, target), score: row.mean(row.task.judged),
        ranked: scores[row.index - 1])
    }
  }

  public var denseScore: Double { results.rows[0].mean(results.bench.task.judged) }
  public var denseCost: Double { Task.cost(results.rows[0], target) }

  /// The candidate that the rounds put first at a cost: it was chosen on other items than it is reported on. Among equals
  /// the cheaper one, then the first.
  public func chosen(at level: Double? = nil, onlySingle: Bool = false) -> Finalist? {
    finalists.filter { (level == nil || $0.candidate.level == level) && (!onlySingle || $0.candidate.isSingle) }
      .reduce(nil) { best, next in
        guard let best else { return next }
        return next.ranked > best.ranked || next.ranked == best.ranked && next.cost < best.cost ? next : best
      }
  }

  /// The one at one of the costs, beside the best single method there.
  public struct Verdict: Sendable {
    public let level: Double
    public let chosen: Finalist, single: Finalist
    /// Score of the first over that of the second, and its 95% interval, paired over items.
    public let ratio: Double, interval: (low: Double, high: Double)
    /// Whether the interval lies above 1.
    public var isBetter: Bool { interval.low > 1 }
  }

  public var verdicts: [Verdict] {
    levels.compactMap { level in
      guard let chosen = self.chosen(at: level), let single = self.chosen(at: level, onlySingle: true) else {
        return nil
      }
      let (a, b) = (items(chosen.row), items(single.row))
      return Verdict(
        level: level, chosen: chosen, single: single, ratio: a.reduce(0, +) / b.reduce(0, +),
        interval: Statistics.ratioInterval(a, b, seed: results.bench.task.seed))
    }
  }

  func items(_ row: BenchRow<Task>) -> [Double] { row.items(results.bench.task.judged) }

  /// Retention, and its 95% interval, paired over items.
  func retention(_ row: BenchRow<Task>) -> (mean: Double, low: Double, high: Double) {
    let (own, dense) = (items(row), items(results.rows[0]))
    let interval = Statistics.ratioInterval(own, dense, seed: results.bench.task.seed)
    return (own.reduce(0, +) / dense.reduce(0, +), interval.low, interval.high)
  }

  /// Whether nothing else, the dense model included, is at least as right and at most as dear, and better in one of both.
  func isOnFront(_ one: (cost: Double, score: Double)) -> Bool {
    let all = finalists.map { ($0.cost, $0.score) } + [(denseCost, denseScore)]
    return !all.contains { cost, score in
      cost <= one.cost && score >= one.score && (cost < one.cost || score > one.score)
    }
  }

  /// The finalists on the Pareto front, the cheapest first.
  public var front: [Finalist] {
    finalists.filter { isOnFront(($0.cost, $0.score)) }.sorted { $0.cost < $1.cost }
  }
}

// MARK: Texts

extension SearchOutcome {
  /// A row for the dense model, then one a finalist, the dearest first.
  public func table(_ provenance: Provenance) -> Table {
    let unit = target.unit
    var table = Table(["method", "precision", "keep", unit, "score", "retention", "95%", "front"])
    let dense = results.rows[0]
    table.add(
      [
        dense.entry.method, dense.entry.subject.precision.rawValue, "-", target.text(denseCost), percent(denseScore),
        "-",
        "-", isOnFront((denseCost, denseScore)) ? "*" : "",
      ], json(nil, provenance))
    for one in sorted {
      let kept = retention(one.row)
      table.add(
        [
          one.candidate.spec.description, one.candidate.subject.precision.rawValue,
          Asked.budget(one.candidate.budget).label,
          target.text(one.cost), percent(one.score), percent(kept.mean),
          kept.low.isNaN ? "-" : "\(fixed(100 * kept.low, 1))-\(fixed(100 * kept.high, 1))",
          isOnFront((one.cost, one.score)) ? "*" : "",
        ], json(one, provenance))
    }
    return table
  }

  private var sorted: [Finalist] {
    finalists.enumerated().sorted { ($1.element.cost, $0.offset) < ($0.element.cost, $1.offset) }.map(\.element)
  }

  private func json(_ one: Finalist?, _ provenance: Provenance) -> JSON {
    let row = one?.row ?? results.rows[0]
    let (cost, score) = (one?.cost ?? denseCost, one?.score ?? denseScore)
    var members: [(String, JSON)] = [
      ("schema", "vtok-search/1"), ("model", JSON(results.bench.task.modelName)), ("method", JSON(row.entry.method)),
      ("precision", JSON(row.entry.subject.precision.rawValue)), ("items", JSON(results.items.count)),
      ("target", ["unit": JSON(target.unit), "asked": JSON(target.value)]), ("cost", number(cost)),
      ("score", number(score)), ("on_front", JSON(isOnFront((cost, score)))),
    ]
    if let one {
      let kept = retention(row)
      let budget: (String, JSON) =
        switch one.candidate.budget {
        case .tokens(let tokens): ("keep-tokens", JSON(tokens))
        case .ratio(let ratio): ("keep-ratio", JSON(ratio))
        }
      members += [
        ("level", JSON(one.candidate.level)), budget, ("single", JSON(one.candidate.isSingle)),
        ("score_in_rounds", number(one.ranked)), ("retention", number(kept.mean)),
        ("retention_ci95", [number(kept.low), number(kept.high)]),
      ]
    }
    return .object(JSONObject(members + [("run", provenance.json)]))
  }

  /// Whether what was found beats the best single method of the same cost, a line for every cost.
  public var sentences: [String] {
    verdicts.map { verdict in
      let asked = target.scaled(by: verdict.level).description
      let (chosen, single) = (verdict.chosen, verdict.single)
      let head = "At \(asked): '\(chosen.candidate.spec)' keeps \(percent(retention(chosen.row).mean))"
      guard chosen.row.index != single.row.index else {
        return head + "; it is a single method as it is, and the rounds put nothing before it."
      }
      return head + ", the best single method '\(single.candidate.spec)' \(percent(retention(single.row).mean)); ratio "
        + "\(fixed(100 * verdict.ratio, 1))% (95%: \(fixed(100 * verdict.interval.low, 1))-"
        + "\(fixed(100 * verdict.interval.high, 1))): \(verdict.isBetter ? "better" : "not shown to be better")."
    }
  }

  /// All that was found, for programs: rounds, finalists, front, and a verdict for every cost.
  public func json(_ provenance: Provenance) -> JSON {
    let told: [JSON] = rounds.map { round in
      [
        "items": JSON(round.items),
        "candidates": .array(
          round.scores.map { one in
            [
              "method": JSON(one.method), "precision": JSON(one.precision.rawValue), "level": JSON(one.level),
              "score": number(one.score), "goes_on": JSON(one.goesOn),
            ]
          }),
      ]
    }
    let said: [JSON] = verdicts.map { verdict in
      [
        "level": JSON(verdict.level), "chosen": JSON(verdict.chosen.candidate.spec.description),
        "single": JSON(verdict.single.candidate.spec.description), "ratio": number(verdict.ratio),
        "ratio_ci95": [number(verdict.interval.low), number(verdict.interval.high)], "better": JSON(verdict.isBetter),
      ]
    }
    return [
      "schema": "vtok-search/1", "model": JSON(results.bench.task.modelName),
      "target": ["unit": JSON(target.unit), "asked": JSON(target.value)], "items": JSON(results.items.count),
      "rounds": .array(told), "finalists": .array(table(provenance).rows.map(\.json)),
      "front": .array(front.map { json($0, provenance) }), "verdicts": .array(said), "run": provenance.json,
    ]
  }

  /// Score against cost: the front as a line, all others beside it.
  public var plot: ParetoPlot {
    func point(_ one: Finalist) -> ParetoPlot.Point {
      ParetoPlot.Point(
        x: one.cost, y: one.score,
        about: "\(one.candidate.spec), \(Asked.budget(one.candidate.budget).label): \(percent(one.score)) at "
          + "\(target.text(one.cost)) \(target.unit)")
    }
    let onFront = Set(front.map(\.row.index))
    let dense = ParetoPlot.Point(x: denseCost, y: denseScore, about: "dense: \(percent(denseScore))")
    return ParetoPlot(
      title: "Pareto front", xLabel: target.unit, yLabel: "score",
      lines: [("Pareto front", front.map(point)), ("dense", [dense])]
        + finalists.filter { !onFront.contains($0.row.index) }.map { ($0.candidate.spec.description, [point($0)]) })
  }
}
