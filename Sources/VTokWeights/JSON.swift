import VTokFiles

/// A JSON value (RFC 8259). Whole numbers that fit are kept exactly; objects keep the order of their keys.
public enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number written without fraction and exponent that fits in 64 bits.
  case integer(Int64)
  /// Any other number.
  case number(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)
}

/// What is wrong with a JSON text, or with a value looked up in one.
public struct JSONError: OneLineError, Equatable {
  public enum Place: Sendable, Equatable {
    /// Bytes from the start of the text.
    case offset(Int)
    /// Keys from the root, joined with dots.
    case path(String)
    /// The text as a whole: it is longer, or stands for more, than its kind of file may (`ReadBudget`).
    case limit
  }
  public let place: Place
  public let reason: String

  package init(place: Place, reason: String) {
    self.place = place
    self.reason = reason
  }

  public var message: String {
    switch place {
    case .offset(let offset): "not valid JSON at byte \(offset): \(reason)"
    case .path(let path): "key `\(path)`: \(reason)"
    case .limit: reason
    }
  }
}

/// The members of a JSON object, in order; keys are unique and compare by their bytes. Lookup is O(1).
public struct JSONObject: Sendable, Equatable, RandomAccessCollection {
  public typealias Element = (key: String, value: JSON)
  private var members: [Element] = []
  private var index: [ExactString: Int] = [:]  // empty while a scan is faster
  private static let scanned = 12

  public init() {}

  /// - Precondition: no key occurs twice.
  public init(_ members: some Sequence<(String, JSON)>) {
    for (key, value) in members {
      precondition(append(key, value), "key \(key) occurs twice")
    }
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { members.count }
  public subscript(position: Int) -> Element { members[position] }

  /// The value of `key`. Setting a new key appends it; setting nil removes the member, O(n).
  public subscript(key: String) -> JSON? {
    get { position(of: key).map { members[$0].value } }
    set {
      if let newValue {
        if let position = position(of: key) { members[position].value = newValue } else { _ = append(key, newValue) }
      } else if let position = position(of: key) {
        var rest = JSONObject()
        for (other, member) in members.enumerated() where other != position {
          _ = rest.append(member.key, member.value)
        }
        self = rest
      }
    }
  }

  /// False, and nothing done, if the key is there already.
  mutating func append(_ key: String, _ value: JSON) -> Bool {
    if members.count <= Self.scanned {
      if position(of: key) != nil { return false }
      members.append((key, value))
      if members.count > Self.scanned {
        for (position, member) in members.enumerated() { index[ExactString(member.key)] = position }
      }
      return true
    }
    if let old = index.updateValue(members.count, forKey: ExactString(key)) {
      index[ExactString(key)] = old
      return false
    }
    members.append((key, value))
    return true
  }

  private func position(of key: String) -> Int? {
    let key = ExactString(key)
    return index.isEmpty ? members.firstIndex { ExactString($0.key) == key } : index[key]
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.elementsEqual(b) { ExactString($0.key) == ExactString($1.key) && $0.value == $1.value }
  }
}

/// A string compared by its bytes. `String` compares by canonical equivalence, which makes different tokens of a
/// vocabulary (composed and decomposed accents) equal.
struct ExactString: Hashable, Sendable {
  let string: String
  init(_ string: String) { self.string = string }

  static func == (a: Self, b: Self) -> Bool {
    guard a.string.utf8.count == b.string.utf8.count else { return false }
    return a.string.utf8.elementsEqual(b.string.utf8)
  }

  func hash(into hasher: inout Hasher) {
    var string = string
    string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
