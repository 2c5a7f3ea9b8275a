import VTokEval
import VTokPipeline
import VTokTensor
import VTokWeights

extension Figure where Run == QuestionTask.Run {
  public static func score(of metric: AnswerMetric) -> Figure {
    Figure("score of \(metric.name)") { $0.question.metric == metric ? $0.score : nil }
  }
  public static func score(of group: String) -> Figure {
    Figure("score of group \(group)") { $0.question.group == group ? $0.score : nil }
  }

  /// Of a metric that reads answers as yes or no: what was said, what is true, and both.
  public static func saysYes(_ metric: AnswerMetric) -> Figure {
    Figure("yes said of \(metric.name)") { run in
      run.question.metric == metric ? run.said(metric) == true ? 1 : 0 : nil
    }
  }
  public static func isYes(_ metric: AnswerMetric) -> Figure {
    Figure("yes true of \(metric.name)") { $0.truth(metric).map { $0 ? 1 : 0 } }
  }
  public static func hits(_ metric: AnswerMetric) -> Figure {
    Figure("yes hit of \(metric.name)") { $0.said(metric) == true && $0.truth(metric) == true ? 1 : 0 }
  }
  /// Whether yes was said where it is not true.
  public static func invents(_ metric: AnswerMetric) -> Figure {
    Figure("yes on absent of \(metric.name)") { run in
      run.truth(metric) == false ? run.said(metric) == true ? 1 : 0 : nil
    }
  }

  /// Questions that the smaller picture of the same budget answers wrongly: the score on them, the dense model's, and how
  /// many they are.
  public static var hardScore: Figure { Figure("score of the hard") { $0.isHard == true ? $0.score : nil } }
  public static var hardDense: Figure { Figure("dense score of the hard") { $0.isHard == true ? $0.denseScore : nil } }
  public static var isHard: Figure { Figure("hard") { $0.isHard.map { $0 ? 1 : 0 } } }

  /// Pictures, each shared among its questions of a metric and a group (nil: any), and those of them whose questions are all
  /// right.
  public static func pictures(_ metric: AnswerMetric, _ group: String?) -> Figure {
    Figure("pictures of \(metric.name) in \(group ?? "all")") { run in
      run.counts(metric, group) ? 1 / Double(run.companions) : nil
    }
  }
  public static func whole(_ metric: AnswerMetric, _ group: String?) -> Figure {
    Figure("all right of \(metric.name) in \(group ?? "all")") { run in
      run.counts(metric, group) ? run.isWhole ? 1 / Double(run.companions) : 0 : nil
    }
  }
  static func score(_ metric: AnswerMetric, _ group: String?) -> Figure {
    Figure("score of \(metric.name) in \(group ?? "all")") { $0.counts(metric, group) ? $0.score : nil }
  }
}

extension QuestionTask.Run {
  fileprivate func counts(_ metric: AnswerMetric, _ group: String?) -> Bool {
    question.metric == metric && (group == nil || question.group == group)
  }
  private func reads(_ metric: AnswerMetric, _ text: String?) -> Bool? {
    question.metric == metric ? text.flatMap { metric.saysYes?($0) } : nil
  }
  fileprivate func said(_ metric: AnswerMetric) -> Bool? { reads(metric, answer) }
  fileprivate func truth(_ metric: AnswerMetric) -> Bool? { reads(metric, question.answers.first) }
}

extension QuestionTask {
  /// Scores by metric and by group, and on what is hard.
  var scores: [Column<QuestionTask>] {
    // Objects of their own, whether the data have such questions or not.
    var columns = ["accuracy", "f1", "pairs", "hallucination", "groups"].map {
      Column<QuestionTask>(nil, ColumnKey($0), json: { _ in [:] })
    }
    columns += [Column(nil, "yes_share"), Column(nil, "points")]
    for metric in data.metrics {
      columns.append(.share(.score(of: metric), metric.name, ColumnKey("accuracy", metric.name)))
      if metric.isPaired { columns += pairs(metric) }
      if metric.saysYes != nil { columns += Self.yes(metric) }
    }
    columns += data.groups.map { .share(.score(of: $0), $0, ColumnKey("groups", $0)) }
    columns.append(.share(.score, nil, "score"))
    return columns + Self.hard
  }

  /// What is said yes to, rightly and wrongly.
  private static func yes(_ metric: AnswerMetric) -> [Column<QuestionTask>] {
    let (said, truth, hits) = (
      Figure<Run>.saysYes(metric), Figure<Run>.isYes(metric), Figure<Run>.hits(metric)
    )
    return [
      .ranged("F1", ColumnKey("f1", metric.name), [said, truth, hits], note: "of the answer yes") { row in
        Ranged(
          values: zip(row.sums(hits), zip(row.sums(said), row.sums(truth))).map { 2 * $0 / max(1, $1.0 + $1.1) })
      }, .share(said, nil, "yes_share"),
      .share(
        .invents(metric), "yes on absent", ColumnKey("hallucination", metric.name),
        note: "share of yes where no is right: what the model sees that is not there"),
    ]
  }

  /// Pictures whose questions are all right; and both shares in points, added up over groups, as MME does.
  private func pairs(_ metric: AnswerMetric) -> [Column<QuestionTask>] {
    let groups = data.groups.isEmpty ? [nil] : data.groups.map { Optional($0) }
    let figures = groups.map {
      (Figure<Run>.score(metric, $0), Figure<Run>.whole(metric, $0), Figure.pictures(metric, $0))
    }
    let (whole, pictures) = (Figure<Run>.whole(metric, nil), Figure<Run>.pictures(metric, nil))
    return [
      .ranged(
        "\(metric.name)+", ColumnKey("pairs", metric.name), [whole, pictures],
        note: "pictures whose questions are all right"
      ) { row in Ranged(values: zip(row.sums(whole), row.sums(pictures)).map { $0 / $1 }) },
      .number(
        "points", "points", figures.flatMap { [$0.0, $0.1, $0.2] },
        note: "accuracy and pictures all right in percent, added up over groups (MME's score)", text: { fixed($0, 1) },
        value: { row in
          figures.reduce(0) { sum, figure in
            let found = row.sum(figure.2)
            return found > 0 ? sum + 100 * (row.mean(figure.0) + row.sum(figure.1) / found) : sum
          }
        }),
    ]
  }

  /// Questions that the smaller picture of the same budget answers wrongly.
  private static var hard: [Column<QuestionTask>] {
    [
      Column(
        "hard", "hard.score", [.hardScore, .hardDense, .isHard], isComparison: true,
        note:
          "score on the questions that the smaller picture of the same budget answers wrongly (as VTC-Bench sorts them), "
          + "the dense model's score on them, and their number",
        text: { row in
          let (own, dense) = (row.mean(.hardScore), row.mean(.hardDense))
          let count = row.sum(.isHard) / Double(row.entry.seeds.count)
          return own.isNaN ? "-" : "\(percent(own)) (\(percent(dense)), \(fixed(count, 0)))"
        }, json: { number($0.mean(.hardScore)) }),
      .mean(.hardDense, nil, "hard.dense"), .mean(.isHard, nil, "hard.share"),
    ]
  }
}
