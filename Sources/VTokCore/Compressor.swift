import VTokFiles

/// A token compression method: mathematics over a `View`. A value, copied per request (one image, or one prompt with
/// its images in order); its stored properties are its state. It knows no model, and does no input or output.
public protocol Compressor: Sendable {
  /// The name users type, for example `tome`.
  static var name: String { get }
  /// One sentence, and where it comes from (paper, repository).
  static var summary: String { get }
  /// Where this differs from the paper or from the official code, one sentence each.
  static var remarks: [String] { get }
  /// What a budget counts.
  static var counted: Counted { get }
  /// Why it may leave another number than a budget asks for: its rule, in a clause. nil: it leaves just that number.
  static var rounding: String? { get }

  /// Takes its options, each with default, range and explanation.
  init(_ options: inout Options) throws(OptionError)

  /// Sites, recordings and rules it needs. Refuses what it cannot serve, before weights load.
  func plan(for model: Shape) throws(CompressionError) -> Plan

  /// nil: everything stays as it is (or as `view.standard` says). Else one reduction per sequence; at `.pack` one per span;
  /// at `.cache` one per sequence or one per KV head. Indices are those of the view's sequences.
  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
}

extension Compressor {
  public static var remarks: [String] { [] }
  public static var counted: Counted { .tokens }
  public static var rounding: String? { nil }
}

/// Why a method cannot run, or could not do what was asked.
public enum CompressionError: OneLineError, Equatable {
  /// The method does not fit the model.
  case unsupported(method: String, found: String, expected: String, fix: String)
  /// Two methods cannot run together.
  case conflict(String, String, reason: String)
  /// The budget cannot be reached.
  case unreachable(method: String, asked: String, reachable: String, fix: String)
  /// A recording lacks rows that are alive now.
  case missingColumns(found: Int, expected: Int)
  /// A method returned something the runner must refuse.
  case invalidReduction(method: String, site: Site, reason: String)

  /// The `fix` of a refusal that another method may not meet; `Methods.compose` then names one that serves the model.
  public static let anotherMethod = "Choose another method."

  public var message: String {
    switch self {
    case .unsupported(let method, let found, let expected, let fix):
      "\(method) cannot serve this model: \(found), expected \(expected). \(fix)"
    case .conflict(let first, let second, let reason):
      "\(first) and \(second) cannot run together: \(reason). Run them in separate jobs."
    case .unreachable(let method, let asked, let reachable, let fix):
      "\(method) cannot reach its budget: asked \(asked), expected \(reachable). \(fix)"
    case .missingColumns(let found, let expected):
      "a recording does not cover the sequence: \(found) columns, expected at least \(expected) rows by id. "
        + "The layer ran on fewer tokens than are alive now; choose another layer."
    case .invalidReduction(let method, let site, let reason):
      "\(method) returned a wrong reduction at \(site): \(reason). This is a bug in the method."
    }
  }
}
