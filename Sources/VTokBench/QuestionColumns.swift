import VTokEval
import VTokPipeline
import VTokTensor
import VTokWeights

/// What an answer cost, and how right it is.
extension Figure where Run == QuestionTask.Run {
  public static var tokensIn: Figure { Figure("tokens in", .cost) { Double($0.visual) } }
  public static var tokensOut: Figure { Figure("tokens out", .cost, isKept: true) { Double($0.table.tokensOut) } }
  public static var meanTokens: Figure { Figure("tokens of a layer", .cost) { $0.table.meanTokens } }
  public static var towerTokens: Figure {
    Figure("tokens of the tower", .cost) { Double($0.table.trace.towerOutput.reduce(0, +)) }
  }
  public static var packedTokens: Figure { Figure("tokens packed", .cost) { $0.entering[0] } }
  public static var promptTokens: Figure { Figure("tokens of the prompt", .cost) { Double($0.prompt) } }
  public static var newTokens: Figure { Figure("new tokens", .cost) { Double($0.new) } }
  public static func tokens(entering layer: Int) -> Figure {
    Figure("tokens entering \(layer)", .cost) { $0.entering.indices.contains(layer) ? $0.entering[layer] : nil }
  }

  public static var towerGmacs: Figure { giga("tower") { $0.table.cost.tower } }
  public static var connectorGmacs: Figure { giga("connector") { $0.table.cost.connector } }
  public static var selectionGmacs: Figure { giga("selection") { $0.table.cost.selection } }
  /// Layers and head up to the first new token, and all after it.
  public static var prefillGmacs: Figure { giga("prefill") { $0.language.first } }
  public static var decodeGmacs: Figure { giga("decode") { $0.language.decode.reduce(0, +) } }
  private static func giga(_ part: String, _ macs: @escaping @Sendable (Run) -> Int) -> Figure {
    Figure("GMACs of \(part)", .cost) { 1e-9 * Double(macs($0)) }
  }

  /// MB (10^6 bytes) of 16-bit numbers.
  public static var cachePrefill: Figure {
    Figure("cache after the prompt", .cost) {
      1e-6 * Double($0.language.bytes($0.language.prefillEntries.reduce(0, +)))
    }
  }
  public static var cachePeak: Figure {
    Figure("cache at most", .cost) { 1e-6 * Double($0.language.bytes($0.language.peakEntries)) }
  }

  public static var score: Figure { Figure("score", isKept: true) { $0.score } }
  public static var isOnlyRight: Figure { Figure("right alone") { $0.score == 1 && $0.denseScore != 1 ? 1 : 0 } }
  public static var isOnlyDenseRight: Figure {
    Figure("dense right alone") { $0.score != 1 && $0.denseScore == 1 ? 1 : 0 }
  }
  public static var isBinary: Figure { Figure("right or wrong") { $0.question.metric.isBinary ? 1 : 0 } }
  public static var agrees: Figure { Figure("agrees") { $0.answer == $0.denseAnswer ? 1 : 0 } }
}

extension QuestionTask {
  public static var score: Figure<Run> { .score }

  public var columns: [Column<QuestionTask>] {
    Self.asked + [precisionColumn] + tokens + Self.multiplyAdds + Self.memory + Self.times + scores + Self.answers
  }

  private static var asked: [Column<QuestionTask>] {
    [
      Column(nil, "model", json: { JSON($0.entry.subject.name) }), .method, .budget(),
      Column(nil, "images", json: { JSON($0.results.items.count) }),
      Column(nil, "questions", json: { JSON($0.results.questions) }),
    ]
  }

  private var tokens: [Column<QuestionTask>] {
    let layers = (0..<(entries.compactMap { $0.subject.outline.shape.decoder?.layers }.max() ?? 0)).map {
      Figure<Run>.tokens(entering: $0)
    }
    return [
      Column(
        "visual tokens", "tokens.in", [.tokensIn, .tokensOut],
        note: "those that leave the last layer of the language model, of those the image has",
        text: { "\(whole($0.mean(.tokensIn)))→\(whole($0.mean(.tokensOut)))" },
        json: { number($0.mean(.tokensIn)) }),
      .reached, .mean(.tokensOut, nil, "tokens.out"),
      .perPicture(.tokensOut, runs: { $0.data.items[$1].questions.count }),
      .mean(.meanTokens, nil, "tokens.mean_per_layer"),
      .mean(.towerTokens, nil, "tokens.tower_out"), .mean(.packedTokens, nil, "tokens.packed"),
      Column(
        nil, "tokens.per_layer", layers,
        json: { row in .array(layers.map(row.mean).filter(\.isFinite).map(number)) }),
      .mean(.promptTokens, nil, "tokens.prompt"), .mean(.newTokens, nil, "tokens.new"),
    ]
  }

