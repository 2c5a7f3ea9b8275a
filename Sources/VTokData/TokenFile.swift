import VTokFiles
import VTokImage
import VTokImageTokenizers
import VTokModels
import VTokPipeline
import VTokWeights

/// Pictures as tokens of one tokenizer, in one file (`vtok tokenize`, `vtok detokenize`). Numbers are little-endian:
///
/// | bytes | |
/// |---|---|
/// | 7, 1 | `vtokens`, version of the format (1) |
/// | 1, n | name of the tokenizer: its length, UTF-8 |
/// | 32 | SHA-256 of the tokenizer's weights |
/// | 4, 4 | number of different tokens, number of pictures |
/// | 2, n | of each picture: its name, as above |
/// | 2, 2, 4 | width and height in pixels, number of tokens |
/// | | its tokens, each in as many bits as the largest needs, the most significant bit first, zeros up to a whole byte |
/// | 4 | CRC-32 of all bytes before |
public struct TokenFile: Sendable, Equatable {
  public struct Picture: Sendable, Equatable {
    public let name: String
    public let tokens: ImageTokens
    public init(name: String, tokens: ImageTokens) {
      self.name = name
      self.tokens = tokens
    }
  }

  /// Name of the tokenizer.
  public let tokenizer: String
  /// SHA-256 of its weights, 64 hexadecimal digits.
  public let sha256: String
  public let codebookSize: Int
  public let pictures: [Picture]

  public static let version: UInt8 = 1
  /// Larger pictures are refused on reading, before anyone takes memory for them.
  public static let mostPixels = 100_000_000

  public init(_ tokenizer: LoadedTokenizer, pictures: [Picture]) {
    self.tokenizer = tokenizer.name
    sha256 = tokenizer.sha256
    self.pictures = pictures
    codebookSize = tokenizer.tokenizer.codebookSize
  }

  /// Refuses a tokenizer that did not write the file.
  /// - Parameter path: of the file, for the message.
  public func check(_ tokenizer: LoadedTokenizer, path: String) throws(TokenFileError) {
    guard tokenizer.sha256 == sha256, tokenizer.tokenizer.codebookSize == codebookSize else {
      func text(_ name: String, _ sha256: String) -> String { "'\(name)' with weights \(sha256.prefix(12))..." }
      throw .otherTokenizer(
        path, found: text(self.tokenizer, sha256), expected: text(tokenizer.name, tokenizer.sha256))
    }
  }

  /// Bits that one token takes in a file.
  public static func bits(codebookSize: Int) -> Int { max(1, Int.bitWidth - (codebookSize - 1).leadingZeroBitCount) }

  /// Bytes that so many tokens take in a file.
  public static func bytes(tokens: Int, codebookSize: Int) -> Int {
    (tokens * bits(codebookSize: codebookSize) + 7) / 8
  }

  // MARK: Writing

  private static let magic = Array("vtokens".utf8)

  public func encoded() -> [UInt8] {
    var out: [UInt8] = []
    emit { out.append(contentsOf: $0) }
    return out
  }

  /// Writes the file whole or not at all.
  public func write(to path: String) throws(WeightError) {
    try WholeFile.write(to: path) { sink throws(WeightError) in emit(sink) }
  }

  private func emit(_ sink: (UnsafeRawBufferPointer) -> Void) {
    Self.emit(
      tokenizer, sha256, codebookSize, pictures: pictures.count,
      records: pictures.lazy.map { Self.record($0, codebookSize: codebookSize) }, sink)
  }

  /// Writes a file of pictures that were packed one by one.
  /// - Parameter records: of ``record(_:codebookSize:)``.
  package static func write(_ tokenizer: LoadedTokenizer, records: [[UInt8]], to path: String) throws(WeightError) {
    try WholeFile.write(to: path) { sink throws(WeightError) in
      emit(
        tokenizer.name, tokenizer.sha256, tokenizer.tokenizer.codebookSize, pictures: records.count, records: records,
        sink)
    }
  }

  private static func emit(
    _ tokenizer: String, _ sha256: String, _ codebookSize: Int, pictures: Int, records: some Sequence<[UInt8]>,
    _ sink: (UnsafeRawBufferPointer) -> Void
  ) {
    var sum = FileSum()
    func send(_ bytes: [UInt8]) {
      bytes.withUnsafeBytes {
        sum.add($0)
        sink($0)
      }
    }
    var head = magic + [version]
    put(tokenizer, most: 255, 1, to: &head)
    var digits = sha256[...]
    while !digits.isEmpty {
      head.append(UInt8(digits.prefix(2), radix: 16)!)
      digits = digits.dropFirst(2)
    }
    put(codebookSize, 4, to: &head)
    put(pictures, 4, to: &head)
    send(head)
    for record in records { send(record) }
    var tail: [UInt8] = []
    put(Int(sum.crc), 4, to: &tail)
    send(tail)
  }

