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

  /// Whether it draws lots, so that another seed may keep other tokens: tables show the mean of several.
  var isStochastic: Bool { get }

  /// Takes its options, each with default, range and explanation. It must not throw when none was given.
  init(_ options: inout Options) throws(OptionError)

  /// Sites, recordings and rules it needs. Refuses what it cannot serve, before weights load.
  func plan(for model: Shape) throws(CompressionError) -> Plan

  /// Pieces of a question whose tokens it asks for with `words`, each cut into tokens by itself.
  func words(of question: String, for model: Shape) -> [String]

  /// nil: everything stays as it is (or as `view.standard` says). Else one reduction per sequence; at `.pack` one per span;
  /// at `.cache` one per sequence or one per KV head. Indices are those of the view's sequences.
  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
}

extension Compressor {
  public static var remarks: [String] { [] }
  public static var counted: Counted { .tokens }
  public static var rounding: String? { nil }
  public var isStochastic: Bool { false }
  public func words(of question: String, for model: Shape) -> [String] { [question] }
}
