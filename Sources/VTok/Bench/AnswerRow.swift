import VTokEval
import VTokTensor
import VTokWeights

/// A row of a bench table of a vision-language model (schema `vtok-bench/1`): one contender over all questions.
public struct AnswerRow: Sendable {
  public let contender: AnswerBench.Contender
  public let scenes: Int, questions: Int
  public let costs: AnswerCosts, dense: AnswerCosts
  public let times: AnswerTimes
  /// Median over samples of the dense time to the first token over this one's.
  public let speedup: Double
  /// Mean score over all questions, by metric and by group.
  public let score: Ranged
  public let accuracy: [(metric: AnswerMetric, value: Ranged)], groups: [(name: String, value: Ranged)]
  /// Of yes/no questions: F1 of yes, and the share of answers that are yes.
  public let f1: Ranged?, yesShare: Ranged?
  /// Score over the dense model's, with a 95% paired bootstrap interval over scenes: questions about one picture stand and
  /// fall together.
  public let retention: Double, interval: (low: Double, high: Double)
  /// Exact McNemar test against the dense model; nil over seeds and where answers can be half right.
  public let mcNemar: Double?
  /// Share of the answers that are the dense model's, letter by letter.
  public let agreement: Double

  public var share: Double { costs.gmacs / dense.gmacs }
  /// Share of the multiply-adds' speed-up that the clock sees.
  public var perMACGain: Double { speedup * share }
  /// New tokens a second after the first, of the median sample.
  public var tokensPerSecond: Double { 1000 / median(times.decode) }

  /// - Parameter results: scenes that did not fail, at least one; nor did the contender on any.
  public init(
    _ results: [AnswerBench.SceneResult], _ sample: AnswerSample, contender index: Int, of bench: AnswerBench
  ) {
    contender = bench.contenders[index]
    let asked = results.flatMap { bench.data.scenes[$0.index].questions }
    (scenes, questions) = (results.count, asked.count)
    let seeds = contender.seeds.indices
    let runs = results.map { $0.outcomes[index] }
    let base = results.map { $0.outcomes[0][0] }
    costs = .mean(runs.flatMap { $0.map(\.costs) })
    dense = .mean(base.map(\.costs))
    times = sample.times[index]
    speedup = median(zip(sample.times[0].first, times.first).map { $0 / $1 })

    let scores = seeds.map { seed in runs.flatMap { $0[seed].scores } }  // [seed][question]
    let answers = seeds.map { seed in runs.flatMap { $0[seed].answers } }
    func mean(where match: (QuestionFile.Question) -> Bool) -> Ranged {
      let chosen = asked.indices.filter { match(asked[$0]) }
      return Ranged(values: scores.map { scores in chosen.reduce(0) { $0 + scores[$1] } / Double(chosen.count) })
    }
    score = mean { _ in true }
    accuracy = bench.data.metrics.compactMap { metric in
      asked.contains { $0.metric == metric } ? (metric, mean { $0.metric == metric }) : nil
    }
    groups = bench.data.groups.compactMap { name in
      asked.contains { $0.group == name } ? (name, mean { $0.group == name }) : nil
    }
    let yesNo = asked.indices.filter { asked[$0].metric == .yesNo }
    let yes = answers.map { answers in yesNo.map { AnswerMetric.saysYes(answers[$0]) } }
    let truth = yesNo.map { AnswerMetric.saysYes(asked[$0].answers[0]) }
    yesShare = yesNo.isEmpty ? nil : Ranged(values: yes.map { Double($0.count { $0 }) / Double(yesNo.count) })
    f1 =
      yesNo.isEmpty
      ? nil
      : Ranged(
        values: yes.map { said in
          let hits = zip(said, truth).count { $0 && $1 }
          return Double(2 * hits) / Double(max(1, said.count { $0 } + truth.count { $0 }))
        })

    let sums = runs.map { run in run.reduce(0) { $0 + $1.scores.reduce(0, +) } / Double(seeds.count) }
    let denseSums = base.map { $0.scores.reduce(0, +) }
    retention = sums.reduce(0, +) / denseSums.reduce(0, +)
    interval = Statistics.ratioInterval(sums, denseSums, seed: bench.seed)
    let isBinary = seeds.count == 1 && asked.allSatisfy { $0.metric.isBinary }
    mcNemar =
      isBinary
      ? Statistics.mcNemar(scores[0].map { $0 == 1 }, base.flatMap { $0.scores.map { $0 == 1 } }) : nil
    let said = base.flatMap(\.answers)
    agreement =
      answers.reduce(0) { $0 + Double(zip($1, said).count { $0 == $1 }) } / Double(seeds.count * asked.count)
  }

  // MARK: Cells

