import VTokEval

/// What every bench's page has: a heading, plots with a legend, the table with what its columns mean, pictures.
struct ReportPage {
  let model: String
  /// One line under the heading.
  let about: String
  let plots: [ParetoPlot]
  let table: Table
  /// What the columns mean. HTML.
  let notes: String
  let provenance: Provenance
  /// HTML; empty for none.
  let gallery: String

  var html: String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>vtok bench: \(escaped(model))</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <style>
    body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 86rem; padding: 0 1rem; color: #1c1c1c }
    h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
    .scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; white-space: nowrap }
    th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e2e2e2; font-variant-numeric: tabular-nums }
    th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff }
    th { border-bottom: 2px solid #888 } tr.dense td { font-weight: 600 } td.warn { color: #b30000 }
    .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem }
    svg { width: 100%; font: 12px system-ui, sans-serif } svg .title { font-size: 14px; font-weight: 600 }
    svg .grid { stroke: #e4e4e4 } .key { margin-right: 1.1rem; white-space: nowrap }
    .key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .35rem }
    .gallery { display: grid; gap: .5rem } .gallery div { display: flex; gap: .5rem; align-items: flex-end }
    figure { margin: 0; flex: none } figcaption { font-size: 12px; color: #555; max-width: 14rem; overflow-wrap: anywhere }
    figure img { width: 14rem; display: block }
    </style></head><body>
    <h1>vtok bench</h1><p>\(escaped(about))</p>
    <h2>What is kept against what it costs</h2>
    <p>\(ParetoPlot.legend(plots.first?.lines.map(\.name) ?? []))</p>
    <div class="plots">\(plots.map { $0.svg() }.joined())</div>
    <h2>All rows</h2><div class="scroll">\(tableHTML)</div>
    <p>\(notes)</p>
    \(gallery)<h2>Where this comes from</h2><p>\(escaped(provenance.text))</p></body></html>

    """
  }

  private var tableHTML: String {
    let head = table.columns.map { "<th>\(escaped($0))</th>" }.joined()
    let body = table.rows.enumerated().map { index, row in
      let cells = row.cells.map { "<td\($0.hasSuffix(" !") ? " class=\"warn\"" : "")>\(escaped($0))</td>" }.joined()
      return "<tr\(index == 0 ? " class=\"dense\"" : "")>\(cells)</tr>"
    }.joined(separator: "\n")
    return "<table><thead><tr>\(head)</tr></thead><tbody>\n\(body)\n</tbody></table>"
  }

  /// The last two parts of a path.
  static func name(_ path: String) -> String { path.split(separator: "/").suffix(2).joined(separator: "/") }

  /// A picture with what stands under it.
  static func figure(_ png: String, _ caption: String) -> String {
    "<figure><img alt=\"\(escaped(caption))\" src=\"data:image/png;base64,\(png)\">"
      + "<figcaption>\(escaped(caption))</figcaption></figure>"
  }
}
