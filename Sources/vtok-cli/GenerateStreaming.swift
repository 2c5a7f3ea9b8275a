import ArgumentParser
import VTok

/// `vtok generate --stream`: questions one after the other, each with all threads.
extension GenerateCommand {
  func runStream() throws {
    let given: [(String, Bool)] = [
      ("--image", !images.isEmpty), ("--video", frames.video != nil), ("--as-video", frames.asVideo),
      ("--fps", frames.rate.fps != nil), ("--messages", messages != nil), ("--overlay", overlay != nil),
      ("--tint", drawing.tint),
      ("--format", ![.md, .jsonl].contains(format)),
    ]
    if let flag = given.first(where: \.1)?.0 {
      throw UsageError(
        flag, found: "it beside --stream", expected: "questions on standard input, rows on standard output",
        fix: "Remove it, or ask without --stream.")
    }
    try requireModel()
    let combination = try combination()
    if let combination, try reduction.target() != nil, combination.ruled {
      throw UsageError(
        "target", found: "a stream, whose images and questions are not known",
        expected: "--keep-ratio or --keep-tokens",
        fix: "Use 'vtok flops' to find one.")
    }
    let threads = try running.threadCount()
    let options = try decoding.options()
    let checkpoint = try reduction.checkpoint(precision.value)
    let pixels = try memory.maxMemory.map { _ in
      try memory.pixels(
        ModelOutline(checkpoint), MemoryEstimate.Weights(checkpoint), workers: 1, prompt: (256, maxTokens),
        kv: kv.value, quiet: running.quiet)
    }
    var generator = try Generator(
      checkpoint, method: combination?.spec,
      keep: combination.flatMap { $0.ruled ? $0.budget : nil }, template: language.text(), companion: language.companion
    )
    generator.mostPixels = pixels ?? nil
    generator.kv = kv.value
    let interruption = Interruption(patience: 2)
    var records = StreamRecords(descriptor: 0)
    var (number, failed) = (0, 0)
    while !interruption.happened, let record = try records.next() {
      let row = try row(number, record, generator, options, threads) { !interruption.happened }
      if interruption.happened { break }
      Output.put(row.json.text() + "\n", flush: true)
      number += 1
      failed += row.isGood ? 0 : 1
    }
    if interruption.happened { throw ExitCode(130) }
    if failed > 0 {
      if !running.quiet { VTokCommand.warn("\(failed) of \(number) records failed; their rows say why") }
      throw ExitCode(3)
    }
  }

  /// Whatever is wrong with the record, its images or its question becomes a row; an error of the machine is thrown.
  private func row(
    _ number: Int, _ record: StreamRecords.Record, _ generator: Generator, _ options: DecodeOptions, _ threads: Int,
    goesOn: @escaping () -> Bool
  ) throws -> (json: JSON, isGood: Bool) {
    func head(_ id: JSON, _ error: JSON) -> [(String, JSON)] {
      [
        ("schema", "vtok-generate-stream/1"), ("index", JSON(number)), ("id", id),
        ("status", error == .null ? "ok" : "failed"), ("error", error),
      ]
    }
    func failed(_ id: JSON, _ kind: String, _ error: some OneLineError) -> (json: JSON, isGood: Bool) {
      (.object(JSONObject(head(id, ["kind": JSON(kind), "message": JSON(error.message)]))), false)
    }
    let request: StreamRequest
    do throws(StreamRequest.Mistake) {
      request = try StreamRequest(record, number: number, keys: ["prompt"])
    } catch { return failed(error.id, "request", error) }
    let names = request.images.indices.map { index in
      if case .path(let path) = request.images[index] { path } else { request.name }
    }
    do {
      guard let prompt = request.prompt ?? prompt, !prompt.allSatisfy(\.isWhitespace) else {
        throw ModelError.input(
          what: "record \(number)", found: "no `prompt`", expected: "a question", fix: "Add it, or give --prompt TEXT.")
      }
      let pictures = try zip(request.images, names).map {
        try generator.picture($0.decoded($1, options: options).image)
      }
      let messages = ChatMessage.question(prompt, images: pictures.count, system: system)
      try generator.check(messages)
      let question = try generator.prepare(messages, about: pictures)
      let answer = try generator(
        question, sampling: Sampling(temperature: temperature, topP: topP, seed: reduction.seed), limit: maxTokens,
        seed: reduction.seed, threads: threads
      ) { _ in goesOn() }
      let row = AnswerRow(
        answer: answer, question: question, generator: generator, command: self,
        conversation: Conversation(messages: messages, images: names), threads: threads, peakMemory: Machine.peakMemory)
      let members = row.json.object!.lazy.filter { $0.key != "schema" }.map { ($0.key, $0.value) }
      return (.object(JSONObject(head(request.id, .null) + members)), true)
    } catch let error as ImageError {
      return failed(request.id, try error.ofPicture().kind.rawValue, error)
    } catch let error as ModelError {
      return failed(request.id, "request", error)
    } catch let error as CompressionError {
      return failed(request.id, "internal", error)
    }
  }
}
