import VTokCore
import VTokImage
import VTokModels

/// What questions about pictures leave behind for further ones about the same pictures: the visual tokens behind tower,
/// connector and selection, and keys and values of the rows in front of the question. Answers, counts and costs are those of
/// every question alone, to the bit; only the times are shorter.
///
/// Pictures are found again by their pixels. Visual tokens are shared by questions with the same method, budget and seed, where
/// nothing in front of the language model looks at the question; rows, wherever prompts begin alike. Methods are told apart by
/// their titles. One cache is for one model, and for one question at a time.
public final class PrefixCache {
  /// Questions that found their pictures here, and those that did not.
  public private(set) var hits = 0, misses = 0

  let prefixes: SharedPrefixes

  private struct Entry {
    let images: [PreparedImage]
    let method: String, budget: Budget?, seed: UInt64, keepingNotes: Bool
    let seen: Generator.Seen
    let bytes: Int
  }
  /// Least recently used first.
  private var entries: [Entry] = []
  private let limit: Int

  /// - Parameter megabytes: keep at most about so much, in units of 2^20 bytes, a quarter of it pictures; what the last question
  ///   used is kept in any case. 0: nothing else.
  public init(megabytes: Int = 512) {
    limit = (megabytes << 20) / 4
    prefixes = SharedPrefixes(megabytes: megabytes - megabytes / 4)
  }

  /// Pictures behind the tower, from here or from `look`.
  func seen(
    _ images: [PreparedImage], by generator: Generator, seed: UInt64, keepingNotes: Bool,
    _ look: () throws -> Generator.Seen
  ) rethrows -> Generator.Seen {
    if generator.looksAtQuestion { return try look() }
    let known = entries.firstIndex {
      $0.method == generator.method && $0.budget == generator.budget && $0.seed == seed
        && $0.keepingNotes == keepingNotes && $0.images == images
    }
    if let known {
      hits += 1
      entries.append(entries.remove(at: known))
      return entries.last!.seen
    }
    misses += 1
    let seen = try look()
    let pixels = images.reduce(0) { $0 + $1.tiles.reduce(0) { $0 + $1.values.count } }
    let tokens = seen.spans.joined().reduce(0) { $0 + $1.x.values.count }
    entries.append(
      Entry(
        images: images,
        method: generator.method,
        budget: generator.budget,
        seed: seed,
        keepingNotes: keepingNotes,
        seen: seen,
        bytes: 4 * (pixels + tokens)))
    while entries.count > 1, entries.reduce(0, { $0 + $1.bytes }) > limit { entries.removeFirst() }
    return seen
  }
}
