import VTokCore
import VTokEval
import VTokMethods
import VTokModels

// MARK: One model, many methods

extension Generator {
  /// The same model with another method.
  /// - Throws: `MethodError` and `CompressionError` for what is asked.
  public func with(
    _ method: MethodSpec?, keep: Budget? = nil,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.read
  ) throws -> Generator {
    try with(Self.compose(method, keep, read, for: outline.shape, hasCompanion: companion != nil))
  }

  /// The same model with methods that are values; see `init(_:methods:)`.
  /// - Throws: `CompressionError`.
  public func with(methods: [any Compressor], title: String? = nil, keep: Budget? = nil) throws(CompressionError)
    -> Generator
  {
    try with(Self.compose(methods, title, keep, for: outline.shape, hasCompanion: companion != nil))
  }

  static func compose(
    _ method: MethodSpec?, _ keep: Budget?, _ read: @escaping @Sendable (String) throws -> OptionFile,
    for shape: Shape, hasCompanion: Bool
  ) throws -> ComposedMethods {
    try ComposedMethods(method, budget: keep, for: shape, read: read) { composition throws(CompressionError) in
      try check(composition, hasCompanion: hasCompanion)
    }
  }

  static func compose(
    _ methods: [any Compressor], _ title: String?, _ keep: Budget?, for shape: Shape, hasCompanion: Bool
  ) throws(CompressionError) -> ComposedMethods {
    try ComposedMethods(methods, title: title, budget: keep, for: shape) { composition throws(CompressionError) in
      try check(composition, hasCompanion: hasCompanion)
    }
  }

  private static func check(_ composition: Composition, hasCompanion: Bool) throws(CompressionError) {
    if let joint = composition.joint, !hasCompanion {
      throw .lacks(method: joint, .companion)
    }
  }
}
