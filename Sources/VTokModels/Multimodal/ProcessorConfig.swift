import VTokCore
import VTokImage
import VTokWeights

/// Reads the image processor of a vision-language checkpoint: `preprocessor_config.json`, or the part of
/// `processor_config.json` in its place. Values that the file leaves out are those of the published models, with the
/// sizes of `config.json`.
public enum ProcessorConfig {
  /// - Throws: `ModelError` for a value that makes no sense or a processor that is not built; `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> any TiledProcessor {
    try read(checkpoint.imageProcessor, config: checkpoint.config)
  }

  /// - Parameters:
  ///   - json: the processor's file; nil: there is none.
  ///   - config: `config.json`.
  package static func read(_ json: JSON?, config: JSON) throws -> any TiledProcessor {
    let section = Section(json: json ?? [:], config: config)
    let type = (json?["image_processor_type"] ?? json?["feature_extractor_type"])?.string
    let family = config["model_type"]?.string ?? ""
    switch type.map(plainName) ?? processor(family, config) ?? family {
    case "LlavaImageProcessor":
      var processor = try section.clip()
      // Research checkpoints have no file of their own for this, and say it in config.json.
      let pads = try section.bool("do_pad", json == nil && config["image_aspect_ratio"]?.string == "pad")
      if pads { processor.padToSquare = ImageProcessor.padding(mean: processor.mean) }
      return processor
    case "CLIPImageProcessor", "CLIPFeatureExtractor": return try section.clip()
    case "LlavaNextImageProcessor": return try section.anyResolution()
    case "Idefics3ImageProcessor", "SmolVLMImageProcessor": return try section.splitting()
    case "Qwen2VLImageProcessor": return try section.mergedPatches()
    case let other:
      throw ModelError.configuration(
        file: section.file, key: "image_processor_type", found: "'\(other)'",
        expected: "one of CLIP, Llava, LlavaNext, Idefics3, SmolVLM or Qwen2VL with 'ImageProcessor' behind it")
    }
  }

  /// By `model_type`, where the file does not name its processor.
  private static func processor(_ family: String, _ config: JSON) -> String? {
    switch family {
    case "llava", "llava_llama", "llava_mistral", "llava_next", "pmod_llava_llama":
      HuggingFaceConfig.isNext(config) ? "LlavaNextImageProcessor" : "LlavaImageProcessor"
    case "idefics3": "Idefics3ImageProcessor"
    case "smolvlm": "SmolVLMImageProcessor"
    case "qwen2_vl", "qwen2_5_vl": "Qwen2VLImageProcessor"
    default: nil
    }
  }

  /// Without the name of the backend, which changes nothing but rounding.
  private static func plainName(_ type: String) -> String {
    for backend in ["Fast", "Pil"] where type.hasSuffix(backend) { return String(type.dropLast(backend.count)) }
    return type
  }
}

/// The values of one processor file.
private struct Section {
  var json: JSON
  let config: JSON
  let file = "preprocessor_config.json"

  func fail(_ key: String, _ expected: String) -> ModelError {
    .configuration(file: file, key: key, found: json.value(at: key)?.text() ?? "missing", expected: expected)
  }

  func positive(_ key: String, upTo limit: Int = 1 << 14) throws -> Int? {
    guard let value = json.value(at: key) else { return nil }
    guard let number = value.int, (1...limit).contains(number) else { throw fail(key, "1 to \(limit)") }
    return number
  }

  func bool(_ key: String, _ fallback: Bool) throws -> Bool {
    guard let value = json.value(at: key) else { return fallback }
    guard let value = value.bool else { throw fail(key, "true or false") }
    return value
  }

  /// A size of the tower by `config.json`.
  func tower(_ key: String) -> Int? { config.value(at: "vision_config.\(key)")?.int.flatMap { $0 > 0 ? $0 : nil } }

