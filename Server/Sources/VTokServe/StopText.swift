/// An answer as it comes, up to the first of some texts that end it. What may be the beginning of one is held back.
package struct StopText {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// Whether one of them has come.
  package private(set) var isOver = false

  package init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) } }

  /// What can go out after one more piece.
  package mutating func append(_ piece: String) -> String {
    if stops.isEmpty { return piece }
    if isOver { return "" }
    held += piece.utf8
    if let end = stops.compactMap({ held.firstRange(of: $0)?.lowerBound }).min() {
      isOver = true
      return String(decoding: held[..<end], as: UTF8.self)
    }
    let kept = stops.map { stop in
      (1..<max(stop.count, 1)).last { $0 <= held.count && held.suffix($0).elementsEqual(stop.prefix($0)) } ?? 0
    }.max()!
    // A piece is whole characters, and so is what begins a text that ends it.
    defer { held.removeFirst(held.count - kept) }
    return String(decoding: held.dropLast(kept), as: UTF8.self)
  }

  /// What was held back, once no more comes.
  package mutating func finish() -> String {
    defer { held = [] }
    return isOver ? "" : String(decoding: held, as: UTF8.self)
  }
}
