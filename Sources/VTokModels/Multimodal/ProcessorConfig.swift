import VTokCore
import VTokImage
import VTokWeights

/// Makes the image processor of a vision-language checkpoint. Values that its file leaves out are those of the published
/// models, with the sizes of `config.json`.
public enum ProcessorConfig {
  /// - Throws: `ModelError` for a value that makes no sense or a processor that is not built; `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> any TiledProcessor {
    try read(checkpoint.processorFile, config: checkpoint.config)
  }

  /// - Parameters:
  ///   - file: nil: there is none.
  ///   - config: `config.json`.
  package static func read(_ file: ProcessorFile?, config: JSON) throws -> any TiledProcessor {
    let section = Section(settings: (file ?? ProcessorFile([:])).values, config: Config(json: config))
    let own = try MultimodalModel.family(config)?.processor(section.config)
    switch try file?.type() ?? own ?? section.config.string("model_type") ?? "" {
    case "LlavaImageProcessor":
      var processor = try section.clip()
      // Research checkpoints have no file of their own for this, and say it in config.json.
      let pads = try section.settings.bool(
        "do_pad", file == nil && section.config.string("image_aspect_ratio") == "pad")
      if pads { processor.padToSquare = ImageProcessor.padding(mean: processor.mean) }
      return processor
    case "CLIPImageProcessor", "CLIPFeatureExtractor": return try section.clip()
    case "LlavaNextImageProcessor": return try section.anyResolution()
    case "Idefics3ImageProcessor", "SmolVLMImageProcessor": return try section.splitting()
    case "Qwen2VLImageProcessor": return try section.mergedPatches()
    case let other:
      throw section.settings.unfit(
        "image_processor_type",
        "one of CLIP, Llava, LlavaNext, Idefics3, SmolVLM or Qwen2VL with 'ImageProcessor' behind it",
        found: "'\(other)'")
    }
  }
}

/// The values of one processor file.
private struct Section {
  let settings: Config
  /// `config.json`.
  let config: Config

  /// More tiles than this no model cuts a picture into; published ones go up to 40.
  private static let tileLimit = 256

  /// A size of the tower by `config.json`.
  func tower(_ key: String) throws(ModelError) -> Int? { try config.intIfPresent("vision_config.\(key)") }

  /// Shortest edge and centre crop.
  func clip() throws -> ImageProcessor {
    let side = try tower("image_size") ?? 336
    return try read(
      settings,
      fallback: ImageProcessor(
        resize: .shortestEdge(side), filter: .bicubic, crop: Size(side), mean: ImageProcessor.clipMean,
        std: ImageProcessor.clipStd))
  }

  /// As transformers 5.23 with Pillow 13, which the goldens of these models were made with.
  private func read(_ settings: Config, fallback: ImageProcessor) throws -> ImageProcessor {
    var processor = try ImageProcessor.huggingFace(settings, fallback: fallback, bareSizeIsSquare: false)
    processor.passes = .cheaperFirst
    return processor
  }

  /// Filter and normalisation alone: `size` means something else here.
  func pixels(filter: Resample, mean: [Float], std: [Float]) throws -> ImageProcessor {
    try read(
      settings.without(["size", "crop_size", "do_center_crop", "do_resize"]),
      fallback: ImageProcessor(resize: .none, filter: filter, mean: mean, std: std))
  }

  func anyResolution() throws -> AnyResolutionProcessor {
    let tile = try clip()
    // The official code takes both sizes as they stand, also where tiles are neither resized nor cropped.
    let sizes = try Section(settings: settings.without(["do_resize", "do_center_crop"]), config: config).clip()
    let thumbnail =
      switch sizes.resize {
      case .exact(let width, let height): Size(width: width, height: height)
      case .shortestEdge(let edge): Size(edge)
      default: preconditionFailure("clip() resizes")
      }
    let side = sizes.crop?.height ?? thumbnail.height
    let key = "image_grid_pinpoints"
    let source = settings.has(key) ? settings : config
    let tiles = [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]]
    let pinpoints = (try source.pairs(key) ?? tiles.map { $0.map { $0 * side } }).map {
      Size(width: $0[1], height: $0[0])
    }
    guard
      pinpoints.allSatisfy({
        AnyResolutionProcessor.isMultiple($0, of: side)
          && ($0.width / side) * ($0.height / side) <= Self.tileLimit
      })
    else {
      throw source.unfit(
        key, "[height, width] of multiples of the tile's \(side) pixels, at most \(Self.tileLimit) tiles")
    }
    return AnyResolutionProcessor(tile: tile, thumbnail: thumbnail, side: side, pinpoints: pinpoints)
  }

  func splitting() throws -> SplittingProcessor {
    let side = try settings.intIfPresent("max_image_size.longest_edge") ?? tower("image_size") ?? 364
    if settings.has("size"), !settings.has("size.longest_edge") {
      throw settings.unfit("size", "an object with longest_edge")
    }
    let longest = try settings.intIfPresent("size.longest_edge") ?? 4 * side
    let across = (longest + side - 1) / side
    guard across * across <= Self.tileLimit else {
      throw settings.unfit("size.longest_edge", "at most \(Self.tileLimit) tiles of \(side) pixels")
    }
    return SplittingProcessor(
      pixels: try pixels(filter: .lanczos, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]),
      longestEdge: try settings.bool("do_resize", true) ? longest : nil, side: side,
      splits: try settings.bool("do_image_splitting", true))
  }

  /// A limit on the number of pixels, which has had three places.
  private func pixels(_ key: String, _ edge: String) throws -> Int? {
    for path in [key, "size.\(edge)", "size.\(key)"] {
      if let number = try settings.intIfPresent(path, in: 1...1 << 26) { return number }
    }
    return nil
  }

  func mergedPatches() throws -> MergedPatchProcessor {
    let least = try pixels("min_pixels", "shortest_edge") ?? 3136
    let most = try pixels("max_pixels", "longest_edge") ?? 1_003_520
    guard least <= most else { throw settings.unfit("max_pixels", "at least the \(least) of min_pixels") }
    return MergedPatchProcessor(
      pixels: try pixels(filter: .bicubic, mean: ImageProcessor.clipMean, std: ImageProcessor.clipStd),
      patch: try settings.intIfPresent("patch_size") ?? tower("patch_size") ?? 14,
      merge: try settings.intIfPresent("merge_size") ?? tower("spatial_merge_size") ?? 2,
      frames: try settings.intIfPresent("temporal_patch_size") ?? tower("temporal_patch_size") ?? 2,
      area: try settings.bool("do_resize", true) ? least...most : nil)
  }
}

extension Config {
  /// The same values but for some keys.
  fileprivate func without(_ keys: [String]) -> Config {
    var members = json.object ?? JSONObject()
    for key in keys { members[key] = nil }
    return Config(json: .object(members), file: file, path: path)
  }

  /// A list of `[height, width]` that is not empty.
  fileprivate func pairs(_ key: String) throws(ModelError) -> [[Int]]? {
    guard let value = json.value(at: key) else { return nil }
    let pairs = value.array?.compactMap(\.ints) ?? []
    guard !pairs.isEmpty, pairs.count == value.array?.count,
      pairs.allSatisfy({ $0.count == 2 && $0.allSatisfy((1...8192).contains) })
    else { throw unfit(key, "a list of [height, width] of 1 to 8192 pixels") }
    return pairs
  }
}
