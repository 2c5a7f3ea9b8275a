import VTokCore
import VTokWeights

/// Vision-language models whose cost can be asked for by name: what their `config.json` says beyond the defaults of
/// their class, read by the same code as a downloaded file.
enum PublishedConfigs {
  /// `preprocessor_config.json` of the Qwens; the others have the defaults of their processors.
  static func processor(_ name: String) -> ProcessorFile? {
    name.hasPrefix("qwen") ? ProcessorFile(["min_pixels": 3136, "max_pixels": 12_845_056]) : nil
  }

  static let all: [(name: String, config: JSON)] = [
    ("llava-1.5-7b", llava(vicuna7B)), ("llava-1.5-13b", llava(vicuna13B)),
    ("p-mod-llava-1.5-7b", pMoD(llava(vicuna7B))), ("p-mod-llava-next-7b", pMoD(next(vicuna7B))),
    ("llava-next-7b", next(vicuna7B)), ("llava-next-13b", next(vicuna13B)),
    ("llava-next-mistral-7b", next(["model_type": "mistral", "vocab_size": 32064, "rope_theta": 1e6])),
    (
      "llava-next-34b",
      next(llama(7168, layers: 60, heads: 56, kvHeads: 8, ffn: 20480, vocabulary: 64064, theta: 5e6))
    ),
    (
      "llava-next-llama3-8b",
      next(llama(4096, layers: 32, heads: 32, kvHeads: 8, ffn: 14336, vocabulary: 128320, theta: 5e5))
    ),
    (
      "idefics3-8b",
      idefics3(
        so400m(364), scale: 2,
        llama(4096, layers: 32, heads: 32, kvHeads: 8, ffn: 14336, vocabulary: 128259, theta: 5e5))
    ),
    (
      "smolvlm-256m",
      idefics3(
        base512, scale: 4, llama(576, layers: 30, heads: 9, kvHeads: 3, ffn: 1536, vocabulary: 49280, theta: 1e5))
    ),
    (
      "smolvlm-500m",
      idefics3(
        base512, scale: 4, llama(960, layers: 32, heads: 15, kvHeads: 5, ffn: 2560, vocabulary: 49280, theta: 1e5))
    ),
    (
      "smolvlm-2.2b",
      idefics3(
        so400m(384), scale: 3,
        llama(2048, layers: 24, heads: 32, kvHeads: 32, ffn: 8192, vocabulary: 49155, theta: 273768))
    ),
    ("qwen2-vl-2b", qwen2(llama(1536, layers: 28, heads: 12, kvHeads: 2, ffn: 8960, vocabulary: 151936))),
    ("qwen2-vl-7b", qwen2(llama(3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 152064))),
    ("qwen2-vl-72b", qwen2(llama(8192, layers: 80, heads: 64, kvHeads: 8, ffn: 29568, vocabulary: 152064))),
    ("qwen2.5-vl-3b", qwen25(llama(2048, layers: 36, heads: 16, kvHeads: 2, ffn: 11008, vocabulary: 151936))),
    ("qwen2.5-vl-7b", qwen25(llama(3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 152064))),
    (
      "qwen2.5-vl-32b",
      qwen25(llama(5120, layers: 64, heads: 40, kvHeads: 8, ffn: 27648, vocabulary: 152064), towerFFN: 3456)
    ),
    (
      "qwen2.5-vl-72b",
      qwen25(llama(8192, layers: 80, heads: 64, kvHeads: 8, ffn: 29568, vocabulary: 152064), towerFFN: 3456)
    ),
  ]

  private static let vicuna7B: JSON = ["vocab_size": 32064]
  private static let vicuna13B = llama(5120, layers: 40, heads: 40, kvHeads: 40, ffn: 13824, vocabulary: 32064)

  private static func llama(
    _ width: Int, layers: Int, heads: Int, kvHeads: Int, ffn: Int, vocabulary: Int, theta: Double? = nil
  ) -> JSON {
    [
      "hidden_size": JSON(width), "num_hidden_layers": JSON(layers), "num_attention_heads": JSON(heads),
      "num_key_value_heads": JSON(kvHeads), "intermediate_size": JSON(ffn), "vocab_size": JSON(vocabulary),
      "rope_theta": theta.map { JSON($0) } ?? .null,
    ]
  }

  private static func llava(_ text: JSON) -> JSON { ["model_type": "llava", "text_config": text] }
  private static func next(_ text: JSON) -> JSON { ["model_type": "llava_next", "text_config": text] }

  /// Progressive ratio decay around a half, on the same model.
  private static func pMoD(_ model: JSON) -> JSON {
    var config = model.object!
    var text = config["text_config"]!.object!
    text["mod_target_layers"] = "shiftedcos_decay_0.85_0.15"
    config["text_config"] = .object(text)
    return .object(config)
  }

  private static func idefics3(_ vision: JSON, scale: Int, _ text: JSON) -> JSON {
    ["model_type": "idefics3", "scale_factor": JSON(scale), "vision_config": vision, "text_config": text]
  }
  private static func so400m(_ side: Int) -> JSON {
    [
      "hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304,
      "image_size": JSON(side), "patch_size": 14,
    ]
  }
  private static let base512: JSON = [
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "image_size": 512, "patch_size": 16,
  ]

  /// The text keys stand at the top of these files.
  private static func qwen2(_ text: JSON) -> JSON { qwen("qwen2_vl", text, vision: [:]) }
  private static func qwen25(_ text: JSON, towerFFN: Int = 3420) -> JSON {
    qwen("qwen2_5_vl", text, vision: ["intermediate_size": JSON(towerFFN)])
  }
  private static func qwen(_ type: String, _ text: JSON, vision: JSON) -> JSON {
    var config = text.object!
    config["model_type"] = JSON(type)
    config["vision_config"] = vision
    config["rope_scaling"] = ["type": "mrope", "mrope_section": [16, 24, 24]]
    return .object(config)
  }
}
