import Foundation
import VTokData
import VTokEval
import VTokImage

/// Rows measured on the same items: images, questions about images, or images through tokenizers.
///
/// All rows run on an item before the next one is opened: every comparison is paired. Items run side by side; what they
/// give is added up in the order of the data, so that figures do not depend on the number of threads, and of an item
/// nothing stays but what columns ask for. Times are measured apart, on some items with nothing shared.
public struct Bench<Task: BenchTask>: Sendable {
  public let task: Task
  public let threads: Int
  public let columns: [Column<Task>]
  let figures: [Figure<Task.Run>]
  private let places: [String: Int]

  /// - Parameter columns: nil: those of the task. Others may be added to them.
  public init(_ task: Task, threads: Int = 1, columns: [Column<Task>]? = nil) {
    self.task = task
    self.threads = threads
    self.columns = columns ?? task.columns
    var (figures, places): ([Figure<Task.Run>], [String: Int]) = ([], [:])
    for figure in self.columns.flatMap(\.figures) where places[figure.name] == nil {
      places[figure.name] = figures.count
      figures.append(figure)
    }
    self.figures = figures
    self.places = places
  }

  func place(of figure: Figure<Task.Run>) -> Int {
    guard let place = places[figure.name] else {
      preconditionFailure("no column asks for the figure '\(figure.name)'")
    }
    return place
  }

  private func limited(_ limit: Int?) -> Int { min(limit ?? task.count, task.count) }

  private func notes() -> ItemNotes<Task> { ItemNotes(figures, task.entries) }

  private typealias Timed = (times: [[BenchStage: Double]]?, notes: ItemNotes<Task>)
  private typealias Measured = (notes: ItemNotes<Task>, failure: String?)

  /// Times of so many items spread over the data.
  public func sample(
    _ samples: Int, limit: Int? = nil, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> BenchSample {
    let start = ContinuousClock().now
    let all = limited(limit)
    let count = min(samples, all)
    var sample = BenchSample(rows: task.entries.count)
    if count == 0 { return sample }
    try unlessUnreadable { try task.warmUp(0) }
    sample = try inOrder(
      count, threads: threads, into: sample, progress: progress, isCancelled: isCancelled
    ) { place -> (Timed, isGood: Bool) in
      var notes = notes()
      var times: [[BenchStage: Double]]?
      try unlessUnreadable { times = try task.time(place * all / count, into: &notes) }
      return ((times, notes), times != nil)
    } fold: { sample, _, timed in
      guard let times = timed.times else { return }
      sample.count += 1
      for (row, stages) in times.enumerated() {
        for (stage, time) in stages { sample.times[row][stage, default: []].append(time) }
        var costs = sample.costs[row] ?? RunSums(figures: figures.count)
        for sums in timed.notes.sums[row] where sums.runs > 0 { costs.add(sums) }
        if costs.runs > 0 { sample.costs[row] = costs }
      }
    }
    sample.seconds = start.duration(to: ContinuousClock().now) / .seconds(1)
    return sample
  }

  /// - Returns: why an item cannot be read; nil: it can.
  @discardableResult
  private func unlessUnreadable(_ body: () throws -> Void) throws -> String? {
    do {
      try body()
      return nil
    } catch let error as ImageError {
      return "\(try error.ofPicture())"
    }
  }

  /// Runs everything. Cancelled items are left out.
  /// - Parameters:
  ///   - items: in place of all: those of these numbers, ascending.
  ///   - sample: the times that rows tell.
  public func run(
    limit: Int? = nil, items: [Int]? = nil, sample: BenchSample? = nil,
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> BenchResults<Task> {
    let start = ContinuousClock().now
    let sample = sample ?? BenchSample(rows: task.entries.count)
    let items = items ?? Array(0..<limited(limit))
    var results = try inOrder(
      items.count, threads: threads, into: BenchResults(self, sample), progress: progress, isCancelled: isCancelled
    ) { place -> (Measured, isGood: Bool) in
      let item = items[place]
      var notes = notes()
      let failure = try unlessUnreadable { try task.measure(item, sample, into: &notes) }
      return ((notes, failure), failure == nil)
    } fold: { results, place, measured in
      let item = items[place]
      if let failure = measured.failure { results.fail(failure) } else { results.add(measured.notes, of: item) }
    }
    results.seconds = sample.seconds + start.duration(to: ContinuousClock().now) / .seconds(1)
    results.peakMemory = Machine.peakMemory
    return results
  }
}
