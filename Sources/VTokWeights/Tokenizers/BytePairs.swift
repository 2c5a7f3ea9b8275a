/// The byte alphabet of GPT-2: every byte has a printable character, so that vocabularies are readable text.
/// In the order of the ids: `!`...`~`, `¡`...`¬`, `®`...`ÿ` stand for themselves, the other 68 bytes from U+0100 on.
enum ByteAlphabet {
  /// Bytes in the order of their ids.
  static let bytes: [UInt8] = {
    let printable = Array(33...126) + Array(161...172) + Array(174...255)
    return (printable + (0...255).filter { !printable.contains($0) }).map { UInt8($0) }
  }()

  /// The character that stands for a byte.
  static let characters: [Unicode.Scalar] = {
    var table = [Unicode.Scalar](repeating: " ", count: 256)
    for (position, byte) in bytes.enumerated() {
      table[Int(byte)] = Unicode.Scalar(UInt32(position < 188 ? Int(byte) : 256 + position - 188))!
    }
    return table
  }()

  /// The byte that a character stands for; nil if it stands for none.
  static func byte(_ character: Unicode.Scalar) -> UInt8? {
    switch character.value {
    case 33...126, 161...172, 174...255: UInt8(character.value)
    case 256..<324: bytes[188 + Int(character.value) - 256]
    default: nil
    }
  }
}

/// Byte-pair merges over token ids.
struct BytePairs: Sendable {
  /// What happens to pairs that a merge makes. They may rank before those still waiting, because merges taken from a
  /// vocabulary of scores (Llama) are not in the order of a training run.
  enum Order: Sendable {
    /// All pairs of the lowest rank first, from left to right (the original GPT-2 and CLIP).
    case rounds
    /// After every merge the pair of lowest rank, the leftmost of equals (Hugging Face `tokenizers`, SentencePiece).
    case oneByOne
  }
  let order: Order
  private struct Merge {
    let rank: Int
    let token: Int32
  }
  private var merges: [UInt64: Merge] = [:]

  init(order: Order) { self.order = order }

  /// Adds the merge of least priority so far. Of equal pairs the last counts, as in a Python dictionary.
  mutating func append(_ left: Int32, _ right: Int32, to token: Int32, rank: Int) {
    merges[Self.key(left, right)] = Merge(rank: rank, token: token)
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Merges a word: as long as there is one, the pair of lowest rank.
  /// O(n log n) for n symbols, so that a text without spaces costs no more than one with.
  func merged(_ word: [Int32]) -> [Int32] {
    var token = word
    var next = Array(1...max(word.count, 1))
    var previous = Array(-1..<word.count - 1)
    var heap = MinHeap()
    func push(_ left: Int) {
      guard left >= 0, next[left] < word.count, let merge = merges[Self.key(token[left], token[next[left]])] else {
        return
      }
      heap.push(UInt64(merge.rank) << 32 | UInt64(left))
    }
    for position in word.indices { push(position) }
    while let first = heap.minimum {
      // All pairs of this rank that stand there now, or the leftmost alone. Pairs that arise wait for the next round.
      let rank = first >> 32
      var changed: [Int] = []
      while order == .rounds || changed.isEmpty, let entry = heap.minimum, entry >> 32 == rank {
        heap.removeMinimum()
        let left = Int(entry & 0xFFFF_FFFF)
        guard token[left] >= 0, next[left] < word.count, case let right = next[left],
          let merge = merges[Self.key(token[left], token[right])], merge.rank == rank,
          changed.last != left  // `aaa`: the merged pair is not the left half of another one in this round
        else { continue }
        token[left] = merge.token
        token[right] = -1
        next[left] = next[right]
        if next[right] < word.count { previous[next[right]] = left }
        changed.append(left)
      }
      for left in changed where token[left] >= 0 {
        push(previous[left])
        push(left)
      }
    }
    return token.filter { $0 >= 0 }
  }
}

/// The smallest of many numbers.
struct MinHeap {
  private var items: [UInt64] = []
  var minimum: UInt64? { items.first }

  mutating func push(_ item: UInt64) {
    items.append(item)
    var child = items.count - 1
    while child > 0, case let parent = (child - 1) / 2, items[child] < items[parent] {
      items.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeMinimum() {
    items.swapAt(0, items.count - 1)
    items.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
      guard child < items.count, items[child] < items[parent] else { return }
      items.swapAt(child, parent)
      parent = child
    }
  }
}
