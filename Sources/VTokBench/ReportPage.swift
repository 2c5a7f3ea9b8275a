import VTokEval

/// What every bench's page has: a heading, plots with a legend, the table with what its columns mean, images. It works without
/// its script, which sorts, filters, and says of points what they are.
struct ReportPage {
  /// A row of the table.
  struct Row {
    let cells: [String]
    /// The line of the plots that it belongs to; nil for none.
    let line: String?
    /// Where rows differ in it.
    let precision: String?
    let isReference: Bool
  }

  let model: String
  /// One line under the heading.
  let about: String
  let plots: [ParetoPlot]
  let columns: [String]
  let rows: [Row]
  /// What columns mean.
  let notes: [(column: String, note: String)]
  /// How things were measured, and what was left out.
  let remarks: [String]
  let provenance: Provenance
  /// HTML; empty for none.
  let gallery: String

  var html: String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>vtok bench: \(escaped(model))</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <style>
    \(Self.style)
    </style></head><body>
    <h1>vtok bench</h1><p>\(escaped(about))</p>
    \(plotsHTML)<h2>All rows</h2>
    \(precisionsHTML)<div class="scroll">\(tableHTML)</div>
    <dl>\(Self.list(notes))</dl>
    \(remarks.map { "<p>\(escaped($0))</p>" }.joined(separator: "\n"))
    \(gallery)<h2>Where this comes from</h2>
    <dl class="run">\(Self.list(provenance.lines))</dl>
    <script>
    \(Self.script)
    </script></body></html>

    """
  }

  private var plotsHTML: String {
    let drawn = plots.map { $0.svg() }.joined()
    guard !drawn.isEmpty else { return "" }
    return """
      <h2>What is kept against what it costs</h2>
      <p class="legend" title="Click a method to hide it.">\(ParetoPlot.legend(plots.first?.lines.map(\.name) ?? []))</p>
      <div class="plots">\(drawn)</div>

      """
  }

  /// A choice between precisions, where there are several.
  private var precisionsHTML: String {
    var found: [String] = []
    for precision in rows.compactMap(\.precision) where !found.contains(precision) { found.append(precision) }
    guard found.count > 1 else { return "" }
    let options = found.map { "<option>\(escaped($0))</option>" }.joined()
    return """
      <p class="tools"><label>Precision <select id="precision"><option value="">all</option>\(options)</select></label></p>

      """
  }

  /// Without columns that have nothing to say of any row.
  private var tableHTML: String {
    let told = columns.indices.filter { column in rows.contains { !["-", ""].contains($0.cells[column]) } }
    let head = told.map { "<th aria-sort=\"none\"><button>\(escaped(columns[$0]))</button></th>" }.joined()
    let body = rows.map { row in
      let cells = told.map { row.cells[$0] }.map {
        "<td\($0.hasSuffix(" !") ? " class=\"warn\"" : "")>\(escaped($0))</td>"
      }.joined()
      let marks =
        (row.isReference ? " class=\"dense\"" : "") + Self.attribute("line", row.line)
        + Self.attribute("precision", row.precision)
      return "<tr\(marks)>\(cells)</tr>"
    }.joined(separator: "\n")
    return "<table><thead><tr>\(head)</tr></thead><tbody>\n\(body)\n</tbody></table>"
  }

  private static func attribute(_ name: String, _ value: String?) -> String {
    value.map { " data-\(name)=\"\(escaped($0))\"" } ?? ""
  }

  private static func list(_ pairs: [(String, String)]) -> String {
    pairs.map { "<dt>\(escaped($0.0))</dt><dd>\(escaped($0.1))</dd>" }.joined(separator: "\n")
  }

  /// The last two parts of a path.
  static func name(_ path: String) -> String { path.split(separator: "/").suffix(2).joined(separator: "/") }

  /// Images with what stands under them: of several the last is seen first, and the slider of the page shows the others.
  /// - Parameter images: in base64, with their kind (`png`) and what each shows.
  static func figure(_ images: [(kind: String, data: String, note: String)], _ caption: String) -> String {
    let drawn = images.enumerated().map { index, image in
      let isHidden = index < images.count - 1 ? " hidden" : ""
      return "<img alt=\"\(escaped(caption + (image.note.isEmpty ? "" : ", " + image.note)))\"\(isHidden) "
        + "data-note=\"\(escaped(image.note))\" src=\"data:image/\(image.kind);base64,\(image.data)\">"
    }
    return "<figure>\(drawn.joined())<figcaption>\(escaped(caption))<span>\(escaped(images.last?.note ?? ""))</span>"
      + "</figcaption></figure>"
  }
}
