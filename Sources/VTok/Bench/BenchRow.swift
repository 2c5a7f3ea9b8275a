import VTokEval
import VTokTensor
import VTokWeights

/// A row of a bench table (schema `vtok-bench/1`): one contender over all images.
public struct BenchRow: Sendable {
  public let contender: Bench.Contender
  public let images: Int
  public let costs: BenchCosts
  public let times: BenchTimes
  /// Milliseconds, median.
  public let decode: Double, preprocess: Double
  /// Median over samples of the dense time over this one's.
  public let speedup: Double
  /// nil without labels.
  public let top1: Ranged?, top5: Ranged?
  /// Accuracy over the dense model's, with a 95% paired bootstrap interval.
  public let retention: Double?, interval: (low: Double, high: Double)?
  /// Exact McNemar test against the dense model; nil over seeds.
  public let mcNemar: Double?
  /// Against the dense model; agreement and divergence only with a classifier.
  public let agreement: Double?, divergence: Double?, cosine: Double

  public var share: Double { costs.gmacs / costs.denseGmacs }
  /// Share of the multiply-adds' speed-up that the clock sees. Below 0.9 the tables warn.
  public var perMACGain: Double { speedup * share }
  /// The same of the tower alone, without the time of selecting.
  public let towerPerMACGain: Double

  /// - Parameter results: images that did not fail, at least one.
  public init(_ results: [Bench.ImageResult], _ sample: BenchSample, contender index: Int, of bench: Bench) {
    contender = bench.contenders[index]
    images = results.count
    let runs = results.map { $0.outcomes[index] }  // [image][seed]
    let dense = results.map { $0.outcomes[0][0] }
    let seeds = contender.seeds.count
    let isSplit = bench.splitsSeeds && seeds > 1
    func means(_ path: (Bench.Outcome) -> Double) -> [Double] {
      runs.map { run in run.reduce(0) { $0 + path($1) } / Double(run.count) }
    }
    func mean(_ path: (Bench.Outcome) -> Double) -> Double { means(path).reduce(0, +) / Double(runs.count) }
    func meanIfClassified(_ path: (Bench.Outcome) -> Double?) -> Double? {
      runs[0][0].top == nil ? nil : mean { path($0) ?? 0 }
    }
    costs = .mean(runs.flatMap { $0.map(\.costs) })
    times = sample.times[index]
    (decode, preprocess) = (median(sample.decode), median(sample.preprocess))
    speedup = median(zip(sample.times[0].tower, times.all).map { $0 / $1 })
    towerPerMACGain =
      median(zip(sample.times[0].tower, times.tower).map { $0 / $1 }) * costs.gmacs
      / costs.denseGmacs
    func accuracy(_ path: (Bench.Outcome) -> Bool?) -> Ranged? {
      guard runs.allSatisfy({ path($0[0]) != nil }) else { return nil }
      func right(_ outcome: Bench.Outcome) -> Double { path(outcome)! ? 1 : 0 }
      guard isSplit else {
        return Ranged(
          values: (0..<seeds).map { seed in runs.reduce(0) { $0 + right($1[seed]) } / Double(runs.count) })
      }
      // Parts differ; what a seed keeps of the dense accuracy on its own part can be compared.
      let all = dense.map(right).reduce(0, +) / Double(dense.count)
      let kept = (0..<seeds).map { seed in
        let part = results.indices.filter { bench.part(of: results[$0].index, among: seeds) == seed }
        return part.reduce(0) { $0 + right(runs[$1][0]) } / part.reduce(0) { $0 + right(dense[$1]) }
      }
      return Ranged(values: kept.filter(\.isFinite).map { all * $0 }, mean: mean(right))
    }
    top1 = accuracy(\.isRight)
    top5 = accuracy(\.isInTop5)
    if top1 != nil {
      let scores = means { $0.isRight! ? 1 : 0 }
      let denseScores = dense.map { $0.isRight! ? 1.0 : 0 }
      retention = scores.reduce(0, +) / denseScores.reduce(0, +)
      interval = Statistics.ratioInterval(scores, denseScores, seed: bench.seed)
      mcNemar = seeds > 1 ? nil : Statistics.mcNemar(runs.map { $0[0].isRight! }, dense.map { $0.isRight! })
    } else {
      (retention, interval, mcNemar) = (nil, nil, nil)
    }
    agreement = meanIfClassified { $0.agrees == true ? 1 : 0 }
    divergence = meanIfClassified(\.divergence)
    cosine = mean(\.cosine)
  }

