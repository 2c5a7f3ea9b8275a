import Foundation
import VTok

/// What became of a chat request.
struct ChatAnswer: Sendable {
  let text: String
  let isComplete: Bool
  let promptTokens: Int, newTokens: Int
  /// Of the images: of the dense model, and those that were left.
  let imageTokens: (in: Int, out: Int)
  let firstSeconds: Double
  /// Whether an earlier question about the same pictures had done a part of the work.
  let isShared: Bool
  let ledger: JSON

  var finish: JSON { isComplete ? "stop" : "length" }

  var usage: JSON {
    [
      "prompt_tokens": JSON(promptTokens), "completion_tokens": JSON(newTokens),
      "total_tokens": JSON(promptTokens + newTokens), "vtok": ledger,
    ]
  }
}

/// The cost of an answer in `usage.vtok`.
enum Ledger {
  static func of(
    _ answer: Generator.Answer, to prompt: Generator.Prompt, by generator: Generator, isShared: Bool
  ) -> JSON {
    .object(
      JSONObject(
        head(generator, answer.outcome) + answer.ledger(to: prompt) + [("shared_prefix", JSON(isShared))]))
  }

  static func of(_ image: PrunedImage, by method: String) -> JSON {
    [
      "method": JSON(method), "tokens": ["in": JSON(image.tokensIn), "out": JSON(image.keep.count)],
      "gmacs": [
        "dense": JSON(image.dense.gmacs), "reduced": JSON(image.cost.gmacs),
      ],
    ]
  }

  private static func head(_ generator: Generator, _ outcome: BudgetOutcome) -> [(String, JSON)] {
    let budget: JSON = generator.budget == nil ? .null : generator.asked.json(outcome)
    return [("method", JSON(generator.method)), ("budget", budget)]
  }
}

/// The name and time that all parts of one reply have.
struct ReplyHead: Sendable {
  let id: String
  let created: Int
  let model: String

  init(model: String, id: UInt64 = .random(in: .min ... .max), created: Date = .now) {
    let digits = String(id, radix: 16)
    self.id = "chatcmpl-" + String(repeating: "0", count: 16 - digits.count) + digits
    self.created = Int(created.timeIntervalSince1970)
    self.model = model
  }

  func completion(_ answer: ChatAnswer) -> JSON {
    reply(
      "chat.completion",
      [
        "index": 0, "message": ["role": "assistant", "content": JSON(answer.text), "refusal": .null], "logprobs": .null,
        "finish_reason": answer.finish,
      ], [("usage", answer.usage)])
  }

  /// The chunks of a stream.
  var beginning: JSON { chunk(["role": "assistant", "content": ""]) }
  func chunk(_ piece: String) -> JSON { chunk(["content": JSON(piece)]) }
  func end(_ answer: ChatAnswer) -> JSON { chunk([:], finish: answer.finish) }
  func usage(_ answer: ChatAnswer) -> JSON {
    reply("chat.completion.chunk", nil, [("usage", answer.usage)])
  }

  private func chunk(_ delta: JSON, finish: JSON = .null) -> JSON {
    reply("chat.completion.chunk", ["index": 0, "delta": delta, "logprobs": .null, "finish_reason": finish], [])
  }

  private func reply(_ object: String, _ choice: JSON?, _ more: [(String, JSON)]) -> JSON {
    let choices: [JSON] = choice.map { [$0] } ?? []
    return .object(
      JSONObject(
        [
          ("id", JSON(id)), ("object", JSON(object)), ("created", JSON(created)), ("model", JSON(model)),
          ("choices", .array(choices)),
        ] + more))
  }
}

enum EmbeddingReply {
  static func json(_ request: EmbeddingRequest, _ images: [PrunedImage], model: String) -> JSON {
    let data = images.enumerated().map { index, image in
      let members: [(String, JSON)] = [
        ("object", "embedding"), ("index", JSON(index)), ("embedding", vectors(request, image)),
      ]
      guard request.output == .tokens else { return JSON.object(JSONObject(members)) }
      return .object(
        JSONObject(
          members + [("shape", JSON([image.tokens.rows, image.tokens.width])), ("keep", JSON(image.keep))]))
    }
    let tokens = images.reduce(0) { $0 + $1.tokensIn }
    return [
      "object": "list", "data": .array(data), "model": JSON(model),
      "usage": [
        "prompt_tokens": JSON(tokens), "total_tokens": JSON(tokens),
        "vtok": .array(images.map { Ledger.of($0, by: request.choice.method?.description ?? ComposedMethods.dense) }),
      ],
    ]
  }

  /// In base64 the rows of several vectors follow each other.
  private static func vectors(_ request: EmbeddingRequest, _ image: PrunedImage) -> JSON {
    let values = request.output == .pooled ? image.pooled : image.tokens.values
    if request.isBase64 {
      let bytes = values.reduce(into: Data(capacity: 4 * values.count)) { data, value in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
      }
      return JSON(bytes.base64EncodedString())
    }
    guard request.output == .tokens else { return JSON(values) }
    let width = image.tokens.width
    return .array((0..<image.tokens.rows).map { JSON(Array(values[$0 * width..<($0 + 1) * width])) })
  }
}
