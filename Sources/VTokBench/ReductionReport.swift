import Foundation
import VTokEval
import VTokImage

extension ReductionTask {
  typealias Row = BenchRow<Self>

  /// Rows by method, the dense one left out; the same method at several budgets is one line.
  func lines(_ rows: [Row]) -> [(name: String, rows: [Row])] {
    var found: [(name: String, rows: [Row])] = []
    for row in rows.dropFirst() {
      let name = row.entry.line + (hasPrecisions ? ", \(row.entry.subject.precision.rawValue)" : "")
      if let index = found.firstIndex(where: { $0.name == name }) {
        found[index].rows.append(row)
      } else {
        found.append((name, [row]))
      }
    }
    return found
  }

  /// The dense row, and of every method the one whose share of the dense cost is nearest to a half.
  func shown(_ rows: [Row], share: (Row) -> Double, left: (Row) -> Double) -> [Row] {
    [rows[0]]
      + lines(rows).compactMap { line in
        line.rows.min { (abs(share($0) - 0.5), left($0)) < (abs(share($1) - 0.5), left($1)) }
      }
  }

  /// - Parameters:
  ///   - measure: what `y` is, a share.
  ///   - seeds: `y` of every seed, where there are several.
  func plot(
    _ rows: [Row], _ measure: String, against what: String, _ xLabel: String, digits: Int, x: (Row) -> Double,
    y: (Row) -> Double, seeds: (Row) -> [Double]?
  ) -> ParetoPlot {
    func point(_ row: Row) -> ParetoPlot.Point {
      let range = seeds(row)
      return ParetoPlot.Point(
        x: x(row), y: y(row), low: range?.min(), high: range?.max(),
        about: "\(row.entry.method), \(row.entry.asked.label): \(fixed(100 * y(row), 1))% at "
          + "\(fixed(x(row), digits)) \(xLabel)")
    }
    return ParetoPlot(
      title: "\(measure) against \(what)", xLabel: xLabel, yLabel: measure,
      lines: lines(rows).map { ($0.name, $0.rows.map(point)) } + [("dense", [point(rows[0])])])
  }
}

/// An image of a gallery, its longer side 256 pixels, with what stands below it.
func galleryFigure(_ image: Image, _ caption: String) throws -> String {
  let scale = 256 / Double(max(image.width, image.height))
  let small = image.resized(
    width: max(1, Int(Double(image.width) * scale)), height: max(1, Int(Double(image.height) * scale)),
    filter: .bicubic)
  return ReportPage.figure(Data(try small.pngData()).base64EncodedString(), caption)
}

/// A heading, what the images show, and rows of them.
func gallerySection(_ title: String, _ about: String, _ rows: String) -> String {
  """
  <h2>\(title)</h2><p>\(about)</p>
  <div class="scroll"><div class="gallery">\(rows)</div></div>

  """
}
