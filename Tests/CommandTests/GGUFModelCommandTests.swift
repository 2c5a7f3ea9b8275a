import Foundation
import Testing
import VTok

/// Models in GGUF files from the command: two files, or a folder of both; what does not go together is refused.
@Suite struct GGUFModelCommandTests {
  private static let cases = InspectTests.cases + "gguf/forward/"
  private static let llava = ["--model", cases + "llava-q4_0/model.gguf", "--mmproj", cases + "llava-q4_0/mmproj.gguf"]
  private static let idefics3 = [
    "--model", cases + "idefics3-q4_k_m-fallback/model.gguf", "--mmproj",
    cases + "idefics3-q4_k_m-fallback/mmproj.gguf",
  ]
  private static let question = [
    "--image", pictures + "/cat.jpg", "--prompt", "what is it", "--max-tokens", "4", "--format", "jsonl",
  ]

  private func generate(_ arguments: [String]) throws -> JSON {
    let done = try vtok(["generate"] + arguments + Self.question)
    try #require(done.status == 0, "\(done.error)")
    return try JSON(parsing: Array(done.out.utf8))
  }

  /// The file's own form is the default and is recorded; float32 gives the answer of the same weights as they are dequantised.
  @Test(arguments: [llava, idefics3]) func answers(_ model: [String]) throws {
    let own = try generate(model)
    #expect(own["run"]?["precision"]?.string == "file" && own["template"]?.string == "tokenizer.chat_template")
    #expect(own["tokens"]?["new"]?.int == 4 && own["run"]?["model_sha256"]?.string?.count == 64)
    #expect(try generate(model + ["--precision", "file"])["ids"] == own["ids"])
    for precision in ["f32", "int8", "int4"] {
      let other = try generate(model + ["--precision", precision])
      #expect(other["run"]?["precision"]?.string == precision && other["tokens"]?["new"]?.int == 4)
    }
  }

