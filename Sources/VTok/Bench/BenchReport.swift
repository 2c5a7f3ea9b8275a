import Foundation
import VTokEval
import VTokImage
import VTokTensor

/// One self-contained HTML page: the table, what is kept against what it costs, and what the methods did to a few images.
public struct BenchReport: Sendable {
  let title: String
  let table: Table
  let rows: [BenchRow]
  let bench: Bench
  /// Images of the gallery, as indices of the data.
  let images: [Int]

  /// - Parameter rows: as the table has them, the dense model first.
  public init(title: String, table: Table, rows: [BenchRow], bench: Bench, images: [Int]) {
    (self.title, self.table, self.rows, self.bench, self.images) = (title, table, rows, bench, images)
  }

  public func html() throws -> String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>vtok bench: \(escaped(bench.model.name))</title>
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
    <h1>vtok bench</h1><p>\(escaped(title)) · data \(escaped(name(bench.data.path)))</p>
    <h2>What is kept against what it costs</h2>
    <p>\(ParetoPlot.legend(lines.map(\.name) + ["dense"]))</p>
    <div class="plots">\(plot("multiply-adds", "GMACs per image", \.gmacs))\(plot("time", "ms per image, one thread", \.time))</div>
    <h2>All rows</h2><div class="scroll">\(tableHTML)</div>
    <p>tokens: patch tokens in and out. GMACs: multiply-adds of the tower; select: those of choosing tokens, beside it. ms:
    processor time of tower and selection, median. of MAC gain: share of the multiply-adds' speed-up that the clock sees
    (! below 0.9). retention: accuracy over the dense model's, with its 95% paired bootstrap interval; p: exact McNemar
    test against dense. agree, KL, cosine: top-1 agreement, divergence of the class distribution and cosine of the pooled
    embedding, each against the dense model. random: mean and range over its seeds.</p>
    \(try gallery())</body></html>

    """
  }

  private func name(_ path: String) -> String {
    path.split(separator: "/").suffix(2).joined(separator: "/")
  }

  // MARK: Plots

  /// Rows by method; the same method at several budgets is one line.
  private var lines: [(name: String, rows: [BenchRow])] {
    var found: [(name: String, rows: [BenchRow])] = []
    for row in rows.dropFirst() {
      let name = row.contender.method.split(separator: ":").first.map(String.init) ?? row.contender.method
      if let index = found.firstIndex(where: { $0.name == name }) {
        found[index].rows.append(row)
      } else {
        found.append((name, [row]))
      }
    }
    return found
  }

  private func plot(_ what: String, _ xLabel: String, _ x: (BenchRow) -> Double) -> String {
    let isLabelled = rows[0].top1 != nil
    let denseTop1 = rows[0].top1?.mean ?? 1
    func point(_ row: BenchRow) -> ParetoPlot.Point {
      let seeds = isLabelled && (row.top1?.values.count ?? 1) > 1 ? row.top1?.values.map { $0 / denseTop1 } : nil
      let y = row.retention ?? row.agreement ?? row.cosine
      return ParetoPlot.Point(
        x: x(row), y: y, low: seeds?.min(), high: seeds?.max(),
        about: "\(row.contender.method), \(row.budget): \(fixed(100 * y, 1))% at \(fixed(x(row), 2)) \(xLabel)")
    }
    let measure =
      isLabelled ? "accuracy retention" : rows[0].agreement == nil ? "pooled cosine" : "agreement with dense"
    return ParetoPlot(
      title: "\(measure) against \(what)", xLabel: xLabel, yLabel: measure,
      lines: lines.map { ($0.name, $0.rows.map(point)) } + [("dense", [point(rows[0])])]
    ).svg()
  }

  // MARK: Table

  private var tableHTML: String {
    let head = table.columns.map { "<th>\(escaped($0))</th>" }.joined()
    let body = table.rows.enumerated().map { index, row in
      let cells = row.cells.map { "<td\($0.hasSuffix(" !") ? " class=\"warn\"" : "")>\(escaped($0))</td>" }.joined()
      return "<tr\(index == 0 ? " class=\"dense\"" : "")>\(cells)</tr>"
    }.joined(separator: "\n")
    return "<table><thead><tr>\(head)</tr></thead><tbody>\n\(body)\n</tbody></table>"
  }

  // MARK: Gallery

  /// The images under every method, at the budget nearest to half of the dense cost.
  private func gallery() throws -> String {
    if images.isEmpty { return "" }
    let chosen = lines.compactMap { line in
      line.rows.min { (abs($0.share - 0.5), $0.tokensOut) < (abs($1.share - 0.5), $1.tokensOut) }
    }
    var out = ""
    for index in images {
      let image = try bench.data.image(index, options: bench.decode)
      out += "<div>"
      for row in [rows[0]] + chosen {
        let pipeline = row.contender.pipelines[0]
        let seed = mixedSeed(bench.seed &+ row.contender.seeds[0], bench.data.items[index].name)
        let result = try pipeline(image, seed: seed)
        let map = row.contender.asked == .nothing ? image : result.map.drawn(on: image)
        let scale = 256 / Double(max(map.width, map.height))
        let small = map.resized(
          width: max(1, Int(Double(map.width) * scale)), height: max(1, Int(Double(map.height) * scale)),
          filter: .bicubic)
        let answer = result.logits.flatMap { argmax($0) }.map { top in
          bench.model.vision.labels.flatMap { top < $0.count ? $0[top] : nil } ?? "class \(top)"
        }
        let caption = "\(row.contender.method), \(result.keep.count) tokens" + (answer.map { ": \($0)" } ?? "")
        out += "<figure><img alt=\"\(escaped(caption))\" src=\"data:image/png;base64,"
        out += Data(try small.pngData()).base64EncodedString()
        out += "\"><figcaption>\(escaped(caption))</figcaption></figure>"
      }
      out += "</div>\n"
    }
    return """
      <h2>Token maps</h2><p>Dimmed patches were pruned; patches of one colour became one token.</p>
      <div class="scroll"><div class="gallery">\(out)</div></div>

      """
  }
}

extension BenchRow {
  /// Milliseconds of processor time per image: tower and selection.
  fileprivate var time: Double { median(towerCPU) + median(selectionCPU) }
}
