import VTokEval
import VTokPipeline
import VTokTensor
import VTokWeights

/// A bench of methods that reduce a model's tokens, beside the dense model in the first row.
public protocol ReductionTask: BenchTask where Entry == Contender<Subject> {
  associatedtype Subject: MethodRunner
  /// Of the whole bench.
  var seed: UInt64 { get }
  /// How right a run is, 0 to 1.
  static var score: Figure<Run> { get }
}

extension ReductionTask {
  public func provenance(of row: BenchRow<Self>, _ all: Provenance) -> Provenance { ownProvenance(of: row, all) }

  /// With method and precision of the row.
  func ownProvenance(of row: BenchRow<Self>, _ all: Provenance) -> Provenance {
    var own = all
    own.method = row.entry.method
    own.more = own.more.map { $0.key == "precision" ? ($0.key, JSON(row.entry.subject.precision.rawValue)) : $0 }
    return own
  }

  /// Whether rows differ in it.
  var hasPrecisions: Bool { Set(entries.map(\.subject.precision)).count > 1 }

  /// In the table where rows differ in it.
  var precisionColumn: Column<Self> {
    Column(
      hasPrecisions ? "precision" : nil, "precision",
      note: "of the products; the first row is what others keep their share of",
      text: { $0.entry.subject.precision.rawValue }, json: { JSON($0.entry.subject.precision.rawValue) })
  }
}

extension BenchRow where Task: ReductionTask {
  /// The dense row of the same precision.
  public var ownDense: BenchRow {
    let dense = task.entries[0]
    let index = task.entries.firstIndex { other in
      other.subject.precision == entry.subject.precision && other.method == dense.method
        && other.subject.composition.methods.isEmpty
    }
    return BenchRow(results: results, index: index ?? 0)
  }

  /// Score over the dense model's, over the items that both have.
  public var retention: Double {
    items(Task.score).reduce(0, +) / reference.items(Task.score).reduce(0, +)
  }

  /// 95% of it, by paired bootstrap over items.
  public var retentionInterval: (low: Double, high: Double) {
    Statistics.ratioInterval(items(Task.score), reference.items(Task.score), seed: task.seed)
  }
}

extension Column where Task: ReductionTask {
  static var method: Column {
    Column("method", "method", text: { $0.entry.label }, json: { JSON($0.entry.method) })
  }

  /// - Parameter macShare: of the dense multiply-adds.
  static func budget(macShare: @escaping @Sendable (Row) -> Double = { _ in .nan }) -> Column {
    Column(
      "budget", "budget", text: { $0.entry.asked.label },
      json: { row in row.outcome.map { row.entry.asked.json($0, macShare: macShare(row)) } ?? .null })
  }

  static var reached: Column {
    Column("reached", note: "of what was asked", text: { row in row.outcome.map(row.entry.asked.reached) ?? "-" })
  }

  /// The tokens of every item, where amounts differ between pictures.
  /// - Parameter runs: of an item.
  static func perPicture(
    _ figure: Figure<Task.Run>, runs: @escaping @Sendable (Task, Int) -> Int = { _, _ in 1 }
  ) -> Column {
    Column(
      nil, "tokens.per_picture", [figure],
      json: { row in
        guard case .mean = row.entry.asked else { return .null }
        return .array(
          zip(row.items(figure), row.results.items).map { VTokEval.number($0 / Double(runs(row.task, $1))) })
      })
  }

  /// How many times faster than dense.
  static func speedup(_ key: ColumnKey, _ value: @escaping @Sendable (Row) -> Double) -> Column {
    .number("speed-up", key, text: { $0.isNaN ? "-" : "\(fixed($0, 2))x" }, value: value)
  }

  static func perMACGain(_ value: @escaping @Sendable (Row) -> Double) -> Column {
    .number(
      "of MAC gain", "speedup.per_mac_gain", isComparison: true,
      note:
        "share of the multiply-adds' speed-up over the dense row of its precision that the clock sees (! below 0.9)",
      text: { $0.isNaN ? "-" : fixed($0, 2) + ($0 < 0.9 ? " !" : "") }, value: value)
  }

  static var peakMemory: Column { .number(nil, "peak_memory_mb") { $0.results.peakMemory } }

  /// What is kept of the dense score, its interval, and whether chance alone would do the same.
  /// - Parameters:
  ///   - what: is compared.
  ///   - isScored: whether there is a score.
  ///   - isBinary: whether every score is 0 or 1; with one seed the two models can then be compared one by one.
  ///   - needs: figures that these two ask for.
  ///   - own, dense: right where the other is wrong.
  static func retention(
    of what: String, isScored: @escaping @Sendable (Row) -> Bool, isBinary: @escaping @Sendable (Row) -> Bool,
    needs: [Figure<Task.Run>] = [], own: Figure<Task.Run>, dense: Figure<Task.Run>
  ) -> [Column] {
    @Sendable func interval(_ row: Row) -> (low: Double, high: Double)? { isScored(row) ? row.retentionInterval : nil }
    @Sendable func probability(_ row: Row) -> Double {
      guard isScored(row), isBinary(row), row.entry.seeds.count == 1 else { return .nan }
      return Statistics.mcNemar(onlyA: Int(row.sum(own)), onlyB: Int(row.sum(dense)))
    }
    return [
      .number(
        "retention", "retention", [Task.score], isComparison: true, note: "\(what) over the dense model's",
        text: { percent($0) }, value: { isScored($0) ? $0.retention : .nan }),
      Column(
        "95%", "retention_ci95", [Task.score], isComparison: true, note: "its paired bootstrap interval over images",
        text: { row in
          guard let range = interval(row), !range.low.isNaN else { return "-" }
          return "\(fixed(100 * range.low, 1))-\(fixed(100 * range.high, 1))"
        },
        json: { row in interval(row).map { [VTokEval.number($0.low), VTokEval.number($0.high)] } ?? .null }),
      .number(
        "p", "mcnemar_p", [own, dense] + needs, isComparison: true,
        note: "exact McNemar test against dense, where answers are right or wrong",
        text: { $0.isNaN ? "-" : $0 < 0.001 ? "<0.001" : fixed($0, 3) }, value: probability),
    ]
  }
}
