import VTokCore
import VTokEval
import VTokMethods
import VTokPipeline
import VTokWeights

/// The information horizon of a vision-language model: the layer from which on random cuts are as good as any method's, and
/// that from which on no visual token is needed.
///
/// Every layer is cut alone, to the same budget, by chance and by every method that can cut there once; all rows run on the
/// same questions. The idea is that of arXiv 2512.07580, the rule is ours: chance is as good where the 95% interval of its
/// score over the best method's, paired over pictures, reaches 1.
public struct Horizon: Sendable {
  /// One layer, cut on entering it.
  public struct Layer: Sendable {
    public let layer: Int
    /// Score of chance, by seed.
    public let random: Ranged
    /// The method with the highest score; the first of equals.
    public let method: String, best: Double
    /// Score of chance over that of the best method, and over the dense model's without any visual token from here on.
    public let ratio: Double, interval: (low: Double, high: Double)
    public let empty: Double, emptyInterval: (low: Double, high: Double)
    public var chanceIsAsGood: Bool { ratio >= 1 || interval.high >= 1 }
    public var needsNone: Bool { empty >= 1 || emptyInterval.high >= 1 }
  }

  /// In ascending order.
  public let layers: [Layer]
  /// Of the language model.
  public let depth: Int
  public let dense: Double

  /// The layer from which on chance is as good as any method, of those that were cut; nil: none.
  public var start: Int? { Self.first(layers, \.chanceIsAsGood) }
  /// The layer from which on no visual token is needed; nil: none.
  public var end: Int? { Self.first(layers, \.needsNone) }

  private static func first(_ layers: [Layer], _ holds: (Layer) -> Bool) -> Int? {
    layers.reversed().prefix(while: holds).last?.layer
  }

  /// A row of the bench: what cuts, and where.
  public struct Cut: Sendable {
    enum Kind { case random, empty, method }
    let layer: Int, kind: Kind
    public let contender: Contender<Generator>
  }

  /// What has to run: chance, nothing left, and every method at every layer.
  /// - Parameters:
  ///   - methods: single ones; those that cannot cut at a layer are left out there.
  ///   - layers: from 1 on; nil: all.
  ///   - seeds: runs of chance.
  /// - Throws: `MethodError`; `CompressionError` where a layer cannot be cut by chance, or no method cuts at any.
  public static func cuts(
    of model: Generator, by methods: [MethodSpec], keep: Budget, layers: [Int]? = nil, seeds: Int = 5
  ) throws -> [Cut] {
    let depth = model.outline.shape.decoder?.layers ?? 0
    var cuts: [Cut] = []
    for layer in layers ?? Array(1..<max(2, depth)) {
      func chance(_ keep: StageShares) -> DeepRandom { DeepRandom(layers: [layer], keep: keep) }
      let random = try MethodSpec("\(DeepRandom.name):layers=\(layer)")
      cuts.append(
        Cut(layer: layer, kind: .random, contender: Contender(try model.with(random, keep: keep), seeds: seeds)))
      let none = try model.with(methods: [chance(.ratios([0]))], title: "no visual token from layer \(layer) on")
      cuts.append(Cut(layer: layer, kind: .empty, contender: Contender(none, seeds: 1)))
      for method in methods {
        guard let spec = method.cutting(atLayer: layer) else { continue }
        do {
          cuts.append(
            Cut(layer: layer, kind: .method, contender: Contender(try model.with(spec, keep: keep), seeds: 1)))
        } catch is CompressionError { continue }
      }
    }
    guard cuts.contains(where: { $0.kind == .method }) else {
      throw CompressionError.unsupported(
        method: methods.map(\.description).joined(separator: ", "), found: "no layer that one of them can cut alone",
        expected: "a method with an option `layer` or `layers`", fix: CompressionError.anotherMethod)
    }
    return cuts
  }

  /// - Parameters:
  ///   - results: of a bench of these cuts, in their order, behind the dense row.
  ///   - cuts: as made for it.
  public init(_ results: BenchResults<QuestionTask>, _ cuts: [Cut]) {
    let rows = results.rows
    let dense = rows[0]
    self.dense = dense.mean(.score)
    depth = dense.task.model.outline.shape.decoder?.layers ?? 0
    func items(_ row: BenchRow<QuestionTask>) -> [Double] { row.items(.score) }
    let seed = dense.task.seed
    layers = Set(cuts.map(\.layer)).sorted().compactMap { layer in
      func found(_ kind: Cut.Kind) -> [BenchRow<QuestionTask>] {
        rows.dropFirst().filter { cuts[$0.index - 1].layer == layer && cuts[$0.index - 1].kind == kind }
      }
      guard let random = found(.random).first, let empty = found(.empty).first, var best = found(.method).first
      else { return nil }
      for row in found(.method).dropFirst() where row.mean(.score) > best.mean(.score) { best = row }
      let (own, other, full, none) = (items(random), items(best), items(dense), items(empty))
      return Layer(
        layer: layer, random: Ranged(values: random.means(.score)), method: best.entry.line, best: best.mean(.score),
        ratio: own.reduce(0, +) / other.reduce(0, +), interval: Statistics.ratioInterval(own, other, seed: seed),
        empty: none.reduce(0, +) / full.reduce(0, +), emptyInterval: Statistics.ratioInterval(none, full, seed: seed))
    }
  }

  /// A row a layer.
  /// - Parameter provenance: of the bench.
  public func table(_ provenance: Provenance) -> Table {
    var table = Table([
      "layer", "random", "best method", "its score", "random over it", "95%", "no visual token", "95%",
    ])
    func span(_ range: (low: Double, high: Double)) -> String {
      range.low.isNaN ? "-" : "\(fixed(100 * range.low, 1))-\(fixed(100 * range.high, 1))"
    }
    for layer in layers {
      table.add(
        [
          "\(layer.layer)", layer.random.percent, layer.method, percent(layer.best), percent(layer.ratio),
          span(layer.interval), percent(layer.empty), span(layer.emptyInterval),
        ],
        [
          "schema": "vtok-horizon/1", "layer": JSON(layer.layer), "layers": JSON(depth), "dense_score": number(dense),
          "random": layer.random.json, "best_method": JSON(layer.method), "best_score": number(layer.best),
          "random_over_best": number(layer.ratio),
          "random_over_best_ci95": [number(layer.interval.low), number(layer.interval.high)],
          "empty_retention": number(layer.empty),
          "empty_retention_ci95": [number(layer.emptyInterval.low), number(layer.emptyInterval.high)],
          "horizon": start.map { JSON($0) } ?? .null, "empty_from": end.map { JSON($0) } ?? .null,
          "run": provenance.json,
        ])
    }
    return table
  }

  /// For people, two sentences.
  public var text: String {
    let tested = layers.map(\.layer)
    let range = tested.isEmpty ? "no layer" : "layers \(tested.first!) to \(tested.last!) of \(depth)"
    let first =
      start.map {
        "Information horizon: layer \($0) of \(depth): from there on random cuts are as good as any method's."
      }
      ?? "Information horizon: none in \(range): at the last one a method is still better than chance."
    let second =
      end.map { "From layer \($0) on no visual token is needed." }
      ?? "Visual tokens are needed up to the last layer that was cut."
    return first + " " + second
  }
}
