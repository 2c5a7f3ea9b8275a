import VTokTensor
import VTokWeights

/// A configuration file, or a section of one. Everything in it is hostile until proven otherwise: a number comes out in the
/// range that its key has, anything else throws and names file, key, what was found and what is expected.
///
/// The ranges lie well beyond every published model, and products of what they allow cannot overflow: 1 to 65536 for a
/// size or a number of things, less or more where `ranges` says so. NaN and infinities, which Python writes, lie in none.
package struct Config {
  package let json: JSON
  var file: String
  /// Keys from the root of the file, for messages.
  var path: String

  package init(json: JSON, file: String = "config.json", path: String = "") {
    self.json = json
    self.file = file
    self.path = path
  }

  // MARK: Whole numbers

  /// Numbers of other magnitudes than sizes and counts.
  private static let ranges: [(range: ClosedRange<Int>, keys: [String])] = [
    (
      1...1024, ["num_hidden_layers", "depth", "patch_size", "num_attention_heads", "num_key_value_heads", "num_heads"]
    ),
    (1...16, ["spatial_merge_size", "merge_size", "scale_factor"]),
    (1...8, ["temporal_patch_size"]),
    (
      1...8192,
      ["image_size", "img_size", "shortest_edge", "longest_edge", "height", "width", "crop_size", "size", "input_size"]
    ),
    (1...1 << 24, ["vocab_size"]),
    (1...1024, ["sliding_window_pattern", "_sliding_window_pattern"]),
    (1...1 << 30, ["sliding_window"]),
    (1...1024, ["linear_num_key_heads", "linear_num_value_heads", "full_attention_interval"]),
    (1...4096, ["linear_key_head_dim", "linear_value_head_dim"]),
    (1...64, ["linear_conv_kernel_dim"]),
    (0...1 << 20, ["num_labels", "num_classes", "num_features"]),
    (
      0...1024,
      [
        "reg_tokens", "num_register_tokens", "mm_vision_token_compression_states", "fullatt_block_indexes",
        "deepstack_visual_indexes",
      ]
    ),
    (-1024...1024, ["vision_feature_layer", "mm_vision_select_layer"]),
    (0...65536, ["mrope_section"]),
    (-1...Int(Int32.max), ["eos_token_id", "image_token_id", "image_token_index"]),
    (1...1 << 30, ["max_position_embeddings"]),
    (1...1 << 26, ["min_pixels", "max_pixels"]),
    (0...5, ["resample"]),
  ]
  private static let plain = 1...65536
  private static let known: [String: ClosedRange<Int>] = Dictionary(
    uniqueKeysWithValues: ranges.flatMap { entry in entry.keys.map { ($0, entry.range) } })

  /// - Parameter fallback: of a key that is absent or null; without one that is an error.
  package func int(_ key: String, _ fallback: Int? = nil, in range: ClosedRange<Int>? = nil) throws(ModelError) -> Int {
    if let value = try intIfPresent(key, in: range) { return value }
    if let fallback { return fallback }
    throw unfit(key, "a whole number")
  }

  /// nil where the key is absent or null.
  package func intIfPresent(_ key: String, in range: ClosedRange<Int>? = nil) throws(ModelError) -> Int? {
    guard let value = json.value(at: key) else { return nil }
    return try int(value, key, range ?? Self.range(key))
  }

  /// A list of whole numbers, each in the range of the key.
  package func ints(_ key: String, count: Int? = nil, in range: ClosedRange<Int>? = nil) throws(ModelError) -> [Int]? {
    guard let value = json.value(at: key) else { return nil }
    let range = range ?? Self.range(key)
    guard let values = value.array, count == nil || count == values.count else {
      throw unfit(key, "a list of \(count.map { "\($0) " } ?? "")whole numbers")
    }
    var numbers: [Int] = []
    for value in values { numbers.append(try int(value, key, range)) }
    return numbers
  }

  /// One whole number or a list of them.
  package func intOrInts(_ key: String) throws(ModelError) -> [Int]? {
    if json.value(at: key)?.array != nil { return try ints(key) }
    return try intIfPresent(key).map { [$0] }
  }

  private func int(_ value: JSON, _ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let number = value.int, range.contains(number) else {
      throw unfit(key, "a whole number in \(range.lowerBound)...\(range.upperBound)", found: value.brief)
    }
    return number
  }

  /// By the last part of a path.
  private static func range(_ key: String) -> ClosedRange<Int> {
    known[key.utf8.lastIndex(of: UInt8(ascii: ".")).map { String(key[key.index(after: $0)...]) } ?? key] ?? plain
  }

  // MARK: Other numbers

  private static let realRanges: [String: ClosedRange<Double>] = [
    "layer_norm_eps": 0...1, "rms_norm_eps": 0...1, "rope_theta": 1e-3...1e10, "rope_local_base_freq": 1e-3...1e10,
    "query_pre_attn_scalar": 1e-3...1e6, "factor": 1e-6...1e6,
    "mlp_ratio": 1e-3...64, "tokens_per_second": 0...100, "partial_rotary_factor": 1e-3...1, "init_values": -1e6...1e6,
    "mod_router_factor": 0...1,
    "crop_pct": 0.05...4, "rescale_factor": 1e-9...1e9,
    "mean": -1e6...1e6, "image_mean": -1e6...1e6, "std": 1e-6...1e6, "image_std": 1e-6...1e6,
    "max_timestep": 1...1e9, "frequency_divisors": 1e-9...1e9, "scaling_factor": -1e9...1e9,
  ]

  /// - Parameters:
  ///   - fallback: of a key that is absent or null; without one that is an error.
  ///   - range: nil: the one that `realRanges` has for the key.
  package func double(
    _ key: String, _ fallback: Double? = nil, in range: ClosedRange<Double>? = nil
  ) throws(ModelError) -> Double {
    if let value = try doubleIfPresent(key, in: range) { return value }
    if let fallback { return fallback }
    throw unfit(key, "a number")
  }

  package func doubleIfPresent(_ key: String, in range: ClosedRange<Double>? = nil) throws(ModelError) -> Double? {
    guard let value = json.value(at: key) else { return nil }
    return try double(value, key, range)
  }

  package func float(_ key: String, _ fallback: Float) throws(ModelError) -> Float {
    try doubleIfPresent(key).map { Float($0) } ?? fallback
  }

  /// A list of so many numbers.
  package func floats(_ key: String, count: Int) throws(ModelError) -> [Float]? {
    guard let value = json.value(at: key) else { return nil }
    guard let values = value.array, values.count == count else { throw unfit(key, "a list of \(count) numbers") }
    var numbers: [Float] = []
    for value in values { numbers.append(Float(try double(value, key, nil))) }
    return numbers
  }

  private func double(_ value: JSON, _ key: String, _ range: ClosedRange<Double>?) throws(ModelError) -> Double {
    guard let range = range ?? Self.realRanges[key] else { preconditionFailure("no range for the number \(key)") }
    guard let number = value.double, range.contains(number) else {
      throw unfit(key, "a number in \(range.lowerBound)...\(range.upperBound)", found: value.brief)
    }
    return number
  }

  // MARK: Other values

  package func bool(_ key: String, _ fallback: Bool) throws(ModelError) -> Bool {
    guard let value = json.value(at: key) else { return fallback }
    guard let value = value.bool else { throw unfit(key, "true or false") }
    return value
  }

  /// nil where the key is absent or null.
  package func string(_ key: String) throws(ModelError) -> String? {
    guard let value = json.value(at: key) else { return nil }
    guard let value = value.string else { throw unfit(key, "a text") }
    return value
  }

  /// One of the names of `Value`; nil where the key is absent or null.
  package func choice<Value: RawRepresentable<String> & CaseIterable>(_ key: String, _: Value.Type) throws(ModelError)
    -> Value?
  {
    guard let name = try string(key) else { return nil }
    guard let value = Value(rawValue: name) else {
      throw unfit(key, "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return value
  }

  package func strings(_ key: String) throws(ModelError) -> [String]? {
    guard let value = json.value(at: key) else { return nil }
    guard let values = value.strings else { throw unfit(key, "a list of texts") }
    return values
  }

  /// The object at `key`; empty where the key is absent or null.
  package func section(_ key: String) throws(ModelError) -> Config {
    try sectionIfPresent(key) ?? Config(json: [:], file: file, path: full(key))
  }

  package func sectionIfPresent(_ key: String) throws(ModelError) -> Config? {
    guard let value = json.value(at: key) else { return nil }
    guard value.object != nil else { throw unfit(key, "an object") }
    return Config(json: value, file: file, path: full(key))
  }

  package func has(_ key: String) -> Bool { json.value(at: key) != nil }

  // MARK: Errors

  private func full(_ key: String) -> String { path.isEmpty ? key : path + "." + key }

  /// - Parameter found: nil: what stands at `key`.
  package func unfit(_ key: String, _ expected: String, found: String? = nil) -> ModelError {
    .configuration(
      file: file, key: full(key), found: found ?? json.value(at: key)?.brief ?? "missing", expected: expected)
  }
}
