import Hummingbird
import Logging
import NIOCore
import VTok
import VTokServe

/// A request with the connection that it came on.
struct ServeContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }
}

/// Lets in who has the key, turns errors into replies and counts all of them.
struct ReplyMiddleware: RouterMiddleware {
  let metrics: Metrics
  /// nil: everyone may ask.
  let key: String?

  func handle(
    _ request: Request, context: ServeContext, next: (Request, ServeContext) async throws -> Response
  ) async throws -> Response {
    let clock = ContinuousClock()
    let start = clock.now
    let response: Response
    do {
      try check(request)
      response = try await next(request, context)
    } catch is CancellationError {
      metrics.leave()
      response = Response(status: HTTPResponse.Status(code: 499, reasonPhrase: "Client Left"))
    } catch {
      let known = Self.known(error, request)
      if known.isOfServer { context.logger.error("\(request.uri.path): \(oneLine("\(error)"))") }
      response = Response(known)
    }
    metrics.reply(
      context.endpointPath ?? "other", status: response.status.code,
      seconds: start.duration(to: clock.now) / .seconds(1))
    return response
  }

  /// Keys are compared by their hashes: how long that takes tells nothing of the key.
  private func check(_ request: Request) throws(APIError) {
    guard let key, request.uri.path != "/health" else { return }
    let given = request.headers[.authorization] ?? ""
    guard given.hasPrefix("Bearer "), SHA256.of(given.dropFirst(7).utf8) == SHA256.of(key.utf8) else {
      throw .unauthorised
    }
  }

  private static func known(_ error: any Error, _ request: Request) -> APIError {
    guard let error = error as? HTTPError else { return APIError(error) }
    switch error.status {
    case .notFound, .methodNotAllowed: return .noRoute("\(request.method)", oneLine(request.uri.path))
    default: return APIError(error.status.code, "\(error.status.reasonPhrase)")
    }
  }
}

extension Response {
  init(_ json: JSON, status: HTTPResponse.Status = .ok) {
    self.init(
      status: status, headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: json.text())))
  }

  init(_ error: APIError) {
    self.init(error.json, status: HTTPResponse.Status(code: error.status))
    if error.status == 429 { headers[.retryAfter] = "1" }
    if error.status == 401 { headers[.wwwAuthenticate] = "Bearer" }
  }
}
