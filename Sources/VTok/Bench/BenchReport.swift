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
  /// How times were taken.
  let remark: String
  /// Images of the gallery, as indices of the data.
  let images: [Int]

  /// - Parameter rows: as the table has them, the dense model first.
  public init(title: String, table: Table, rows: [BenchRow], bench: Bench, remark: String, images: [Int]) {
    (self.title, self.table, self.rows, self.bench) = (title, table, rows, bench)
    (self.remark, self.images) = (remark, images)
  }

  public func html() throws -> String {
    ReportPage(
      model: bench.model.name, about: "\(title) · data \(ReportPage.name(bench.data.path))",
      plots: [
        plot("multiply-adds", "GMACs per image", \.costs.gmacs),
        plot("time", "ms per image, one thread", { median($0.times.all) }),
      ],
      table: table, notes: escaped(Self.notes + " " + remark), gallery: try gallery()
    ).html
  }

  private static let notes = """
    tokens: patch tokens in and out. GMACs: multiply-adds of the tower; select: those of choosing tokens, beside it. ms:
    processor time of tower and selection, median. of MAC gain: share of the multiply-adds' speed-up that the clock sees
    (! below 0.9). retention: accuracy over the dense model's, with its 95% paired bootstrap interval; p: exact McNemar
    test against dense. agree, KL, cosine: top-1 agreement, divergence of the class distribution and cosine of the pooled
    embedding, each against the dense model. random: mean and range over its seeds.
    """

  // MARK: Plots

  private var lines: [(name: String, rows: [BenchRow])] { ReportPage.lines(rows, method: \.contender.method) }

  private func plot(_ what: String, _ xLabel: String, _ x: (BenchRow) -> Double) -> ParetoPlot {
    let isLabelled = rows[0].top1 != nil
    let denseTop1 = rows[0].top1?.mean ?? 1
    func point(_ row: BenchRow) -> ParetoPlot.Point {
      let seeds = isLabelled && (row.top1?.values.count ?? 1) > 1 ? row.top1?.values.map { $0 / denseTop1 } : nil
      let y = row.retention ?? row.agreement ?? row.cosine
      return ParetoPlot.Point(
        x: x(row), y: y, low: seeds?.min(), high: seeds?.max(),
        about:
          "\(row.contender.method), \(row.contender.asked.label): \(fixed(100 * y, 1))% at \(fixed(x(row), 2)) \(xLabel)"
      )
    }
    let measure =
      isLabelled ? "accuracy retention" : rows[0].agreement == nil ? "pooled cosine" : "agreement with dense"
    return ParetoPlot(
      title: "\(measure) against \(what)", xLabel: xLabel, yLabel: measure,
      lines: lines.map { ($0.name, $0.rows.map(point)) } + [("dense", [point(rows[0])])])
  }

  // MARK: Gallery

  /// The images under every method, at the budget nearest to half of the dense cost.
  private func gallery() throws -> String {
    if images.isEmpty { return "" }
    let chosen = lines.compactMap { line in
      line.rows.min { (abs($0.share - 0.5), $0.costs.tokensOut) < (abs($1.share - 0.5), $1.costs.tokensOut) }
    }
    var out = ""
    for index in images {
      let image = try bench.data.image(index, options: bench.decode)
      out += "<div>"
      for row in [rows[0]] + chosen {
        let pipeline = row.contender.subject
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
        out += ReportPage.figure(Data(try small.pngData()).base64EncodedString(), caption)
      }
      out += "</div>\n"
    }
    return """
      <h2>Token maps</h2><p>Dimmed patches were pruned; patches of one colour became one token.</p>
      <div class="scroll"><div class="gallery">\(out)</div></div>

      """
  }
}
