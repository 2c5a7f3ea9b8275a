import Foundation
import VTokEval
import VTokImage

extension ReductionTask {
  typealias Row = BenchRow<Self>

  /// Its method, and where rows differ in it, its precision; nil for the dense one.
  public func line(of row: BenchRow<Self>) -> String? {
    row.isReference ? nil : row.entry.line + (precision(of: row).map { ", \($0)" } ?? "")
  }

  public func precision(of row: BenchRow<Self>) -> String? {
    hasPrecisions ? row.entry.subject.precision.rawValue : nil
  }

  /// Rows by method, the dense one left out; the same method at several budgets is one line.
  func lines(_ rows: [Row]) -> [(name: String, rows: [Row])] {
    var found: [(name: String, rows: [Row])] = []
    for row in rows.dropFirst() {
      let name = line(of: row)!
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
/// - Parameter stages: what it became on the way, first to last, with a note on each.
func galleryFigure(_ stages: [(image: Image, note: String)], _ caption: String) throws -> String {
  let images = try stages.map { image, note in
    let scale = 256 / Double(max(image.width, image.height))
    let small = image.resized(
      width: max(1, Int(Double(image.width) * scale)), height: max(1, Int(Double(image.height) * scale)),
      filter: .bicubic)
    return (kind: "jpeg", data: Data(try small.jpegData(quality: 88)).base64EncodedString(), note: note)
  }
  return ReportPage.figure(images, caption)
}

/// So many stages of an image a gallery shows at most.
let galleryStages = 5

/// A heading, what the images show, and rows of them.
func gallerySection(_ title: String, _ about: String, _ rows: String) -> String {
  """
  <h2>\(title)</h2><p>\(about)</p>
  <p class="tools"><label>Stage, first to last
    <input id="stage" type="range" min="0" max="100" step="25" value="100"></label></p>
  <div class="scroll"><div class="gallery">\(rows)</div></div>

  """
}
