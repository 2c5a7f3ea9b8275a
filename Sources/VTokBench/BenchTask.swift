import VTokEval

/// One kind of bench: what it runs on every item of its data, and the columns that come of it. `Bench` does the rest.
public protocol BenchTask: Sendable {
  associatedtype Entry: BenchEntry
  associatedtype Run: BenchRun
  /// What a file of single runs says of each.
  associatedtype Record: Sendable = Never

  /// `images`: in the schema `vtok-bench-images/1` and in the command `vtok bench images`.
  static var name: String { get }
  /// What the rows are about. The others may be compared with the first.
  var entries: [Entry] { get }
  /// Items of the data.
  var count: Int { get }
  /// As tables and JSON have them.
  var columns: [Column<Self>] { get }

  /// Runs all entries on an item.
  /// - Parameter sample: what the timed items have shown.
  /// - Throws: `ImageError` for an item that cannot be read: it counts as failed. Every other error ends the bench.
  func measure(_ item: Int, _ sample: BenchSample, into notes: inout ItemNotes<Self>) throws
  /// Makes pages and caches warm.
  func warmUp(_ item: Int) throws
  /// Runs all entries on an item with nothing shared, on one thread.
  /// - Returns: of every entry its milliseconds.
  /// - Throws: as `measure`.
  func time(_ item: Int, into notes: inout ItemNotes<Self>) throws -> [[BenchStage: Double]]

  // MARK: Report

  /// The beginning of the title: whose results these are, and over how much.
  func title(_ results: BenchResults<Self>) -> String
  /// How times were taken, a sentence each.
  func remarks(_ results: BenchResults<Self>) -> [String]
  /// Where one row comes from.
  /// - Parameter all: where all of them do.
  func provenance(of row: BenchRow<Self>, _ all: Provenance) -> Provenance
  /// What the page says of its columns, beside what each says of itself.
  var note: String { get }
  func plots(_ rows: [BenchRow<Self>]) -> [(name: String, plot: ParetoPlot)]
  /// The line of the plots that a row belongs to; nil for none.
  func line(of row: BenchRow<Self>) -> String?
  /// Of its products, where rows differ in it.
  func precision(of row: BenchRow<Self>) -> String?
  /// HTML about some items; empty for none.
  func gallery(_ results: BenchResults<Self>, items: [Int]) throws -> String
  /// Path of the data, as given.
  var dataPath: String { get }
  /// Name of the model that rows are about, or that judges them.
  var modelName: String { get }
}

extension BenchTask {
  public static var schema: String { "vtok-bench-\(name)/1" }
  public func warmUp(_ item: Int) throws {}
  public func time(_ item: Int, into notes: inout ItemNotes<Self>) throws -> [[BenchStage: Double]] {
    entries.map { _ in [:] }
  }
  public func remarks(_ results: BenchResults<Self>) -> [String] { [] }
  public func provenance(of row: BenchRow<Self>, _ all: Provenance) -> Provenance { all }
  public var note: String { "" }
  public func line(of row: BenchRow<Self>) -> String? { nil }
  public func precision(of row: BenchRow<Self>) -> String? { nil }
  public func gallery(_ results: BenchResults<Self>, items: [Int]) throws -> String { "" }
}

/// What makes a row.
public protocol BenchEntry: Sendable {
  /// Of one run each.
  var seeds: [UInt64] { get }
}

/// A part of a run that is timed. Milliseconds of the thread's processor, but for those by the clock.
public enum BenchStage: Sendable {
  /// Reading an image, preparing it for the tower; of questions both together.
  case read, prepare
  case tower, connector, selection, prefill
  /// Per token after the first; a run of one token has none.
  case decode
  /// From the prepared image to the first token.
  case first
  /// By the clock: tower and selection, or up to the first token.
  case wall
}

/// The items that times are taken from.
public struct BenchSample: Sendable {
  public internal(set) var count = 0
  /// Of every row its milliseconds, one entry an item.
  public internal(set) var times: [[BenchStage: [Double]]]
  /// Of every row its figures; nil where nothing was timed.
  public internal(set) var costs: [RunSums?]
  public internal(set) var seconds = 0.0

  init(rows: Int) {
    times = Array(repeating: [:], count: rows)
    costs = Array(repeating: nil, count: rows)
  }
}

extension BenchTask {
  /// How the times of a table were taken.
  static func timed(_ count: Int, _ how: (String) -> String) -> String {
    count == 0 ? "Nothing was timed." : "Times: " + how("\(count) picture\(count == 1 ? "" : "s")")
  }
}
