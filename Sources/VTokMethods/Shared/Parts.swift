import VTokCore

extension View {
  /// Patch rows of an image of the prompt in two parts: those of its first tile, and those of all others; one part where it
  /// has a single tile. Newlines are in neither.
  func parts(of tokens: TokenSequence, image: Int) -> [[Int]] {
    let rows = visual(tokens, image: image).filter { tokens.kind[$0] == .patch }
    // Patches count through the prompt, tiles are of one size.
    let size = Int32(images[image].side * images[image].side)
    guard shape.layout?.tiling == .cut, let first = rows.first, size > 0 else { return [rows] }
    func tile(_ row: Int) -> Int32 { tokens.origin.patches[tokens.origin.range(row).lowerBound] / size }
    let start = tile(first)
    let rest = rows.filter { tile($0) != start }
    return rest.isEmpty ? [rows] : [rows.filter { tile($0) == start }, rest]
  }
}

/// `total` shared among one or two parts by their sizes, to whole numbers.
func shared(_ total: Int, among sizes: [Int]) -> [Int] {
  let all = sizes.reduce(0, +)
  let total = max(0, min(total, all))
  guard sizes.count == 2 else { return [total] }
  let first = (2 * total * sizes[0] + all) / (2 * all)
  return [first, total - first]
}
