import VTokEval
import VTokMethods
import VTokTensor

/// What a run on one image cost, or the mean of several: patch tokens in, out and entering a block, giga multiply-adds.
public struct BenchCosts: Sendable {
  public var tokensIn: Double, tokensOut: Double, meanTokens: Double
  public var gmacs: Double, denseGmacs: Double, selectionGmacs: Double
  /// Tokens asked for and left.
  public var outcome: BudgetOutcome

  init(_ image: PrunedImage) {
    (tokensIn, tokensOut) = (Double(image.rows * image.columns), Double(image.keep.count))
    meanTokens = image.cost.meanTokens
    (gmacs, denseGmacs) = (image.cost.gmacs, image.dense.gmacs)
    selectionGmacs = Double(image.cost.selection) * 1e-9
    outcome = image.outcome
  }

  /// - Precondition: there are some.
  static func mean(_ all: [BenchCosts]) -> BenchCosts {
    var sum = all[0]
    for path in [\BenchCosts.tokensIn, \.tokensOut, \.meanTokens, \.gmacs, \.denseGmacs, \.selectionGmacs] {
      sum[keyPath: path] = all.reduce(0) { $0 + $1[keyPath: path] } / Double(all.count)
    }
    sum.outcome = all.dropFirst().reduce(all[0].outcome) { $0 + $1.outcome }.divided(by: Double(all.count))
    return sum
  }
}

/// How long one contender took for whole images, nothing shared between contenders. Milliseconds, one entry a sample.
public struct BenchTimes: Sendable {
  /// Of the thread's processor: tower with embedding and head, and methods.
  public var tower: [Double] = [], selection: [Double] = []
  /// Both by the clock.
  public var wall: [Double] = []
  /// Of the thread's processor.
  public var all: [Double] { zip(tower, selection).map(+) }
}

/// The sample that times are taken from.
public struct BenchSample: Sendable {
  /// Per contender.
  public let times: [BenchTimes]
  /// Milliseconds to read an image, and to prepare it for the tower.
  public let decode: [Double], preprocess: [Double]
  /// Per contender; nil when nothing was sampled.
  public let costs: [BenchCosts?]
}

extension Bench {
  /// Times of so many images spread over the data; every contender with its first seed, all of them on an image before the
  /// next one, so that rows are compared within the same moments of the machine.
  public func sample(
    _ samples: Int, limit: Int? = nil, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> BenchSample {
    let all = min(limit ?? data.count, data.count)
    let count = min(samples, all)
    if count > 0 { _ = try measure(0) }  // pages, caches
    let found = try inOrder(count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let image = try measure(index * all / count)
      return (image, image != nil)
    }.compactMap(\.self)
    return BenchSample(
      times: contenders.indices.map { index in
        BenchTimes(
          tower: found.map { $0.runs[index].tower }, selection: found.map { $0.runs[index].selection },
          wall: found.map { $0.runs[index].wall })
      }, decode: found.map(\.decode), preprocess: found.map(\.preprocess),
      costs: contenders.indices.map { index in found.isEmpty ? nil : .mean(found.map { $0.runs[index].costs }) })
  }

  private struct ImageTimes: Sendable {
    let decode: Double, preprocess: Double
    var runs: [(tower: Double, selection: Double, wall: Double, costs: BenchCosts)] = []
  }

  /// nil for an image that cannot be read.
  private func measure(_ index: Int) throws -> ImageTimes? {
    let start = threadSeconds()
    let image: Image
    do throws(ImageError) { image = try data.image(index, options: decode) } catch {
      _ = try error.ofPicture()
      return nil
    }
    let read = threadSeconds()
    let usual = contenders[0].subject.prepare(image)
    var times = ImageTimes(decode: 1000 * (read - start), preprocess: 1000 * (threadSeconds() - read))
    for contender in contenders {
      let pipeline = contender.subject
      let prepared = pipeline.composition.patches == nil ? usual : pipeline.prepare(image)
      let start = threadSeconds()
      let reduced = try pipeline.run(prepared, seed: seed(contender.seeds[0], of: index))
      let trace = reduced.trace
      let processor = 1000 * (threadSeconds() - start)
      // One clock runs over both; it is dealt out as the wall clock saw them.
      let share = trace.selectionSeconds / max(trace.selectionSeconds + trace.towerSeconds, 1e-9)
      times.runs.append(
        (
          processor * (1 - share), processor * share, 1000 * (trace.towerSeconds + trace.selectionSeconds),
          BenchCosts(reduced)
        ))
    }
    return times
  }
}