  /// Shortest edge and centre crop.
  func clip() throws -> ImageProcessor {
    let side = tower("image_size") ?? 336
    for key in ["shortest_edge", "height", "width"] {
      _ = try positive("size.\(key)")
      _ = try positive("crop_size.\(key)")
    }
    return try read(
      json,
      fallback: ImageProcessor(
        resize: .shortestEdge(side), filter: .bicubic, crop: Size(side), mean: ImageProcessor.clipMean,
        std: ImageProcessor.clipStd))
  }

  /// As transformers 5.23 with Pillow 13, which the goldens of these models were made with.
  private func read(_ json: JSON, fallback: ImageProcessor) throws -> ImageProcessor {
    var processor = try ImageProcessor.huggingFace(json, fallback: fallback, bareSizeIsSquare: false)
    processor.passes = .cheaperFirst
    return processor
  }

  /// Filter and normalisation alone: `size` means something else here.
  func pixels(filter: Resample, mean: [Float], std: [Float]) throws -> ImageProcessor {
    var members = json.object ?? JSONObject()
    for key in ["size", "crop_size", "do_center_crop", "do_resize"] { members[key] = nil }
    return try read(
      .object(members), fallback: ImageProcessor(resize: .none, filter: filter, mean: mean, std: std))
  }

  func anyResolution() throws -> AnyResolutionProcessor {
    let tile = try clip()
    let thumbnail =
      switch tile.resize {
      case .shortestEdge(let edge): Size(edge)
      case .exact(let width, let height): Size(width: width, height: height)
      default: tile.crop ?? Size(tower("image_size") ?? 336)
      }
    let side = tile.crop?.height ?? thumbnail.height
    let key = "image_grid_pinpoints"
    let pairs = try (json.value(at: key) ?? config.value(at: key)).map { value in
      let pairs = value.array?.compactMap(\.ints) ?? []
      guard !pairs.isEmpty, pairs.count == value.array?.count, pairs.allSatisfy({ $0.count == 2 }) else {
        throw fail(key, "a list of [height, width]")
      }
      return pairs
    }
    let tiles = [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]]
    let pinpoints = (pairs ?? tiles.map { $0.map { $0 * side } }).map { Size(width: $0[1], height: $0[0]) }
    guard
      pinpoints.allSatisfy({ AnyResolutionProcessor.isMultiple($0, of: side) && max($0.width, $0.height) <= 1 << 16 })
    else { throw fail(key, "[height, width] of multiples of the tile's \(side) pixels") }
    return AnyResolutionProcessor(tile: tile, thumbnail: thumbnail, side: side, pinpoints: pinpoints)
  }

  func splitting() throws -> SplittingProcessor {
    let side = try positive("max_image_size.longest_edge") ?? tower("image_size") ?? 364
    if json.value(at: "size") != nil, json.value(at: "size.longest_edge") == nil {
      throw fail("size", "an object with longest_edge")
    }
    let longest = try positive("size.longest_edge") ?? 4 * side
    return SplittingProcessor(
      pixels: try pixels(filter: .lanczos, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]),
      longestEdge: try bool("do_resize", true) ? longest : nil, side: side, splits: try bool("do_image_splitting", true)
    )
  }

  /// A limit on the number of pixels, which has had three places.
  private func pixels(_ key: String, _ edge: String) throws -> Int? {
    for path in [key, "size.\(edge)", "size.\(key)"] {
      if let number = try positive(path, upTo: 1 << 30) { return number }
    }
    return nil
  }

  func mergedPatches() throws -> MergedPatchProcessor {
    let least = try pixels("min_pixels", "shortest_edge") ?? 3136
    let most = try pixels("max_pixels", "longest_edge") ?? 1_003_520
    guard least <= most else { throw fail("max_pixels", "at least the \(least) of min_pixels") }
    return MergedPatchProcessor(
      pixels: try pixels(filter: .bicubic, mean: ImageProcessor.clipMean, std: ImageProcessor.clipStd),
      patch: try positive("patch_size") ?? tower("patch_size") ?? 14,
      merge: try positive("merge_size") ?? tower("spatial_merge_size") ?? 2,
      frames: try positive("temporal_patch_size") ?? tower("temporal_patch_size") ?? 2,
      area: try bool("do_resize", true) ? least...most : nil)
  }
}
