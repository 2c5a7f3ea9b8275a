import VTokCore

extension Methods {
  /// A job's methods on a model. A refusal that another method need not meet names one.
  /// - Parameter isServed: what else must hold of the method named instead.
  /// - Throws: `MethodError`, `CompressionError`.
  public static func compose(
    _ spec: MethodSpec?, budget: Budget?, for shape: Shape,
    read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.refuse,
    where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) throws -> Composition {
    guard let spec else { return .dense(shape) }
    do {
      let composition = try Composition(spec.make(budget: budget, read: read), for: shape)
      try isServed(composition)
      return composition
    } catch CompressionError.unsupported(let method, let found, let expected, CompressionError.anotherMethod) {
      let others = serving(shape, where: isServed).filter { $0 != method }
      let alike = others.first { (try? named($0).counted) == (try? named(method).counted) }
      throw CompressionError.unsupported(
        method: method, found: found, expected: expected,
        fix: (alike ?? others.first).map { "Use \($0) with this model." } ?? "Choose another model.")
    }
  }

  /// Names of the methods that serve a model as they are, without files of their own, in the order of the list.
  static func serving(
    _ shape: Shape, where isServed: (Composition) throws(CompressionError) -> Void = { _ in }
  ) -> [String] {
    names.filter { name in
      guard let made = try? MethodSpec(name).make(budget: .ratio(0.5)),
        let composition = try? Composition(made, for: shape)
      else { return false }
      return (try? isServed(composition)) != nil
    }
  }

  /// Why a method as it is, with half of the visual tokens, cannot serve a model; nil: it can.
  package static func refusal(of name: String, for shape: Shape) -> String? {
    do {
      _ = try Composition(MethodSpec(name).make(budget: .ratio(0.5)), for: shape)
      return nil
    } catch let error as CompressionError {
      if case .unsupported(_, let found, let expected, _) = error { return "\(found), expected \(expected)" }
      return error.message
    } catch {
      // Its options have no default: a file, which fits the model or not.
      return nil
    }
  }
}
