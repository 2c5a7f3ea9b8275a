import VTokFiles

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
