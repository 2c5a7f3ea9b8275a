import VTok

func noise(_ shape: [Int], _ generator: inout SeededGenerator, _ isConstant: Bool) -> Tensor {
  Tensor((0..<shape.reduce(1, *)).map { _ in isConstant ? 1 : generator.normal() }, shape: shape)
}

func noiseRows(_ count: Int, _ width: Int, seed: UInt64) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return Tensor((0..<count * width).map { _ in generator.uniform() * 2 - 1 }, shape: [count, width])
}

func cosine(_ x: Tensor, _ a: Int, _ b: Int) -> Double {
  let (p, q) = (x.row(a).map(Double.init), x.row(b).map(Double.init))
  let dot = zip(p, q).reduce(0) { $0 + $1.0 * $1.1 }
  func length(_ v: [Double]) -> Double { v.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  return dot / (length(p) * length(q))
}
