import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// What the Hugging Face families share: config values with their defaults, processors, labels, position tables.
struct HuggingFaceConfig {
  let json: JSON
  let file = "config.json"

  func int(_ key: String, _ fallback: Int? = nil) throws -> Int {
    guard let value = json[key], value != .null else {
      if let fallback { return fallback }
      throw ModelError.configuration(file: file, key: key, found: "missing", expected: "a whole number")
    }
    guard let number = value.int, number > 0 else {
      throw ModelError.configuration(file: file, key: key, found: value.text(), expected: "a positive whole number")
    }
    return number
  }

  func float(_ key: String, _ fallback: Float) throws -> Float {
    guard let value = json[key], value != .null else { return fallback }
    guard let number = value.double, number.isFinite else {
      throw ModelError.configuration(file: file, key: key, found: value.text(), expected: "a number")
    }
    return Float(number)
  }

  func activation(_ fallback: Activation, key: String = "hidden_act") throws -> Activation {
    guard let name = json[key]?.string else { return fallback }
    guard let known = Activation(huggingFace: name) else {
      throw ModelError.configuration(
        file: file, key: key, found: "'\(name)'", expected: "gelu, gelu_pytorch_tanh, quick_gelu or silu")
    }
    return known
  }

  /// `id2label` in order of ids, if it is complete.
  var labels: [String]? {
    guard let table = json["id2label"]?.object else { return nil }
    let named = Dictionary(table.compactMap { pair in Int(pair.key).map { ($0, pair.value.string ?? pair.key) } }) {
      $1
    }
    let ordered = named.indices.isEmpty ? [] : (0..<named.count).compactMap { named[$0] }
    return ordered.count == table.count ? ordered : nil
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

extension Checkpoint {
  /// `preprocessor_config.json`, or the part of `processor_config.json` that newer files have in its place.
  var imageProcessor: JSON? {
    get throws { try json("preprocessor_config.json") ?? json("processor_config.json")?["image_processor"] }
  }
}

extension ImageProcessor {
  /// Reads `preprocessor_config.json` (or the processor part of `processor_config.json`).
  /// - Parameters:
  ///   - fallback: the family's published processor, for absent files and absent keys.
  ///   - bareSizeIsSquare: old files give `size` as one number: an exact square for ViT, the shortest edge for CLIP.
  static func huggingFace(_ checkpoint: Checkpoint, fallback: ImageProcessor, bareSizeIsSquare: Bool) throws
    -> ImageProcessor
  {
    try checkpoint.imageProcessor.map { try huggingFace($0, fallback: fallback, bareSizeIsSquare: bareSizeIsSquare) }
      ?? fallback
  }

  package static func huggingFace(_ json: JSON, fallback: ImageProcessor, bareSizeIsSquare: Bool) throws
    -> ImageProcessor
  {
    let file = "preprocessor_config.json"
    var processor = fallback
    func fail(_ key: String, _ expected: String) -> ModelError {
      .configuration(file: file, key: key, found: json[key]?.text() ?? "missing", expected: expected)
    }
    func sides(_ key: String) throws -> Size? {
      guard let value = json[key], value != .null else { return nil }
      if let side = value.int, side > 0 { return Size(side) }
      guard let height = value["height"]?.int, let width = value["width"]?.int, height > 0, width > 0 else {
        throw fail(key, "a number, or height and width")
      }
      return Size(width: width, height: height)
    }
    if json["do_resize"]?.bool == false {
      processor.resize = .none
    } else if let size = json["size"], size != .null {
      if let edge = size["shortest_edge"]?.int, edge > 0 {
        processor.resize = .shortestEdge(edge)
      } else if let side = size.int, side > 0 {
        processor.resize = bareSizeIsSquare ? .exact(width: side, height: side) : .shortestEdge(side)
      } else if let exact = try sides("size") {
        processor.resize = .exact(width: exact.width, height: exact.height)
      }
    }
    if let code = json["resample"]?.int {
      guard let filter = Resample(pillow: code) else { throw fail("resample", "0 to 4") }
      processor.filter = filter
    }
    if json["do_center_crop"]?.bool == false {
      processor.crop = nil
    } else if let crop = try sides("crop_size"), json["do_center_crop"]?.bool == true || fallback.crop != nil {
      processor.crop = crop
    }
    processor.cropRounding = .floor
    if json["do_rescale"]?.bool == false {
      processor.rescale = 1
    } else if let factor = json["rescale_factor"]?.double {
      processor.rescale = factor
    }
    if json["do_normalize"]?.bool == false {
      (processor.mean, processor.std) = ([0, 0, 0], [1, 1, 1])
    } else {
      for (key, path) in [("image_mean", \ImageProcessor.mean), ("image_std", \ImageProcessor.std)] {
        guard let numbers = json[key]?.doubles else { continue }
        guard numbers.count == 3 else { throw fail(key, "three numbers") }
        processor[keyPath: path] = numbers.map { Float($0) }
      }
    }
    return processor
  }
}
