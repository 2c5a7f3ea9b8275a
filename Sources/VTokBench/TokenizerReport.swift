import Foundation
import VTokEval
import VTokFiles
import VTokImage
import VTokPipeline
import VTokWeights

extension TokenizerTask {
  public func title(_ results: BenchResults<Self>) -> String {
    "\(results.items.count) pictures of \(side)x\(side) · judged by \(judge.name)"
  }

  public func line(of row: BenchRow<Self>) -> String? { row.line }

  /// The sheet, where there is one.
  public func gallery(_ results: BenchResults<Self>, items: [Int]) throws -> String {
    guard let sheet else { return "" }
    let png = Data(try self.sheet(of: sheet).pngData()).base64EncodedString()
    return """
      <h2>Reconstructions</h2>
      <p>An image, and what every tokenizer makes of it from few tokens to many.</p>
      <div class="scroll"><img alt="reconstructions" src="data:image/png;base64,\(png)"></div>

      """
  }

  /// Plots of all rows against bytes.
  public func plots(_ rows: [BenchRow<Self>]) -> [(name: String, plot: ParetoPlot)] {
    func plot(_ title: String, _ label: String, isShare: Bool, _ value: (BenchRow<Self>) -> Double) -> ParetoPlot {
      var names: [String] = []
      for row in rows where !names.contains(row.line) { names.append(row.line) }
      let lines = names.map { name in
        let points = rows.filter { $0.line == name && !value($0).isNaN }.map { row in
          ParetoPlot.Point(
            x: row.mean(.bytes), y: value(row),
            about: "\(name), \(row.tokens.map { "\($0) tokens" } ?? row.setting ?? ""): \(fixed(value(row), 3))")
        }
        return (name, points)
      }.filter { !$0.1.isEmpty }
      return ParetoPlot(
        title: title, xLabel: "bytes per picture", yLabel: label, lines: lines, isLogarithmic: true, isShare: isShare)
    }
    return [
      ("psnr", plot("Distortion against rate", "PSNR of the mean squared error, dB", isShare: false, \.psnr)),
      ("ssim", plot("Structural similarity against rate", "SSIM", isShare: true) { $0.mean(.ssim) }),
      (
        "agreement",
        plot("Classifier on reconstructions against rate", "top-1 agreement with the original", isShare: true) {
          $0.mean(.agrees)
        }
      ),
    ]
  }
}

extension BenchReport where Task == TokenizerTask {
  /// Beside the files of every report: the rows as CSV, every plot as a file, and the sheet where there is one.
  public func writeRates(to folder: String) throws {
    try WholeFile.write(table.text(.csv), to: folder + "/rows.csv")
    let task = results.bench.task
    for (name, plot) in task.plots(results.rows) where !plot.svg().isEmpty {
      try WholeFile.write(plot.file(), to: "\(folder)/\(name).svg")
    }
    if let sheet = task.sheet { try WholeFile.write(task.sheet(of: sheet).pngData(), to: folder + "/sheet.png") }
  }
}
