import Foundation
import Testing
import VTok

/// A golden checkpoint, which has no tokenizer of its own, in a temporary folder together with one of single characters.
enum TinyModel {
  static let kinds: [String: (special: [String], bos: Bool)] = [
    "llava15-tiny-d": (["<image>"], true), "llavanext-tiny-d": (["<image>"], true),
    "idefics3-tiny-a": (
      ["<|im_start|>", "<end_of_utterance>", "<global-img>", "<fake_token_around_image>", "<image>", "<x>"], false
    ),
    "qwen2vl-tiny-a": (
      ["<|im_end|>", "<|im_start|>", "<|vision_end|>", "<|vision_start|>", "<|video_pad|>", "<|image_pad|>"],
      false
    ),
    "qwen25vl-tiny-a": (
      ["<|im_end|>", "<|im_start|>", "<|vision_end|>", "<|vision_start|>", "<|video_pad|>", "<|image_pad|>"],
      false
    ),
  ]

  /// The special tokens have the last ids of the vocabulary, as config.json says for the placeholder.
  static func make(_ name: String, in folder: String) throws -> String {
    let source = repository + "/Tests/Golden/Cases/lvlm/" + name
    let directory = folder + "/" + name
    try FileManager.default.copyItem(atPath: source, toPath: directory)
    let config = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: source + "/config.json"))))
    let (special, bos) = kinds[name]!
    let placeholder = (config["image_token_id"] ?? config["image_token_index"])!.int!
    let image = special.firstIndex { $0 == "<image>" || $0 == "<|image_pad|>" }!
    try write(tokenizer(special, from: placeholder - image, bos: bos).text(), directory + "/tokenizer.json")
    return directory
  }

  static func tokenizer(_ special: [String], from first: Int, bos: Bool) -> JSON {
    let characters =
      (UInt8(ascii: "a")...UInt8(ascii: "z")).map { String(Unicode.Scalar($0)) }
      + (UInt8(ascii: "A")...UInt8(ascii: "Z")).map { String(Unicode.Scalar($0)) }
      + "0123456789.,?!:'<>_-[]/|\n()".map { String($0) }
    var names = ["<unk>", "<s>", "</s>", "▁"] + characters
    while names.count < first { names.append("¤\(names.count)") }
    let added = [("<unk>", 0), ("<s>", 1), ("</s>", 2)] + special.enumerated().map { ($1, first + $0) }
    let start: JSON = [
      "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "<s>"]], ["Sequence": ["id": "A"]]],
      "special_tokens": ["<s>": ["ids": [1]]],
    ]
    let space: JSON = ["String": " "]
    return [
      "added_tokens": .array(
        added.map { ["content": JSON($0), "id": JSON($1), "normalized": false, "special": true] }),
      "normalizer": ["type": "Replace", "pattern": space, "content": "▁"],
      "post_processor": bos ? start : .null,
      "decoder": [
        "type": "Sequence",
        "decoders": [["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "Fuse"]],
      ],
      "model": [
        "type": "BPE", "unk_token": "<unk>", "fuse_unk": true,
        "vocab": .object(JSONObject(names.enumerated().map { ($1, JSON($0)) })), "merges": [],
      ],
    ]
  }
}

func write(_ text: String, _ path: String) throws {
  try Data(text.utf8).write(to: URL(fileURLWithPath: path))
}

@Suite struct GenerateTests {
  static let question = "Describe the (second) image, please."

  struct Official: Sendable {
    let model: String, images: [String]
    let prompt: Int, ids: [Int], answer: String
    var processor: String?
  }

  /// Greedy answers of transformers 5.23.0 (Pillow processors, eager attention, float32) to the same pictures and
  /// question with the same checkpoints and tokenizers.
  static let official = [
    Official(
      model: "llava15-tiny-d", images: ["cat.jpg"], prompt: 119,
      ids: [77, 39, 8, 54, 16, 16, 16, 11, 30, 16, 75, 31], answer: "]JeYmmmhAm-B"),
    Official(
      model: "llava15-tiny-d", images: ["ship.jpg", "cat.jpg"], prompt: 184, ids: [1, 39, 36, 2], answer: "JG"),
    Official(
      model: "llavanext-tiny-d", images: ["chart.png"], prompt: 350,
      ids: [45, 94, 59, 1, 54, 45, 94, 1, 54, 45, 94, 1], answer: "P3YPYP"),
    Official(
      model: "llavanext-tiny-d", images: ["ship.jpg", "cat.jpg"], prompt: 543,
      ids: [94, 59, 1, 68, 94, 59, 1, 68, 94, 59, 1, 59], answer: "3?3?33"),
    Official(
      model: "idefics3-tiny-a", images: ["chart.png"], prompt: 281,
      ids: [48, 52, 90, 8, 79, 3, 81, 51, 40, 51, 52, 72], answer: "SW¤90e| (VKVW<"),
    Official(
      model: "idefics3-tiny-a", images: ["ship.jpg", "cat.jpg"], prompt: 581,
      ids: [48, 52, 29, 7, 82, 97, 89, 29, 7, 82, 97, 40], answer: "SWzd)¤89zd)K"),
    Official(
      model: "qwen2vl-tiny-a", images: ["ship.jpg", "cat.jpg"], prompt: 469,
      ids: [33, 59, 100, 61, 109, 109, 109, 109, 109, 109, 109, 109], answer: "D3¤1005",
      processor: #"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12544}"#),
  ]

  /// A picture and a question become the answer of the official program, token by token.
  @Test(arguments: official) func answersAsTheOfficialProgram(_ official: Official) throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make(official.model, in: folder)
      if let processor = official.processor { try write(processor, model + "/preprocessor_config.json") }
      let generator = try Generator(model: model)
      let images = try official.images.map { try Image.decode(contentsOf: pictures + "/" + $0).image }
      let question = try generator.prepare(Self.question, about: images)
      #expect(question.ids.count == official.prompt)
      var pieces: [String] = []
      let answer = try generator(question, limit: 12, threads: 2) {
        pieces.append($0)
        return true
      }
      #expect(answer.ids == official.ids && answer.text == official.answer)
      #expect(pieces.joined() == answer.text)
      #expect(answer.isComplete == (official.ids.last == 2))
      #expect(answer.table.tokensIn == answer.table.tokensOut && answer.table.cost == answer.table.dense)
    }
  }

  @Test func streamsTheAnswerAndPrintsTheLedger() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let base = ["generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", Self.question]
      let plain = try vtok(base + ["--max-tokens", "12"])
      #expect(plain.status == 0 && plain.out == "]JeYmmmhAm-B\n", "\(plain.error)")
      for part in [
        "tower, 4 blocks", "connector", "prefill", "decoding, 11 steps", "KV cache", "tokens/s", "peak memory",
      ] {
        #expect(plain.error.contains(part), "\(part)")
      }
      let quiet = try vtok(base + ["--max-tokens", "12", "--quiet"])
      #expect(quiet.out == plain.out && quiet.error.isEmpty)

      let reduced = try vtok(
        base + ["--max-tokens", "6", "--method", "divprune", "--keep-tokens", "16", "--format", "json"])
      let row = try #require(JSON(parsing: reduced.out)[0])
      #expect(row["schema"] == "vtok-generate/1" && row["finish"] != nil)
      #expect(row.value(at: "tokens.in")?.int == 64 && row.value(at: "tokens.out")?.int == 16)
      #expect(row.value(at: "budget.reached")?.int == 16)
      let gmacs = try #require(row["gmacs"])
      let parts = try ["tower", "connector", "prefill"].reduce(0) { try $0 + gmacs.double($1) }
      #expect(try abs(parts - gmacs.double("reduced")) < 1e-12 && gmacs.double("reduced") < gmacs.double("dense"))
      #expect(try row.double("kv_mb.prefill") < row.double("kv_mb.dense_prefill"))
      // The dense model on the same prompt, as the run without a method counts it.
      let dense = try vtok(base + ["--max-tokens", "6", "--format", "jsonl"])
      #expect(try JSON(parsing: dense.out).double("gmacs.reduced") == gmacs.double("dense"))
      let csv = try vtok(base + ["--max-tokens", "6", "--format", "csv"])
      #expect(csv.out.split(separator: "\n").count == 2 && csv.error.isEmpty)
    }
  }

  /// Methods of three places in one pass, in their order, with one ledger.
  @Test func methodsTogether() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      let spec = "visionzip:keep=24+fastv:layer=1,keep=0.5+elastic-cache:keep=0.6"
      let done = try vtok(
        "generate", "--model", model, "--image", pictures + "/cat.jpg", "--prompt", Self.question, "--max-tokens", "6",
        "--method", spec, "--format", "json")
      #expect(done.status == 0, "\(done.error)")
      let row = try #require(JSON(parsing: done.out)[0])
      #expect(row.value(at: "tokens.out")?.int == 12)
      let stages = row["stages"]!.array!.map { ($0["name"]!.string!, $0["tokens_in"]?.int, $0["tokens_out"]?.int) }
      let names = ["visionzip", "connector", "fastv", "prefill", "elastic-cache", "decoding"]
      let places = names.map { name in stages.firstIndex { $0.0.hasPrefix(name) } }
      #expect(places.compactMap { $0 } == places.compactMap { $0 }.sorted() && !places.contains(nil), "\(stages)")
      let cut = stages[places[2]!]
      #expect(cut.1! - cut.2! == 12, "half of what visionzip left")
      let layers = row["language_layers"]!.array!
      #expect(layers.map { $0["image_tokens"]!.int! } == [24] + layers.dropFirst().map { _ in 12 })
    }
  }

  /// Drawn answers repeat with their seed, whatever the number of threads.
  @Test func repeatsWithItsSeed() throws {
    try inTemporaryFolder { folder in
      let generator = try Generator(model: try TinyModel.make("llava15-tiny-d", in: folder))
      let image = try Image.decode(contentsOf: pictures + "/cat.jpg").image
      func ids(_ seed: UInt64, _ threads: Int = 1) throws -> [Int] {
        let sampling = Sampling(temperature: 2, topP: 0.9, seed: seed)
        return try generator("Hm?", about: [image], sampling: sampling, limit: 16, threads: threads).ids
      }
      #expect(try ids(1) == ids(1, 2) && (2...6).contains { try ids($0) != ids(1) })
      // The caller may stop at any piece.
      var pieces = 0
      let answer = try generator(Self.question, about: [image], limit: 16) { _ in
        pieces += 1
        return pieces < 2
      }
      #expect(pieces == 2 && answer.ids.count < 11 && !answer.isComplete)
      #expect(try generator("?", about: [], limit: 3).table.tokensIn == 0)
      #expect(try generator("?", about: [image], system: "Be brief.", limit: 1).tokensPerSecond == nil)
    }
  }

  /// Arguments beside those that are right, what is wrong with the checkpoint, and what the one line on stderr must say.
  static let mistakes: [(arguments: [String], break: String, status: Int32, says: String)] = [
    (["--max-tokens", "0"], "", 2, "--max-tokens"), (["--temperature", "-1"], "", 2, "--temperature"),
    (["--top-p", "0"], "", 2, "--top-p"), (["--prompt", ""], "", 2, "--prompt"),
    (["--template", "USER:"], "", 1, "--template"), (["--prompt", "What is <image>?"], "", 1, "'<image>' 2 times"),
    (["--image", "/no/such.png"], "", 1, "/no/such.png"), (["--keep-ratio", "0.5"], "", 2, "--method"),
    (["--method", "fastv", "--method", "dart"], "", 2, "expected one"),
    (["--method", "fastv", "--keep-ratio", "0.5,0.25"], "", 2, "expected one"),
    (["--method", "globalcom2"], "", 2, "images of one tile"),
    (["--method", "fastvv"], "", 2, "did you mean 'fastv'?"),
    (["--method", "elastic-cache+elastic-cache:policy=local"], "", 2, "both manage the KV cache"),
    (["--method", "fastv:layer=1+pyramiddrop:layers=2,keep=0.5"], "", 2, "number positions differently"),
    (["--method", "generic-explain"], "", 2, "weights"),
    (["--method", "generic-explain:weights=/no/such.safetensors"], "", 2, "/no/such.safetensors"),
    (["--method", "cdpruner"], "", 2, "--companion"), (["--model", "/no/such"], "", 1, "/no/such"),
    (["--model", "vtok-tiny"], "", 1, "a vision-language model"), (["--threads", "0"], "", 2, "--threads"),
    ([], "tokenizer.json", 1, "no text tokenizer"), ([], "model.safetensors", 1, "safetensors"),
    ([], "tokenizer.json={}", 1, "`model`"), ([], "tokenizer.json={", 1, "not valid JSON"),
    ([], #"preprocessor_config.json={"image_processor_type": "MysteryProcessor"}"#, 1, "MysteryProcessor"),
    ([], #"preprocessor_config.json={"crop_size": 28, "size": {"shortest_edge": 28}}"#, 1, "tile of an image"),
  ]

  @Test(arguments: mistakes.indices) func mistakesAreOneLineBeforeAnyWork(_ index: Int) throws {
    let mistake = Self.mistakes[index]
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      if !mistake.break.isEmpty {
        let parts = mistake.break.split(separator: "=", maxSplits: 1).map(String.init)
        if parts.count == 2 {
          try write(parts[1], model + "/" + parts[0])
        } else {
          try FileManager.default.removeItem(atPath: model + "/" + parts[0])
        }
      }
      var arguments = mistake.arguments
      for (flag, value) in [("--model", model), ("--image", pictures + "/cat.jpg"), ("--prompt", "What?")]
      where !arguments.contains(flag) { arguments += [flag, value] }
      let done = try vtok(["generate"] + arguments)
      #expect(done.status == mistake.status && done.error.contains(mistake.says), "\(done.error)")
      #expect(done.error.hasPrefix("vtok: error: ") && done.error.split(separator: "\n").count == 1, "\(done.error)")
      #expect(done.out.isEmpty)
    }
    let none = try vtok("generate", "--model", "x", "--prompt", "?")
    #expect(none.status == 2 && none.error.contains("--image"))
  }

  /// A placeholder that tokenizer and configuration disagree about would put text where the picture belongs.
  @Test func refusesATokenizerOfAnotherModel() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("llava15-tiny-d", in: folder)
      for special in [["<picture>"], ["<x>", "<image>"]] {
        try write(TinyModel.tokenizer(special, from: 94, bos: true).text(), model + "/tokenizer.json")
        #expect {
          try Generator(model: model, template: "{images}{prompt}")
        } throws: { "\($0)".contains("the id 94 that config.json gives to images") }
      }
    }
  }
}
