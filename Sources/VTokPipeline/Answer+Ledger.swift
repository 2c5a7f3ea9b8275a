import VTokWeights

extension Generator.Answer {
  /// What it cost: `tokens`, `gmacs`, `kv_mb` and times, with the keys of `vtok generate --format json`.
  public func ledger(to question: Generator.Prompt) -> [(String, JSON)] {
    row(to: question).filter { !["answer", "ids", "finish"].contains($0.0) }
  }
}
