import Foundation
import Testing
import VTok
import VTokServe

@Suite struct EngineTests {
  private static let question = "what is the color of the triangle?"
  private static let image = try! file(models + "vqa-small/reference/0.png")

  private static func service(
    _ model: String = "vqa-small", method: String? = nil, keep: Budget? = nil,
    _ change: (inout Engine.Settings) -> Void = { _ in }
  ) throws -> Service {
    var settings = Engine.Settings()
    change(&settings)
    let choice = try MethodChoice(method.map { try MethodSpec($0) }, asked: keep)
    return Service(try Engine(.language(Generator(model: models + model)), standard: choice, settings: settings))
  }

  private static func tower() throws -> Service {
    Service(try Engine(.tower(.load("vtok-tiny")), standard: MethodChoice(nil, asked: nil), settings: .init()))
  }

  private static func complete(_ service: Service, _ body: JSON) async throws -> JSON {
    try await service.complete(service.chatRequest(Array(body.text().utf8)))
  }

  @Test func answersAreTheGenerators() async throws {
    let service = try Self.service(method: "divprune", keep: .ratio(0.25))
    let reply = try await Self.complete(service, chat(Self.question, [Self.image]))
    let generator = try Generator(model: models + "vqa-small", method: "divprune", keep: .ratio(0.25))
    let picture = try Image.decode(Self.image).image
    let answer = try generator(Self.question, about: [picture])
    #expect(reply.value(at: "choices")?[0]?.value(at: "message.content") == JSON(answer.text))
    #expect(reply.value(at: "choices")?[0]?["finish_reason"] == "stop" && reply["object"] == "chat.completion")
    #expect(reply.value(at: "usage.completion_tokens") == JSON(answer.ids.count))
    #expect(reply.value(at: "usage.vtok.tokens.out") == JSON(answer.table.tokensOut))
    #expect(reply.value(at: "usage.vtok.gmacs.reduced") == JSON(answer.table.cost.gmacs))
    #expect(reply.value(at: "usage.vtok.method") == "divprune" && reply.value(at: "usage.vtok.shared_prefix") == false)
    // Once more: from what is known, and the same.
    let again = try await Self.complete(service, chat(Self.question, [Self.image]))
    #expect(again["choices"] == reply["choices"] && again.value(at: "usage.vtok.shared_prefix") == true)
    // A method of its own.
    let dense = try await Self.complete(service, chat(Self.question, [Self.image], [("vtok", ["method": "dense"])]))
    #expect(dense.value(at: "usage.vtok.tokens.out") == dense.value(at: "usage.vtok.tokens.in"))
  }

