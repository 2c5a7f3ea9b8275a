import Foundation
import VTokCore
import VTokEval
import VTokImage
import VTokTensor

extension AnswerReport {
  /// A question about each of some scenes under every method, at the budget nearest to half of the dense cost. Token maps
  /// are those of the first picture: its tiles, then its thumbnail.
  func gallery() throws -> String {
    if scenes.isEmpty { return "" }
    let chosen = ReportPage.lines(rows, method: \.contender.method).compactMap { line in
      line.rows.min { (abs($0.share - 0.5), $0.costs.tokensOut) < (abs($1.share - 0.5), $1.costs.tokensOut) }
    }
    var out = ""
    for index in scenes {
      let scene = bench.data.scenes[index]
      let question = scene.questions[0]
      let pictures = try bench.pictures(of: index)
      let image = pictures[0]
      out += "<p>\(escaped(question.text)) (\(escaped(question.answers[0])))</p><div>"
      for row in [rows[0]] + chosen {
        let generator = row.contender.subject
        let prompt = try generator.prepare(question.text, about: pictures)
        let seen = try generator.look(
          at: prompt.images, question: question.text, seed: bench.seed(row.contender.seeds[0], of: index))
        var (run, decoding) = try generator.read(prompt, seen: seen)
        let left = decoding.tokens
        let ids = try generator.model.language.generate(
          from: &decoding, run: &run, limit: bench.limit, stops: generator.model.stops)
        let maps = generator.maps(of: left, in: prompt)[0]
        let shown =
          row.contender.asked == .nothing
          ? image : TokenMap.strip(maps.map { $0.drawn(on: image) }, downwards: true)
        let scale = 256 / Double(max(shown.width, shown.height))
        let small = shown.resized(
          width: max(1, Int(Double(shown.width) * scale)), height: max(1, Int(Double(shown.height) * scale)),
          filter: .bicubic)
        let count = left.rows(.patch).count
        out += ReportPage.figure(
          Data(try small.pngData()).base64EncodedString(),
          "\(row.contender.method), \(count) tokens: \(generator.text(of: ids))")
      }
      out += "</div>\n"
    }
    return """
      <h2>Answers</h2><p>The first question about some pictures with the right answer, and what was said with which visual
      tokens left: dimmed patches are gone, patches of one colour became one token.</p>
      <div class="scroll"><div class="gallery">\(out)</div></div>

      """
  }
}
