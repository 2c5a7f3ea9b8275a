import Foundation
import TestSupport
import Testing
import VTok

/// LLaVA-OneVision as its authors publish it, made of a golden checkpoint in the layout of transformers.
@Suite struct LLaVAQwenTests {
  private static let source = TinyModels.folder + "llavaov-tiny-a"
  /// Plain ChatML on messages that are one text, as Qwen2's tokenizer has it.
  private static let template =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

  /// The authors' names of tensors.
  private static func name(_ name: String) -> String {
    let projector = [
      "multi_modal_projector.linear_1": "mm_projector.0", "multi_modal_projector.linear_2": "mm_projector.2",
    ]
    for (ours, theirs) in projector where name.hasPrefix(ours) { return "model." + theirs + name.dropFirst(ours.count) }
    if name.hasPrefix("language_model.") { return String(name.dropFirst("language_model.".count)) }
    if name.hasPrefix("vision_tower.") {
      return "model.vision_tower.vision_tower.vision_model." + name.dropFirst("vision_tower.".count)
    }
    return "model." + name
  }

  /// Their `config.json`. The section on the tower, which their folders do not have, says one block more than the file holds.
  private static func config(_ changes: [String: JSON?] = [:]) throws -> JSON {
    let old = try JSON(contentsOf: source + "/config.json")
    var config = old["text_config"]!.object!
    let rope = config["rope_parameters"]!["rope_theta"]
    config["rope_parameters"] = nil
    config["rope_theta"] = rope
    config["rope_scaling"] = .null
    var tower = old["vision_config"]!.object!
    tower["num_hidden_layers"] = JSON(tower["num_hidden_layers"]!.int! + 1)
    config["vision_config"] = .object(tower)
    for key in ["image_grid_pinpoints", "image_token_index", "video_token_index"] { config[key] = old[key] }
    for (key, value) in [
      ("model_type", "llava"), ("mm_vision_tower", "google/siglip-so400m-patch14-384"), ("mm_vision_select_layer", -2),
      ("mm_vision_select_feature", "patch"), ("mm_patch_merge_type", "spatial_unpad"),
      ("image_aspect_ratio", old["vision_aspect_ratio"]!), ("mm_projector_type", "mlp2x_gelu"),
      ("mm_spatial_pool_mode", "bilinear"), ("mm_newline_position", "one_token"), ("mm_resampler_type", .null),
    ] as [(String, JSON)] { config[key] = value }
    for (key, value) in changes { config[key] = value }
    return .object(config)
  }

