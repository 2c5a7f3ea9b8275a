import VTokLibC

/// A date and a time of day without a zone.
public struct LocalTime: Sendable {
  public let year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int

  public init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
  }

  /// By the clock and the zone of the machine.
  public static func now() -> LocalTime {
    var seconds = time(nil)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return LocalTime(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday), hour: Int(parts.tm_hour),
      minute: Int(parts.tm_min), second: Int(parts.tm_sec))
  }

  /// As `strftime` of Python writes it, in English.
  func formatted(_ format: String) throws -> String {
    guard format.utf8.count <= 1000, !format.utf8.contains(0) else {
      throw TemplateError(.limit, "a time format of more than 1000 bytes")
    }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (Int32(year - 1900), Int32(month - 1), Int32(day))
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (Int32(hour), Int32(minute), Int32(second))
    _ = timegm(&parts)  // fills in the days of week and year
    // A time without a zone writes nothing for one. A field of a thousand digits (`%1000d`) is no time.
    var plain = ""
    var isField = false
    for character in format.unicodeScalars {
      if isField, character.isDigit { throw TemplateError(.unsupported, "a width in a time format") }
      if isField, character == "z" || character == "Z" {
        plain.unicodeScalars.removeLast()
      } else if isField, character == "f" {
        plain.unicodeScalars.removeLast()
        plain += "000000"
      } else {
        plain.unicodeScalars.append(character)
      }
      isField = character == "%" && !isField
    }
    if plain.isEmpty { return "" }
    var buffer = [CChar](repeating: 0, count: 64 * plain.utf8.count + 64)
    let count = strftime(&buffer, buffer.count, plain, &parts)
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
