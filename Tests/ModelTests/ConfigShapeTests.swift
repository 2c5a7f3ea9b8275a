import Foundation
import Testing
import VTok

/// A tower's shape from config.json alone is the one that loading the weights finds.
@Suite struct ConfigShapeTests {
  static let cases = (#filePath as NSString).deletingLastPathComponent + "/../Golden/Cases/vit-runtime"
  static let folders = try! FileManager.default.contentsOfDirectory(atPath: cases).sorted()
    .map { cases + "/" + $0 }.filter { FileManager.default.fileExists(atPath: $0 + "/config.json") }

  @Test(arguments: folders) func likeTheLoadedModel(_ folder: String) throws {
    let config = try JSON(parsing: [UInt8](FileManager.default.contents(atPath: folder + "/config.json")!))
    let loaded = try VisionModel.load(Checkpoint(directory: folder))
    #expect(try Shape.Tower(config: config, processor: ProcessorFile(directory: folder)) == loaded.tower.shape)
  }

  @Test func thereAreFolders() { #expect(Self.folders.count >= 15) }

  @Test func unknownFamilyIsNamed() {
    #expect(throws: ModelError.self) { try Shape.Tower(config: ["model_type": "swin"]) }
  }

  /// GMACs of the table in the cost convention of timm.
  @Test(arguments: [
    ("deit-t", 1.254), ("deit-s", 4.599), ("deit-s-distilled", 4.624), ("deit-b", 17.564), ("vit-l-mae", 61.555),
    ("vit-h-mae", 167.295), ("vit-b-augreg-384", 55.484), ("clip-b-32", 4.408), ("clip-l-14", 81.01),
    ("clip-l-14-336", 190.96), ("siglip-b-16", 17.708), ("siglip-so400m-14-384", 335.17), ("dinov2-s", 6.124),
    ("dinov2-s-518", 46.70),
  ]) func namedShape(_ name: String, gmacs: Double) throws {
    let shape = try #require(Shape.published(name))
    let cost = Cost(denseWith: shape.tower!.patches, shape: shape)
    #expect(abs(cost.gmacs - gmacs) < 0.0051)
  }

  /// The numbers of a named model are those of the published one: its linear layers and embeddings hold as many weights
  /// as transformers counts parameters, but for norms, biases and positions.
  @Test(arguments: [
    ("llava-1.5-7b", 7_063_427_072), ("llava-1.5-13b", 13_351_494_656), ("llava-next-7b", 7_063_431_168),
    ("llava-next-mistral-7b", 7_566_747_648), ("idefics3-8b", 8_462_152_688), ("smolvlm-256m", 256_484_928),
    ("smolvlm-500m", 507_482_304), ("smolvlm-2.2b", 2_246_272_880), ("qwen2-vl-2b", 2_208_985_600),
    ("qwen2-vl-7b", 8_291_375_616), ("qwen2-vl-72b", 73_405_560_320), ("qwen2.5-vl-3b", 3_754_622_976),
    ("llava-onevision-0.5b", 893_675_552), ("llava-onevision-7b", 8_030_807_584), ("internvl3-1b", 938_193_024),
    ("internvl3-8b", 7_944_373_760), ("internvl3.5-8b", 8_528_318_464),
    ("internvl3.5-1b", 1_060_897_792), ("smolvlm2-256m", 256_484_928), ("smolvlm2-2.2b", 2_246_784_880),
    ("paddleocr-vl", 905_601_648), ("qwen2.5-vl-7b", 8_292_166_656), ("qwen2.5-vl-32b", 33_452_718_336),
    ("qwen2.5-vl-72b", 73_410_777_344),
  ]) func namedLanguageModel(_ name: String, parameters: Int) throws {
    let shape = try #require(Shape.published(name))
    let (tower, decoder) = (try #require(shape.tower), try #require(shape.decoder))
    let (wide, deep) = (tower.width, decoder.width)
    let attention = 2 * deep * (decoder.heads + decoder.kvHeads) * decoder.headDim
    // The small Qwens use one matrix for embedding and head.
    let tables = ["qwen2-vl-2b", "qwen2.5-vl-3b", "llava-onevision-0.5b"].contains(name) ? 1 : 2
    let weights =
      3 * tower.frames * tower.patch * tower.patch * wide
      + tower.blocks * (4 * wide * wide + tower.ffnMatrices * wide * tower.ffn) + shape.connectorMACs
      + decoder.layers * (attention + 3 * deep * decoder.ffn) + tables * decoder.vocabulary * deep
    #expect(weights <= parameters && Double(weights) > 0.995 * Double(parameters))
  }

  /// A published name and a downloaded config.json, with what such files leave out, are the same model.
  @Test func publishedFiles() throws {
    let llava = try Shape(config: [
      "model_type": "llava", "image_token_index": 32000,
      "text_config": ["model_type": "llama", "rms_norm_eps": 1e-05, "vocab_size": 32064],
      "vision_config": [
        "model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
        "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
      ], "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
    ])
    #expect(llava == Shape.published("llava-1.5-7b"))
    #expect(llava.tower?.featureBlock == 22 && llava.layout == Shape.Layout(tiling: .one))
    // Qwen's old files keep the text keys at the top.
    let qwen = try Shape(config: [
      "model_type": "qwen2_5_vl", "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
      "num_hidden_layers": 28, "num_key_value_heads": 4, "vocab_size": 152064, "rope_theta": 1000000.0,
      "rope_scaling": ["type": "mrope", "mrope_section": [16, 24, 24]],
      "vision_config": [
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        "out_hidden_size": 3584,
      ],
    ])
    #expect(qwen == Shape.published("qwen2.5-vl-7b"))
  }

  /// CLIP-L/14-336 up to the last block but one, the projector, and one row of the head.
  @Test func partsOfLLaVA() throws {
    let shape = try #require(Shape.published("llava-1.5-7b"))
    let tower = Cost(denseWith: 576, shape: shape)
    #expect(tower.layers.count == 23 && abs(tower.gmacs - 183.0) < 0.5)
    #expect(shape.connectorMACs * 576 == 12_079_595_520)
  }

  @Test(
    arguments: [
      ["model_type": "llava", "vision_feature_layer": -30],
      ["model_type": "llava", "text_config": ["num_hidden_layers": "many"]], ["model_type": "idefics3"],
    ] as [JSON]) func nonsenseIsNamed(_ config: JSON)
  {
    #expect(throws: ModelError.self) { try Shape(config: config) }
  }
}
