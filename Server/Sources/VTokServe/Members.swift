import VTok

/// The members of a JSON object of a request, each read with what it may be. A member that nobody reads is refused: it would
/// be a wish that is not granted. null wishes for nothing.
struct Members {
  private let object: JSONObject
  /// In front of names in messages: `vtok.`.
  private let prefix: String
  private var read: Set<String> = []

  init(_ json: JSON, _ name: String) throws(APIError) {
    guard let object = json.object else {
      throw .member(name, found: Self.shown(json), expected: "a JSON object")
    }
    self.object = object
    prefix = name == "body" ? "" : name + "."
  }

  static func shown(_ json: JSON) -> String {
    let text = json.text()
    return text.utf8.count > 60 ? String(text.prefix(60)) + "..." : text
  }

  /// nil: absent or null.
  mutating func value(_ name: String) -> JSON? {
    read.insert(name)
    return object[name].flatMap { $0.isNull ? nil : $0 }
  }

  /// Whether it stands there, be it as null.
  mutating func has(_ name: String) -> Bool {
    read.insert(name)
    return object[name] != nil
  }

  mutating func optional<Value>(
    _ name: String, _ expected: String, _ take: (JSON) -> Value?
  ) throws(APIError) -> Value? {
    guard let found = value(name) else { return nil }
    guard let value = take(found) else {
      throw .member(prefix + name, found: Self.shown(found), expected: expected)
    }
    return value
  }

  mutating func string(_ name: String) throws(APIError) -> String? { try optional(name, "a text", \.string) }
  mutating func bool(_ name: String) throws(APIError) -> Bool? { try optional(name, "true or false", \.bool) }

  mutating func int(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
    try optional(name, "a whole number in \(range.lowerBound)...\(range.upperBound)") { json in
      json.int.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  mutating func number(_ name: String, _ expected: String, _ fits: (Double) -> Bool) throws(APIError) -> Double? {
    try optional(name, expected) { json in json.double.flatMap { fits($0) ? $0 : nil } }
  }

  /// Members that may say nothing but this.
  mutating func only(_ name: String, _ neutral: [JSON], why: String) throws(APIError) {
    guard let found = value(name), !neutral.contains(found) else { return }
    throw .member(
      prefix + name, found: Self.shown(found), expected: neutral.first.map { "\($0.text()) or nothing" } ?? "nothing",
      fix: why + " Remove it.", code: "unsupported_parameter")
  }

  /// Members that say nothing to a model.
  mutating func ignore(_ names: [String]) { read.formUnion(names) }

  /// - Throws: for a member that nobody has read.
  func finish() throws(APIError) {
    guard let other = object.first(where: { !read.contains($0.key) && !$0.value.isNull }) else { return }
    throw .member(
      prefix + other.key, found: "a member that is not known", expected: read.sorted().joined(separator: ", "),
      fix: "Remove it.", code: "unknown_parameter")
  }
}
