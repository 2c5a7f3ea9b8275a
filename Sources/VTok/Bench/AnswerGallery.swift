import Foundation
import VTokCore
import VTokEval
import VTokImage
import VTokTensor

extension AnswerReport {
  /// A question about each of some scenes under every method, at the budget nearest to half of the dense cost. Token maps
  /// are drawn where a picture is one tile.
  func gallery() throws -> String {
    if scenes.isEmpty { return "" }
    let chosen = ReportPage.lines(rows, method: \.contender.method).compactMap { line in
      line.rows.min { (abs($0.share - 0.5), $0.costs.tokensOut) < (abs($1.share - 0.5), $1.costs.tokensOut) }
    }
    var out = ""
    for index in scenes {
      let scene = bench.data.scenes[index]
      let question = scene.questions[0]
      let image = try Image.decode(contentsOf: scene.paths[0], options: bench.decode).image
      let pictures = bench.pictures(of: index).images!
      let prompt = try bench.model.prepare(question.text, about: pictures)
      out += "<p>\(escaped(question.text)) (\(escaped(question.answers[0])))</p><div>"
      for row in [rows[0]] + chosen {
        let generator = row.contender.subject
        let seen = try generator.look(
          at: pictures, question: question.text, seed: bench.seed(row.contender.seeds[0], of: index))
        var (run, decoding) = try generator.read(prompt, seen: seen)
        let left = decoding.tokens
        let ids = try generator.model.language.generate(
          from: &decoding, run: &run, limit: bench.limit, stops: generator.model.stops)
        let map = row.contender.asked == .nothing ? nil : map(of: left, on: image, pictures)
        let shown = (map?.drawn(on: image) ?? image)
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

  /// Where one picture is one tile of the tower.
  private func map(of tokens: TokenSequence, on image: Image, _ pictures: [PreparedImage]) -> TokenMap? {
    let tower = bench.model.model.shape.tower!
    guard pictures.count == 1, bench.model.model.shape.layout == .single,
      let processor = bench.model.processor as? ImageProcessor
    else { return nil }
    var offsets: [Int32] = [0]
    var patches: [Int32] = []
    var weights: [Float] = []
    for row in tokens.rows(.patch) {
      let range = tokens.origin.range(row)
      patches += tokens.origin.patches[range]
      weights += tokens.origin.weights[range]
      offsets.append(Int32(patches.count))
    }
    return TokenMap(
      rows: tower.rows, columns: tower.columns,
      region: processor.visibleRegion(width: image.width, height: image.height),
      origin: Origin(offsets: offsets, patches: patches, weights: weights))
  }
}
