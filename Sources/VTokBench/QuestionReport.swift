import VTokCore
import VTokEval
import VTokImage
import VTokPipeline
import VTokTensor

extension QuestionTask {
  public func title(_ results: BenchResults<Self>) -> String {
    "model \(model.name) · \(results.questions) questions about \(results.items.count) pictures"
  }

  public func remarks(_ results: BenchResults<Self>) -> [String] {
    [
      Self.timed(results.sample.count) { images in
        "the first question of \(images), each answered from prepared picture to last token with nothing shared, on one "
          + "thread; median. Reading and preparing a picture comes before: "
          + "\(fixed(median(results.rows[0].times(.prepare)), 2)) ms. Answers and counts are of all questions."
      }
    ]
  }

  public var note: String { "Methods that draw lots (random): mean and range over their seeds." }

  public func provenance(of row: BenchRow<Self>, _ all: Provenance) -> Provenance {
    var own = ownProvenance(of: row, all)
    let subject = row.entry.subject
    if subject.name != model.name { (own.model, own.modelSHA256) = (subject.name, subject.sha256) }
    return own
  }

  public func plots(_ rows: [BenchRow<Self>]) -> [(name: String, plot: ParetoPlot)] {
    func mean(_ row: BenchRow<Self>) -> [Double] { row.means(.score) }
    let dense = Ranged(values: mean(rows[0])).mean
    func seeds(_ row: BenchRow<Self>) -> [Double]? {
      mean(row).count > 1 ? mean(row).map { $0 / dense } : nil
    }
    func plot(_ what: String, _ xLabel: String, _ x: (BenchRow<Self>) -> Double) -> ParetoPlot {
      self.plot(
        rows, "score retention", against: what, xLabel, digits: 3, x: x, y: \.retention, seeds: seeds)
    }
    return [
      ("gmacs", plot("multiply-adds", "GMACs to the first token", \.gmacs)),
      ("tokens", plot("visual tokens", "mean visual tokens a language layer") { $0.mean(.meanTokens) }),
      ("cache", plot("KV cache", "MB after the prompt, 16 bit") { $0.mean(.cachePrefill) }),
      ("time", plot("time", "ms to the first token, one thread", \.milliseconds)),
    ]
  }

  /// A question about each of some items under every method, at the budget nearest to half of the dense cost. Token maps
  /// are those of the first image: its tiles, then its thumbnail. Videos are left out.
  public func gallery(_ results: BenchResults<Self>, items: [Int]) throws -> String {
    let items = items.filter { data.items[$0].rate == nil }
    if items.isEmpty { return "" }
    let rows = shown(results.rows, share: \.share, left: { $0.mean(.tokensOut) })
    var out = ""
    for item in items {
      let question = data.items[item].questions[0]
      let images = try images(of: item)
      out += "<p>\(escaped(question.text))\(question.answers.first.map { " (\(escaped($0)))" } ?? "")</p><div>"
      for row in rows {
        let generator = row.entry.subject(on: item)
        let prompt = try generator.prepare(question.text, about: images)
        let answer = try generator(
          prompt, limit: limit, seed: seed(row.entry.seeds[0], of: item), keepingNotes: !row.isReference)
        let stages = row.isReference ? [] : generator.shownStages(of: answer, to: prompt, most: galleryStages)[0]
        let drawn = stages.map { ($0.drawn(on: images[0]), stages.count > 1 ? "\($0.name), \($0.tokens) left" : "") }
        let left = stages.last.map { ", \($0.tokens) tokens" } ?? ""
        out += try galleryFigure(
          row.isReference ? [(images[0], "")] : drawn, "\(row.entry.method)\(left): \(answer.text)")
      }
      out += "</div>\n"
    }
    return gallerySection(
      "Answers",
      """
      The first question about some pictures with the right answer, and what was said with which visual
      tokens left: dimmed patches are gone, patches of one mean colour became one token.
      """, out)
  }
}
