import Foundation
import Testing
import VTok

/// `inspect` and `models` know every family that runs, from the one list of families.
@Suite struct InspectTests {
  private static let models = repository + "/Benchmarks/models/"
  static let cases = repository + "/Tests/Golden/Cases/"

  /// The lines of `vtok inspect` by their names.
  private func lines(_ done: Finished) -> [String: String] {
    Dictionary(
      done.out.split(separator: "\n").map { line in
        (String(line.prefix { $0 != " " }), String(line.drop { $0 != " " }.drop { $0 == " " }))
      }
    ) { first, _ in first }
  }

  @Test(arguments: [
    ("vqa-small", "llava", "4 of 5 blocks, width 192, 3 heads, MLP 768", "256 of an image of 640x480, 1 tile of 64x64"),
    ("vqa-tiles", "llava", "blocks, width", "tiles of"), ("vqa-small-pmod", "p-mod", "blocks, width", "256 of"),
    ("vqa-small-quecc-16", "llava", "blocks, width", "16 of"),
  ]) func aLanguageVisionModel(name: String, family: String, tower: String, tokens: String) throws {
    let done = try vtok("inspect", Self.models + name)
    #expect(done.status == 0, "\(done.error)")
    let lines = lines(done)
    #expect(lines["family"]?.hasPrefix("\(family)") == true && lines["family"]?.contains("vision-language") == true)
    #expect(lines["tower"]?.contains(tower) == true && lines["tokens"]?.contains(tokens) == true, "\(done.out)")
    #expect(
      lines["language"]?.contains("layers, width 192") == true && lines["language"]?.contains("vocabulary") == true)
    #expect(lines["processor"]?.hasPrefix("processor_config.json") == true)
    for key in ["type", "weights", "files", "parameters", "connector", "template", "context"] {
      #expect(lines[key]?.isEmpty == false, "\(key)")
    }
    #expect(lines["sha256"]?.count == 64 && lines["weights"]?.contains("F16") == true && lines["runs"] == "yes")
  }

  /// A model whose weights lack something is described as far as it goes, and does not run.
  @Test func whatDoesNotRunSaysSo() throws {
    try inTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: Self.models + "vqa-small", toPath: copy)
      try FileManager.default.removeItem(atPath: copy + "/tokenizer.json")
      let done = try vtok("inspect", copy)
      #expect(done.status == 1 && done.error.contains("tokenizer.json") && done.error.split(separator: "\n").count == 1)
      let lines = lines(done)
      #expect(lines["runs"] == "no" && lines["language"] != nil && lines["sha256"] != nil)
    }
  }

  @Test func aGGUFFile() throws {
    let file = repository + "/Tests/WeightsTests/GGUF/ok-all-values.gguf"
    let done = try vtok("inspect", file)
    #expect(done.status == 0, "\(done.error)")
    let lines = lines(done)
    #expect(lines["format"] == "GGUF, version 3" && lines["weights"]?.hasPrefix("3 tensors") == true, "\(done.out)")
    #expect(done.out.contains("metadata    x.arr.i32: 3 values: 1, -2, 3\n"), "\(done.out)")
    #expect(done.out.contains("tensors     Q8_0: 1 of") && lines["runs"]?.hasPrefix("no") == true)
    let list = try vtok("inspect", file, "--tensors", "--format", "csv")
    #expect(list.out.contains("b.weight,Q8_0,4x32,136"), "\(list.out)")
    let bad = try vtok("inspect", repository + "/Tests/WeightsTests/GGUF/type-iq2-xxs.gguf")
    #expect(bad.status == 1 && bad.error.contains("IQ2_XXS") && bad.error.split(separator: "\n").count == 1)
  }

  @Test(arguments: [
    (
      #"{"model_type": "qwen3_vl_moe", "architectures": ["Qwen3VLMoeForConditionalGeneration"]}"#, "qwen3_vl_moe",
      "qwen3_vl"
    ),
    (#"{"architecture": "eva02_enormous_patch14_clip_224"}"#, "eva02_enormous_patch14_clip_224", "patch14"),
    (#"{"model_type": "siglip3_vision_model"}"#, "siglip3_vision_model", "siglip"),
  ]) func somethingUnknownIsNamedWithItsNearest(config: String, found: String, near: String) throws {
    try inTemporaryFolder { folder in
      try FileManager.default.copyItem(
        atPath: Self.cases + "vit-runtime/hf_vit_cls/model.safetensors", toPath: folder + "/model.safetensors")
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let done = try vtok("inspect", folder)
      #expect(done.status == 1 && done.error.contains("'\(found)'"), "\(done.error)")
      #expect(done.error.contains("nearest that is known is '") && done.error.contains(near), "\(done.error)")
      #expect(lines(done)["runs"] == "no" && lines(done)["weights"] != nil)
    }
  }

  @Test func longListsEndWithTheirCount() throws {
    let labels = lines(try vtok("inspect", "vtok-tiny"))["labels"] ?? ""
    #expect(labels.hasPrefix("10: ") && labels.hasSuffix("… (10 in all)"), "\(labels)")
    let clip = try vtok("inspect", Self.cases + "vit-runtime/hf_clip_zero_shot")
    #expect(clip.status == 0 && lines(clip)["unused"]?.contains("…") == true, "\(clip.out)\(clip.error)")
    #expect(lines(clip)["unused"]?.hasSuffix(" in all)") == true)
  }

  @Test func modelsListsEveryFamily() throws {
    let rows = try JSON(parsing: Array(vtok("models", "--format", "json").out.utf8)).array ?? []
    for family in Families.all {
      let row = rows.first { $0["name"]?.string == family.name && $0["inside"] == false }
      #expect(row?["types"]?.strings == family.types && row?["kind"]?.string == family.kind.rawValue)
    }
    for name in LoadedModel.embedded + LoadedTokenizer.embedded {
      #expect(rows.contains { $0["name"]?.string == name && $0["inside"] == true })
    }
    let text = try vtok("models").out
    for family in Families.all { #expect(text.contains("| \(family.name) ")) }
  }
}