  private static var multiplyAdds: [Column<QuestionTask>] {
    let parts: [Figure<Run>] = [.towerGmacs, .connectorGmacs, .prefillGmacs]
    return [
      .number(nil, "gmacs.dense", parts) { $0.reference.gmacs },
      .number(
        "GMACs", "gmacs.reduced", parts, note: "multiply-adds up to the first new token, as a mean over questions"
      ) { $0.gmacs },
      .number("of dense", "gmacs.ratio", parts, note: "their share", text: { percent($0, 0) }, value: { $0.share }),
      .mean(.towerGmacs, "tower", "gmacs.tower", note: "those of the tower"),
      .mean(.connectorGmacs, "projector", "gmacs.connector", note: "those between tower and language model"),
      .mean(.selectionGmacs, "select", "gmacs.selection", note: "those of choosing tokens, beside them"),
      .mean(.prefillGmacs, "prefill", "gmacs.prefill", note: "those of layers and head for the prompt"),
      .mean(.decodeGmacs, "decode", "gmacs.decode", note: "those of all later tokens, beside them"),
      .number(nil, "gmacs.dense_decode", [.decodeGmacs]) { $0.reference.mean(.decodeGmacs) },
    ]
  }

  private static var memory: [Column<QuestionTask>] {
    [
      .mean(
        .cachePrefill, "KV MB", "kv_mb.prefill", note: "cache after the prompt, 16 bit", text: { fixed($0, 2) }),
      .mean(.cachePeak, nil, "kv_mb.peak"),
      .number(nil, "kv_mb.dense_prefill", [.cachePrefill]) { $0.reference.mean(.cachePrefill) },
      Column(nil, "kv_mb.bits", json: { _ in 16 }), .peakMemory,
    ]
  }

  private static var times: [Column<QuestionTask>] {
    let stages: [(BenchStage, String)] = [
      (.tower, "tower"), (.connector, "connector"), (.selection, "selection"), (.prefill, "prefill"),
      (.decode, "decode_per_token"), (.first, "first_token"),
    ]
    var columns = stages.flatMap { Column<QuestionTask>.spread($0.0, $0.1) }
    columns += [
      Column(nil, "ms.samples", json: { JSON($0.times(.first).count) }),
      Column(
        "ms", note: "processor time from prepared image to first token, median",
        text: { fixed($0.milliseconds, 2) }),
      .number(nil, "ttft_ms") { median($0.times(.wall)) }, .speedup("speedup.first_token") { $0.speedup },
      .perMACGain { $0.speedup(.first, over: .first, from: $0.ownDense) * $0.share },
      .number(
        "tokens/s", "decode_tokens_per_s", note: "new tokens a second after the first", text: { fixed($0, 0) },
        value: { 1000 / median($0.times(.decode)) }),
    ]
    return columns
  }

  private static var answers: [Column<QuestionTask>] {
    var columns = Column<QuestionTask>.retention(
      of: "score", isScored: { _ in true }, isBinary: { Int($0.sum(.isBinary)) == $0.runs }, needs: [.isBinary],
      own: .isOnlyRight, dense: .isOnlyDenseRight)
    columns.append(
      .mean(
        .agrees, "agree", "loyalty.answer_agreement", isComparison: true,
        note: "answers that are the dense model's, letter by letter", text: { percent($0) }))
    return columns
  }
}

extension BenchResults where Task == QuestionTask {
  /// Those that every row answered.
  public var questions: Int { items.reduce(0) { $0 + bench.task.data.items[$1].questions.count } }
}

extension BenchRow where Task == QuestionTask {
  /// Up to the first new token, selection excluded.
  public var gmacs: Double { mean(.towerGmacs) + mean(.connectorGmacs) + mean(.prefillGmacs) }
  /// Of the dense multiply-adds.
  public var share: Double { gmacs / reference.gmacs }
  /// From the prepared image to the first token, median.
  public var milliseconds: Double { median(times(.first)) }
  public var speedup: Double { speedup(.first, over: .first) }
}
