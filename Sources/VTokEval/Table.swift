import VTokWeights

/// Rows of results in the four formats the command prints.
public struct Table: Sendable {
  public enum Format: String, Sendable, CaseIterable { case md, csv, json, jsonl }

  public let columns: [String]
  /// Cells as people read them, and the same row as data.
  public private(set) var rows: [(cells: [String], json: JSON)] = []

  public init(_ columns: [String]) { self.columns = columns }

  public mutating func add(_ cells: [String], _ json: JSON) {
    precondition(cells.count == columns.count)
    rows.append((cells, json))
  }

  public func text(_ format: Format) -> String {
    var text = ""
    Table.write(format, columns, count: rows.count, row: { rows[$0] }, to: { text += $0 })
    return text
  }

  /// A table whose rows are made when they are needed (twice for `md`), so that none of them has to stay in memory.
  /// - Parameters:
  ///   - row: makes row `0..<count`.
  ///   - sink: takes the text piece by piece.
  public static func write(
    _ format: Format, _ columns: [String], count: Int, row: (Int) -> (cells: [String], json: JSON),
    to sink: (String) -> Void
  ) {
    switch format {
    case .md: writeMarkdown(columns, count, { row($0).cells }, sink)
    case .csv:
      func line(_ cells: [String]) { sink(cells.map(quoted).joined(separator: ",") + "\n") }
      line(columns)
      for index in 0..<count { line(row(index).cells) }
    case .json:
      sink(count == 0 ? "[" : "[\n")
      for index in 0..<count {
        // A row of one array, without the array's own brackets.
        let part = JSON.array([row(index).json]).text(pretty: true).dropFirst(2).dropLast(2)
        sink((index == 0 ? "" : ",\n") + part)
      }
      sink(count == 0 ? "]\n" : "\n]\n")
    case .jsonl: for index in 0..<count { sink(row(index).json.text() + "\n") }
    }
  }

  /// Columns as wide as their widest cell, so that the table reads well as plain text too.
  private static func writeMarkdown(
    _ columns: [String], _ count: Int, _ row: (Int) -> [String], _ sink: (String) -> Void
  ) {
    var widths = columns.map { max(3, $0.count) }
    for index in 0..<count {
      for (column, cell) in row(index).enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    func line(_ cells: [String]) -> String {
      "| "
        + zip(cells, widths).map { cell, width in
          let safe = cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
          return safe + String(repeating: " ", count: max(0, width - cell.count))
        }.joined(separator: " | ") + " |\n"
    }
    sink(line(columns) + "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|\n")
    for index in 0..<count { sink(line(row(index))) }
  }

  private static func quoted(_ cell: String) -> String {
    guard cell.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return cell }
    return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }
}

/// A number with a fixed count of decimals.
public func fixed(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "-" : "inf" }
  var scale = 1
  for _ in 0..<digits { scale *= 10 }
  let whole = Int((abs(value) * Double(scale)).rounded())
  let sign = value < 0 && whole != 0 ? "-" : ""
  if digits == 0 { return "\(sign)\(whole)" }
  let tail = "\(whole % scale)"
  return "\(sign)\(whole / scale).\(String(repeating: "0", count: digits - tail.count))\(tail)"
}

/// The value in the middle; the mean of the two for an even number; NaN for none.
public func median(_ values: [Double]) -> Double {
  guard !values.isEmpty else { return .nan }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// A number with so many decimals, for files that people read.
package func rounded(_ value: Double, _ digits: Int) -> JSON {
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  return JSON((value * scale).rounded() / scale)
}

/// Six decimals; null for what is no number.
package func number(_ value: Double) -> JSON { value.isFinite ? rounded(value, 6) : .null }
