import VTokCore
import VTokEval
import VTokTensor

/// How long one contender took for whole answers, nothing shared between questions or contenders. Milliseconds of the
/// thread's processor, one entry a sample.
public struct AnswerTimes: Sendable {
  public var tower: [Double] = [], connector: [Double] = [], selection: [Double] = [], prefill: [Double] = []
  /// Per token after the first; samples of one token have none.
  public var decode: [Double] = []
  /// From the prepared pictures to the first token: by the processor, and by the clock.
  public var first: [Double] = [], firstWall: [Double] = []
  public init() {}
}

private struct SceneTimes: Sendable {
  let times: [AnswerTimes]
  let prepare: Double
}

/// The sample that times are taken from.
public struct AnswerSample: Sendable {
  /// Per contender.
  public let times: [AnswerTimes]
  /// Milliseconds to read and to prepare the pictures of a scene.
  public let prepare: [Double]
}

extension AnswerBench {
  /// Times of the first question of so many scenes spread over the data; every contender with its first seed, each scene
  /// on one thread from pictures to answer.
  public func sample(
    _ samples: Int, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> AnswerSample {
    let count = min(samples, data.scenes.count)
    let scenes = (0..<count).map { $0 * data.scenes.count / count }
    if let first = scenes.first { _ = try measure(first, contenders.prefix(1)) }  // pages, caches, BLAS
    let found = try inOrder(count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let times = try measure(scenes[index], contenders[...])
      return (times, times != nil)
    }.compactMap(\.self)
    let times = contenders.indices.map { index in
      found.reduce(into: AnswerTimes()) { sum, scene in
        let one = scene.times[index]
        sum.tower += one.tower
        sum.connector += one.connector
        sum.selection += one.selection
        sum.prefill += one.prefill
        sum.decode += one.decode
        sum.first += one.first
        sum.firstWall += one.firstWall
      }
    }
    return AnswerSample(times: times, prepare: found.map(\.prepare))
  }

  /// nil where the pictures cannot be had.
  private func measure(_ scene: Int, _ contenders: ArraySlice<Contender>) throws -> SceneTimes? {
    let start = threadSeconds()
    let question = data.scenes[scene].questions[0].text
    let pictures: [Image]
    let prepared: [PreparedImage]
    do throws(ImageError) {
      pictures = try self.pictures(of: scene)
      prepared = try self.prepared(pictures, of: scene, for: model)
    } catch {
      _ = try error.ofPicture()
      return nil
    }
    let prepare = 1000 * (threadSeconds() - start)
    let prompt = try model.prepare(question, about: prepared)
    return SceneTimes(
      times: try contenders.map { contender in
        let prompt =
          contender.subject.sharesWeights(with: model)
          ? prompt : try contender.subject.prepare(question, about: pictures)
        do {
          return try time(prompt, question, contender.subject, seed(contender.seeds[0], of: scene))
        } catch is CompressionError where keepsGoing {
          return AnswerTimes()
        }
      },
      prepare: prepare)
  }

  private func time(_ prompt: Generator.Prompt, _ question: String, _ generator: Generator, _ seed: UInt64) throws
    -> AnswerTimes
  {
    let clock = ContinuousClock()
    let start = clock.now
    let marks = [threadSeconds()]
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
    let lookScale = 1000 * (looked - marks[0]) / lookWall
    let readScale = 1000 * (read - looked) / (readWall - lookWall)
    let tower = seen.run.trace.towerSeconds
    var times = AnswerTimes()
    times.tower = [tower * lookScale]
    times.connector = [max(0, lookWall - tower - before) * lookScale]
    times.selection = [before * lookScale + (selected - before) * readScale]
    times.prefill = [(readWall - lookWall - (selected - before)) * readScale]
    if ids.count > 1 { times.decode = [1000 * (done - read) / Double(ids.count - 1)] }
    times.first = [1000 * (read - marks[0])]
    times.firstWall = [1000 * readWall]
    return times
  }
}
