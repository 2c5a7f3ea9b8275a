import VTokCore

/// The methods of a job on one model, whether they were named or made by hand, with what results say of them: a title, the
/// budget that was asked for, and how it is counted.
public struct ComposedMethods: Sendable {
  public let composition: Composition
  /// As results name them: as typed (`tome:r=13`), or the title given to values; `dense` for none.
  public let title: String
  /// Without options: what a plot draws as one line.
  public let line: String
  /// Of the job, as given.
  public let budget: Budget?
  public let accounting: Accounting

  /// Methods by name.
  /// - Parameters:
  ///   - spec: nil: the dense model.
  ///   - budget: of methods that carry no amount of their own.
  ///   - read: opens files that options name.
  ///   - isServed: what else must hold.
  /// - Throws: `MethodError`, `CompressionError`.
  public init(
    _ spec: MethodSpec?, budget: Budget?, for shape: Shape,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.refuse,
    where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) throws {
    composition = try Methods.compose(spec, budget: budget, for: shape, read: read, where: isServed)
    title = spec?.description ?? Self.dense
    line = spec?.names ?? Self.dense
    self.budget = budget
    accounting = Accounting(spec, budget: budget, composition)
  }

  /// Methods that are values.
  /// - Parameters:
  ///   - methods: run together, in this order; none: the dense model.
  ///   - title: nil: their names, joined with `+`.
  ///   - budget: that they were made with, for results to set beside what is left; nil: they have amounts of their own.
  /// - Throws: `CompressionError`.
  public init(
    _ methods: [any Compressor], title: String? = nil, budget: Budget? = nil, for shape: Shape,
    where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) throws(CompressionError) {
    composition = try Composition(methods, for: shape)
    try isServed(composition)
    let names = methods.map { type(of: $0).name }.joined(separator: "+")
    self.title = title ?? (methods.isEmpty ? Self.dense : names)
    line = self.title
    self.budget = budget
    accounting = Accounting(ruling: methods.map { type(of: $0) }, budget: budget, composition)
  }

  /// What the model without methods is called.
  public static let dense = "dense"

  /// Refuses a number of tokens that no image has, where all have the same.
  public func check(of count: Int) throws(CompressionError) { try accounting.check(of: count, method: title) }
}
