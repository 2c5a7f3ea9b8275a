import VTokCore
import VTokData
import VTokEval
import VTokMethods
import VTokPipeline
import VTokTensor

/// A bench whose rows can be searched: what a row costs, and by what it is judged.
public protocol SearchableTask: ReductionTask {
  /// How right runs are; without labels, how often they agree with the dense model.
  var judged: Figure<Run> { get }
  /// In the target's unit.
  static func cost(_ row: BenchRow<Self>, _ target: Target) -> Double
}

extension ImageTask: SearchableTask {
  public var judged: Figure<Run> { data.isLabelled && model.vision.labels != nil ? .isRight : .agrees }
  public static func cost(_ row: BenchRow<Self>, _ target: Target) -> Double {
    switch target {
    case .gmacs: row.mean(.gmacs)
    case .meanTokens: row.mean(.meanTokens)
    case .milliseconds: row.milliseconds
    }
  }
}

extension QuestionTask: SearchableTask {
  public var judged: Figure<Run> { .score }
  public static func cost(_ row: BenchRow<Self>, _ target: Target) -> Double {
    switch target {
    case .gmacs: row.gmacs
    case .meanTokens: row.mean(.meanTokens)
    case .milliseconds: row.milliseconds
    }
  }
}

/// Successive halving over ways to reduce a model's tokens at a cost (Jamieson and Talwalkar, AISTATS 2016, arXiv 1502.07943).
///
/// All candidates run on a few items; at every cost the better half goes on to twice as many. Behind the first round those that
/// went on are also tried at lower costs, and the best in pairs. The last ones run on items that no round has seen, so that
/// what is said of them is not the luck of having been chosen.
public struct Search<Task: SearchableTask>: Sendable {
  public struct Settings: Sendable {
    /// Items of the first round.
    public var first = 32
    /// Candidates that reach the end, of every cost.
    public var finalists = 4
    /// Share of the items that no round sees.
    public var heldBack = 0.5
    /// Costs, as shares of the one asked for.
    public var levels = [1.0, 0.75, 0.5]
    /// Of the best methods, so many are tried in pairs.
    public var paired = 3
    /// Items timed at the end.
    public var timed = 16
    public var seed: UInt64 = 0
    public var threads = 1
    public init() {}
  }

  /// What happened to all candidates of a round.
  public struct Round: Sendable {
    public let items: Int
    /// In the order of their ranks, level by level; those that went on first.
    public let scores: [(method: String, precision: Precision, level: Double, score: Double, goesOn: Bool)]
  }

  public let target: Target
  public let settings: Settings
  let space: SearchSpace
  /// Makes candidates of an entry at a share of the cost: one for every precision; none where it cannot be served.
  let make: @Sendable (SearchSpace.Entry, Double) throws -> [Candidate<Task.Subject>]
  /// A bench of contenders.
  let task: @Sendable ([Contender<Task.Subject>]) throws -> Task

  public init(
    _ target: Target, _ space: SearchSpace, _ settings: Settings,
    make: @escaping @Sendable (SearchSpace.Entry, Double) throws -> [Candidate<Task.Subject>],
    task: @escaping @Sendable ([Contender<Task.Subject>]) throws -> Task
  ) {
    self.target = target
    self.space = space
    self.settings = settings
    self.make = make
    self.task = task
  }

  /// Items for the rounds, and those held back, by lot.
  func split(_ count: Int) -> (rounds: [Int], last: [Int]) {
    var generator = SeededGenerator(seed: settings.seed)
    let order = generator.sample(count, below: count)
    let held = min(count - 1, max(1, Int((settings.heldBack * Double(count)).rounded())))
    return (Array(order.dropLast(held)), order.suffix(held).sorted())
  }

