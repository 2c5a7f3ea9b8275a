import VTokCore
import VTokTensor

/// PixelPrune: before the first block of the tower, cells that repeat what their neighbours predict leave, so that tower,
/// connector and language model run on fewer tokens.
///
/// "PixelPrune", arXiv 2604.00886; OPPO-Mente-Lab/PixelPrune. A cell is the patches that the connector joins into one token.
public struct PixelPrune: Compressor {
  public static let name = "pixelprune"
  public static let summary =
    "cells of pixels that repeat a neighbour leave before the tower (PixelPrune, arXiv 2604.00886)"
  public static let remarks = [
    "How many stay depends on the picture alone: it takes no budget.",
    "The official code serves Qwen3-VL and Qwen3.5; Qwen2-VL by the same rule is ours. Towers that attend inside windows are "
      + "refused, as the official code does not know them.",
    "at=pack lets the tower run in full and cuts before the language model (the official vit_layer=-1); cuts between blocks are "
      + "left out, and so are the scans that draw lots.",
  ]

  public enum Metric: String, Sendable, CaseIterable { case max, mae, rmse, exact }
  public enum Scan: String, Sendable, CaseIterable {
    case predicted = "pred_2d"
    case raster, serpentine
  }
  public enum Place: String, Sendable, CaseIterable { case patches, pack }

  /// When two cells are the same, and what is compared with what.
  public struct Rule: Sendable, Equatable {
    public var metric = Metric.max
    /// In units of pixels in 0...1.
    public var tau: Float = 0
    public var scan = Scan.predicted
    /// A cell that left is compared as what it was predicted from.
    public var isAnchored = true
    public init() {}
  }

  let rule: Rule, place: Place

  public init(_ rule: Rule = Rule(), at place: Place = .patches) {
    self.rule = rule
    self.place = place
  }

  public init(_ options: inout Options) throws(OptionError) {
    var rule = Rule()
    rule.tau = Float(
      try options.take(
        "tau", default: 0.0, in: 0...1, as: .amount, "difference up to which cells are the same, of pixels in 0...1"))
    rule.metric = try options.take("metric", default: Metric.max, "how cells differ: largest, mean or root mean square")
    rule.scan = try options.take(
      "scan", default: Scan.predicted, "what a cell is compared with: a neighbour, or the run's last")
    rule.isAnchored = try options.take("anchored", default: true, "compare with what stands for a cell that left")
    self.rule = rule
    place = try options.take("at", default: Place.patches, "cut before the tower, or before the language model")
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    let tower = try model.tower(for: Self.name)
    guard model.layout?.tiling == .native, tower.fuse > 1 else {
      throw .unsupported(
        method: Self.name, found: "images of the tower's own size", expected: "images on grids of their own (Qwen-VL)",
        fix: CompressionError.anotherMethod)
    }
    guard model.layout?.comesInCells == true else {
      throw .unsupported(
        method: Self.name, found: "patches row by row", expected: "patches cell by cell with their pixels (Qwen-VL)",
        fix: CompressionError.anotherMethod)
    }
    guard tower.windows == nil else {
      throw .unsupported(
        method: Self.name, found: "attention inside windows", expected: "attention over the whole image",
        fix: CompressionError.anotherMethod)
    }
    return Plan(record: [.patches: Request(pixels: true)], act: [place == .patches ? .patches : .pack])
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tower = try view.shape.tower(for: Self.name)
    let (image, pixels) = (view.images[view.image ?? 0], view.recording(.patches).pixels!)
    let edge = Int(Double(tower.fuse).squareRoot())
    let cells = pixels.reshaped([pixels.rows / tower.fuse, tower.fuse * pixels.width])
    let kept = Self.select(cells, columns: image.tileColumns / edge, rule)
    notes.keep("kept", kept.map { Float($0) })
    let rows = site == .pack ? kept : kept.flatMap { cell in (0..<tower.fuse).map { cell * tower.fuse + $0 } }
    return [.keep(rows, of: site == .pack ? view.standard![0].inputCount : view.sequences[0].count)]
  }

  /// The cells that stay, ascending.
  /// - Parameter cells: row by row, pixels in 0...1 of each. `[cells, numbers]`
  package static func select(_ cells: Tensor, columns: Int, _ rule: Rule) -> [Int] {
    cells.values.withUnsafeBufferPointer { pixels in
      let same = Sameness(pixels: pixels.baseAddress!, width: cells.width, rule: rule)
      return rule.scan == .predicted
        ? predicted(cells.rows, columns, rule, same) : runs(cells.rows, columns, rule, same)
    }
  }

  /// A cell stays where it differs from the neighbour that predicts it: above where a vertical edge runs, else left.
  private static func predicted(_ count: Int, _ columns: Int, _ rule: Rule, _ same: Sameness) -> [Int] {
    let isAnchored = rule.isAnchored && rule.tau > 0 && rule.metric != .exact
    var standsFor = Array(0..<count)  // the cell whose pixels are taken for those of another
    var kept: [Int] = []
    for cell in 0..<count {
      let (row, column) = (cell / columns, cell % columns)
      let prediction: Int?
      switch (row, column) {
      case (0, 0): prediction = nil
      case (0, _): prediction = standsFor[cell - 1]
      case (_, 0): prediction = standsFor[cell - columns]
      default:
        let (left, above, corner) = (standsFor[cell - 1], standsFor[cell - columns], standsFor[cell - columns - 1])
        prediction = same(corner, left) && !same(corner, above) ? above : left
      }
      if let prediction, same(cell, prediction) {
        if isAnchored { standsFor[cell] = prediction }
      } else {
        kept.append(cell)
      }
    }
    return kept
  }

  /// A cell stays where it differs from the last that stayed; runs go on from row to row, every second one backwards if so
  /// scanned.
  private static func runs(_ count: Int, _ columns: Int, _ rule: Rule, _ same: Sameness) -> [Int] {
    var kept: [Int] = []
    for place in 0..<count {
      let (row, column) = (place / columns, place % columns)
      let isBackwards = rule.scan == .serpentine && row % 2 == 1
      let cell = row * columns + (isBackwards ? columns - 1 - column : column)
      if let last = kept.last, same(cell, last) { continue }
      kept.append(cell)
    }
    return kept.sorted()
  }
}

/// Whether two cells are the same.
private struct Sameness {
  let pixels: UnsafePointer<Float>
  let width: Int, rule: PixelPrune.Rule

  func callAsFunction(_ first: Int, _ second: Int) -> Bool {
    let (a, b) = (pixels + first * width, pixels + second * width)
    switch rule.metric {
    case .max, .exact:
      let limit = rule.metric == .exact ? 0 : rule.tau
      for index in 0..<width where abs(a[index] - b[index]) > limit { return false }
      return true
    case .mae:
      var sum = 0.0
      for index in 0..<width { sum += Double(abs(a[index] - b[index])) }
      return Float(sum / Double(width)) <= rule.tau
    case .rmse:
      var sum = 0.0
      for index in 0..<width { sum += Double(a[index] - b[index]) * Double(a[index] - b[index]) }
      return Float((sum / Double(width)).squareRoot()) <= rule.tau
    }
  }
}
