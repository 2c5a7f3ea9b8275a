import VTokEval
import VTokWeights

extension Generator.Answer {
  /// What rows of results say of an answer: tokens, giga multiply-adds, megabytes of the cache, times.
  package func row(to question: Generator.Prompt) -> [(String, JSON)] {
    let (cost, language, dense) = (table.cost, table.cost.language!, table.dense.language!)
    func giga(_ macs: Int) -> JSON { JSON(Double(macs) * 1e-9) }
    func megabytes(_ entries: Int) -> JSON { JSON(Double(language.bytes(entries)) * 1e-6) }
    return [
      ("answer", JSON(text)), ("ids", JSON(ids)), ("finish", isComplete ? "stop" : "length"),
      (
        "tokens",
        [
          "prompt": JSON(question.ids.count), "in": JSON(table.tokensIn), "out": JSON(table.tokensOut),
          "new": JSON(ids.count), "mean_per_layer": JSON(table.meanTokens),
        ]
      ),
      (
        "gmacs",
        [
          "dense": JSON(table.dense.gmacs), "reduced": JSON(cost.gmacs),
          "ratio": JSON(cost.gmacs / table.dense.gmacs), "selection": giga(cost.selection),
          "tower": giga(cost.tower), "connector": giga(cost.connector), "prefill": giga(language.first),
          "decode": giga(language.decode.reduce(0, +)), "dense_decode": giga(dense.decode.reduce(0, +)),
        ]
      ),
      (
        "kv_mb",
        [
          "prefill": megabytes(language.prefillEntries.reduce(0, +)), "peak": megabytes(language.peakEntries),
          "end": megabytes(language.finalEntries.reduce(0, +)),
          "dense_prefill": megabytes(dense.prefillEntries.reduce(0, +)), "bits": 16,
        ]
      ),
      ("ttft_ms", JSON(firstSeconds * 1e3)),
      // The language model alone, over the rows that entered it.
      ("prompt_rows", JSON(promptRows)), ("prompt_ms", JSON(promptSeconds * 1e3)),
      ("prompt_tokens_per_s", JSON(Double(promptRows) / promptSeconds)),
      ("decode_tokens_per_s", tokensPerSecond.map { JSON($0) } ?? .null),
    ]
  }
}
