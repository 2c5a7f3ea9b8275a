import VTokImage
import VTokWeights

/// An official image processor of vision towers, as transformers has them: the values of its class stand in for those that
/// a file leaves out. (`models/{clip,siglip,vit,deit,bit}/image_processing_*`)
package struct TowerProcessor: Sendable {
  /// What `image_processor_type` is without the words behind it.
  package let name: String
  let standard: ImageProcessor
  /// `size` of old files, one number: an exact square, or else the shortest edge.
  var bareSizeIsSquare = true

  package static let all: [TowerProcessor] = [clip, siglip, vit, deit, bit]

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

  private var types: [String] { ["\(name)ImageProcessor", "\(name)FeatureExtractor"] }

  /// What a file says; nil without one.
  /// - Parameter standard: the processor of the model's type, where the file names none; nil: it must.
  package static func read(_ file: ProcessorFile?, standard: TowerProcessor?) throws -> ImageProcessor? {
    guard let file else { return nil }
    if let timm = try file.values.sectionIfPresent("pretrained_cfg").flatMap({ try ImageProcessor.timm($0) }) {
      return timm
    }
    let type = try file.type()
    guard let kind = type == nil ? standard : all.first(where: { $0.types.contains(type!) }) else {
      throw file.values.unfit(
        "image_processor_type",
        "one of \(all.map(\.name).joined(separator: ", ")) with 'ImageProcessor' behind it, or a pretrained_cfg of timm")
    }
    return try .huggingFace(file.values, fallback: kind.standard, bareSizeIsSquare: kind.bareSizeIsSquare)
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
    case .shortestEdge(let edge): Size(edge)
    case .none: nil
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
