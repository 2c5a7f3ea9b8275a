import VTokFiles

/// Why a method cannot run, or could not do what was asked.
public enum CompressionError: OneLineError, Equatable {
  /// The method does not fit the model.
  case unsupported(method: String, found: String, expected: String, fix: String)
  /// The method needs something beside the image.
  case lacks(method: String, Need)
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

  /// The `fix` of a budget that leaves too little.
  public static let largerBudget = "Ask for a larger keep ratio or number of tokens."

  public enum Need: Sendable {
    /// Because the tokens it keeps depend on it.
    case question
    /// The CLIP that the model's tower comes from.
    case companion
  }

  public var message: String {
    switch self {
    case .lacks(let method, .question):
      "\(method) has no question, expected one, because what it keeps depends on it. Give one."
    case .lacks(let method, .companion):
      "\(method) has no companion CLIP, expected the CLIP that the model's tower comes from. Name its folder, or choose "
        + "another method."
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
