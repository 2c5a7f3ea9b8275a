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
    switch format {
    case .md: return markdown
    case .csv:
      return ([columns] + rows.map(\.cells)).map { $0.map(Table.quoted).joined(separator: ",") + "\n" }.joined()
    case .json: return JSON.array(rows.map(\.json)).text(pretty: true) + "\n"
    case .jsonl: return rows.map { $0.json.text() + "\n" }.joined()
    }
  }

  /// Columns as wide as their widest cell, so that the table reads well as plain text too.
  private var markdown: String {
    let widths = columns.indices.map { column in
      max(3, ([columns[column]] + rows.map { $0.cells[column] }).map(\.count).max()!)
    }
    func line(_ cells: [String]) -> String {
      "| "
        + zip(cells, widths).map { cell, width in
          let safe = cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
          return safe + String(repeating: " ", count: max(0, width - cell.count))
        }.joined(separator: " | ") + " |\n"
    }
    let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|\n"
    return line(columns) + rule + rows.map { line($0.cells) }.joined()
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