  public static let columns = [
    "method", "budget", "tokens", "reached", "GMACs", "of dense", "select", "ms", "speed-up", "of MAC gain", "in tower",
    "top-1",
    "retention",
    "95%", "p", "agree", "KL", "cosine",
  ]

  public var cells: [String] {
    func percent(_ value: Double?, _ digits: Int = 1) -> String { value.map { fixed(100 * $0, digits) + "%" } ?? "-" }
    let isDense = contender.asked == .nothing
    return [
      contender.label, contender.asked.label,
      "\(fixed(costs.tokensIn, 0))→\(fixed(costs.tokensOut, 0))", contender.asked.reached(costs.outcome),
      fixed(costs.gmacs, 2), percent(share, 0),
      fixed(costs.selectionGmacs, 3),
      fixed(median(times.all), 2), speedup.isNaN ? "-" : "\(fixed(speedup, 2))x",
      isDense || speedup.isNaN ? "-" : fixed(perMACGain, 2) + (perMACGain < 0.9 ? " !" : ""),
      isDense ? "-" : fixed(towerPerMACGain, 2),
      top1?.percent ?? "-", isDense ? "-" : percent(retention),
      isDense ? "-" : interval.map { "\(fixed(100 * $0.low, 1))-\(fixed(100 * $0.high, 1))" } ?? "-",
      isDense ? "-" : mcNemar.map { $0 < 0.001 ? "<0.001" : fixed($0, 3) } ?? "-",
      isDense ? "-" : percent(agreement), isDense ? "-" : divergence.map { fixed($0, 3) } ?? "-",
      isDense ? "-" : fixed(cosine, 3),
    ]
  }

  public func json(model: LoadedModel, run: JSON, peakMemory: Double) -> JSON {
    return [
      "schema": "vtok-bench/1", "model": JSON(model.name), "method": JSON(contender.method),
      "budget": contender.asked.json(costs.outcome, macShare: share),
      "images": JSON(images),
      "tokens": [
        "in": number(costs.tokensIn), "out": number(costs.tokensOut), "mean_per_layer": number(costs.meanTokens),
      ],
      "gmacs": [
        "dense": number(costs.denseGmacs), "reduced": number(costs.gmacs), "selection": number(costs.selectionGmacs),
        "ratio": number(share),
      ],
      "ms": [
        "decode": number(decode), "preprocess": number(preprocess),
        "tower": [
          "cpu_min": number(times.tower.min() ?? .nan), "cpu_median": number(median(times.tower)),
          "wall_median": number(median(times.wall)),
        ],
        "selection": [
          "cpu_min": number(times.selection.min() ?? .nan), "cpu_median": number(median(times.selection)),
        ],
        "samples": JSON(times.tower.count),
      ],
      "speedup": [
        "tower": number(speedup), "per_mac_gain": number(perMACGain), "tower_per_mac_gain": number(towerPerMACGain),
      ],
      "peak_memory_mb": number(peakMemory), "top1": top1?.json ?? .null, "top5": top5?.json ?? .null,
      "retention": retention.map(number) ?? .null,
      "retention_ci95": interval.map { [number($0.low), number($0.high)] } ?? .null,
      "mcnemar_p": mcNemar.map(number) ?? .null,
      "loyalty": [
        "top1_agreement": agreement.map(number) ?? .null, "logit_kl": divergence.map(number) ?? .null,
        "pooled_cosine": number(cosine),
      ], "run": run,
    ]
  }
}
