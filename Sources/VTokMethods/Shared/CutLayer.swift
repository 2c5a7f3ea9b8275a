import VTokCore

/// The layer that a method cuts on entering: a number, or the nearest to the published one that can tell what the method asks,
/// where not every layer forms attention over all rows.
struct CutLayer: Sendable {
  let number: Int
  var isNearest = false

  init(_ number: Int) { self.number = number }

  /// An option that takes a number from 1 on, or `auto`.
  init(_ options: inout Options, default number: Int, _ about: String) throws(OptionError) {
    let typed = try options.take("layer", default: number, in: 1...1000, or: "auto", as: .layers, about)
    self.number = typed ?? number
    isNearest = typed == nil
  }

  func site(in model: Shape, for request: Request, of method: String) throws(CompressionError) -> Site {
    let decoder = try model.decoder(for: method)
    guard isNearest else { return try model.innerLayer(number, for: method) }
    guard let nearest = decoder.nearestCut(to: number, for: request) else {
      throw .unsupported(
        method: method, found: "no layer that attends to all rows", expected: "one", fix: CompressionError.anotherMethod
      )
    }
    return .layer(nearest)
  }
}
