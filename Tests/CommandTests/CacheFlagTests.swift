import Foundation
import Testing
import VTok

/// `--kv`: how the caches of a language model hold keys and values.
@Suite struct CacheFlagTests {
  private func generate(_ model: String, _ more: [String]) throws -> Finished {
    try vtok(
      ["generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", "what is it", "--max-tokens", "3"]
        + more)
  }

  @Test func answersSayIt() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      var answers: [JSON] = []
      for more in [[], ["--kv", "f32"], ["--kv", "bf16"], ["--kv", "int8"]] {
        let done = try generate(model, more + ["--format", "jsonl"])
        #expect(done.status == 0, "\(done.error)")
        let row = try JSON(parsing: Array(done.out.utf8))
        #expect(row["run"]?["kv"]?.string == more.last ?? "f32" && row["run"]?["precision"]?.string == "f32")
        answers.append(row)
      }
      #expect(answers[0]["ids"] == answers[1]["ids"])
      let shown = try generate(model, ["--kv", "int8", "--method", "snapkv:window=4", "--keep-ratio", "0.5"])
      #expect(shown.status == 0 && shown.error.contains("at 16 bit; held as int8"), "\(shown.error)")
      let unknown = try generate(model, ["--kv", "int4"])
      #expect(unknown.status == 2 && unknown.isOneError && unknown.error.contains("--kv"), "\(unknown.error)")
    }
  }

  /// A bench of questions has one form for all its rows, and says it.
  @Test func aBenchOfQuestions() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      try write(
        #"{"image": "\#(pictures)/cat.jpg", "question": "what is it", "answers": ["cat"], "metric": "exact"}"# + "\n",
        folder + "/questions.jsonl")
      let done = try vtok(
        "bench", "questions", "--model", model, "--data", folder + "/questions.jsonl", "--method", "snapkv:window=4",
        "--keep-ratio", "0.5", "--seeds", "1", "--timing-samples", "0", "--max-tokens", "2", "--kv", "bf16",
        "--skip-refused", "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try done.out.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      #expect(rows.count > 1 && rows.allSatisfy { $0["run"]?["kv"]?.string == "bf16" }, "\(done.out)")
    }
  }

  /// Predicted memory falls with the bytes of an entry.
  @Test func flopsPredictsThem() throws {
    func peak(_ kv: String) throws -> Double {
      let done = try vtok(
        "flops", "--model", "llava-1.5-7b", "--text-tokens", "4000", "--new-tokens", "8", "--threads", "1", "--kv", kv,
        "--format", "json")
      #expect(done.status == 0, "\(done.error)")
      let memory = try #require(JSON(parsing: done.out)["memory"])
      #expect(memory["kv"]?.string == kv)
      return try #require(memory["peak_mb"]?.double)
    }
    // 32 layers of 8,192 numbers an entry, 4,576 rows and 7 more; one layer is formed in float32 before it is rounded.
    let peaks = try ["f32", "bf16", "int8"].map(peak)
    let entries = 32 * 8192 * 4583.0 / 1_048_576
    #expect(peaks[0] - peaks[1] < 2 * entries && peaks[0] - peaks[1] > 1.8 * entries, "\(peaks)")
    #expect(peaks[0] - peaks[2] < 3 * entries && peaks[0] - peaks[2] > 2.7 * entries, "\(peaks)")
  }

  /// Towers and tokenizers read no prompt.
  @Test func itIsRefusedWhereNothingIsCached() throws {
    let tower = try vtok("flops", "--kv", "int8")
    #expect(tower.status == 2 && tower.isOneError && tower.error.contains("a vision tower"), "\(tower.error)")
    let images = try vtok("bench", "--data", pictures, "--kv", "int8")
    #expect(images.status == 2 && images.isOneError && images.error.contains("--kv"), "\(images.error)")
    let tokenizers = try vtok("bench", "--data", pictures, "--tokenizers", "klt", "--kv", "int8")
    #expect(tokenizers.status == 2 && tokenizers.error.contains("--kv"), "\(tokenizers.error)")
  }
}