  public static func columns(_ data: QuestionFile) -> [String] {
    [
      "method", "budget", "visual tokens", "reached", "GMACs", "of dense", "tower", "projector", "select", "prefill",
      "decode",
      "KV MB", "ms", "speed-up", "of MAC gain", "tokens/s",
    ] + data.metrics.flatMap { $0 == .yesNo ? [$0.rawValue, "F1"] : [$0.rawValue] }
      + data.groups + ["retention", "95%", "p", "agree"]
  }

  public var cells: [String] {
    func percent(_ value: Double, _ digits: Int = 1) -> String { value.isNaN ? "-" : fixed(100 * value, digits) + "%" }
    let isDense = contender.asked == .nothing
    var cells = [
      contender.label, contender.asked.label, "\(whole(costs.tokensIn))→\(whole(costs.tokensOut))",
      contender.asked.reached(costs.outcome!),
      fixed(costs.gmacs, 3),
      percent(share, 0), fixed(costs.towerGmacs, 3), fixed(costs.connectorGmacs, 3), fixed(costs.selectionGmacs, 3),
      fixed(costs.prefillGmacs, 3), fixed(costs.decodeGmacs, 3), fixed(costs.cachePrefill, 2),
      fixed(median(times.first), 2), speedup.isNaN ? "-" : "\(fixed(speedup, 2))x",
      isDense || speedup.isNaN ? "-" : fixed(perMACGain, 2) + (perMACGain < 0.9 ? " !" : ""),
      fixed(tokensPerSecond, 0),
    ]
    for (metric, value) in accuracy {
      cells.append(value.percent)
      if metric == .yesNo { cells.append(f1!.percent) }
    }
    cells += groups.map(\.value.percent)
    return cells + [
      isDense ? "-" : percent(retention),
      isDense || interval.low.isNaN ? "-" : "\(fixed(100 * interval.low, 1))-\(fixed(100 * interval.high, 1))",
      isDense ? "-" : mcNemar.map { $0 < 0.001 ? "<0.001" : fixed($0, 3) } ?? "-", isDense ? "-" : percent(agreement),
    ]
  }

  private func whole(_ value: Double) -> String { fixed(value, value == value.rounded() ? 0 : 1) }

  public func json(run: JSON, peakMemory: Double) -> JSON {
    func spread(_ values: [Double]) -> JSON {
      ["cpu_min": number(values.min() ?? .nan), "cpu_median": number(median(values))]
    }
    func table(_ values: [(String, Ranged)]) -> JSON { .object(JSONObject(values.map { ($0.0, $0.1.json) })) }
    return [
      "schema": "vtok-bench/1", "model": JSON(contender.subject.name), "method": JSON(contender.method),
      "budget": contender.asked.json(costs.outcome!),
      "images": JSON(scenes), "questions": JSON(questions),
      "tokens": [
        "in": number(costs.tokensIn), "out": number(costs.tokensOut), "mean_per_layer": number(costs.meanTokens),
        "tower_out": number(costs.tower), "packed": number(costs.packed),
        "per_layer": .array(costs.perLayer.map(number)), "prompt": number(costs.prompt), "new": number(costs.new),
      ],
      "gmacs": [
        "dense": number(dense.gmacs), "reduced": number(costs.gmacs), "selection": number(costs.selectionGmacs),
        "ratio": number(share), "tower": number(costs.towerGmacs), "connector": number(costs.connectorGmacs),
        "prefill": number(costs.prefillGmacs), "decode": number(costs.decodeGmacs),
        "dense_decode": number(dense.decodeGmacs),
      ],
      "kv_mb": [
        "prefill": number(costs.cachePrefill), "peak": number(costs.cachePeak),
        "dense_prefill": number(dense.cachePrefill), "bits": 16,
      ],
      "ms": [
        "tower": spread(times.tower), "connector": spread(times.connector), "selection": spread(times.selection),
        "prefill": spread(times.prefill), "decode_per_token": spread(times.decode),
        "first_token": spread(times.first), "samples": JSON(times.first.count),
      ],
      "ttft_ms": number(median(times.firstWall)), "decode_tokens_per_s": number(tokensPerSecond),
      "speedup": ["first_token": number(speedup), "per_mac_gain": number(perMACGain)],
      "peak_memory_mb": number(peakMemory),
      "accuracy": table(accuracy.map { ($0.metric.rawValue, $0.value) }),
      "f1": f1.map { ["yes-no": $0.json] } ?? [:], "yes_share": yesShare?.json ?? .null,
      "groups": table(groups.map { ($0.name, $0.value) }), "score": score.json,
      "retention": number(retention), "retention_ci95": [number(interval.low), number(interval.high)],
      "mcnemar_p": mcNemar.map(number) ?? .null, "loyalty": ["answer_agreement": number(agreement)], "run": run,
    ]
  }
}
