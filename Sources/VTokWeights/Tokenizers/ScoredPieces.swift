/// SentencePiece's BPE as GGUF files have it: every token has a score, and of all neighbours whose text is a token those of the
/// highest score merge first, the leftmost of equals. What is left and no token becomes its bytes, `<0xHH>`.
struct ScoredPieces: TokenModel {
  let names: [Int32: String]
  private let vocabulary: GGUFVocabulary
  /// Of every token where it stands in the order of merging, the highest score first; equal scores share a place.
  private let ranks: [UInt32]
  private let bytes: [Int32?]

  init(_ vocabulary: GGUFVocabulary) throws {
    self.vocabulary = vocabulary
    names = vocabulary.names
    let scores = try vocabulary.scores()
    let places = Dictionary(
      Set(scores).sorted(by: >).enumerated().map { ($1, UInt32($0)) }, uniquingKeysWith: { first, _ in first })
    ranks = scores.map { places[$0]! }
    let unknown = vocabulary.unknown
    bytes = (0...255).map { (vocabulary.id(BPEModel.byteToken(UInt8($0))) ?? unknown).map { Int32($0) } }
    guard !bytes.contains(nil) else {
      throw vocabulary.refused(
        "ggml.tokens", "neither a token for every byte nor one for what is unknown", "one of these")
    }
  }

  func id(_ token: String) -> Int32? { vocabulary.id(token).map { Int32($0) } }

  func encode(_ piece: [Unicode.Scalar]) -> [Int32] {
    let text = piece.map { Array(UTF8.encode($0)!) }
    let all = text.flatMap(\.self)
    // Of every piece that has not become a part of the one before it: where it starts, and its length, 0 once it has.
    var starts: [Int] = []
    var at = 0
    for character in text {
      starts.append(at)
      at += character.count
    }
    var lengths = text.map(\.count)
    var next = Array(1...max(text.count, 1))
    var previous = Array(-1..<text.count - 1)
    func token(_ range: Range<Int>) -> Int? { vocabulary.id(String(decoding: all[range], as: UTF8.self)) }
    func pair(_ left: Int) -> Int? {
      guard left >= 0, lengths[left] > 0, next[left] < text.count else { return nil }
      return token(starts[left]..<starts[left] + lengths[left] + lengths[next[left]])
    }
    var heap = MinHeap()
    func push(_ left: Int) {
      if let id = pair(left) { heap.push(UInt64(ranks[id]) << 32 | UInt64(left)) }
    }
    for place in text.indices { push(place) }
    while let first = heap.minimum {
      heap.removeMinimum()
      let left = Int(first & 0xFFFF_FFFF)
      // What stood there may have become a part of something else.
      guard let id = pair(left), UInt64(ranks[id]) == first >> 32 else { continue }
      let right = next[left]
      lengths[left] += lengths[right]
      lengths[right] = 0
      next[left] = next[right]
      if next[right] < text.count { previous[next[right]] = left }
      push(previous[left])
      push(left)
    }
    return text.indices.filter { lengths[$0] > 0 }.flatMap { place -> [Int32] in
      let range = starts[place]..<starts[place] + lengths[place]
      if let id = token(range) { return [Int32(id)] }
      return all[range].map { bytes[Int($0)]! }
    }
  }
}
