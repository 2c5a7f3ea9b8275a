// Functions have the names of vtok.h, which the compiler holds them against.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CVTokAPI
import Synchronization
import VTok

final class OpenGenerator: Sendable {
  let generator: Generator
  let decode: DecodeOptions
  private let description = Mutex<CText?>(nil)

  init(_ opening: Opening) throws {
    guard opening.question == nil else {
      throw ArgumentError(
        "question", found: "it in the options of a generator", expected: "it in the call that asks",
        fix: "Leave it out.")
    }
    generator = try opening.generator(opening.checkpoint())
    decode = opening.decode
  }

  func about() -> UnsafePointer<CChar> {
    description.withLock { text in
      if text == nil {
        let members: [(String, JSON)] = [
          ("model", JSON(generator.name)), ("kind", "generator"), ("method", JSON(generator.method)),
        ]
        text = CText(JSON.object(JSONObject(members + generator.about)).text())
      }
      return UnsafePointer(text!.pointer)
    }
  }
}

extension Generator {
  var about: [(String, JSON)] {
    [("model_sha256", JSON(sha256)), ("precision", JSON(precision.rawValue)), ("template", JSON(template.name))]
  }
}

final class OpenAnswer: @unchecked Sendable {
  let text: CText, row: CText
  let ids: UnsafeMutableBufferPointer<Int64>

  init(_ answer: Generator.Answer, to prompt: Generator.Prompt) {
    text = CText(answer.text)
    row = CText(JSON.object(JSONObject(answer.row(to: prompt))).text())
    ids = .allocate(capacity: answer.ids.count)
    _ = ids.initialize(from: answer.ids.map(Int64.init))
  }

  deinit { ids.deallocate() }
}

/// `vtok_question`, read and checked.
struct Question {
  let prompt: String
  let system: String?
  let images: UnsafeBufferPointer<vtok_image>
  let limit: Int, threads: Int
  let sampling: Sampling
  let seed: UInt64

  init(_ given: UnsafePointer<vtok_question>?) throws {
    let question = try readable(given, "question", empty: vtok_question())
    prompt = try text(question.prompt, "prompt") ?? ""
    system = try text(question.system, "system")
    guard question.image_count == 0 || question.images != nil else {
      throw ArgumentError(
        "images", found: "NULL", expected: "\(question.image_count) of them", fix: "Give their address.")
    }
    images = UnsafeBufferPointer(start: question.images, count: question.image_count)
    limit = try number(Int(question.max_tokens), "max_tokens", in: 1...1_000_000, usual: 256)
    threads = try threadCount(Int(question.threads))
    let (temperature, topP) = (question.temperature, question.top_p == 0 ? 1 : question.top_p)
    guard (0...1000).contains(temperature) else {
      throw ArgumentError("temperature", found: "\(temperature)", expected: "a number in 0...1000", fix: "Correct it.")
    }
    guard topP > 0, topP <= 1 else {
      throw ArgumentError(
        "top_p", found: "\(topP)", expected: "a number above 0 and at most 1", fix: "Correct it.")
    }
    seed = question.seed
    sampling = Sampling(temperature: temperature, topP: topP, seed: seed)
  }
}

/// - Parameter asked: 0: all cores.
func threadCount(_ asked: Int) throws(ArgumentError) -> Int {
  try number(asked, "threads", in: 1...1024, usual: min(processors, 1024))
}

@c @implementation
public func vtok_generator_open(_ options: UnsafePointer<vtok_options>?) -> OpaquePointer? {
  attempt { handed(try OpenGenerator(Opening(options))) }
}

@c @implementation
public func vtok_generator_free(_ generator: OpaquePointer?) { free(generator, OpenGenerator.self) }

@c @implementation
public func vtok_generator_about(_ generator: OpaquePointer?) -> UnsafePointer<CChar>? {
  attempt { (try borrowed(generator, "generator") as OpenGenerator).about() }
}

@c @implementation
public func vtok_generator_ask(
  _ generator: OpaquePointer?, _ question: UnsafePointer<vtok_question>?, _ receive: vtok_receiver?,
  _ context: UnsafeMutableRawPointer?
) -> OpaquePointer? {
  attempt {
    let open: OpenGenerator = try borrowed(generator, "generator")
    let (generator, question) = (open.generator, try Question(question))
    try generator.check(question.prompt, images: question.images.count, system: question.system)
    let pictures = try question.images.indices.map { place in
      let picture = try Picture(question.images.baseAddress! + place, open.decode)
      do throws(ImageError) { return try generator.picture(picture.image, among: question.images.count) } catch {
        throw picture.name.map { error.named($0) } ?? error
      }
    }
    let prompt = try generator.prepare(question.prompt, about: pictures, system: question.system)
    let answer = try generator(
      prompt, sampling: question.sampling, limit: question.limit, seed: question.seed, threads: question.threads
    ) { piece in
      receive.map { receive in piece.withCString { receive($0, context) == 0 } } ?? true
    }
    return handed(OpenAnswer(answer, to: prompt))
  }
}

@c @implementation
public func vtok_answer_free(_ answer: OpaquePointer?) { free(answer, OpenAnswer.self) }

@c @implementation
public func vtok_answer_text(_ answer: OpaquePointer?) -> UnsafePointer<CChar>? {
  attempt { UnsafePointer((try borrowed(answer, "answer") as OpenAnswer).text.pointer) }
}

@c @implementation
public func vtok_answer_ids(_ answer: OpaquePointer?, _ count: UnsafeMutablePointer<Int>?) -> UnsafePointer<Int64>? {
  attempt {
    let answer: OpenAnswer = try borrowed(answer, "answer")
    count?.pointee = answer.ids.count
    return UnsafePointer(answer.ids.baseAddress!)
  }
}

@c @implementation
public func vtok_answer_row(_ answer: OpaquePointer?) -> UnsafePointer<CChar>? {
  attempt { UnsafePointer((try borrowed(answer, "answer") as OpenAnswer).row.pointer) }
}
