import VTokEval
import VTokMethods

/// What a bench has measured: sums over the items, row by row.
public struct BenchResults<Task: BenchTask>: Sendable {
  public let bench: Bench<Task>
  public let sample: BenchSample
  /// The items that did not fail, in the order of the data.
  public private(set) var items: [Int] = []
  /// Why the others did.
  public private(set) var failures: [String] = []
  /// Of all the work, the timed items included.
  public internal(set) var seconds = 0.0
  /// MB (2^20 bytes).
  public internal(set) var peakMemory = 0.0
  private var sums: [RowSums]

  /// What one row has added up.
  private struct RowSums: Sendable {
    /// By seed.
    var seeds: [RunSums]
    /// Of all seeds.
    var all: RunSums
    /// Kept figures, one entry an item.
    var items: [Int: [Double]] = [:]
    var records: [[Task.Record]]
    var failure: String?
  }

  init(_ bench: Bench<Task>, _ sample: BenchSample) {
    self.bench = bench
    self.sample = sample
    let none = RunSums(figures: bench.figures.count)
    sums = bench.task.entries.map { entry in
      RowSums(
        seeds: entry.seeds.map { _ in none }, all: none, records: entry.seeds.map { _ in [] })
    }
  }

  mutating func fail(_ reason: String) { failures.append(reason) }

  mutating func add(_ notes: ItemNotes<Task>, of item: Int) {
    items.append(item)
    for row in sums.indices where sums[row].failure == nil {
      if let failure = notes.failures[row] {
        sums[row].failure = failure
        continue
      }
      let runs = notes.sums[row]
      for (seed, run) in runs.enumerated() {
        sums[row].seeds[seed].add(run)
        sums[row].all.add(run)
        sums[row].records[seed] += notes.records[row][seed]
      }
      let seeds = runs.count { $0.runs > 0 }
      for (place, figure) in bench.figures.enumerated() where figure.isKept {
        let sum = runs.reduce(0) { $0 + $1.sums[place] }
        sums[row].items[place, default: []].append(sum / Double(seeds))
      }
    }
  }

  /// Rows in the order of the entries, without those that could not run.
  public var rows: [BenchRow<Task>] {
    sums.indices.filter { sums[$0].failure == nil }.map { BenchRow(results: self, index: $0) }
  }

  /// Why rows are missing, each reason once.
  public var leftOut: [String] { Set(sums.compactMap(\.failure)).sorted() }

  func seeds(_ row: Int) -> [RunSums] { sums[row].seeds }
  func all(_ row: Int) -> RunSums { sums[row].all }
  func items(_ row: Int, _ place: Int) -> [Double] { sums[row].items[place] ?? [] }
  func records(_ row: Int) -> [[Task.Record]] { sums[row].records }
}

/// One row: its entry, and the means of its figures.
public struct BenchRow<Task: BenchTask>: Sendable {
  public let results: BenchResults<Task>
  public let index: Int

  public var task: Task { results.bench.task }
  public var entry: Task.Entry { task.entries[index] }
  /// The first row.
  public var reference: BenchRow { BenchRow(results: results, index: 0) }
  public var isReference: Bool { index == 0 }
  /// Runs of all seeds on all items.
  public var runs: Int { results.all(index).runs }
  /// Mean tokens asked for and left.
  public var outcome: BudgetOutcome? { results.all(index).outcome?.divided(by: Double(runs)) }
  /// `[seed][run]`: what was kept of every run, where the task keeps something.
  public var records: [[Task.Record]] { results.records(index) }

  /// Over all runs that have the figure; NaN for none.
  public func mean(_ figure: Figure<Task.Run>) -> Double {
    results.all(index).mean(results.bench.place(of: figure)) ?? .nan
  }

  /// Over all runs.
  public func sum(_ figure: Figure<Task.Run>) -> Double { results.all(index).sums[results.bench.place(of: figure)] }

  /// By seed: over its runs that have the figure; NaN for none.
  public func means(_ figure: Figure<Task.Run>) -> [Double] {
    let place = results.bench.place(of: figure)
    return results.seeds(index).map { $0.mean(place) ?? .nan }
  }

  /// By seed.
  public func sums(_ figure: Figure<Task.Run>) -> [Double] {
    let place = results.bench.place(of: figure)
    return results.seeds(index).map { $0.sums[place] }
  }

  /// Whether every run has the figure.
  public func isComplete(_ figure: Figure<Task.Run>) -> Bool {
    let all = results.all(index)
    return all.runs > 0 && all.counts[results.bench.place(of: figure)] == all.runs
  }

  /// A kept figure, one entry an item.
  public func items(_ figure: Figure<Task.Run>) -> [Double] { results.items(index, results.bench.place(of: figure)) }

  /// Milliseconds, one entry a timed item.
  public func times(_ stage: BenchStage) -> [Double] { results.sample.times[index][stage] ?? [] }

  /// Median over timed items of another row's time over this one's.
  /// - Parameter base: nil: the first row.
  public func speedup(_ stage: BenchStage, over stages: BenchStage..., from base: BenchRow? = nil) -> Double {
    let own = stages.map(times)
    let sums = (own.first ?? []).indices.map { item in own.reduce(0) { $0 + $1[item] } }
    return median(zip((base ?? reference).times(stage), sums).map { $0 / $1 })
  }
}
