import Foundation
import Testing
import VTokImage

/// Kinds/: the pixels of orientation, transparency and WebP are Pillow's (make.py there).
@Suite struct KindTests {
  struct Expected: Decodable, Sendable, CustomTestStringConvertible {
    let file: String
    let size: [Int]
    let white: String
    let drop: String

    var testDescription: String { file }
  }

  static let folder = testFolder("Kinds")
  static let expected: [Expected] = {
    let data = try! Data(contentsOf: URL(fileURLWithPath: folder + "/expected.json"))
    return try! JSONDecoder().decode([Expected].self, from: data)
  }()

  static func bytes(_ file: String) throws -> [UInt8] { try fileBytes(folder + "/" + file) }

  @Test(arguments: expected) func pixelsArePillows(expected: Expected) throws {
    let path = Self.folder + "/" + expected.file
    let upright = try Image.decode(contentsOf: path)
    #expect(upright.image.size == Size(width: expected.size[0], height: expected.size[1]))
    #expect(sha256(upright.image.rgb) == expected.white)
    let dropped = try Image.decode(contentsOf: path, options: .init(alpha: .drop))
    #expect(sha256(dropped.image.rgb) == expected.drop)
    let stored = try Image.decode(contentsOf: path, options: .init(rawOrientation: true))
    #expect(stored.image.size == Size(width: 13, height: 9))
    #expect(stored.image.oriented(stored.orientation) == upright.image)
  }

  @Test func kindsAreWhatTheySay() throws {
    let transparent = Self.expected.map(\.file).filter { name in
      ["alpha", "rgba", "trns", "key"].contains { name.contains($0) }
    }
    #expect(transparent.count == 15 && Self.expected.filter { $0.white != $0.drop }.map(\.file) == transparent)
    let turned = Self.expected.filter { $0.size == [9, 13] }.map(\.file)
    #expect(
      Set(turned) == [
        "exif5.png", "exif6.png", "exif7.png", "exif8.png", "exif6-behind.png", "exif7-profile-alpha.webp",
        "exif8.webp",
      ])
  }

  @Test func jpegIsTurned() throws {
    let bytes = try Self.bytes("exif5.jpg")
    let stored = try Image.decode(bytes, options: .init(rawOrientation: true))
    #expect(stored.orientation == 5 && stored.image.size == Size(width: 26, height: 18))
    #expect(try Image.decode(bytes).image == stored.image.oriented(5))
  }

  /// The high byte, not Pillow's clipping, which makes all from 255 on white.
  @Test func sixteenBitGreyIsTheHighByte() throws {
    let image = try Image.decode(contentsOf: Self.folder + "/basn0g16.png").image
    #expect(image.size == Size(width: 32, height: 32))
    #expect((0..<4).map { image.pixel($0, 0) } == [0, 9, 18, 27].map { [$0, $0, $0] })
    #expect((28..<32).map { image.pixel($0, 31)[0] } == [81, 54, 27, 0])
  }

  // MARK: Limits

  /// The limit counts pixels; the size that an error shows is the one after turning.
  @Test func errorsShowTheTurnedSize() throws {
    let bytes = try Self.bytes("exif6.png")
    #expect(try Image.decode(bytes, options: .init(maxPixels: 117)).image.size == Size(width: 9, height: 13))
    #expect(decodeError(of: bytes, options: .init(maxPixels: 116))?.message.contains("9x13") == true)
    let raw = decodeError(of: bytes, options: .init(maxPixels: 116, rawOrientation: true))
    #expect(raw?.kind == .tooLarge && raw?.message.contains("13x9") == true)
  }

  // MARK: EXIF

  /// A TIFF block with one entry.
  static func exif(_ orientation: UInt16, type: UInt16 = 3, count: UInt32 = 1, big: Bool = true) -> [UInt8] {
    func number(_ value: UInt32, _ bytes: Int) -> [UInt8] {
      let little = (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
      return big ? little.reversed() : little
    }
    let value = type == 4 ? number(UInt32(orientation), 4) : number(UInt32(orientation), 2) + [0, 0]
    var block = Array((big ? "MM" : "II").utf8)
    for part in [number(42, 2), number(8, 4), number(1, 2), number(0x112, 2), number(UInt32(type), 2)] { block += part }
    return block + number(count, 4) + value + number(0, 4)
  }

  /// The base line with an APP1 segment behind its start.
  private func jpeg(_ exif: [UInt8]) throws -> [UInt8] {
    let plain = try Noise(state: 3).with { $0.image(7, 5) }.jpegData(quality: 90)
    let segment = Array("Exif\0\0".utf8) + exif
    let marker: [UInt8] = [0xff, 0xe1, 0, UInt8(segment.count + 2)]
    return Array(plain[..<2]) + marker + segment + Array(plain[2...])
  }

  private func orientation(_ exif: [UInt8]) throws -> Int { try Image.decode(jpeg(exif)).orientation }

  @Test func exifIsReadInAllItsForms() throws {
    for big in [true, false] {
      for value in UInt16(0)...10 {
        let right = (1...8).contains(value) ? Int(value) : 1
        #expect(try orientation(Self.exif(value, big: big)) == right)
        #expect(try orientation(Self.exif(value, type: 4, big: big)) == right)
      }
      #expect(try orientation(Array("Exif\0\0".utf8) + Self.exif(6, big: big)) == 6)
    }
  }

  /// Never an error, and never a read beyond the block.
  @Test func brokenExifIsIgnored() throws {
    let good = Self.exif(6)
    for type in [UInt16(0), 1, 2, 5, 7, 99] { #expect(try orientation(Self.exif(6, type: type)) == 1) }
    for count in [UInt32(0), 3, .max] { #expect(try orientation(Self.exif(6, count: count)) == 1) }
    for count in 0..<good.count { #expect([1, 6].contains(try orientation(Array(good[..<count])))) }
    for at in good.indices {
      for value in [UInt8(0), 1, 0x7f, 0x80, 0xff] {
        var broken = good
        broken[at] = value
        #expect((1...8).contains(try orientation(broken)))
      }
    }
    #expect(try orientation([UInt8](repeating: 0xff, count: 40)) == 1)
  }

  @Test func pngExifNeedsItsChecksum() throws {
    var bytes = try Self.bytes("exif6.png")
    let chunk = try #require(bytes.firstRange(of: Array("eXIf".utf8)))
    let crc = chunk.upperBound + Self.exif(6).count
    #expect(try Image.decode(bytes).orientation == 6)
    bytes[crc] ^= 1
    #expect(try Image.decode(bytes).orientation == 1)
  }

  // MARK: Partial images

  /// All legal ways to cut a picture into scans, and every one of them cut between two scans and ended properly.
  @Test(arguments: ["sequential-scans.jpg", "spectral-scans.jpg", "late-scans.jpg"])
  func scansAreWholeOrRefused(file: String) throws {
    let bytes = try Self.bytes(file)
    #expect(try Image.decode(bytes).image.size == Size(width: 26, height: 18))
    let scans = bytes.indices.dropLast().filter { bytes[$0] == 0xff && bytes[$0 + 1] == 0xda }
    #expect(scans.count > 1)
    for start in scans.dropFirst() {
      let error = decodeError(of: Array(bytes[..<start]) + [0xff, 0xd9])
      #expect(error?.kind == .corrupt)
      #expect(error?.message.contains("before its last scan") == true, "\(error as Any)")
    }
  }

  @Test func partialProgressiveIsCorrupt() {
    #expect(decodeError(at: Self.folder + "/peacock.progressive.scan000.jpeg")?.kind == .corrupt)
  }
}
