import VTokCore
import VTokImage
import VTokPipeline
import VTokTensor

extension QuestionTask {
  /// The dense model alone: the others would take long.
  public func warmUp(_ item: Int) throws {
    _ = try time(item, entries.prefix(1))
  }

  /// Times of the first question; every row with its first seed, from images to answer.
  public func time(_ item: Int, into notes: inout ItemNotes<Self>) throws -> [[BenchStage: Double]] {
    try time(item, entries[...])
  }

  private func time(_ item: Int, _ entries: ArraySlice<Entry>) throws -> [[BenchStage: Double]] {
    let start = threadSeconds()
    let question = data.items[item].questions[0].text
    let images = try images(of: item)
    let prepared = try prepared(images, of: item, for: model)
    let prepare = 1000 * (threadSeconds() - start)
    let prompt = try model.prepare(question, about: prepared)
    return try entries.map { entry in
      let generator = entry.subject(on: item)
      let isCommon = generator.sharesWeights(with: model) && generator.composition.shrink == nil
      let prompt =
        isCommon ? prompt : try generator.prepare(question, about: self.prepared(images, of: item, for: generator))
      do {
        var times = try time(prompt, question, generator, seed(entry.seeds[0], of: item))
        times[.prepare] = prepare
        return times
      } catch is CompressionError where keepsGoing {
        return [:]
      }
    }
  }

  private func time(_ prompt: Generator.Prompt, _ question: String, _ generator: Generator, _ seed: UInt64) throws
    -> [BenchStage: Double]
  {
    let clock = ContinuousClock()
    let (start, started) = (clock.now, threadSeconds())
    let seen = try generator.look(at: prompt.images, question: question, seed: seed)
    let (looked, lookWall) = (threadSeconds(), start.duration(to: clock.now) / .seconds(1))
    var (run, decoding) = try generator.read(prompt, seen: seen)
    let (read, readWall) = (threadSeconds(), start.duration(to: clock.now) / .seconds(1))
    let selected = run.trace.selectionSeconds
    let ids = try generator.model.language.generate(
      from: &decoding, run: &run, limit: limit, stops: generator.model.stops)
    let done = threadSeconds()

    // The processor's clock runs over a whole part; it is dealt out as the wall clock saw its pieces.
    let before = seen.run.trace.selectionSeconds
    let lookScale = 1000 * (looked - started) / lookWall
    let readScale = 1000 * (read - looked) / (readWall - lookWall)
    let tower = seen.run.trace.towerSeconds
    var times: [BenchStage: Double] = [
      .tower: tower * lookScale, .connector: max(0, lookWall - tower - before) * lookScale,
      .selection: before * lookScale + (selected - before) * readScale,
      .prefill: (readWall - lookWall - (selected - before)) * readScale, .first: 1000 * (read - started),
      .wall: 1000 * readWall,
    ]
    if ids.count > 1 { times[.decode] = 1000 * (done - read) / Double(ids.count - 1) }
    return times
  }
}
