import Testing
import VTokWeights

/// Against the vectors of FIPS 180-4 and NIST's SHA test vectors.
@Suite struct SHA256Tests {
  static let vectors: [(text: String, times: Int, digest: String)] = [
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ]

  @Test(arguments: [false, true])
  func publishedVectors(_ plain: Bool) {
    for (text, times, digest) in Self.vectors {
      var hash = SHA256(plain: plain)
      Array(String(repeating: text, count: times).utf8).withUnsafeBytes { hash.update($0) }
      #expect(hash.finish() == digest)
    }
  }

  /// Any cut into pieces and both paths agree, at every length around the block's.
  @Test func piecesAreTheWhole() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
    for length in 0...bytes.count {
      let whole = SHA256.of(bytes.prefix(length))
      for piece in [1, 7, 63, 64, 65] {
        var hash = SHA256(plain: piece % 2 == 0)
        for start in stride(from: 0, to: length, by: piece) {
          bytes[start..<min(start + piece, length)].withUnsafeBytes { hash.update($0) }
        }
        #expect(hash.finish() == whole)
      }
    }
  }
}
