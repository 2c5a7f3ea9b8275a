import Foundation
import Testing
import VTok

/// One manifest: a function of the official code, its inputs, and the outputs it gave; tensors of a file
/// (`vtok-golden/1`), or plain `rows` (`vtok-golden-table/1`).
struct GoldenCase: Sendable, CustomTestStringConvertible {
  let path: String
  let function: String, method: String, name: String
  let manifest: JSON

  var testDescription: String { "\(function) \(name)" }
  var folder: String { (path as NSString).deletingLastPathComponent }
  var config: JSON { manifest["config"] ?? [:] }

  /// Every manifest below `folder`, sorted by path. Files that are no manifest are passed over.
  static func all(below folder: String) -> [GoldenCase] {
    let paths = (FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? []).sorted()
    return paths.filter { $0.hasSuffix(".json") }.compactMap { relative in
      let path = folder + "/" + relative
      guard let data = FileManager.default.contents(atPath: path),
        let manifest = try? JSON(parsing: [UInt8](data), dialect: .python),
        let schema = manifest["schema"]?.string, schema.hasPrefix("vtok-golden")
      else { return nil }
      return GoldenCase(
        path: path, function: manifest["function"]?.string ?? schema, method: manifest["method"]?.string ?? "",
        name: manifest["case"]?.string ?? relative, manifest: manifest)
    }
  }

  /// The inputs by name.
  func inputs() throws -> Inputs {
    let file = manifest["file"]?.string
    return Inputs(
      case: self, tensors: try file.map { try Safetensors(path: folder + "/" + $0) }, names: manifest["inputs"]?.object)
  }

  /// Compares what the function produced by the manifest's own rules.
  func compare(_ outputs: [String: GoldenValue]) throws -> (failures: [String], maxAbsError: Double) {
    if let rows = manifest["rows"]?.array { return (compare(outputs["rows"]?.rows ?? [], with: rows), 0) }
    var failures: [String] = []
    var worst = 0.0
    guard let expected = manifest["outputs"]?.object else { return (["the manifest has no outputs"], 0) }
    let file = try Safetensors(path: folder + "/" + (manifest["file"]?.string ?? ""))
    for (name, rule) in expected where rule["informational"]?.bool != true && name != Self.informational {
      guard let found = outputs[name] else {
        failures.append("\(name): not produced")
        continue
      }
      let tensor = rule["tensor"]?.string ?? name
      let shape = rule["shape"]?.ints ?? []
      guard found.shape == shape else {
        failures.append("\(name): shape \(found.shape), expected \(shape)")
        continue
      }
      let wanted = try GoldenValue(file, tensor, shape: shape)
      let exact = rule["compare"]?.string == "exact"
      let (atol, rtol) = exact ? (0, 0) : (rule["atol"]?.double ?? 0, rule["rtol"]?.double ?? 0)
      var first: String?
      for (index, (a, b)) in zip(found.doubles, wanted.doubles).enumerated() {
        let error = a == b || (a.isNaN && b.isNaN) ? 0 : abs(a - b)
        if error.isFinite { worst = max(worst, error) }
        if !(error <= atol + rtol * abs(b)), first == nil { first = "[\(index)] \(a), expected \(b)" }
      }
      if let first { failures.append("\(name): \(first)") }
    }
    return (failures, worst)
  }

  /// Information only, says the goldens' page; their manifests do not.
  private static let informational = "pixel_values_torchvision"

  /// Everything a row expects. Where the official code refuses (`error`), ours has to as well, in its own words.
  private func compare(_ found: [JSON], with expected: [JSON]) -> [String] {
    guard found.count == expected.count else { return ["\(found.count) rows, expected \(expected.count)"] }
    func differences(_ found: JSON?, _ expected: JSON, _ path: String) -> [String] {
      guard let members = expected.object else {
        // By their bytes: strings that are equal only canonically are different texts.
        let (a, b) = (found?.text() ?? "nothing", expected.text())
        return a.utf8.elementsEqual(b.utf8) ? [] : ["\(path): \(a), expected \(b)"]
      }
      return members.flatMap { key, value in
        key == "error" && found?[key] != nil ? [] : differences(found?[key], value, "\(path).\(key)")
      }
    }
    return expected.indices.flatMap { differences(found[$0], expected[$0], "row \($0)") }
  }
}

/// What a function takes: tensors by the manifest's names.
struct Inputs {
  let `case`: GoldenCase
  fileprivate let tensors: Safetensors?, names: JSONObject?

  var config: JSON { `case`.config }
  func stored(_ name: String) -> String { names?[name]?["tensor"]?.string ?? name }
  func tensor(_ name: String) throws -> Tensor { try tensors!.tensor(stored(name)) }
  func integers(_ name: String) throws -> [Int64] { try tensors!.integers(stored(name)) }
  func bytes(_ name: String) throws -> [UInt8] { try tensors!.bytes(stored(name)) }
  func shape(_ name: String) -> [Int] { tensors?.entry(stored(name))?.shape ?? [] }
  var inputNames: [String] { names?.map(\.key) ?? [] }
  var outputNames: [String] { `case`.manifest["outputs"]?.object?.map(\.key) ?? [] }
  /// An RGB image stored as `[height, width, 3]` bytes.
  func image(_ name: String) throws -> Image {
    let shape = shape(name)
    return Image(width: shape[1], height: shape[0], rgb: try bytes(name))
  }
  func file(_ relative: String) -> String { `case`.folder + "/" + relative }
  func checkpoint() throws -> Checkpoint { try Checkpoint(directory: file(config["checkpoint_dir"]!.string!)) }
}

/// A produced output.
struct GoldenValue {
  let doubles: [Double]
  let shape: [Int]
  /// Of a table.
  var rows: [JSON] = []

  init(rows: [JSON]) { (self.rows, doubles, shape) = (rows, [], []) }
  init(_ tensor: Tensor) { (doubles, shape) = (tensor.values.map(Double.init), tensor.shape) }
  init(_ values: [Float], _ shape: [Int]) { (doubles, self.shape) = (values.map(Double.init), shape) }
  init(_ values: [Int], _ shape: [Int]) { (doubles, self.shape) = (values.map(Double.init), shape) }
  init(_ image: Image) { (doubles, shape) = (image.rgb.map(Double.init), [image.height, image.width, 3]) }

  /// Equal tensors of a batch on top of each other.
  init(stacking parts: [Tensor]) {
    doubles = parts.flatMap { $0.values.map(Double.init) }
    shape = [parts.count] + parts[0].shape
  }

  init(_ file: Safetensors, _ name: String, shape: [Int]) throws {
    self.shape = shape
    switch file.entry(name)?.type {
    case .i64, .i32: doubles = try file.integers(name).map(Double.init)
    case .u8, .bool: doubles = try file.bytes(name).map(Double.init)
    default: doubles = try file.tensor(name).values.map(Double.init)
    }
  }
}
