import VTokEval
import VTokImage
import VTokPipeline
import VTokTensor

extension ImageTask {
  public func title(_ results: BenchResults<Self>) -> String {
    "model \(model.name) · \(results.items.count) images"
  }

  public func remarks(_ results: BenchResults<Self>) -> [String] {
    let dense = results.rows[0]
    let timed = Self.timed(results.sample.count) { images in
      "\(images), whole and with nothing shared, on one thread; median. Reading an image "
        + "(\(fixed(median(dense.times(.read)), 2)) ms) and preparing it (\(fixed(median(dense.times(.prepare)), 2)) ms) "
        + "come before. Everything else is of all images."
    }
    let seeds = entries.map(\.seeds.count).max() ?? 1
    let split =
      splitsSeeds && seeds > 1
      ? " The \(seeds) runs of a method that draws lots see a part of them each; the range is that of their retention, times "
        + "the dense accuracy."
      : ""
    return [timed + split]
  }

  public var note: String { "Methods that draw lots (random): mean and range over their seeds." }

  public func plots(_ rows: [BenchRow<Self>]) -> [(name: String, plot: ParetoPlot)] {
    let isLabelled = rows[0].top1 != nil
    let measure =
      isLabelled ? "accuracy retention" : rows[0].agreement.isNaN ? "pooled cosine" : "agreement with dense"
    func kept(_ row: BenchRow<Self>) -> Double {
      isLabelled ? row.retention : row.agreement.isNaN ? row.cosine : row.agreement
    }
    let dense = rows[0].top1?.mean ?? 1
    func seeds(_ row: BenchRow<Self>) -> [Double]? {
      row.top1.flatMap { top in top.values.count > 1 ? top.values.map { $0 / dense } : nil }
    }
    func plot(_ what: String, _ xLabel: String, _ x: (BenchRow<Self>) -> Double) -> ParetoPlot {
      self.plot(rows, measure, against: what, xLabel, digits: 2, x: x, y: kept, seeds: seeds)
    }
    return [
      ("gmacs", plot("multiply-adds", "GMACs per image") { $0.mean(.gmacs) }),
      ("time", plot("time", "ms per image, one thread", \.milliseconds)),
    ]
  }

  /// The images under every method, at the budget nearest to half of the dense cost.
  public func gallery(_ results: BenchResults<Self>, items: [Int]) throws -> String {
    if items.isEmpty { return "" }
    let rows = shown(results.rows, share: \.share, left: { $0.mean(.tokensOut) })
    var out = ""
    for item in items {
      let image = try data.image(item, options: decode)
      out += "<div>"
      for row in rows {
        let result = try row.entry.subject(on: item)(
          image, seed: seed(row.entry.seeds[0], of: item), keepingNotes: true)
        let answer = result.classes(1, labels: model.vision.labels).first.map { $0.label ?? "class \($0.name)" }
        let caption = "\(row.entry.method), \(result.keep.count) tokens" + (answer.map { ": \($0)" } ?? "")
        let maps = result.stageMaps(most: galleryStages)
        let stages =
          row.isReference
          ? [(image, "")] : maps.map { ($0.drawn(on: image), maps.count > 1 ? "\($0.tokens) left" : "") }
        out += try galleryFigure(stages, caption)
      }
      out += "</div>\n"
    }
    return gallerySection("Token maps", "Dimmed patches were pruned; patches of one mean colour became one token.", out)
  }
}
