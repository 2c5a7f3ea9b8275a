extension JSON {
  /// This value as JSON text: the same bytes for the same value, keys in their order, numbers in the shortest form that
  /// reads back exactly. JSON has no NaN and no infinities: they are written as null.
  /// - Parameter pretty: one member a line, indented by two spaces; arrays of plain values stay on one line.
  public func text(pretty: Bool = false) -> String {
    var out: [UInt8] = []
    write(to: &out, indent: pretty ? 0 : nil)
    return String(decoding: out, as: UTF8.self)
  }

  func write(to out: inout [UInt8], indent: Int?) {
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): out.append(contentsOf: value.description.utf8)
    case .number(let value): out.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    case .string(let value): Self.write(value, to: &out)
    case .array(let values):
      let oneLine = indent == nil || values.allSatisfy(\.isPlain)
      out.append(UInt8(ascii: "["))
      for (position, value) in values.enumerated() {
        if position > 0 { out.append(contentsOf: (indent != nil && oneLine ? ", " : ",").utf8) }
        if !oneLine { Self.breakLine(&out, indent! + 2) }
        value.write(to: &out, indent: indent.map { $0 + 2 })
      }
      if !oneLine { Self.breakLine(&out, indent!) }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      out.append(UInt8(ascii: "{"))
      for (position, member) in members.enumerated() {
        if position > 0 { out.append(UInt8(ascii: ",")) }
        if let indent { Self.breakLine(&out, indent + 2) }
        Self.write(member.key, to: &out)
        out.append(contentsOf: (indent == nil ? ":" : ": ").utf8)
        member.value.write(to: &out, indent: indent.map { $0 + 2 })
      }
      if let indent, !members.isEmpty { Self.breakLine(&out, indent) }
      out.append(UInt8(ascii: "}"))
    }
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private static func breakLine(_ out: inout [UInt8], _ indent: Int) {
    out.append(0x0A)
    out.append(contentsOf: repeatElement(0x20, count: indent))
  }

  private static func write(_ text: String, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    if text.utf8.contains(0xF4), text.unicodeScalars.contains(where: { $0.value > 0x10FF7F }) {
      // Bytes of a file name that are no text (see `FileName`): \udc80 to \udcff, as Python writes them.
      for part in text.unicodeScalars {
        guard part.value > 0x10FF7F else {
          write(Array(UTF8.encode(part)!), to: &out)
          continue
        }
        let byte = Int(part.value & 0xFF)
        out += Array("\\udc".utf8) + [hex[byte >> 4], hex[byte & 15]]
      }
    } else {
      write(text.utf8, to: &out)
    }
    out.append(UInt8(ascii: "\""))
  }

  private static let hex = Array("0123456789abcdef".utf8)

  private static func write(_ utf8: some Sequence<UInt8>, to out: inout [UInt8]) {
    for byte in utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
      case 0x08: out.append(contentsOf: "\\b".utf8)
      case 0x09: out.append(contentsOf: "\\t".utf8)
      case 0x0A: out.append(contentsOf: "\\n".utf8)
      case 0x0C: out.append(contentsOf: "\\f".utf8)
      case 0x0D: out.append(contentsOf: "\\r".utf8)
      case 0..<0x20: out.append(contentsOf: "\\u00".utf8 + [hex[Int(byte >> 4)], hex[Int(byte & 15)]])
      default: out.append(byte)
      }
    }
  }
}