  /// - Parameters:
  ///   - count: items of the data; at least 2.
  ///   - progress: of one round.
  ///   - say: what happens, a line each.
  /// - Returns: nil if it was cancelled.
  /// - Throws: what the benches throw; `CompressionError` where no method can reach the cost.
  public func run(
    count: Int, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    say: (String) -> Void = { _ in }, isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> SearchOutcome<Task>? {
    let (items, last) = split(count)
    var pool = try made(space.first, at: 1)
    guard !pool.isEmpty else {
      throw CompressionError.unreachable(
        method: "search", asked: target.description, reachable: "by no method here", fix: "Ask for a higher cost.")
    }
    var rounds: [Round] = []
    var taken = min(settings.first, items.count)
    while true {
      say("round \(rounds.count + 1): \(pool.count) candidates on \(taken) items")
      let bench = try Bench(task(pool.map { Contender($0.subject, seeds: 1) }), threads: settings.threads)
      let results = try bench.run(items: items.prefix(taken).sorted(), progress: progress, isCancelled: isCancelled)
      if isCancelled() { return nil }
      let ranked = rank(pool, results)
      let few = (settings.finalists + 1) * settings.levels.count
      let isLast = taken == items.count || rounds.count > 0 && pool.count <= few
      let kept = ranked.map { goOn($0, isLast: isLast) }
      rounds.append(Round(items: results.items.count, scores: zip(ranked, kept).flatMap(Self.told)))
      pool = kept.flatMap { $0 }.map(\.candidate)
      if rounds.count == 1 { pool += try widened(ranked, pool) }
      if isLast, rounds.count > 1 {
        return try end(
          pool, ranked.flatMap { $0 }, rounds, last, progress: progress, say: say, isCancelled: isCancelled)
      }
      taken = min(2 * taken, items.count)
    }
  }

  /// One candidate with its score.
  struct Ranked: Sendable {
    let candidate: Candidate<Task.Subject>
    let score: Double, cost: Double
  }

  /// By cost asked for, then the best first: ties go to what costs less, then to what came first.
  private func rank(_ pool: [Candidate<Task.Subject>], _ results: BenchResults<Task>) -> [[Ranked]] {
    let scored = results.rows.dropFirst().map { row in
      Ranked(
        candidate: pool[row.index - 1], score: row.mean(row.task.judged),
        cost: target.isTime ? pool[row.index - 1].reached : Task.cost(row, target))
    }
    return settings.levels.map { level in
      scored.filter { $0.candidate.level == level }.enumerated()
        .sorted { a, b in
          (b.element.score, a.element.cost, a.offset) < (a.element.score, b.element.cost, b.offset)
        }.map(\.element)
    }.filter { !$0.isEmpty }
  }

  /// The better half, or the finalists; the best single method always, to be compared with.
  private func goOn(_ ranked: [Ranked], isLast: Bool) -> [Ranked] {
    let count = isLast ? settings.finalists : max(settings.finalists, (ranked.count + 1) / 2)
    var kept = Array(ranked.prefix(count))
    if !kept.contains(where: \.candidate.isSingle), let single = ranked.first(where: \.candidate.isSingle) {
      kept.append(single)
    }
    return kept
  }

  private static func told(_ all: [Ranked], _ kept: [Ranked]) -> [(
    method: String, precision: Precision, level: Double, score: Double, goesOn: Bool
  )] {
    let going = Set(kept.map { "\($0.candidate.spec) \($0.candidate.subject.precision)" })
    return all.map { one in
      let candidate = one.candidate
      return (
        candidate.spec.description, candidate.subject.precision, candidate.level, one.score,
        going.contains("\(candidate.spec) \(candidate.subject.precision)")
      )
    }
  }

  /// Lower costs of those that go on, and pairs of the best at every cost.
  private func widened(_ ranked: [[Ranked]], _ pool: [Candidate<Task.Subject>]) throws -> [Candidate<Task.Subject>] {
    func entry(_ candidate: Candidate<Task.Subject>) -> SearchSpace.Entry {
      .init(spec: candidate.spec, isSingle: candidate.isSingle)
    }
    var entries: [SearchSpace.Entry] = []
    for candidate in pool where !entries.contains(entry(candidate)) { entries.append(entry(candidate)) }
    var best: [MethodSpec] = []
    for one in ranked[0] where !best.contains(where: { $0.names == one.candidate.spec.names }) {
      best.append(one.candidate.spec)
    }
    let pairs = space.pairs(of: Array(best.prefix(settings.paired)))
    return try settings.levels.flatMap { level in
      try made(level == 1 ? pairs : entries + pairs, at: level)
    }
  }

  /// Solved side by side, but for times, which must not disturb each other.
  private func made(_ entries: [SearchSpace.Entry], at level: Double) throws -> [Candidate<Task.Subject>] {
    try inOrder(
      entries.count, threads: target.isTime ? 1 : settings.threads, progress: { _, _, _ in }, isCancelled: { false }
    ) { (try make(entries[$0], level), true) }.flatMap { $0 }
  }

  private func end(
    _ pool: [Candidate<Task.Subject>], _ ranked: [Ranked], _ rounds: [Round], _ items: [Int],
    progress: @escaping @Sendable (Int, Int, Int) -> Void, say: (String) -> Void,
    isCancelled: @escaping @Sendable () -> Bool
  ) throws -> SearchOutcome<Task>? {
    say("last: \(pool.count) candidates on \(items.count) items that no round has seen")
    let bench = try Bench(task(pool.map { Contender($0.subject, seeds: 5) }), threads: settings.threads)
    let sample = try target.isTime ? bench.sample(settings.timed, isCancelled: isCancelled) : nil
    let results = try bench.run(items: items, sample: sample, progress: progress, isCancelled: isCancelled)
    if isCancelled() { return nil }
    return SearchOutcome(
      target: target, levels: settings.levels, candidates: pool, rounds: rounds, results: results,
      scores: pool.map { one in
        ranked.first {
          $0.candidate.spec == one.spec && $0.candidate.level == one.level
            && $0.candidate.subject.precision == one.subject.precision
        }?.score ?? .nan
      })
  }
}

extension Target {
  /// Whether it is measured, not counted.
  var isTime: Bool { if case .milliseconds = self { true } else { false } }

  /// A share of it.
  public func scaled(by share: Double) -> Target {
    switch self {
    case .gmacs(let value): .gmacs(share * value)
    case .meanTokens(let value): .meanTokens(share * value)
    case .milliseconds(let value): .milliseconds(share * value)
    }
  }
}
