import VTokEval
import VTokPipeline
import VTokTensor
import VTokWeights

/// What a run on an image cost, and what came out beside the dense run.
extension Figure where Run == ImageTask.Run {
  public static var tokensIn: Figure { Figure("tokens in", .cost) { Double($0.image.rows * $0.image.columns) } }
  public static var tokensOut: Figure { Figure("tokens out", .cost, isKept: true) { Double($0.image.keep.count) } }
  public static var meanTokens: Figure { Figure("tokens entering a block", .cost) { $0.image.cost.meanTokens } }
  public static var gmacs: Figure { Figure("GMACs", .cost) { $0.image.cost.gmacs } }
  public static var denseGmacs: Figure { Figure("dense GMACs", .cost) { $0.image.dense.gmacs } }
  public static var selectionGmacs: Figure {
    Figure("selection GMACs", .cost) { Double($0.image.cost.selection) * 1e-9 }
  }

  public static var isRight: Figure { Figure("right", isKept: true) { $0.isRight.map { $0 ? 1 : 0 } } }
  public static var isDenseRight: Figure { Figure("dense right") { $0.isDenseRight.map { $0 ? 1 : 0 } } }
  public static var isOnlyRight: Figure {
    Figure("right alone") { $0.isRight == true && $0.isDenseRight == false ? 1 : 0 }
  }
  public static var isOnlyDenseRight: Figure {
    Figure("dense right alone") { $0.isRight == false && $0.isDenseRight == true ? 1 : 0 }
  }
  static var isInTop5: Figure { Figure("right in five") { run in run.known.map { run.best.contains($0) ? 1 : 0 } } }
  static var isDenseInTop5: Figure {
    Figure("dense right in five") { run in run.known.map { run.denseBest.contains($0) ? 1 : 0 } }
  }
  public static var agrees: Figure {
    Figure("agrees") { run in run.denseBest.first.map { run.best.first == $0 ? 1 : 0 } }
  }
  public static var divergence: Figure {
    Figure("divergence") { run in
      guard let logits = run.image.logits, let dense = run.dense.logits else { return nil }
      return Statistics.divergence(of: logits, from: dense)
    }
  }
  public static var cosine: Figure { Figure("cosine") { Statistics.cosine($0.image.pooled, $0.dense.pooled) } }
}

extension ImageTask.Run {
  /// The label, where there are label and classifier.
  fileprivate var known: Int? { best.isEmpty ? nil : label }
  fileprivate var isRight: Bool? { known.map { $0 == best[0] } }
  fileprivate var isDenseRight: Bool? { known.map { $0 == denseBest[0] } }
}

extension ImageTask {
  public static var score: Figure<Run> { .isRight }

  public var columns: [Column<ImageTask>] {
    Self.asked + [precisionColumn] + Self.costs + Self.times + Self.answers
  }

  private static var asked: [Column<ImageTask>] {
    [
      Column(nil, "model", json: { JSON($0.task.model.name) }), .method, .budget(macShare: { $0.share }),
      Column(nil, "images", json: { JSON($0.results.items.count) }),
    ]
  }

  private static var costs: [Column<ImageTask>] {
    [
      Column(
        "tokens", "tokens.in", [.tokensIn, .tokensOut], note: "patch tokens in and out",
        text: { "\(fixed($0.mean(.tokensIn), 0))→\(fixed($0.mean(.tokensOut), 0))" },
        json: { number($0.mean(.tokensIn)) }),
      .mean(.tokensOut, nil, "tokens.out"), .perPicture(.tokensOut),
      .mean(.meanTokens, nil, "tokens.mean_per_layer"), .reached,
      .mean(.denseGmacs, nil, "gmacs.dense"),
      .mean(.gmacs, "GMACs", "gmacs.reduced", note: "multiply-adds of the tower", text: { fixed($0, 2) }),
      .number("of dense", "gmacs.ratio", [.gmacs, .denseGmacs], text: { percent($0, 0) }, value: { $0.share }),
      .mean(.selectionGmacs, "select", "gmacs.selection", note: "multiply-adds of choosing tokens, beside them"),
    ]
  }

  private static var times: [Column<ImageTask>] {
    var columns: [Column<ImageTask>] = [
      .number(nil, "ms.decode") { median($0.times(.read)) },
      .number(nil, "ms.preprocess") { median($0.times(.prepare)) },
      Column("ms", note: "processor time of tower and selection, median", text: { fixed($0.milliseconds, 2) }),
    ]
    columns += Column.spread(.tower, "tower")
    columns.append(.number(nil, "ms.tower.wall_median") { median($0.times(.wall)) })
    columns += Column.spread(.selection, "selection")
    columns += [
      Column(nil, "ms.samples", json: { JSON($0.results.sample.count) }),
      .speedup("speedup.tower") { $0.speedup },
      .perMACGain { $0.speedup(.tower, over: .tower, .selection, from: $0.ownDense) * $0.share },
      .number(
        "in tower", "speedup.tower_per_mac_gain", isComparison: true, note: "the same without the time of selecting",
        text: { fixed($0, 2) }, value: { $0.speedup(.tower, over: .tower, from: $0.ownDense) * $0.share }),
      .peakMemory,
    ]
    return columns
  }

  private static var answers: [Column<ImageTask>] {
    var columns: [Column<ImageTask>] = [
      .ranged("top-1", "top1", [.isRight, .isDenseRight]) { $0.top1 },
      .ranged(nil, "top5", [.isInTop5, .isDenseInTop5]) { $0.accuracy(.isInTop5, dense: .isDenseInTop5) },
    ]
    columns += Column.retention(
      of: "accuracy", isScored: { $0.isComplete(.isRight) }, isBinary: { _ in true }, own: .isOnlyRight,
      dense: .isOnlyDenseRight)
    columns += [
      .mean(
        .agrees, "agree", "loyalty.top1_agreement", isComparison: true, note: "top-1 agreement with the dense model",
        text: { percent($0) }),
      .mean(
        .divergence, "KL", "loyalty.logit_kl", isComparison: true,
        note: "divergence of the class distribution from the dense model's"),
      .mean(
        .cosine, "cosine", "loyalty.pooled_cosine", isComparison: true,
        note: "of the pooled embedding and the dense model's"),
    ]
    return columns
  }
}

extension BenchRow where Task == ImageTask {
  /// Of the dense multiply-adds.
  public var share: Double { mean(.gmacs) / mean(.denseGmacs) }
  /// Processor time of tower and selection, median.
  public var milliseconds: Double { median(zip(times(.tower), times(.selection)).map(+)) }
  public var speedup: Double { speedup(.tower, over: .tower, .selection) }

  /// By seed; nil unless every image has a label. Where seeds see parts of the images, what each keeps of the dense accuracy
  /// on its own part, times the dense accuracy: parts differ.
  func accuracy(_ figure: Figure<ImageTask.Run>, dense: Figure<ImageTask.Run>) -> Ranged? {
    guard isComplete(figure) else { return nil }
    guard task.splitsSeeds, entry.seeds.count > 1 else { return Ranged(values: means(figure)) }
    let all = reference.mean(figure)
    let kept = zip(sums(figure), sums(dense)).map { $0 / $1 }
    return Ranged(values: kept.filter(\.isFinite).map { all * $0 }, mean: mean(figure))
  }

  public var top1: Ranged? { accuracy(.isRight, dense: .isDenseRight) }
  public var agreement: Double { mean(.agrees) }
  public var cosine: Double { mean(.cosine) }
}
