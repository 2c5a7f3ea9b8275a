import VTok

/// Pictures that were decoded and prepared, by the bytes of their files.
struct PictureCache {
  private struct Entry {
    let hash: String, count: Int
    let image: PreparedImage
    var bytes: Int { 4 * image.tiles.reduce(0) { $0 + $1.values.count } }
  }
  /// Least recently used first.
  private var entries: [Entry] = []
  private let limit: Int

  init(megabytes: Int) { limit = megabytes << 20 }

  /// - Parameters:
  ///   - count: images in the prompt, which decides how some models cut them.
  ///   - prepare: makes the picture of a file that is not known.
  mutating func prepared(_ file: [UInt8], among count: Int, _ prepare: () throws -> PreparedImage) throws
    -> PreparedImage
  {
    let hash = SHA256.of(file)
    if let known = entries.firstIndex(where: { $0.hash == hash && $0.count == count }) {
      entries.append(entries.remove(at: known))
      return entries.last!.image
    }
    entries.append(Entry(hash: hash, count: count, image: try prepare()))
    while !entries.isEmpty, entries.reduce(0, { $0 + $1.bytes }) > limit {
      if entries.count == 1 { return entries.removeFirst().image }
      entries.removeFirst()
    }
    return entries.last!.image
  }
}
