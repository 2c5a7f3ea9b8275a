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

/// The layers that a method cuts on entering, stage by stage: numbers, or those nearest to the published ones that can tell
/// what it asks.
struct CutLayers: Sendable {
  let numbers: [Int]
  var isNearest = false
  var count: Int { numbers.count }

  init(_ numbers: [Int]) { self.numbers = numbers }

  /// The option `layers`: numbers from 1 on, ascending, or `auto`.
  init(_ options: inout Options, default numbers: [Int], _ about: String) throws(OptionError) {
    let shown = numbers.map(String.init).joined(separator: "/")
    let typed = try options.layers("layers", or: "auto", about + " (default: \(shown)); auto: nearest that can tell")
    self.numbers = typed?.numbers ?? numbers
    isNearest = typed?.isWord ?? false
  }

  /// What they are in a model.
  func numbers(in model: Shape, for request: Request, of method: String) throws(CompressionError) -> [Int] {
    isNearest ? try Self.nearest(to: numbers, in: model, for: request, of: method) : numbers
  }

  /// Of every number the nearest layer that can tell, ascending, each once.
  static func nearest(
    to numbers: [Int], in model: Shape, for request: Request, of method: String
  ) throws(CompressionError) -> [Int] {
    let decoder = try model.decoder(for: method)
    let able = (1..<decoder.layers).filter { decoder.forms(request, entering: $0) }
    guard able.count >= numbers.count else {
      throw .unsupported(
        method: method, found: "\(able.count) layers that can tell what it asks", expected: "\(numbers.count) stages",
        fix: "Name fewer layers.")
    }
    var found: [Int] = []
    for (stage, number) in numbers.enumerated() {
      let first = found.last.map { last in able.firstIndex { $0 > last }! } ?? 0
      let rest = able[first...(able.count - numbers.count + stage)]  // the stages to come need theirs
      found.append(rest.min { (abs($0 - number), $0) < (abs($1 - number), $1) }!)
    }
    return found
  }
}
