import VTokImage
import VTokWeights

/// An official image processor of vision towers, as transformers has them: the values of its class stand in for those that
/// a file leaves out. (`models/{clip,siglip,siglip2,vit,deit,bit,dinov3_vit}/image_processing_*`)
package struct TowerProcessor: Sendable {
  /// What `image_processor_type` is without the words behind it.
  package let name: String
  let standard: ImageProcessor
  /// `size` of old files, one number: an exact square, or else the shortest edge.
  var bareSizeIsSquare = true
  /// What this class alone reads, or does in another way.
  var finish: @Sendable (Config, inout ImageProcessor) throws(ModelError) -> Void = { _, _ throws(ModelError) in }

  /// Those of pictures as pixels; the others cut them into patches for one family.
  static let plain: [TowerProcessor] = [clip, siglip, vit, deit, bit, dinov3]
  package static let all = plain + [siglip2]

  package static let clip = TowerProcessor(
    name: "CLIP",
    standard: ImageProcessor(
      resize: .shortestEdge(224), filter: .bicubic, crop: Size(224), mean: ImageProcessor.clipMean,
      std: ImageProcessor.clipStd), bareSizeIsSquare: false)
  package static let siglip = TowerProcessor(
    name: "Siglip", standard: ImageProcessor(resize: .exact(width: 224, height: 224), filter: .bicubic))
  package static let vit = TowerProcessor(
    name: "ViT", standard: ImageProcessor(resize: .exact(width: 224, height: 224), filter: .bilinear))
  package static let deit = TowerProcessor(
    name: "DeiT", standard: ImageProcessor(resize: .exact(width: 256, height: 256), filter: .bicubic, crop: Size(224)))
  package static let bit = TowerProcessor(name: "Bit", standard: clip.standard, bareSizeIsSquare: false)

  package static let dinov3 = TowerProcessor(
    name: "DINOv3ViT",
    standard: ImageProcessor(
      resize: .exact(width: 224, height: 224), filter: .bilinear, mean: ImageProcessor.imagenetMean,
      std: ImageProcessor.imagenetStd),
    finish: { config, processor throws(ModelError) in
      guard [.bilinear, .bicubic].contains(processor.filter) else {
        throw config.unfit("resample", "2 (bilinear) or 3 (bicubic)")
      }
      (processor.roundsSamples, processor.cropRounding) = (false, .halfEven)
    })
  package static let siglip2 = TowerProcessor(
    name: "Siglip2", standard: ImageProcessor(resize: .patches(side: 16, most: 256), filter: .bilinear),
    finish: { config, processor throws(ModelError) in
      guard case .patches(let side, let most) = processor.resize else {
        throw config.unfit("do_resize", "true, and no size: the number of patches decides it")
      }
      processor.resize = .patches(
        side: try config.int("patch_size", side), most: try config.int("max_num_patches", most))
    })

  private var types: [String] { ["\(name)ImageProcessor", "\(name)FeatureExtractor"] }

  /// What a file says; nil without one.
  /// - Parameters:
  ///   - standard: the processor of the model's type, where the file names none; nil: it must.
  ///   - kinds: those that fit the model.
  package static func read(
    _ file: ProcessorFile?, standard: TowerProcessor?, among kinds: [TowerProcessor] = plain
  ) throws -> ImageProcessor? {
    guard let file else { return nil }
    if let timm = try file.values.sectionIfPresent("pretrained_cfg").flatMap({ try ImageProcessor.timm($0) }) {
      return timm
    }
    let type = try file.type()
    guard let kind = type == nil ? standard : kinds.first(where: { $0.types.contains(type!) }) else {
      throw file.values.unfit(
        "image_processor_type",
        "one of \(kinds.map(\.name).joined(separator: ", ")) with 'ImageProcessor' behind it, or a pretrained_cfg of timm"
      )
    }
    var processor = try ImageProcessor.huggingFace(
      file.values, fallback: kind.standard, bareSizeIsSquare: kind.bareSizeIsSquare)
    try kind.finish(file.values, &processor)
    return processor
  }
}

extension ImageProcessor {
  /// timm's evaluation transform from `pretrained_cfg`; nil where it names no size.
  static func timm(_ config: Config) throws(ModelError) -> ImageProcessor? {
    let size = try config.inputSize()
    let (share, mode) = (try config.double("crop_pct", 0.875), try config.choice("crop_mode", CropMode.self))
    let filter = try config.choice("interpolation", Resample.self)
    let (mean, std) = (try config.floats("mean", count: 3), try config.floats("std", count: 3))
    return size.map {
      .timm(
        inputSize: $0, cropPct: share, cropMode: mode ?? .center, filter: filter ?? .bicubic,
        mean: mean ?? imagenetMean, std: std ?? imagenetStd)
    }
  }

  /// The size of every picture that it makes, or of a square one; nil where that is the picture's own.
  var usualSize: Size? {
    if let crop { return crop }
    return switch resize {
    case .exact(let width, let height), .covering(let width, let height): Size(width: width, height: height)
    case .shortestEdge(let edge), .halvingToShortestEdge(let edge): Size(edge)
    case .none, .patches: nil
    }
  }
}

extension Config {
  /// `input_size` of a timm model: `[3, height, width]`.
  func inputSize() throws(ModelError) -> Size? {
    guard let size = try ints("input_size", count: 3) else { return nil }
    guard size[0] == 3 else { throw unfit("input_size", "[3, height, width]") }
    return Size(width: size[2], height: size[1])
  }
}