  /// A folder with one text model and one projector, and the checksum of both: another projector is another model.
  @Test func aFolderOfBoth() throws {
    let own = try generate(Self.llava)
    #expect(
      try generate(["--model", Self.cases + "llava-q4_0"])["run"]?["model_sha256"] == own["run"]?["model_sha256"])
    let reduced = try generate(Self.llava + ["--method", "divprune", "--keep-tokens", "4"])
    #expect(reduced["tokens"]?["in"]?.int == 16 && reduced["tokens"]?["out"]?.int == 4)
    try inTemporaryFolder { folder in
      let copy = folder + "/two"
      try FileManager.default.copyItem(atPath: Self.cases + "llava-q4_0", toPath: copy)
      try FileManager.default.copyItem(
        atPath: Self.cases + "idefics3-q4_k_m-fallback/model.gguf", toPath: copy + "/other.gguf")
      let done = try vtok(["generate", "--model", copy] + Self.question)
      #expect(
        done.isOneError && done.error.contains("other.gguf") && done.error.contains("one of each"), "\(done.error)")
    }
  }

  /// A job knows both files by their bytes.
  @Test func aJobGoesOnOnlyWithTheSameFiles() throws {
    try inTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.cases + "llava-q4_0", toPath: copy)
      let arguments = [
        "prune", pictures, "--model", copy + "/model.gguf", "--mmproj", copy + "/mmproj.gguf", "--method", "divprune",
        "--keep-tokens", "4", "-o", folder + "/out",
      ]
      let first = try vtok(arguments)
      #expect(first.status == 0, "\(first.error)")
      #expect(try vtok(arguments).status == 0)
      let job = try String(contentsOfFile: folder + "/out/job.yaml", encoding: .utf8)
      #expect(job.contains("mmproj: ") && job.contains("precision: \"file\""), "\(job)")
      var bytes = try Data(contentsOf: URL(fileURLWithPath: copy + "/mmproj.gguf"))
      bytes[bytes.count - 1] ^= 1
      try bytes.write(to: URL(fileURLWithPath: copy + "/mmproj.gguf"))
      let other = try vtok(arguments)
      #expect(other.status == 2 && other.error.contains("other weights"), "\(other.error)")
    }
  }

  struct Wrong: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let arguments: [String]
    let says: [String]
  }
  private static let text = cases + "llava-q4_0/model.gguf", tower = cases + "llava-q4_0/mmproj.gguf"
  private static let parts = cases + "qwen25vl-q8_0/model-0000"
  static let wrong = [
    Wrong(testDescription: "no projector", arguments: ["--model", text], says: ["mmproj", "mmproj.gguf"]),
    Wrong(
      testDescription: "two text models", arguments: ["--model", text, "--mmproj", text], says: ["second text model"]),
    Wrong(testDescription: "two projectors", arguments: ["--model", tower, "--mmproj", tower], says: ["text model"]),
    Wrong(testDescription: "exchanged", arguments: ["--model", tower, "--mmproj", text], says: ["text model"]),
    Wrong(
      testDescription: "another family", arguments: ["--model", parts + "1-of-00003.gguf", "--mmproj", tower],
      says: ["'qwen2vl'", "llama or qwen2"]),
    Wrong(
      testDescription: "a later part", arguments: ["--model", parts + "2-of-00003.gguf", "--mmproj", tower],
      says: ["model-00001-of-00003.gguf"]),
    Wrong(
      testDescription: "a directory with a projector",
      arguments: ["--model", repository + "/Benchmarks/models/vqa-small", "--mmproj", tower], says: ["no GGUF file"]),
    Wrong(
      testDescription: "nothing there", arguments: ["--model", text, "--mmproj", "/nonexistent/mmproj.gguf"],
      says: ["/nonexistent/mmproj.gguf"]),
  ]

  @Test(arguments: wrong) func pairsThatDoNotGoTogether(_ wrong: Wrong) throws {
    let done = try vtok(["generate"] + wrong.arguments + Self.question)
    #expect(done.isOneError && wrong.says.allSatisfy(done.error.contains), "\(done.error)")
  }

  @Test func otherCommands() throws {
    try inTemporaryFolder { folder in
      let shown = try vtok(
        ["show", pictures + "/cat.jpg", "--method", "visionzip", "--keep-tokens", "6", "-o", folder + "/out.png"]
          + Self.llava)
      #expect(shown.status == 0, "\(shown.error)")
      let cost = try vtok(["flops", "--method", "divprune", "--keep-tokens", "4", "--format", "json"] + Self.llava)
      #expect(cost.status == 0, "\(cost.error)")
      try write(
        #"{"image": "\#(pictures)/cat.jpg", "question": "what is it", "answers": ["a cat"], "metric": "exact"}"# + "\n",
        folder + "/questions.jsonl")
      let bench = try vtok(
        [
          "bench", "--data", folder + "/questions.jsonl", "--method", "divprune", "--keep-tokens", "4", "--max-tokens",
          "2", "--timing-samples", "0", "--seeds", "1", "--skip-refused", "--format", "json",
        ] + Self.llava)
      #expect(bench.status == 0 && bench.out.contains("\"precision\": \"file\""), "\(bench.error)\(bench.out)")
      let judged = try vtok("bench", "--data", pictures, "--tokenizers", "klt", "--mmproj", Self.tower)
      #expect(judged.status == 2 && judged.error.contains("--mmproj"), "\(judged.error)")
    }
  }

  @Test func inspection() throws {
    func lines(_ arguments: [String]) throws -> (status: Int32, out: String) {
      let done = try vtok(["inspect"] + arguments)
      return (done.status, done.out + done.error)
    }
    let pair = try lines([Self.text, "--mmproj", Self.tower])
    #expect(pair.status == 0, "\(pair.out)")
    for line in ["family      llava, ", "tokens      16 of", "runs        yes", "template    tokenizer.chat_template"] {
      #expect(pair.out.contains(line), "\(pair.out)")
    }
    let alone = try lines([Self.text])
    #expect(alone.status == 0 && alone.out.contains("runs        beside its tower"), "\(alone.out)")
    let tower = try lines([Self.tower])
    #expect(tower.status == 0 && tower.out.contains("as tower and projector of llava"), "\(tower.out)")
  }
}
