import Foundation
import VTokEval

/// What is kept against what it costs, as inline SVG: one line per method, from the dearest budget to the cheapest.
public struct ParetoPlot: Sendable {
  public struct Point: Sendable {
    public let x: Double, y: Double
    /// Range over seeds.
    public let low: Double?, high: Double?
    public let about: String

    public init(x: Double, y: Double, low: Double? = nil, high: Double? = nil, about: String) {
      self.x = x
      self.y = y
      self.low = low
      self.high = high
      self.about = about
    }
  }
  let title: String, xLabel: String, yLabel: String
  let lines: [(name: String, points: [Point])]
  let isLogarithmic: Bool
  let isShare: Bool

  /// - Parameters:
  ///   - lines: in the order of their colours.
  ///   - isLogarithmic: whether x goes by powers of two.
  ///   - isShare: whether y is a share, which ends at 100%.
  public init(
    title: String, xLabel: String, yLabel: String, lines: [(name: String, points: [Point])],
    isLogarithmic: Bool = false, isShare: Bool = true
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.lines = lines
    self.isLogarithmic = isLogarithmic
    self.isShare = isShare
  }

  private static let colours = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#555555", "#9467bd", "#bcbd22",
  ]

  /// How a line is told from others: by its colour, and where those are used up by hollow points and dashes.
  private struct Style {
    let colour: String, isHollow: Bool

    init(_ index: Int) {
      colour = ParetoPlot.colours[index % ParetoPlot.colours.count]
      isHollow = index / ParetoPlot.colours.count % 2 == 1
    }
  }

  private static let width = 640.0, height = 420.0
  private static let left = 62.0, right = 14.0, top = 34.0, bottom = 48.0

  /// Empty where there is nothing to show: no points, or some that were not measured.
  public func svg() -> String {
    let points = lines.flatMap(\.points)
    guard !points.isEmpty, points.allSatisfy({ $0.x.isFinite && $0.y.isFinite }) else { return "" }
    let scale: (Double) -> Double = isLogarithmic ? { log2($0) } : { $0 }
    let widest = points.map(\.x).max()!
    let xs =
      isLogarithmic
      ? Array(stride(from: scale(points.map(\.x).min()!).rounded(.down), through: scale(widest).rounded(.up), by: 1))
        .map { exp2($0) } : Self.ticks(0, widest)
    let top = points.map { max($0.y, $0.high ?? $0.y) }.max()!
    let ys = Self.ticks(points.map { min($0.y, $0.low ?? $0.y) }.min()!, isShare ? max(1, top) : top)
    func x(_ value: Double) -> Double {
      let (first, last) = (scale(xs.first!), scale(xs.last!))
      return Self.left + (scale(value) - first) / (last - first) * (Self.width - Self.left - Self.right)
    }
    func y(_ value: Double) -> Double {
      Self.height - Self.bottom - (value - ys.first!) / (ys.last! - ys.first!)
        * (Self.height - Self.top - Self.bottom)
    }
    let at = Self.at
    var out = """
      <svg viewBox="0 0 \(fixed(Self.width, 0)) \(fixed(Self.height, 0))" role="img" aria-label="\(escaped(title))">
      <text x="\(at(Self.left))" y="18" class="title">\(escaped(title))</text>

      """
    for tick in xs {
      out += """
        <line x1="\(at(x(tick)))" x2="\(at(x(tick)))" y1="\(at(Self.top))" y2="\(at(Self.height - Self.bottom))" class="grid"/>
        <text x="\(at(x(tick)))" y="\(at(Self.height - Self.bottom + 18))" text-anchor="middle">\(isLogarithmic ? Self.power(tick) : Self.label(tick, xs))</text>

        """
    }
    for tick in ys {
      out += """
        <line x1="\(at(Self.left))" x2="\(at(Self.width - Self.right))" y1="\(at(y(tick)))" y2="\(at(y(tick)))" class="grid"/>
        <text x="\(at(Self.left - 8))" y="\(at(y(tick) + 4))" text-anchor="end">\(isShare ? fixed(100 * tick, 0) + "%" : Self.label(tick, ys))</text>

        """
    }
    out += """
      <text x="\(at((Self.left + Self.width) / 2))" y="\(at(Self.height - 8))" text-anchor="middle">\(escaped(xLabel))</text>
      <text transform="translate(16 \(at(Self.height / 2))) rotate(-90)" text-anchor="middle">\(escaped(yLabel))</text>

      """
    for (index, line) in lines.enumerated() {
      out += "<g data-line=\"\(escaped(line.name))\">\n\(Self.drawn(line.points, Style(index), x, y))</g>\n"
    }
    return out + "</svg>\n"
  }

  private static func at(_ value: Double) -> String { fixed(value, 1) }

  /// Points with their ranges, joined from left to right.
  private static func drawn(
    _ points: [Point], _ style: Style, _ x: (Double) -> Double, _ y: (Double) -> Double
  ) -> String {
    let colour = style.colour
    let sorted = points.sorted { $0.x < $1.x }
    let path = sorted.map { "\(at(x($0.x))),\(at(y($0.y)))" }.joined(separator: " ")
    let dashes = style.isHollow ? " stroke-dasharray=\"5 3\"" : ""
    var out = "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.8\"\(dashes)/>\n"
    for point in sorted {
      if let low = point.low, let high = point.high, high > low {
        out += "<line x1=\"\(at(x(point.x)))\" x2=\"\(at(x(point.x)))\" y1=\"\(at(y(low)))\" y2=\"\(at(y(high)))\""
        out += " stroke=\"\(colour)\" stroke-width=\"1.2\"/>\n"
      }
      out += "<circle cx=\"\(at(x(point.x)))\" cy=\"\(at(y(point.y)))\" r=\"4\" "
      out += style.isHollow ? "fill=\"#fff\" stroke=\"\(colour)\" stroke-width=\"2\">" : "fill=\"\(colour)\">"
      out += "<title>\(escaped(point.about))</title></circle>\n"
    }
    return out
  }

  /// The plot as a file of its own, with the legend inside.
  public func file() -> String {
    let names = lines.enumerated().map { index, line in
      let y = Self.height - Self.bottom - 12 - 16 * Double(lines.count - 1 - index)
      return """
        <text x="\(fixed(Self.width - Self.right - 8, 0))" y="\(fixed(y, 0))" text-anchor="end"
          style="fill: \(Style(index).colour)">\(escaped(line.name))</text>

        """
    }
    let style = "<style>text { font: 12px sans-serif } .title { font-size: 14px } .grid { stroke: #e4e4e4 }</style>"
    let body = svg().replacing("<svg ", with: "<svg xmlns=\"http://www.w3.org/2000/svg\" ", maxReplacements: 1)
    return body.replacing("<text ", with: style + "\n<text ", maxReplacements: 1)
      .replacing("</svg>", with: names.joined() + "</svg>")
  }

  /// The legend that goes with every plot of these lines, a button each.
  static func legend(_ names: [String]) -> String {
    names.enumerated().map { index, name in
      let style = Style(index)
      let fill = style.isHollow ? "box-shadow: inset 0 0 0 3px \(style.colour)" : "background: \(style.colour)"
      return
        "<button data-line=\"\(escaped(name))\" aria-pressed=\"true\"><i style=\"\(fill)\"></i>\(escaped(name))</button>"
    }.joined()
  }

  /// Four to nine round numbers that enclose a range.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    let span = max(high - low, 1e-6)
    var step = 1e-6
    let factors = [2.0, 2.5, 2.0]  // 1, 2, 5, 10
    var turn = 0
    while span / step > 7 {
      step *= factors[turn % 3]
      turn += 1
    }
    let first = (low / step).rounded(.down)
    let last = (high / step - 1e-9).rounded(.up)
    return stride(from: first, through: max(last, first + 1), by: 1).map { $0 * step }
  }

  /// A power of two: `0.5`, `64`, `16k` for 16 · 1024.
  private static func power(_ tick: Double) -> String {
    tick < 1024 ? fixed(tick, tick < 1 ? 1 : 0) : "\(fixed(tick / 1024, 0))k"
  }

  private static func label(_ tick: Double, _ ticks: [Double]) -> String {
    let step = ticks[1] - ticks[0]
    return fixed(tick, step >= 1 ? 0 : step >= 0.1 ? 1 : 2)
  }
}

/// Text inside HTML.
func escaped(_ text: String) -> String {
  text.reduce(into: "") { out, character in
    switch character {
    case "&": out += "&amp;"
    case "<": out += "&lt;"
    case ">": out += "&gt;"
    case "\"": out += "&quot;"
    default: out.append(character)
    }
  }
}
