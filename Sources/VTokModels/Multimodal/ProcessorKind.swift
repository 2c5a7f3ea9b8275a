import VTokCore
import VTokImage
import VTokWeights

/// An official image processor.
struct ProcessorKind: Sendable {
  /// `image_processor_type` or `feature_extractor_type` in files, without the name of a backend.
  let names: [String]
  let read: @Sendable (ProcessorValues) throws -> any TiledProcessor

  /// Every one that a file may name.
  static let all = Families.multimodal.flatMap(\.processors)
}

/// Makes the image processor of a vision-language checkpoint. Values that its file leaves out are those of the published
/// models, with the sizes of `config.json`.
public enum ProcessorConfig {
  /// - Throws: `ModelError` for a value that makes no sense or a processor that is not built; `WeightError`.
  public static func load(_ checkpoint: Checkpoint) throws -> any TiledProcessor {
    let file = try checkpoint.processorFile
    try require(file, config: checkpoint.config, of: checkpoint.name)
    return try read(file, config: checkpoint.config)
  }

  /// Refuses a folder that says nothing about images. Some families say it in `config.json`: InternVL as its authors publish
  /// it, and the authors of LLaVA by the name of a published tower whose processor they take.
  static func require(_ file: ProcessorFile?, config: JSON, of name: String) throws(ModelError) {
    guard file == nil, let family = MultimodalFamily.of(config), family.readsProcessorFile else { return }
    let tower = try Config(json: config).string("mm_vision_tower")
    if tower.map(family.namesProcessor) != true { throw .noProcessor(model: name) }
  }

  /// - Parameters:
  ///   - file: nil: there is none.
  ///   - config: `config.json`.
  package static func read(_ given: ProcessorFile?, config: JSON) throws -> any TiledProcessor {
    let family = MultimodalFamily.of(config)
    let file = family?.readsProcessorFile ?? true ? given : nil
    let values = ProcessorValues(
      settings: (file ?? ProcessorFile([:])).values, config: Config(json: config), hasFile: file != nil,
      videoSettings: file?.videos, videos: family?.videos)
    let name = try file?.type()
    let kind: ProcessorKind? =
      if let name { ProcessorKind.all.first { $0.names.contains(name) } } else {
        family?.processor(values.config)
      }
    guard let kind else {
      let type = try name ?? values.config.string("model_type") ?? ""
      let known = ProcessorKind.all.flatMap(\.names).compactMap { name in
        name.hasSuffix("ImageProcessor") ? String(name.dropLast("ImageProcessor".count)) : nil
      }
      throw values.settings.unfit(
        "image_processor_type",
        "one of \(known.dropLast().joined(separator: ", ")) or \(known.last!) with 'ImageProcessor' behind it",
        found: "'\(type)'")
    }
    return try kind.read(values)
  }
}

/// How a family resizes the frames of videos.
struct VideoRule: Sendable {
  /// Pixels that frames may have, where no file says it.
  let area: ClosedRange<Int>
  /// Whether these are those of all frames together; else of each.
  let isOfAll: Bool
}

/// The values of one processor file, as official processors read them.
struct ProcessorValues {
  let settings: Config
  /// `config.json`.
  let config: Config
  /// Whether there is a file; else every value is the family's own.
  let hasFile: Bool
  /// Values for videos, where files tell them apart, and what the family does with frames; nil: nothing.
  var videoSettings: Config?
  var videos: VideoRule?

  /// More tiles than this no model cuts an image into; published ones go up to 40.
  static let tileLimit = 256

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

  /// Both sides as they are given, no crop: SigLIP's.
  func square() throws -> ImageProcessor {
    let side = try tower("image_size") ?? 224
    return try read(
      settings.without(["crop_size", "do_center_crop"]),
      fallback: ImageProcessor(
        resize: .exact(width: side, height: side), filter: .bicubic, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]))
  }

  /// As transformers 5.23 with Pillow 13, which the goldens of these models were made with.
  func read(_ settings: Config, fallback: ImageProcessor) throws -> ImageProcessor {
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
}

extension Config {
  /// The same values but for some keys.
  func without(_ keys: [String]) -> Config {
    var members = json.object ?? JSONObject()
    for key in keys { members[key] = nil }
    return Config(json: .object(members), file: file, path: path)
  }

  /// A list of `[height, width]` that is not empty.
  func pairs(_ key: String) throws(ModelError) -> [[Int]]? {
    guard let value = json.value(at: key) else { return nil }
    let pairs = value.array?.compactMap(\.ints) ?? []
    guard !pairs.isEmpty, pairs.count == value.array?.count,
      pairs.allSatisfy({ $0.count == 2 && $0.allSatisfy((1...8192).contains) })
    else { throw unfit(key, "a list of [height, width] of 1 to 8192 pixels") }
    return pairs
  }
}
