/// One object of `tokenizer.json`, with its path for messages.
struct TokenizerPart {
  let json: JSON
  let path: String

  private func path(of key: String) -> String { path.isEmpty ? key : path + "." + key }

  /// The object `key`; nil where the file has null or nothing.
  func part(_ key: String) -> TokenizerPart? {
    json.value(at: key).map { TokenizerPart(json: $0, path: path(of: key)) }
  }

  func parts(_ key: String) throws(TokenizerError) -> [TokenizerPart] {
    guard let values = json[key]?.array else { throw refused(key, "an array") }
    return values.enumerated().map { TokenizerPart(json: $1, path: "\(path(of: key))[\($0)]") }
  }

  func string(_ key: String) throws(TokenizerError) -> String {
    guard let value = json[key]?.string else { throw refused(key, "a string") }
    return value
  }

  /// nil where the file has null or nothing.
  func stringIfPresent(_ key: String) throws(TokenizerError) -> String? {
    json.value(at: key) == nil ? nil : try string(key)
  }

  func bool(_ key: String, default standard: Bool) throws(TokenizerError) -> Bool {
    guard let value = json.value(at: key) else { return standard }
    guard let value = value.bool else { throw refused(key, "true or false") }
    return value
  }

  func id(_ key: String) throws(TokenizerError) -> Int32 {
    guard let value = json[key]?.int, value >= 0, let id = Int32(exactly: value) else { throw refused(key, "an id") }
    return id
  }

  /// What is not built is refused before any text is read: a guess would give other ids.
  func refused(_ key: String, _ expected: String) -> TokenizerError {
    TokenizerError(
      subject: "tokenizer.json: `\(path(of: key))`", found: json[key]?.summary ?? "nothing", expected: expected,
      fix: "Use the file as published with the weights; other kinds of tokenizers are not built.")
  }
}
