import VTokEval
import VTokFiles
import VTokWeights

/// The results of a bench for people and programs: a table, its rows as JSON, a page.
public struct BenchReport<Task: BenchTask>: Sendable {
  public let results: BenchResults<Task>
  public let provenance: Provenance
  /// One line: whose results, over how much, how long it took.
  public let title: String
  /// How times were taken, and what was left out.
  public let remarks: [String]
  public let table: Table
  private let plots: [ParetoPlot]

  /// - Parameters:
  ///   - provenance: of all rows.
  ///   - remarks: that follow those of the task.
  ///   - plots: that the page shows behind those of the task.
  /// - Precondition: an item did not fail.
  public init(
    _ results: BenchResults<Task>, _ provenance: Provenance, remarks: [String] = [], plots: [ParetoPlot] = []
  ) {
    self.results = results
    self.provenance = provenance
    self.plots = plots
    let bench = results.bench
    self.remarks =
      bench.task.remarks(results) + remarks + results.leftOut.map { "Left out: \($0)" }
    title =
      "\(bench.task.title(results)) · \(bench.threads) thread\(bench.threads == 1 ? "" : "s") · "
      + "\(fixed(results.seconds, 1)) s · peak \(fixed(results.peakMemory, 0)) MB"
    let shown = bench.columns.filter { $0.name != nil }
    var table = Table(shown.compactMap(\.name))
    for row in results.rows {
      table.add(
        shown.map { $0.text(row) }, Self.json(row, bench.columns, bench.task.provenance(of: row, provenance)))
    }
    self.table = table
  }

  /// A row: the columns at their keys, between schema and provenance.
  private static func json(_ row: BenchRow<Task>, _ columns: [Column<Task>], _ provenance: Provenance) -> JSON {
    var members = JSONObject([("schema", JSON(Task.schema))])
    for column in columns { if let key = column.key { members.set(key.path[...], column.json(row)) } }
    members["run"] = provenance.json
    return .object(members)
  }

  /// In one of the formats: the table, and in Markdown what belongs to it.
  public func text(_ format: Table.Format) -> String {
    guard format == .md else { return table.text(format) }
    let below = remarks.isEmpty ? "" : "\n" + remarks.map { $0 + "\n" }.joined()
    return title + "\n\n" + table.text(.md) + below + "\n" + provenance.text + "\n"
  }

  /// The page: plots, the table with what its columns mean, images.
  /// - Parameter gallery: images that the page shows.
  public func html(gallery: Int) throws -> String {
    let task = results.bench.task
    let items = results.items
    let step = max(1, items.count / max(1, gallery))
    let shown = stride(from: 0, to: items.count, by: step).prefix(max(0, gallery)).map { items[$0] }
    let notes = results.bench.columns.compactMap { column in
      column.name.flatMap { name in column.note.map { (name, $0) } }
    }
    return ReportPage(
      model: task.modelName, about: "\(title) · data \(ReportPage.name(task.dataPath))",
      plots: task.plots(results.rows).map(\.plot) + plots, columns: table.columns,
      rows: zip(table.rows, results.rows).map { cells, row in
        ReportPage.Row(
          cells: cells.cells, line: task.line(of: row), precision: task.precision(of: row), isReference: row.isReference
        )
      }, notes: notes, remarks: ([task.note] + remarks).filter { !$0.isEmpty }, provenance: provenance,
      gallery: try task.gallery(results, items: shown)
    ).html
  }

  /// Writes `index.html`, `rows.json` and `table.md` into a folder.
  /// - Returns: the file to open.
  @discardableResult
  public func write(to folder: String, gallery: Int) throws -> String {
    try Folder.make(folder)
    try WholeFile.write(html(gallery: gallery), to: folder + "/index.html")
    try WholeFile.write(table.text(.json), to: folder + "/rows.json")
    try WholeFile.write(text(.md), to: folder + "/table.md")
    return folder + "/index.html"
  }
}
