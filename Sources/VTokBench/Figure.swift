import VTokMethods

/// A number of every run that rows add up. Rows know it by its name.
public struct Figure<Run>: Sendable {
  public enum Kind: Sendable {
    /// Of what was computed. Where the output is known without a run, it comes from the timed items.
    case cost
    /// Of what came out.
    case output
  }
  public let name: String
  public let kind: Kind
  /// Whether rows keep it of every item too: the mean over seeds of the sum over the item's runs. For medians and intervals.
  public let isKept: Bool
  /// nil: the run has no such number.
  public let value: @Sendable (Run) -> Double?

  public init(
    _ name: String, _ kind: Kind = .output, isKept: Bool = false, value: @escaping @Sendable (Run) -> Double?
  ) {
    self.name = name
    self.kind = kind
    self.isKept = isKept
    self.value = value
  }
}

/// One run of one row, with all that columns may look at.
public protocol BenchRun {
  /// Tokens asked for and left; nil where nothing was asked.
  var outcome: BudgetOutcome? { get }
}

/// Sums of all figures over some runs.
public struct RunSums: Sendable {
  public private(set) var runs = 0
  /// In the order of the bench's figures; a count is the number of runs that have the figure.
  public private(set) var sums: [Double], counts: [Int]
  public private(set) var outcome: BudgetOutcome?

  init(figures: Int) {
    sums = Array(repeating: 0, count: figures)
    counts = Array(repeating: 0, count: figures)
  }

  mutating func add<Run: BenchRun>(_ run: Run, _ figures: [Figure<Run>]) {
    runs += 1
    for (place, figure) in figures.enumerated() { add(figure.value(run), place) }
    add(run.outcome)
  }

  /// A run that was left out: its output is that of another one, its costs are known.
  mutating func add<Run: BenchRun>(outputOf run: Run, costs: RunSums, _ figures: [Figure<Run>]) {
    runs += 1
    for (place, figure) in figures.enumerated() {
      add(figure.kind == .cost ? costs.mean(place) : figure.value(run), place)
    }
    add(costs.outcome?.divided(by: Double(costs.runs)))
  }

  mutating func add(_ other: RunSums) {
    runs += other.runs
    for place in sums.indices {
      sums[place] += other.sums[place]
      counts[place] += other.counts[place]
    }
    add(other.outcome)
  }

  private mutating func add(_ value: Double?, _ place: Int) {
    guard let value else { return }
    sums[place] += value
    counts[place] += 1
  }

  private mutating func add(_ other: BudgetOutcome?) {
    guard let other else { return }
    outcome = outcome.map { $0 + other } ?? other
  }

  func mean(_ place: Int) -> Double? { counts[place] == 0 ? nil : sums[place] / Double(counts[place]) }
}

/// What all rows did on one item.
public struct ItemNotes<Task: BenchTask>: Sendable {
  let figures: [Figure<Task.Run>]
  /// `[row][seed]`
  private(set) var sums: [[RunSums]]
  private(set) var records: [[[Task.Record]]]
  /// Why a row could not run.
  private(set) var failures: [String?]

  init(_ figures: [Figure<Task.Run>], _ entries: [Task.Entry]) {
    self.figures = figures
    sums = entries.map { Array(repeating: RunSums(figures: figures.count), count: $0.seeds.count) }
    records = entries.map { Array(repeating: [], count: $0.seeds.count) }
    failures = Array(repeating: nil, count: entries.count)
  }

  /// - Parameter record: what a file of single runs says of this one.
  public mutating func add(_ run: Task.Run, row: Int, seed: Int, record: Task.Record? = nil) {
    sums[row][seed].add(run, figures)
    if let record { records[row][seed].append(record) }
  }

  public mutating func add(outputOf run: Task.Run, costs: RunSums, row: Int, seed: Int) {
    sums[row][seed].add(outputOf: run, costs: costs, figures)
  }

  public mutating func fail(_ row: Int, _ reason: String) { failures[row] = failures[row] ?? reason }
}