  /// Two folders that are gone after `body`: one as transformers has it, one as the authors have it.
  private func withFolders(
    _ changes: [String: JSON?] = [:], _ body: (_ ours: String, _ theirs: String) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/llava-qwen-\(UUID().uuidString)"
    let (ours, theirs) = (folder + "/ours", folder + "/theirs")
    try FileManager.default.createDirectory(atPath: theirs, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.copyItem(atPath: Self.source, toPath: ours)
    func write(_ json: JSON, _ path: String) throws { try Data(json.text().utf8).write(to: URL(fileURLWithPath: path)) }
    var settings = try JSON(contentsOf: Self.source + "/tokenizer_config.json").object!
    settings["chat_template"] = JSON(Self.template)
    for path in [ours, theirs] { try write(.object(settings), path + "/tokenizer_config.json") }
    try write(Self.config(changes), theirs + "/config.json")
    try FileManager.default.copyItem(
      atPath: Self.source + "/generation_config.json", toPath: theirs + "/generation_config.json")
    // Their tokenizer has no token that stands for an image.
    var tokenizer = try JSON(contentsOf: Self.source + "/tokenizer.json").object!
    tokenizer["added_tokens"] = .array(
      tokenizer["added_tokens"]!.array!.filter { !["<image>", "<video>"].contains($0["content"]!.string) })
    try write(.object(tokenizer), theirs + "/tokenizer.json")
    let file = try Safetensors(path: Self.source + "/model.safetensors")
    try Safetensors.write(
      file.entries.map { (Self.name($0.name), .f32(try file.tensor($0.name))) }, to: theirs + "/model.safetensors")
    try body(ours, theirs)
  }

  private static func photo(_ width: Int, _ height: Int, _ step: Int) -> Image {
    var image = Image(width: width, height: height, colour: [0, 0, 0])
    for index in image.rgb.indices { image.rgb[index] = UInt8(index * step / 5 % 256) }
    return image
  }

  @Test(arguments: ["llava", "llava_qwen"]) func equalsTheOtherLayoutToTheBit(_ type: String) throws {
    try withFolders(["model_type": JSON(type)]) { ours, theirs in
      #expect(MultimodalModel.familyName(try JSON(contentsOf: theirs + "/config.json")) == "llava-qwen")
      let (one, other) = (try Generator(model: ours), try Generator(model: theirs))
      #expect(one.model.shape == other.model.shape && one.model.stops == other.model.stops)
      for pictures in [[Self.photo(90, 40, 3)], [Self.photo(60, 62, 7), Self.photo(31, 80, 2)]] {
        let prompts = try [one, other].map { try $0.prepare("What is it?", about: pictures) }
        #expect(prompts[0].ids == prompts[1].ids && prompts[0].text == prompts[1].text)
        #expect(prompts[0].images == prompts[1].images)
        let found = try zip([one, other], prompts).map { generator, prompt in
          var run = Run(generator.composition)
          return try generator.model.prefill(prompt.ids, prompt.images, run: &run).tokens.x
        }
        let isSame = found[0] == found[1]
        #expect(isSame)
        #expect(try one(prompts[0], limit: 8).ids == other(prompts[1], limit: 8).ids)
      }
      let frames = try Video([Self.photo(40, 40, 3), Self.photo(40, 40, 4)], rate: 2, names: ["a", "b"])
      let videos = try [one, other].map { try $0.prepare("What?", about: [$0.video(frames)]) }
      #expect(videos[0].ids == videos[1].ids)
      #expect(try one(videos[0], limit: 8).ids == other(videos[1], limit: 8).ids)
    }
  }

  /// What the folder does not say, and what the authors' code does otherwise.
  @Test(
    arguments: [
      ("mm_patch_merge_type", nil), ("mm_patch_merge_type", "flat"), ("mm_vision_select_layer", nil),
      ("mm_vision_select_layer", -1), ("image_grid_pinpoints", nil), ("image_grid_pinpoints", "(1x1),...,(6x6)"),
      ("image_grid_pinpoints", [[31, 62], [31, 31]]), ("mm_vision_tower", 3), ("mm_projector_type", "linear"),
      ("mm_spatial_pool_mode", "average"), ("mm_newline_position", "grid"), ("mm_resampler_type", "perceiver"),
      ("mm_vision_select_feature", "cls_patch"), ("image_aspect_ratio", "anyres_max_0"),
    ] as [(String, JSON?)]) func wrongKeysAreNamed(_ key: String, _ value: JSON?) throws
  {
    try withFolders([key: value]) { _, theirs in
      let error = #expect(throws: ModelError.self) { try Generator(model: theirs) }
      #expect(error?.description.contains(key) == true, "\(error?.description ?? "")")
    }
  }

  /// A tower whose processor nobody knows needs a file; one without a section needs the published name.
  @Test func otherTowers() throws {
    try withFolders(["mm_vision_tower": "google/siglip2-so400m-patch14-384"]) { ours, theirs in
      let error = #expect(throws: ModelError.self) { try Generator(model: theirs) }
      #expect(error == .noProcessor(model: theirs))
      let named = try Checkpoint(directory: theirs).preparing(by: ours + "/processor_config.json")
      let photo = Self.photo(90, 40, 3)
      #expect(
        try Generator(named, method: nil)("Hm?", about: [photo], limit: 4).ids
          == Generator(model: ours)("Hm?", about: [photo], limit: 4).ids)
    }
    try withFolders(["mm_vision_tower": "openai/clip-vit-large-patch14-336", "vision_config": nil]) {
      _, theirs in
      let error = #expect(throws: ModelError.self) { try Generator(model: theirs) }
      #expect(error?.description.contains("mm_vision_tower") == true, "\(error?.description ?? "")")
    }
    // LLaVA-1.5's folders name a tower too, and are what they were.
    #expect(
      MultimodalModel.familyName(["model_type": "llava", "mm_vision_tower": "x", "image_aspect_ratio": "pad"])
        == "llava")
  }

  /// The published shapes, from the name of the tower alone.
  @Test func theTowerIsKnownByItsName() throws {
    var config = try Self.config(["vision_config": nil]).object!
    for (key, value) in [
      ("hidden_size", 896), ("num_hidden_layers", 24), ("num_attention_heads", 14), ("num_key_value_heads", 2),
      ("intermediate_size", 4864), ("vocab_size", 152000), ("image_aspect_ratio", "anyres_max_9"),
    ] as [(String, JSON)] { config[key] = value }
    let sides = (1...6).map { $0 * 384 }
    config["image_grid_pinpoints"] = .array(sides.flatMap { side in sides.map { JSON([side, $0]) } })
    let (own, published) = (
      try ModelOutline(config: .object(config)), try #require(ModelOutline.published("llava-onevision-0.5b"))
    )
    #expect(own.shape.tower == published.shape.tower && own.shape.layout == published.shape.layout)
    for size in [Size(width: 899, height: 1024), Size(1300), Size(width: 3000, height: 4000)] {
      #expect(try own.visualTokens(of: size) == published.visualTokens(of: size))
    }
  }
}