  @Test func streamsAreTheSameInPieces() async throws {
    let service = try Self.service()
    let body = chat(
      "is there a triangle?", [Self.image], [("stream", true), ("stream_options", ["include_usage": true])])
    var chunks: [JSON] = []
    for try await chunk in try await service.stream(service.chatRequest(Array(body.text().utf8))) {
      chunks.append(chunk)
    }
    let whole = try await Self.complete(service, chat("is there a triangle?", [Self.image]))
    let text = chunks.compactMap { $0["choices"]?[0]?.value(at: "delta.content")?.string }.joined()
    #expect(JSON(text) == whole["choices"]?[0]?.value(at: "message.content"))
    #expect(chunks[0]["choices"]?[0]?.value(at: "delta.role") == "assistant")
    #expect(chunks[chunks.count - 2]["choices"]?[0]?["finish_reason"] == "stop")
    #expect(
      chunks.last?["choices"] == []
        && chunks.last?.value(at: "usage.prompt_tokens") == whole.value(at: "usage.prompt_tokens"))
    #expect(Set(chunks.map { $0["id"]!.text() }).count == 1)
  }

  @Test func limitsAreKept() async throws {
    let service = try Self.service {
      $0.limits.promptTokens = 10
      $0.limits.pixels = 100
      $0.limits.body = 1000
    }
    func refused(_ body: JSON) async -> APIError? {
      do { _ = try await Self.complete(service, body) } catch { return APIError(error) }
      return nil
    }
    #expect(await refused(chat("?", [Self.image]))?.status == 413)  // body
    #expect(
      await refused([
        "model": "vqa-small", "messages": [["role": "user", "content": JSON(String(repeating: "what ", count: 40))]],
      ])?.code
        == "context_length_exceeded")
    let big = try Self.service { $0.limits.pixels = 100 }
    do {
      _ = try await Self.complete(big, chat("?", [Self.image]))
      Issue.record("an image above the limit was taken")
    } catch { #expect(APIError(error).status == 413 && APIError(error).code == "too-large") }
    do {
      _ = try await Self.complete(big, chat("?", [[1, 2, 3]]))
      Issue.record("three bytes were taken for an image")
    } catch { #expect(APIError(error).status == 400 && APIError(error).code == "unsupported-format") }
  }

  @Test func stopsEndAnswers() async throws {
    let service = try Self.service()
    let reply = try await Self.complete(service, chat(Self.question, [Self.image], [("stop", "e")]))
    #expect(
      reply["choices"]?[0]?.value(at: "message.content") == "r" && reply["choices"]?[0]?["finish_reason"] == "stop")
    let cut = try await Self.complete(service, chat(Self.question, [Self.image], [("max_tokens", 1)]))
    #expect(cut["choices"]?[0]?["finish_reason"] == "length" && cut.value(at: "usage.completion_tokens") == 1)
  }

  @Test func towersGiveVectors() async throws {
    let service = try Self.tower()
    let pipeline = try Pipeline(model: "vtok-tiny", method: "tome", keep: .tokens(8))
    let pruned = try pipeline(Image.decode(Self.image).image)
    func embed(_ more: [(String, JSON)]) async throws -> JSON {
      let body = JSON.object(JSONObject([("model", "vtok-tiny"), ("input", JSON(dataURL(Self.image)))] + more))
      return try await service.embed(Array(body.text().utf8))
    }
    let method: JSON = ["method": "tome", "keep_tokens": 8]
    let pooled = try await embed([("vtok", method)])
    #expect(pooled["data"]?[0]?["embedding"] == JSON(pruned.pooled))
    #expect(pooled.value(at: "usage.vtok")?[0]?.value(at: "tokens.out") == 8)
    let many = try await embed([("vtok", ["method": "tome", "keep_tokens": 8, "output": "tokens"])])
    #expect(
      many["data"]?[0]?["shape"] == [8, JSON(pruned.tokens.width)] && many["data"]?[0]?["keep"] == JSON(pruned.keep))
    #expect(many["data"]?[0]?["embedding"]?[1] == JSON(Array(pruned.tokens.row(1))))
    let packed = try await embed([("vtok", method), ("encoding_format", "base64")])
    let bytes = try #require(Data(base64Encoded: packed["data"]?[0]?["embedding"]?.string ?? ""))
    #expect(bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) } == pruned.pooled)
    // It has no words.
    do {
      _ = try await Self.complete(service, chat("?", [Self.image], model: "vtok-tiny"))
      Issue.record("a tower has answered")
    } catch { #expect(APIError(error).code == "no_language_model") }
  }

  /// Visual tokens of a vision-language model, but not of what acts inside its language model.
  @Test func languageModelsGiveVectorsToo() async throws {
    let service = try Self.service(method: "divprune", keep: .tokens(5))
    let body: JSON = ["model": "vqa-small", "input": JSON(dataURL(Self.image)), "vtok": ["output": "tokens"]]
    #expect(try await service.embed(Array(body.text().utf8))["data"]?[0]?["shape"]?[0] == 5)
    let inside: JSON = [
      "model": "vqa-small", "input": JSON(dataURL(Self.image)), "vtok": ["method": "fastv", "keep_ratio": 0.5],
    ]
    do {
      _ = try await service.embed(Array(inside.text().utf8))
      Issue.record("fastv acted outside")
    } catch { #expect(APIError(error).status == 400) }
  }

  /// A client that leaves ends its work, and who comes next is served.
  @Test func leavingEndsWork() async throws {
    let service = try Self.service { $0.limits.queue = 0 }
    let request = try await service.chatRequest(Array(chat(Self.question, [Self.image]).text().utf8))
    let task = Task {
      withUnsafeCurrentTask { $0!.cancel() }
      return try await service.complete(request)
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(service.engine.line.count == 0)
    _ = try await service.complete(request)
  }
}