  /// One picture as it stands in a file.
  package static func record(_ picture: Picture, codebookSize: Int) -> [UInt8] {
    var out: [UInt8] = []
    put(picture.name, most: 65_535, 2, to: &out)
    put(picture.tokens.size.width, 2, to: &out)
    put(picture.tokens.size.height, 2, to: &out)
    put(picture.tokens.ids.count, 4, to: &out)
    let bits = bits(codebookSize: codebookSize)
    var (held, count) = (0, 0)
    for id in picture.tokens.ids {
      (held, count) = (held << bits | id, count + bits)
      while count >= 8 {
        count -= 8
        out.append(UInt8(truncatingIfNeeded: held >> count))
      }
      held &= 1 << count - 1
    }
    if count > 0 { out.append(UInt8(truncatingIfNeeded: held << (8 - count))) }
    return out
  }

  private static func put(_ value: Int, _ bytes: Int, to out: inout [UInt8]) {
    for byte in 0..<bytes { out.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
  }

  private static func put(_ text: String, most: Int, _ bytes: Int, to out: inout [UInt8]) {
    let utf8 = text.utf8.prefix(most)
    put(utf8.count, bytes, to: &out)
    out += utf8
  }

  // MARK: Reading

  /// - Throws: `TokenFileError` for what is no whole token file of this version, `WeightError` for a file that cannot be
  ///   read.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    self = try file.withBytes { bytes in try TokenFile(bytes, name: path) }
  }

  /// - Parameter name: names the bytes in messages.
  public init(_ bytes: UnsafeRawBufferPointer, name: String) throws(TokenFileError) {
    var reader = Reader(bytes: bytes, name: name)
    guard try reader.take(Self.magic.count, or: .notTokens(name)).elementsEqual(Self.magic) else {
      throw .notTokens(name)
    }
    let version = try reader.number(1)
    guard version == Self.version else { throw .version(name, found: version) }
    guard bytes.count >= 12, case let body = UnsafeRawBufferPointer(rebasing: bytes.dropLast(4)),
      crc32(body) == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: body.count, as: UInt32.self))
    else { throw .damaged(name, found: "bytes with another checksum than the last four") }
    reader = Reader(bytes: body, name: name, at: reader.at)

    tokenizer = try reader.text(1)
    sha256 = try reader.take(32).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    let codebook = try reader.number(4)
    guard codebook > 1 else { throw .damaged(name, found: "\(codebook) different tokens") }
    let bits = Self.bits(codebookSize: codebook)
    var pictures: [Picture] = []
    for _ in 0..<(try reader.number(4)) {
      let title = try reader.text(2)
      let size = Size(width: try reader.number(2), height: try reader.number(2))
      guard size.width > 0, size.height > 0, size.width * size.height <= Self.mostPixels else {
        throw .damaged(name, found: "a picture of \(size) pixels")
      }
      let count = try reader.number(4)
      let packed = try reader.take((count * bits + 7) / 8)
      var (held, available, at) = (0, 0, packed.startIndex)
      var ids: [Int] = []
      ids.reserveCapacity(count)
      while ids.count < count {
        while available < bits {
          (held, available, at) = (held << 8 | Int(packed[at]), available + 8, at + 1)
        }
        available -= bits
        ids.append(held >> available)
        held &= 1 << available - 1
      }
      guard held == 0, ids.allSatisfy({ $0 < codebook }) else {
        throw .damaged(name, found: "tokens of `\(title)` that its tokenizer does not have")
      }
      pictures.append(Picture(name: title, tokens: ImageTokens(ids: ids, size: size)))
    }
    guard reader.at == body.count else { throw .damaged(name, found: "\(body.count - reader.at) bytes of no picture") }
    codebookSize = codebook
    self.pictures = pictures
  }

  private struct Reader {
    let bytes: UnsafeRawBufferPointer
    let name: String
    var at = 0

    mutating func take(_ count: Int, or error: TokenFileError? = nil) throws(TokenFileError)
      -> Slice<UnsafeRawBufferPointer>
    {
      guard count <= bytes.count - at else { throw error ?? .damaged(name, found: "an end within a record") }
      defer { at += count }
      return bytes[at..<at + count]
    }

    mutating func number(_ count: Int) throws(TokenFileError) -> Int {
      try take(count).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    mutating func text(_ lengthBytes: Int) throws(TokenFileError) -> String {
      guard let text = String(validating: try take(try number(lengthBytes)), as: UTF8.self) else {
        throw .damaged(name, found: "a name that is no UTF-8")
      }
      return text
    }
  }
}

/// Why a token file cannot be read.
public enum TokenFileError: OneLineError, Equatable {
  case notTokens(String)
  case version(String, found: Int)
  case damaged(String, found: String)
  /// Written by other weights than those that should decode it.
  case otherTokenizer(String, found: String, expected: String)

  public var message: String {
    switch self {
    case .notTokens(let name):
      "token file '\(name)': it starts otherwise, expected a file of image tokens (.vtokens). Check the path."
    case .version(let name, let found):
      "token file '\(name)': version \(found) of the format, expected \(TokenFile.version). "
        + "Use the version of vtok that wrote it, or write it again."
    case .damaged(let name, let found):
      "token file '\(name)': \(found), expected a whole file. It was damaged or cut on its way: fetch it again."
    case .otherTokenizer(let name, let found, let expected):
      "token file '\(name)': written by \(found), expected \(expected). Give the tokenizer that wrote it."
    }
  }
}
