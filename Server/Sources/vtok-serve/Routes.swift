import Hummingbird
import NIOCore
import VTok
import VTokServe

/// The addresses of OpenAI's API that a model answers, and those that watch it.
struct Routes: Sendable {
  let service: Service
  let connections = Connections()

  func router(key: String?) -> Router<ServeContext> {
    let router = Router(context: ServeContext.self)
    router.add(middleware: ReplyMiddleware(metrics: service.engine.metrics, key: key))
    router.get("health") { _, _ in Response(service.health) }
    router.get("metrics") { _, _ in
      Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(
          byteBuffer: ByteBuffer(string: service.engine.metrics.text(inside: service.engine.line.count))))
    }
    router.get("v1/models") { _, _ in Response(service.models) }
    router.get("v1/models/{id}") { _, context in
      Response(try service.model(named: context.parameters.require("id")))
    }
    router.post("v1/embeddings") { request, context in
      let body = try await body(of: request)
      return Response(try await connections.run(for: context.channel) { try await service.embed(body) })
    }
    router.post("v1/chat/completions") { request, context in
      let body = try await body(of: request)
      let chat = try await connections.run(for: context.channel) { try await service.chatRequest(body) }
      if chat.isStreamed { return try await stream(chat, context) }
      return Response(try await connections.run(for: context.channel) { try await service.complete(chat) })
    }
    return router
  }

  /// The body, as long as there is a place in line and it is as long as bodies may be.
  private func body(of request: Request) async throws -> [UInt8] {
    let limit = service.engine.settings.limits.body
    let kind = request.headers[.contentType] ?? "nothing"
    // What pages of strangers may send without asking is of another kind.
    guard kind.lowercased().hasPrefix("application/json") else {
      throw APIError(
        415, code: "unsupported_media_type",
        "Content-Type: '\(kind.prefix(60))', expected application/json. Send it.")
    }
    if let length = request.headers[.contentLength].flatMap(Int.init), length > limit { throw APIError.tooLong(limit) }
    if service.engine.line.isFull { throw APIError.busy }
    do {
      return Array(try await request.body.collect(upTo: limit).readableBytesView)
    } catch is NIOTooManyBytesError {
      throw APIError.tooLong(limit)
    } catch {
      // Of a client that has left, or that sends no HTTP.
      throw APIError(
        400, code: "broken_body", "body: it broke off, expected as many bytes as its head says. Send it again.")
    }
  }

  /// Server-sent events. The reply begins with the first of them: an error before it has a status of its own.
  private func stream(_ chat: ChatRequest, _ context: ServeContext) async throws -> Response {
    let chunks = service.stream(chat)
    let first = try await connections.run(for: context.channel) {
      var iterator = chunks.makeAsyncIterator()
      return try await iterator.next()
    }
    guard let first else { throw CancellationError() }
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-cache"],
      body: ResponseBody { writer in
        try await writer.write(Self.event(first))
        do {
          for try await chunk in chunks { try await writer.write(Self.event(chunk)) }
        } catch let error where !(error is ChannelError) {
          let known = APIError(error)
          if known.isOfServer { context.logger.error("in a stream: \(oneLine("\(error)"))") }
          try await writer.write(Self.event(known.json))
        }
        try await writer.write(ByteBuffer(string: "data: [DONE]\n\n"))
        try await writer.finish(nil)
      })
  }

  private static func event(_ json: JSON) -> ByteBuffer { ByteBuffer(string: "data: \(json.text())\n\n") }
}
