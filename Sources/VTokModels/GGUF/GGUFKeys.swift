import VTokWeights

/// Keys of a GGUF file under one prefix. Everything in them is hostile until proven otherwise, as in `Config`: a number comes
/// out in the range that its key has, anything else throws and names file, key, what was found and what is expected.
struct GGUFKeys {
  let values: GGUFMetadata
  let file: String
  /// With its dot: `llama.`
  let prefix: String

  func has(_ key: String) -> Bool { values[prefix + key] != nil }

  func int(_ key: String, _ fallback: Int? = nil, in range: ClosedRange<Int> = 1...65536) throws -> Int {
    guard let value = values[prefix + key] else {
      guard let fallback else { throw unfit(key, "a whole number") }
      return fallback
    }
    let numbers = try value.array.map { try $0.ints() ?? [] } ?? value.int.map { [$0] } ?? []
    // Some writers give one number a layer.
    guard let number = numbers.first, numbers.allSatisfy({ $0 == number }), range.contains(number) else {
      throw unfit(key, "a whole number in \(range.lowerBound)...\(range.upperBound), the same in every layer")
    }
    return number
  }

  func double(_ key: String, _ fallback: Double? = nil, in range: ClosedRange<Double>) throws -> Double {
    guard let value = values[prefix + key] else {
      guard let fallback else { throw unfit(key, "a number") }
      return fallback
    }
    guard let number = value.double, range.contains(number) else {
      throw unfit(key, "a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return number
  }

  func bool(_ key: String, _ fallback: Bool) throws -> Bool {
    guard let value = values[prefix + key] else { return fallback }
    guard let value = value.bool else { throw unfit(key, "true or false") }
    return value
  }

  func text(_ key: String) throws -> String? {
    guard let value = values[prefix + key] else { return nil }
    guard let text = value.text else { throw unfit(key, "a text") }
    return text
  }

  /// A short list of whole numbers; nil where the key is absent.
  func ints(_ key: String, count: ClosedRange<Int>, in range: ClosedRange<Int>) throws -> [Int]? {
    guard let value = values[prefix + key] else { return nil }
    guard let array = value.array, count.contains(array.count), let numbers = try array.ints(),
      numbers.allSatisfy(range.contains)
    else { throw unfit(key, "a list of whole numbers in \(range.lowerBound)...\(range.upperBound)") }
    return numbers
  }

  /// A short list of yes and no; nil where the key is absent.
  func bools(_ key: String, count: Int) throws -> [Bool]? {
    guard let value = values[prefix + key] else { return nil }
    guard let flags = try value.array?.values(first: count + 1), flags.count == count else {
      throw unfit(key, "a list of \(count) times true or false")
    }
    return try flags.map { flag in
      guard let flag = flag.bool else { throw unfit(key, "a list of \(count) times true or false") }
      return flag
    }
  }

  /// Three numbers, one a colour; nil where the key is absent.
  func colours(_ key: String, in range: ClosedRange<Float>) throws -> [Float]? {
    guard let value = values[prefix + key] else { return nil }
    guard let array = value.array, array.count == 3, let numbers = try array.floats(),
      numbers.allSatisfy(range.contains)
    else { throw unfit(key, "three numbers in \(range.lowerBound)...\(range.upperBound)") }
    return numbers
  }

  func unfit(_ key: String, _ expected: String) -> ModelError {
    let found =
      switch values[prefix + key] {
      case nil: "missing"
      case .integer(let number)?: "\(number)"
      case .number(let number)?: "\(number)"
      case .bool(let flag)?: "\(flag)"
      case .text(let text)?: "'\(shortened(text))'"
      case .array(let array)?: "a list of \(array.count)"
      }
    return .configuration(file: file, key: prefix + key, found: found, expected: expected)
  }
}
