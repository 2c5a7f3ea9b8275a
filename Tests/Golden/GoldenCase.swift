import Foundation
import Testing
import VTok

/// One manifest: a function of the official code, its inputs, and the outputs it gave. `vtok-golden/1` names every tensor
/// that goes in and comes out; `vtok-golden-checks/1` the steps, and patterns of the tensors that come out;
/// `vtok-golden-table/1` has plain `rows`.
package struct GoldenCase: Sendable, CustomTestStringConvertible {
  static let schemas = ["vtok-golden/1", "vtok-golden-checks/1", "vtok-golden-table/1"]

  package let path: String
  package let schema: String, function: String, method: String, name: String
  let manifest: JSON
  /// Why the manifest could not be read.
  var unreadable: String?

  package var testDescription: String { "\(function) \(name)" }
  var folder: String { (path as NSString).deletingLastPathComponent }
  var config: JSON { manifest["config"] ?? [:] }

  /// Every manifest below `folder`, sorted by path. Files that are no manifest are passed over.
  package static func all(below folder: String) -> [GoldenCase] {
    let paths = (FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? []).sorted()
    return paths.filter { $0.hasSuffix(".json") }.compactMap { GoldenCase(path: folder + "/" + $0) }
  }

  /// nil for a file that is no manifest. One that names a golden schema and cannot be read is a case that fails.
  package init?(path: String) {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    let file = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
    do {
      manifest = try JSON(parsing: [UInt8](data), dialect: .python)
    } catch {
      guard data.range(of: Data(#""vtok-golden"#.utf8)) != nil else { return nil }
      (manifest, unreadable) = ([:], "the manifest is \(error)")
    }
    schema = manifest["schema"]?.string ?? (unreadable == nil ? "" : "vtok-golden")
    guard schema.hasPrefix("vtok-golden") else { return nil }
    self.path = path
    function = manifest["function"]?.string ?? schema
    method = manifest["method"]?.string ?? ""
    name = manifest["case"]?.string ?? file
  }

  /// The file with the tensors.
  var file: String? {
    if let name = (manifest["file"] ?? manifest["io_file"])?.string { return folder + "/" + name }
    return manifest["tolerances"] == nil ? nil : folder + "/\(name).safetensors"
  }

  /// The inputs by name.
  func inputs() throws -> Inputs {
    Inputs(case: self, tensors: try file.map { try Safetensors(path: $0) }, names: manifest["inputs"]?.object)
  }

  /// Compares what the function produced by the manifest's own rules.
  func compare(_ outputs: [String: GoldenValue]) throws -> (failures: [String], maxAbsError: Double) {
    if let rows = manifest["rows"]?.array { return (compare(outputs["rows"]?.rows ?? [], with: rows), 0) }
    var failures: [String] = []
    var worst = 0.0
    guard let path = file, case let file = try Safetensors(path: path), case let rules = try rules(file), !rules.isEmpty
    else { return (["the manifest has no outputs"], 0) }
    for rule in rules {
      guard let found = outputs[rule.name] else {
        failures.append("\(rule.name): not produced")
        continue
      }
      guard found.shape == rule.shape else {
        failures.append("\(rule.name): shape \(found.shape), expected \(rule.shape)")
        continue
      }
      let wanted = try GoldenValue(file, rule.tensor, shape: rule.shape)
      guard wanted.doubles.count == rule.shape.reduce(1, *) else {
        failures.append("\(rule.name): the manifest says \(rule.shape), the file holds \(wanted.doubles.count) numbers")
        continue
      }
      var first: String?
      var stray = 0
      for (index, (a, b)) in zip(found.doubles, wanted.doubles).enumerated() where rule.counts(index, wanted) {
        let error = a == b || (a.isNaN && b.isNaN) ? 0 : abs(a - b)
        if error.isFinite { worst = max(worst, error) }
        if error == 0 || error <= rule.atol + rule.rtol * abs(b) { continue }  // 0 times infinity is no tolerance
        stray += 1
        let isForgiven = error <= 1 && Double(stray) < rule.strayShare * Double(wanted.doubles.count)
        if !isForgiven, first == nil { first = "[\(index)] \(a), expected \(b)" }
      }
      if let first { failures.append("\(rule.name): \(first)") }
    }
    return (failures, worst)
  }

  /// How one output is compared.
  private struct Rule {
    let name: String, tensor: String, shape: [Int]
    var atol = 0.0, rtol = 0.0
    /// Margins of the decisions behind the values, and how large one must be for its values to count.
    var margins: (values: [Double], least: Double)?
    /// Share of the values that may be off by one.
    var strayShare = 0.0

    func counts(_ index: Int, _ all: GoldenValue) -> Bool {
      guard let margins else { return true }
      return margins.values[index * margins.values.count / all.doubles.count] > margins.least
    }
  }

  private func rules(_ file: Safetensors) throws -> [Rule] {
    if let outputs = manifest["outputs"]?.object {
      return outputs.filter { $1["informational"]?.bool != true && $0 != Self.informational }.map { name, rule in
        let exact = rule["compare"]?.string == "exact"
        return Rule(
          name: name, tensor: rule["tensor"]?.string ?? name, shape: rule["shape"]?.ints ?? [],
          atol: exact ? 0 : rule["atol"]?.double ?? 0, rtol: exact ? 0 : rule["rtol"]?.double ?? 0)
      }
    }
    // Tensors of several cases in one file are called `<tag>.<name>`; tolerances are by name or pattern.
    return try file.entries.compactMap { entry in
      let plain = entry.name.split(separator: ".", maxSplits: 1).last.map(String.init) ?? entry.name
      let tolerance = manifest["tolerances"]?.object?.first { pattern, _ in
        fits(entry.name, pattern) || fits(plain, pattern)
      }
      guard let tolerance = tolerance?.1 else { return nil }
      var rule = Rule(name: entry.name, tensor: entry.name, shape: entry.shape)
      guard let text = tolerance.string else {
        (rule.atol, rule.rtol) = (tolerance["atol"]?.double ?? 0, tolerance["rtol"]?.double ?? 0)
        return rule
      }
      let words = text.split(whereSeparator: { " %".contains($0) })
      func number(after word: Substring) -> Double? {
        words.firstIndex(of: word).flatMap { $0 + 1 < words.count ? Double(words[$0 + 1]) : nil }
      }
      if let least = number(after: ">") {
        let margin = String(entry.name.dropLast(plain.count)) + "margin"
        rule.margins = (try file.tensor(margin).values.map(Double.init), least)
      }
      if let percent = number(after: "<") { rule.strayShare = percent / 100 }
      return rule
    }
  }

  /// Whether `name` is `pattern`, in which one `*` stands for any text.
  private func fits(_ name: String, _ pattern: String) -> Bool {
    let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    return parts.count == 2 ? name.hasPrefix(parts[0]) && name.hasSuffix(parts[1]) : name == pattern
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
  private var file: Safetensors {
    get throws {
      guard let tensors else { throw GoldenError("the manifest names no file with tensors") }
      return tensors
    }
  }
  func tensor(_ name: String) throws -> Tensor { try file.tensor(stored(name)) }
  func integers(_ name: String) throws -> [Int64] { try file.integers(stored(name)) }
  func bytes(_ name: String) throws -> [UInt8] { try file.bytes(stored(name)) }
  func shape(_ name: String) -> [Int] { tensors?.entry(stored(name))?.shape ?? [] }
  var inputNames: [String] { names?.map(\.key) ?? [] }
  var outputNames: [String] { `case`.manifest["outputs"]?.object?.map(\.key) ?? [] }
  /// An RGB image stored as `[height, width, 3]` bytes.
  func image(_ name: String) throws -> Image {
    let shape = shape(name)
    guard shape.count == 3, shape[2] == 3 else { throw GoldenError("\(name) has the shape \(shape), no RGB image") }
    return Image(width: shape[1], height: shape[0], rgb: try bytes(name))
  }
  func file(_ relative: String) -> String { `case`.folder + "/" + relative }
  func checkpoint() throws -> Checkpoint {
    if let model = `case`.manifest["model_file"]?.string { return try Checkpoint(file: file(model), config: config) }
    return try Checkpoint(directory: file(config.string("checkpoint_dir")))
  }
  /// The rows of a table.
  var rows: [JSON] { get throws { try `case`.manifest.array("rows") } }
}

/// A manifest that a function cannot read.
struct GoldenError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
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
