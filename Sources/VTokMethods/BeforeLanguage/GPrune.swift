import VTokCore
import VTokLibC
import VTokTensor

/// G-Prune: tokens are nodes of a graph whose edges join similar ones; what every node says flows along them, and the nodes
/// that most flows into, for the edges that they have, stay. Thumbnail and grid are graphs of their own.
///
/// Jiang et al., "What Kind of Visual Tokens Do We Need? Training-free Visual Token Pruning for Multi-modal Large Language
/// Models from the Perspective of Graph", AAAI 2025 (arXiv 2501.02268); jytmelon/G-Prune.
public struct GPrune: Compressor {
  public static let name = "gprune"
  public static let summary =
    "keep what most flows into in a graph of similar tokens (G-Prune, AAAI 2025, arXiv 2501.02268)"
  public static let remarks = [
    "Newlines are no nodes and always stay. Tokens keep their positions.",
    "Edges are counted in float32; at half precision, where the authors ran, the weakest vanish.",
    "The flow goes step by step instead of by powers of a matrix: equal but for rounding.",
    "Images of one tile are one graph; where every tile is a span of its own, the first is one and the others another.",
  ]
  public static let rounding: String? = "newlines stay, and each of the two graphs keeps whole tokens"

  enum Amount: Sendable, Equatable {
    /// Official: of every graph, rounded down.
    case ratio(Double)
    case budget(Budget)
  }

  let amount: Amount
  /// Cosine from which two tokens are joined, what cosines are divided by, and steps of the flow.
  public struct Graph: Sendable {
    public var similarity: Float = 0.5, temperature: Float = 0.03, iterations = 5
    public init() {}
  }
  let graph: Graph

  public init(keep: Budget, graph: Graph = Graph()) { (amount, self.graph) = (.budget(keep), graph) }

  /// - Parameter ratio: of the tokens of each graph, rounded down.
  public init(ratio: Double, graph: Graph = Graph()) { (amount, self.graph) = (.ratio(ratio), graph) }

  public init(_ options: inout Options) throws(OptionError) {
    var graph = Graph()
    graph.similarity = Float(
      try options.take("similarity", default: 0.5, in: 0...1, "cosine from which two tokens are joined"))
    graph.temperature = Float(
      try options.take("temperature", default: 0.03, in: 0.0001...1000, "what cosines are divided by"))
    graph.iterations = try options.take("iterations", default: 5, in: 0...1000, "steps of the flow")
    self.graph = graph
    let ratio = try options.amount(
      "ratio", in: 0...1, "share of thumbnail and of grid that stays, rounded down (official: keep_ratio)")
    let budget = try options.budget("visual tokens kept of each image, newlines included")
    amount = ratio.map { .ratio($0) } ?? .budget(budget ?? .ratio(0.5))
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    _ = try model.decoder(for: Self.name)
    return Plan(act: [.layer(0)], positions: PositionRule(cut: .original, decode: .next))
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let tokens = view.sequences[0]
    var dropped = Set<Int>()
    for image in view.images.indices {
      let parts = view.parts(of: tokens, image: image)
      let counts = counts(parts.map(\.count), visual: view.visual(tokens, image: image).count)
      for (part, count) in zip(parts, counts) where count < part.count {
        let kept = Set(Self.select(tokens.x.gathered(part), keep: count, graph, notes: &notes).map { part[$0] })
        dropped.formUnion(part.filter { !kept.contains($0) })
      }
    }
    return [.keep((0..<tokens.count).filter { !dropped.contains($0) }, of: tokens.count)]
  }

  /// Tokens kept of every graph of an image with so many tokens in all.
  private func counts(_ parts: [Int], visual: Int) -> [Int] {
    switch amount {
    case .ratio(let ratio): return parts.map { Int(Double($0) * ratio) }
    case .budget(let budget):
      let newlines = visual - parts.reduce(0, +)
      return shared(budget.tokens(of: visual) - newlines, among: parts)
    }
  }

  /// The `keep` nodes of rows `[n, width]` with the highest scores, ascending. O(n² (width + iterations)).
  public static func select(_ x: Tensor, keep: Int, _ graph: Graph = Graph(), notes: inout Notes) -> [Int] {
    let n = x.rows
    let similarity = notes.cosines(x)
    notes.book(macs: graph.iterations * n * n)
    var degree = [Float](repeating: 0, count: n)
    var edges = similarity.values  // shares of every row
    for row in 0..<n {
      let line = row * n..<(row + 1) * n
      for value in similarity.values[line] { notes.book(margin: abs(value - graph.similarity)) }
      let joined = line.filter { similarity.values[$0] >= graph.similarity && similarity.values[$0] != 0 }
      let top = joined.reduce(-Float.infinity) { max($0, similarity.values[$1] / graph.temperature) }
      for place in line { edges[place] = 0 }
      for place in joined { edges[place] = expf(similarity.values[place] / graph.temperature - top) }
      let total = joined.reduce(Float(0)) { $0 + edges[$1] }
      for place in joined { edges[place] /= total }
      degree[row] = Float(joined.count { edges[$0] > 0 })
    }
    var flow = (0..<n).map { row in x.row(row).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot() }
    for _ in 0..<graph.iterations {
      var next = [Double](repeating: 0, count: n)
      for row in 0..<n {
        for column in 0..<n { next[column] += flow[row] * Double(edges[row * n + column]) }
      }
      flow = next
    }
    return notes.top((0..<n).map { Float(flow[$0]) / max(1, degree[$0]) }, keep).sorted()
  }
}
