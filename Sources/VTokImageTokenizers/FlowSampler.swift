import VTokTensor

/// How far a decoder is pushed from the unconditional picture towards the given one.
public enum Guidance: Sendable, Equatable {
  /// The condition alone: one pass of the decoder a step instead of two.
  case none
  /// Classifier-free guidance (arXiv 2207.12598): `u + scale (c - u)`. Scale 1 is `none`.
  case classifierFree(Float)
  /// Adaptive projected guidance (Sadat et al., arXiv 2410.02416): with momentum -0.5, the difference no longer than 2.5,
  /// and only its part across the conditional velocity. FlexTok's authors show pictures at scale 7.5. Scale 1 is `none`.
  case adaptiveProjected(Float)

  /// 1 for none.
  var scale: Float {
    switch self {
    case .none: 1
    case .classifierFree(let scale), .adaptiveProjected(let scale): scale
    }
  }
}

/// Euler's method along a rectified flow, from noise at time 1 to a picture at time 0 (`MinRFPipeline`).
struct FlowSampler {
  let steps: Int
  let guidance: Guidance

  /// - Parameters:
  ///   - velocity: at these latents and this time, of the condition, and of no condition if asked for.
  ///   - observe: is shown the latents before the first step and after each.
  func callAsFunction(
    from noise: Tensor, observe: (Tensor) -> Void = { _ in },
    velocity: (_ latents: Tensor, _ t: Float, _ guided: Bool) -> [Tensor]
  ) -> Tensor {
    var x = noise
    var momentum = [Float](repeating: 0, count: x.values.count)
    let step = Float(1 / Double(steps))
    observe(x)
    for index in stride(from: steps, to: 0, by: -1) {
      let isGuided = guidance.scale != 1
      let found = velocity(x, Float(Double(index) / Double(steps)), isGuided)
      let v = isGuided ? guide(found[0].values, found[1].values, &momentum) : found[0].values
      for position in v.indices { x.values[position] -= step * v[position] }
      observe(x)
    }
    return x
  }

  private func guide(_ c: [Float], _ u: [Float], _ momentum: inout [Float]) -> [Float] {
    guard case .adaptiveProjected(let scale) = guidance else {
      return zip(c, u).map { $1 + guidance.scale * ($0 - $1) }
    }
    // The momentum keeps the difference as it was before it is cut to length.
    for index in momentum.indices { momentum[index] = c[index] - u[index] + -0.5 * momentum[index] }
    let length = Float(norm(momentum))
    let cut = min(1, 2.5 / length)
    let difference = momentum.map { $0 * cut }
    let reach = max(norm(c), 1e-12)
    let unit = c.map { Double($0) / reach }
    let along = zip(difference, unit).reduce(0) { $0 + Double($1.0) * $1.1 }
    return c.indices.map { c[$0] + (scale - 1) * Float(Double(difference[$0]) - along * unit[$0]) }
  }

  private func norm(_ x: [Float]) -> Double { x.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
}
