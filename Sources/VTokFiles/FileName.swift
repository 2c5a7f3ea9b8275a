import VTokLibC

/// File names are bytes to the system, and text to everyone else. A byte that is not part of UTF-8 stands in the text as
/// the private character U+10FF00 plus the byte, so that every name has a text of its own and every text its name. A name
/// that holds one of those characters itself is written byte by byte in the same way.
///
/// JSON has `\udc80` to `\udcff` for such bytes, as Python's `os.fsdecode` does.
public enum FileName {
  private static let base: UInt32 = 0x10FF00
  private static let lead: UInt8 = 0xF4  // of the private characters in UTF-8; rare in names

  /// The byte that a character stands for; nil for an ordinary one.
  static func byte(_ scalar: Unicode.Scalar) -> UInt8? {
    scalar.value >= base + 0x80 ? UInt8(scalar.value - base) : nil
  }

  /// The text of a name.
  public static func text(_ bytes: some Collection<UInt8>) -> String {
    if !bytes.contains(lead), let text = String(validating: bytes, as: UTF8.self) { return text }
    var text = String.UnicodeScalarView()
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      var parser = Unicode.UTF8.ForwardParser()
      var iterator = rest.makeIterator()
      if case .valid(let encoded) = parser.parseScalar(from: &iterator), case let scalar = Unicode.UTF8.decode(encoded),
        byte(scalar) == nil
      {
        text.append(scalar)
        rest = rest.dropFirst(encoded.count)
      } else {
        text.append(Unicode.Scalar(base + UInt32(rest.removeFirst()))!)
      }
    }
    return String(text)
  }

  /// The name that a text stands for.
  public static func bytes(_ text: String) -> [UInt8] {
    guard text.utf8.contains(lead) else { return Array(text.utf8) }
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      if let byte = byte(scalar) { bytes.append(byte) } else { bytes += UTF8.encode(scalar)! }
    }
    return bytes
  }

  /// The last part of a path, and what stands before its last slash ("" without one).
  public static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
    return (String(path[..<slash]), String(path[path.utf8.index(after: slash)...]))
  }
}

/// Calls `body` with a path as the system takes it. A path with a zero byte in it names nothing: it becomes the empty one.
public func withSystemPath<Result>(_ path: String, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
  let bytes = FileName.bytes(path)
  guard !bytes.contains(0) else { return body([0]) }
  return (bytes + [0]).withUnsafeBufferPointer { buffer in
    buffer.baseAddress!.withMemoryRebound(to: CChar.self, capacity: buffer.count) { body($0) }
  }
}

/// The arguments of this process after its name, those that are no UTF-8 included.
public func commandLineArguments() -> [String] {
  (1..<max(1, Int(CommandLine.argc))).compactMap { index in
    CommandLine.unsafeArgv[index].map { FileName.text(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
  }
}
