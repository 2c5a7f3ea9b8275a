import VTokEval
import VTokWeights

/// One figure of a bench's rows, whole: its heading, its place in JSON, what it has summed of every run, and how both texts
/// come of that. A new column is a new value in the list of its task; nothing else names it.
public struct Column<Task: BenchTask>: Sendable {
  public typealias Row = BenchRow<Task>

  /// Heading in tables; nil: in JSON only.
  public let name: String?
  /// Place in the JSON of a row; nil: in tables only.
  public let key: ColumnKey?
  /// What the heading means.
  public let note: String?
  /// What has to be known of every run.
  public let figures: [Figure<Task.Run>]
  public let text: @Sendable (Row) -> String
  public let json: @Sendable (Row) -> JSON

  /// - Parameter isComparison: with the first row, which then has nothing to show.
  public init(
    _ name: String? = nil, _ key: ColumnKey? = nil, _ figures: [Figure<Task.Run>] = [], isComparison: Bool = false,
    note: String? = nil, text: @escaping @Sendable (Row) -> String = { _ in "-" },
    json: @escaping @Sendable (Row) -> JSON = { _ in .null }
  ) {
    self.name = name
    self.key = key
    self.figures = figures
    self.note = note
    self.json = json
    self.text = { row in isComparison && row.isReference ? "-" : text(row) }
  }

  /// A number of a row: six decimals in JSON, `text` in the table.
  /// - Parameter value: NaN: there is none.
  public static func number(
    _ name: String? = nil, _ key: ColumnKey? = nil, _ figures: [Figure<Task.Run>] = [], isComparison: Bool = false,
    note: String? = nil, text: @escaping @Sendable (Double) -> String = { fixed($0, 3) },
    value: @escaping @Sendable (Row) -> Double
  ) -> Column {
    Column(
      name, key, figures, isComparison: isComparison, note: note, text: { text(value($0)) },
      json: { VTokEval.number(value($0)) })
  }

  /// The mean of a figure over all runs.
  public static func mean(
    _ figure: Figure<Task.Run>, _ name: String? = nil, _ key: ColumnKey, isComparison: Bool = false,
    note: String? = nil, text: @escaping @Sendable (Double) -> String = { fixed($0, 3) }
  ) -> Column {
    number(
      name, key, [figure], isComparison: isComparison, note: note, text: text, value: { $0.mean(figure) })
  }

  /// The mean of a share by seed, in percent, with its range; nothing unless every run has it.
  public static func share(
    _ figure: Figure<Task.Run>, _ name: String? = nil, _ key: ColumnKey, note: String? = nil
  ) -> Column {
    ranged(name, key, [figure], note: note) { row in
      row.means(figure).allSatisfy(\.isFinite) ? Ranged(values: row.means(figure)) : nil
    }
  }

  /// A share with its range over seeds.
  public static func ranged(
    _ name: String? = nil, _ key: ColumnKey, _ figures: [Figure<Task.Run>], note: String? = nil,
    _ value: @escaping @Sendable (Row) -> Ranged?
  ) -> Column {
    Column(
      name, key, figures, note: note, text: { value($0)?.percent ?? "-" }, json: { value($0)?.json ?? .null })
  }

  /// Shortest and median time of a stage.
  public static func spread(_ stage: BenchStage, _ key: String) -> [Column] {
    [
      .number(nil, ColumnKey("ms", key, "cpu_min")) { $0.times(stage).min() ?? .nan },
      .number(nil, ColumnKey("ms", key, "cpu_median")) { median($0.times(stage)) },
    ]
  }
}

/// Keys from the root of a row's JSON to a value. As a text they are joined with dots: `gmacs.reduced`.
public struct ColumnKey: Sendable, Hashable, ExpressibleByStringLiteral {
  public let path: [String]
  public init(_ path: String...) { self.path = path }
  public init(stringLiteral text: String) { path = text.split(separator: ".").map(String.init) }
}

extension JSONObject {
  /// Puts a value at a path; objects on the way are made.
  mutating func set(_ path: ArraySlice<String>, _ value: JSON) {
    guard let first = path.first else { return }
    guard path.count > 1 else {
      self[first] = value
      return
    }
    var inner = self[first]?.object ?? JSONObject()
    inner.set(path.dropFirst(), value)
    self[first] = .object(inner)
  }
}

/// In percent; nothing for NaN.
func percent(_ value: Double, _ digits: Int = 1) -> String { value.isNaN ? "-" : fixed(100 * value, digits) + "%" }

/// Whole where it is.
func whole(_ value: Double) -> String { fixed(value, value == value.rounded() ? 0 : 1) }
