import VTok

/// What a server does with the bodies that it gets, whatever brings them. Every call waits in line for the engine, and stops
/// its work once the task that makes it is cancelled.
public struct Service: Sendable {
  public let engine: Engine
  private let fetcher: (any PictureFetching)?

  /// - Parameter fetcher: of the hosts that the engine's limits name.
  public init(_ engine: Engine, fetcher: (any PictureFetching)? = nil) {
    self.engine = engine
    self.fetcher = fetcher
  }

  /// - Throws: `APIError` for a body that is no JSON.
  public func json(_ body: [UInt8]) throws(APIError) -> JSON {
    guard body.count <= engine.settings.limits.body else { throw .tooLong(engine.settings.limits.body) }
    do { return try JSON(parsing: body, budget: .data) } catch {
      throw APIError(400, code: "invalid_json", "body: \(error), expected a JSON object. Correct it.")
    }
  }

  /// A request with its images at hand.
  /// - Throws: what `ChatRequest` and the fetcher throw.
  public func chatRequest(_ body: [UInt8]) async throws -> ChatRequest {
    var request = try ChatRequest(
      json(body), model: engine.name, limits: engine.settings.limits, standard: engine.standard)
    request.images = try await fetched(request.images)
    return request
  }

  /// One after the other: a client's images shall not take all of the line to their host.
  private func fetched(_ sources: [PictureSource]) async throws -> [PictureSource] {
    var (files, left) = ([PictureSource](), engine.settings.limits.body)
    for source in sources {
      guard case .address(let address, let place) = source, let fetcher else {
        files.append(source)
        continue
      }
      let bytes = try await fetcher.file(at: address, place: place, limit: left)
      left -= bytes.count
      files.append(.file(bytes))
    }
    return files
  }

  /// The whole answer.
  public func complete(_ request: ChatRequest) async throws -> JSON {
    let answer = try await engine.line.enter { try await engine.chat(request) { _ in } }
    engine.metrics.answer(answer)
    return ReplyHead(model: engine.name).completion(answer)
  }

  /// The answer as it comes: JSON objects, the last of which says how it ended.
  public func stream(_ request: ChatRequest) -> AsyncThrowingStream<JSON, any Error> {
    AsyncThrowingStream { chunks in
      let head = ReplyHead(model: engine.name)
      let work = Task {
        do {
          let answer = try await engine.line.enter {
            // Nothing goes out before the first piece: until then an error has a status of its own.
            try await engine.chat(request, beginning: { chunks.yield(head.beginning) }) { chunks.yield(head.chunk($0)) }
          }
          engine.metrics.answer(answer)
          chunks.yield(head.end(answer))
          if request.includesUsage { chunks.yield(head.usage(answer)) }
          chunks.finish()
        } catch {
          chunks.finish(throwing: error)
        }
      }
      chunks.onTermination = { _ in work.cancel() }
    }
  }

  public func embed(_ body: [UInt8]) async throws -> JSON {
    var request = try EmbeddingRequest(
      json(body), model: engine.name, limits: engine.settings.limits, standard: engine.standard)
    request.images = try await fetched(request.images)
    let images = try await engine.line.enter { try await engine.embed(request) }
    engine.metrics.images(images)
    return EmbeddingReply.json(request, images, model: engine.name)
  }

  // MARK: What there is

  public var models: JSON { ["object": "list", "data": [model]] }

  /// - Throws: `APIError` for a name that is not the model's.
  public func model(named name: String) throws(APIError) -> JSON {
    guard name == engine.name else {
      throw APIError(404, code: "model_not_found", parameter: "model", "model: '\(name)', expected '\(engine.name)'.")
    }
    return model
  }

  private var model: JSON {
    ["id": JSON(engine.name), "object": "model", "created": JSON(0), "owned_by": "vtok"]
  }

  public var health: JSON { ["status": "ok", "model": JSON(engine.name), "inside": JSON(engine.line.count)] }
}
