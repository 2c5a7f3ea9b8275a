import CVTokAPI
import Foundation
import Testing
import VTok

/// Questions, and benches, as a program in C asks them.
@Suite struct QuestionTests {
  static let model = InterfaceTests.root + "/Benchmarks/models/vqa-small"
  static let picture = InterfaceTests.pictures + "/cat.jpg"

  private func open(_ method: String?) -> OpaquePointer? {
    Self.model.withCString { model in
      (method ?? "").withCString { name in
        var options = vtok_options()
        options.size = MemoryLayout<vtok_options>.size
        options.model = model
        options.method = method == nil ? nil : name
        options.keep_ratio = method == nil ? 0 : 0.25
        return vtok_generator_open(&options)
      }
    }
  }

  private func ask(
    _ generator: OpaquePointer?, _ prompt: String, limit: Int32 = 8, _ receive: vtok_receiver? = nil,
    _ context: UnsafeMutableRawPointer? = nil
  ) -> OpaquePointer? {
    Self.picture.withCString { path in
      prompt.withCString { prompt in
        var image = vtok_image(path: path, data: nil, length: 0, width: 0, height: 0, stride: 0, name: nil)
        return withUnsafePointer(to: &image) { image in
          var question = vtok_question()
          question.size = MemoryLayout<vtok_question>.size
          question.prompt = prompt
          question.images = image
          question.image_count = 1
          question.max_tokens = limit
          question.threads = 1
          return vtok_generator_ask(generator, &question, receive, context)
        }
      }
    }
  }

  private var lastError: String { String(cString: vtok_last_error()) }

  @Test(arguments: [nil, "divprune", "fastv"])
  func answersAreThoseOfAGenerator(_ method: String?) throws {
    let expected = try Generator(model: Self.model, method: method, keep: method.map { _ in .ratio(0.25) })(
      "what color is the shape?", about: [Image.decode(contentsOf: Self.picture).image], limit: 8)
    let generator = open(method)
    defer { vtok_generator_free(generator) }
    #expect(generator != nil, "\(lastError)")
    var pieces: [String] = []
    let answer = withUnsafeMutablePointer(to: &pieces) { pieces in
      ask(
        generator, "what color is the shape?",
        { piece, context in
          context!.assumingMemoryBound(to: [String].self).pointee.append(String(cString: piece!))
          return 0
        }, pieces)
    }
    defer { vtok_answer_free(answer) }
    #expect(answer != nil, "\(lastError)")
    var count = 0
    let ids = vtok_answer_ids(answer, &count)
    #expect(Array(UnsafeBufferPointer(start: ids, count: count)).map(Int.init) == expected.ids)
    #expect(String(cString: vtok_answer_text(answer)) == expected.text)
    #expect(pieces.joined() == expected.text)
    let row = try JSON(parsing: String(cString: vtok_answer_row(answer)))
    #expect(row.value(at: "gmacs.reduced")?.double == expected.table.cost.gmacs)
  }

  @Test func aReceiverEndsAnAnswer() throws {
    let generator = open(nil)
    defer { vtok_generator_free(generator) }
    let answer = ask(generator, "what color is the shape?", { _, _ in 1 })
    defer { vtok_answer_free(answer) }
    var count = 0
    _ = vtok_answer_ids(answer, &count)
    #expect(count == 1)
  }

  @Test func questionsAreChecked() throws {
    let generator = open(nil)
    defer { vtok_generator_free(generator) }
    #expect(ask(generator, " ") == nil)
    #expect(lastError.contains("an empty text"))
    #expect(ask(generator, "what?", limit: -1) == nil)
    #expect(lastError.contains("max_tokens: -1"))
    #expect(open("tomee") == nil)
  }

  @Test func benchesGiveRows() throws {
    func bench(_ request: String) throws -> JSON? {
      let text = vtok_bench(request, nil, nil)
      defer { vtok_text_free(text) }
      return try text.map { try JSON(parsing: String(cString: $0)) }
    }
    let images = InterfaceTests.pictures
    let few = #""limit":3,"timing_samples":0,"seeds":2"#
    let found = try #require(
      try bench(
        #"{"data":"\#(images)","methods":["divprune"],"keep_ratio":[0.5,0.25],\#(few)}"#))
    let rows = try #require(found["rows"]?.array)
    let names = rows.compactMap { $0["method"]?.string }
    let chance = "random:at=features"
    #expect(names == ["dense", "divprune", "divprune", chance, chance, "downsample", "downsample"])
    #expect(rows[2].value(at: "budget.asked")?.double == 0.25)
    for (request, text) in [
      ("[]", "a JSON object"), (#"{"methods":[]}"#, "data: none"), (#"{"data":"x","what":1}"#, "the key 'what'"),
      (#"{"data":"/nowhere"}"#, "no such file or folder"),
      (#"{"data":"\#(images)","keep_ratio":[2]}"#, "keep_ratio: 2"),
      (#"{"data":"\#(images)","seeds":0}"#, "seeds: 0"),
    ] {
      #expect(try bench(request) == nil)
      #expect(lastError.contains(text), "\(lastError)")
    }
    // Whoever listens can end it.
    #expect(vtok_bench(#"{"data":"\#(images)"}"#, { _, _, _, _ in 1 }, nil) == nil)
    #expect(lastError.contains("a wish to stop"))
  }
}
