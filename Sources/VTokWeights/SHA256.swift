import CVTokKernels

/// SHA-256 of bytes that come in pieces (FIPS 180-4), by the processor's own instructions where it has them.
public struct SHA256: ~Copyable {
  private var hash = vtok_sha256()

  /// - Parameter plain: use no SHA instructions.
  public init(plain: Bool = false) { vtok_sha256_start(&hash, plain ? 1 : 0) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    vtok_sha256_update(&hash, bytes.baseAddress, bytes.count)
  }

  /// - Returns: 64 hexadecimal digits.
  public consuming func finish() -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    vtok_sha256_finish(&hash, &digest)
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  public static func of(_ bytes: some Sequence<UInt8>) -> String {
    var hash = SHA256()
    Array(bytes).withUnsafeBytes { hash.update($0) }
    return hash.finish()
  }
}
