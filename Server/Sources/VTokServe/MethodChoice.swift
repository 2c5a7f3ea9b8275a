import VTok

/// What a request's `vtok` asks of the tokens: `{"method": "divprune", "keep_ratio": 0.25}`, or `keep_tokens`. The method
/// null or `"dense"` runs the model as it is; without a method the server's own takes the budget.
public struct MethodChoice: Sendable, Equatable {
  /// nil: the dense model.
  public let method: MethodSpec?
  /// Of a method that takes one.
  public let budget: Budget?

  /// The server's own, out of its flags.
  /// - Throws: `APIError` for a budget without a method that takes it.
  public init(_ method: MethodSpec?, asked: Budget?) throws(APIError) {
    self.method = method
    guard let method else {
      if asked != nil {
        throw .member(
          "vtok", found: "a budget for the dense model", expected: "a method to spend it", fix: "Name a method.")
      }
      budget = nil
      return
    }
    let isRuled = method.isRuled(whereGiven: asked != nil)
    if asked != nil, !isRuled {
      throw .member(
        "vtok", found: "a budget for '\(method)', which has an amount of its own", expected: "one of them",
        fix: "Remove one.")
    }
    budget = isRuled ? asked ?? MethodSpec.usualBudget : nil
  }

  /// - Parameter standard: the server's own, for what is not said.
  init(_ members: inout Members, standard: MethodChoice) throws {
    let ratio = try members.number("keep_ratio", "a number above 0 and at most 1") { $0 > 0 && $0 <= 1 }
    let count = try members.int("keep_tokens", Budget.tokenRange)
    if ratio != nil, count != nil {
      throw APIError.member(
        "vtok", found: "both keep_ratio and keep_tokens", expected: "one of them", fix: "Remove one.")
    }
    let asked = ratio.map { Budget.ratio($0) } ?? count.map { .tokens($0) }
    guard members.has("method") else {
      self = asked == nil ? standard : try MethodChoice(standard.method, asked: asked)
      return
    }
    let name = try members.string("method")
    let method = try name.flatMap { $0 == ComposedMethods.dense ? nil : try MethodSpec($0) }
    for part in method?.parts ?? [] { _ = try Methods.named(part.name) }
    if let file = method?.files.first {
      throw APIError.member(
        "vtok.method", found: "the file '\(file)'", expected: "options without files: nothing of the server is read",
        fix: "Choose another method, or start the server with this one.")
    }
    try self.init(method, asked: asked)
  }
}
