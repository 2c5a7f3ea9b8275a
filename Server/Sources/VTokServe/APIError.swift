import VTok

/// Why a request is refused or failed, in the form of OpenAI's API.
public struct APIError: OneLineError, Equatable {
  /// Of HTTP.
  public let status: Int
  /// For programs: `invalid_request_error`, `authentication_error`, `rate_limit_error`, `server_error`.
  public let type: String
  /// For programs too, where there is more to say: `context_length_exceeded`.
  public let code: String?
  /// The member of the request that it is about.
  public let parameter: String?
  public let message: String

  public init(
    _ status: Int, type: String = "invalid_request_error", code: String? = nil, parameter: String? = nil,
    _ message: String
  ) {
    self.status = status
    self.type = type
    self.code = code
    self.parameter = parameter
    self.message = message
  }

  /// What is wrong with a member of a request.
  public static func member(
    _ name: String, found: String, expected: String, fix: String = "Correct it.", code: String? = nil
  ) -> APIError {
    APIError(400, code: code, parameter: name, "\(name): \(found), expected \(expected). \(fix)")
  }

  public static let busy = APIError(
    429, type: "rate_limit_error", code: "queue_full",
    "the queue is full, expected fewer requests at a time. Try again later; the server's --queue says how many may wait."
  )

  public static let unauthorised = APIError(
    401, type: "authentication_error", code: "invalid_api_key",
    "no API key or a wrong one, expected the server's key. Send it as 'Authorization: Bearer KEY'.")

  public static func tooLong(_ most: Int) -> APIError {
    APIError(
      413, code: "body_too_large",
      "a body of more than \(most) bytes, expected at most that. Send smaller images; the server's --max-body sets the limit."
    )
  }

  public static func noRoute(_ method: String, _ path: String) -> APIError {
    APIError(
      404, code: "unknown_url",
      "\(method) \(path): no such address, expected POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /health or GET /metrics. Correct it."
    )
  }

  /// Any error of the library: a client's where it is about what was asked, else the server's, which tells no details.
  public init(_ error: any Error) {
    switch error {
    case let error as APIError: self = error
    case let error as ImageError where !error.kind.isOfMachine:
      self.init(error.kind == .tooLarge ? 413 : 400, code: error.kind.rawValue, parameter: "image", error.message)
    case let error as MessageMistake: self.init(400, parameter: "messages\(error.place)", error.message)
    case is MethodError, is OptionError, is CompressionError: self.init(400, parameter: "vtok", "\(error)")
    case is ModelError: self.init(400, "\(error)")
    default: self.init(500, type: "server_error", "the server failed, and its log says why. Try again, or report it.")
    }
  }

  /// Whether the fault is the server's.
  public var isOfServer: Bool { status >= 500 }

  public var json: JSON {
    [
      "error": [
        "message": JSON(description), "type": JSON(type), "param": parameter.map { JSON($0) } ?? .null,
        "code": code.map { JSON($0) } ?? .null,
      ]
    ]
  }
}
