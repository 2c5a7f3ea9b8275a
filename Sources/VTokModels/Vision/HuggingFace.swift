import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

extension Config {
  /// The section on the tower, or the file itself where a tower is all it has.
  func visionPart() throws(ModelError) -> Config { try sectionIfPresent("vision_config") ?? self }

  /// One number for both sides, or an object with `height` and `width`.
  func size(_ key: String) throws(ModelError) -> Size? {
    guard json.value(at: key)?.object != nil else { return try intIfPresent(key).map { Size($0) } }
    return Size(width: try int(key + ".width"), height: try int(key + ".height"))
  }

  func activation(_ fallback: Activation, key: String = "hidden_act") throws(ModelError) -> Activation {
    guard let name = try string(key) else { return fallback }
    guard let known = Activation(huggingFace: name) else {
      throw unfit(key, "gelu, gelu_pytorch_tanh, quick_gelu or silu")
    }
    return known
  }

  /// Names of so many classes, `id2label` in order of ids; nil where the file has none.
  func labels(_ classes: Int) throws(ModelError) -> [String]? {
    guard let table = try sectionIfPresent("id2label")?.json.object else { return nil }
    var names = [String?](repeating: nil, count: classes)
    for (key, value) in table {
      guard let id = Int(key), names.indices.contains(id), let name = value.string else {
        throw unfit(
          "id2label", "a name for each of the \(classes) classes", found: "\(value.brief) for `\(shortened(key))`")
      }
      names[id] = name
    }
    guard !names.contains(nil) else {
      throw unfit("id2label", "a name for each of the \(classes) classes", found: "\(table.count) names")
    }
    return names.compactMap(\.self)
  }
}

extension PositionGrid {
  /// A learned table whose grid must be square.
  static func square(_ table: Tensor, kernel: Kernel, name: String) throws -> PositionGrid {
    let side = Int(Double(table.rows).squareRoot().rounded())
    guard side > 0, side * side == table.rows else {
      throw ModelError.configuration(
        file: "model.safetensors", key: name, found: "\(table.rows) patch positions", expected: "a square number")
    }
    return PositionGrid(table, rows: side, columns: side, kernel: kernel)
  }
}

extension ImageProcessor {
  /// What the values of a file change.
  /// - Parameters:
  ///   - fallback: for absent keys.
  ///   - bareSizeIsSquare: old files give `size` as one number: an exact square for ViT, the shortest edge for CLIP.
  static func huggingFace(_ config: Config, fallback: ImageProcessor, bareSizeIsSquare: Bool) throws(ModelError)
    -> ImageProcessor
  {
    var processor = fallback
    if try !config.bool("do_resize", true) {
      processor.resize = .none
    } else if let keys = config.json.value(at: "size")?.object?.filter({ !$0.value.isNull }).map(\.key),
      ![["shortest_edge"], ["height", "width"]].contains(keys.sorted())
    {
      // Another key beside the one that is read would change the size: `longest_edge` limits the other side.
      throw config.unfit("size", "a number, shortest_edge alone, or height and width")
    } else if let edge = try config.intIfPresent("size.shortest_edge") {
      processor.resize = .shortestEdge(edge)
    } else if let size = try config.size("size") {
      let isEdge = config.json.value(at: "size")?.object == nil && !bareSizeIsSquare
      processor.resize = isEdge ? .shortestEdge(size.width) : .exact(width: size.width, height: size.height)
    }
    if let code = try config.intIfPresent("resample") {
      guard let filter = Resample(pillow: code) else { throw config.unfit("resample", "0 to 4") }
      processor.filter = filter
    }
    let crop = try config.size("crop_size")
    let crops = config.has("do_center_crop") ? try config.bool("do_center_crop", true) : fallback.crop != nil
    processor.crop = crops ? crop ?? fallback.crop : nil
    processor.cropRounding = .floor
    if try !config.bool("do_rescale", true) {
      processor.rescale = 1
    } else if let factor = try config.doubleIfPresent("rescale_factor") {
      processor.rescale = factor
    }
    let (mean, std) = (try config.floats("image_mean", count: 3), try config.floats("image_std", count: 3))
    if try config.bool("do_normalize", true) {
      (processor.mean, processor.std) = (mean ?? fallback.mean, std ?? fallback.std)
    } else {
      (processor.mean, processor.std) = ([0, 0, 0], [1, 1, 1])
    }
    return processor
  }
}
