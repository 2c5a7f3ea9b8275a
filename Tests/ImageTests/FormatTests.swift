import Foundation
import Testing
import VTokImage

/// What is refused by name, WebP as a container, and which format a file is written in.
@Suite struct FormatTests {
  private static func box(_ brands: String...) -> [UInt8] {
    let text = brands[0] + "\0\0\0\0" + brands.dropFirst().joined()
    let size: [UInt8] = [0, 0, 0, UInt8(8 + text.utf8.count)]
    return size + Array("ftyp".utf8) + Array(text.utf8)
  }

  private static func text(_ text: String, after start: [UInt8] = [], then end: [UInt8] = []) -> [UInt8] {
    start + Array(text.utf8) + end
  }

  static let refused: [(String, [UInt8])] = [
    ("GIF", text("GIF89a")), ("GIF", text("GIF87a")), ("BMP", text("BM")), ("TIFF", text("II*\0")),
    ("TIFF", text("MM\0*")), ("BigTIFF", text("II+\0")), ("HEIC", box("heic", "mif1", "heic")),
    ("HEIC", box("mif1", "mif1", "heic")), ("HEIC", box("hevc")), ("HEIF", box("mif1", "miaf")),
    ("AVIF", box("avif", "mif1", "miaf")), ("AVIF", box("mif1", "avif")), ("Canon CR3", box("crx ", "isom")),
    ("MP4 or QuickTime", box("isom", "iso2", "mp41")), ("JPEG XL", [0xff, 0x0a]),
    ("JPEG XL", text("JXL \r\n", after: [0, 0, 0, 12], then: [0x87, 10])),
    ("JPEG 2000", text("jP  \r\n", after: [0, 0, 0, 12], then: [0x87, 10])), ("JPEG 2000", [0xff, 0x4f, 0xff, 0x51]),
    ("Photoshop", text("8BPS")), ("ICO", [0, 0, 1, 0]), ("PDF", text("%PDF-1.7")), ("SVG", text("<svg xmlns")),
    ("SVG", text("\n <?XML version", after: [0xef, 0xbb, 0xbf])), ("web page", text("<!DOCTYPE html>")),
    ("web page", text("  <HTML>")), ("PNM", text("P6\n1 1")), ("ZIP", text("PK\u{3}\u{4}")),
    ("Git LFS", text("version https://git-lfs.github.com/spec/v1")), ("AVI", text("RIFF\0\0\0\0AVI ")),
  ]

  /// One line that names the format and says what to do.
  @Test(arguments: refused) func refusedByName(name: String, start: [UInt8]) throws {
    let error = try #require(decodeError(of: start + [UInt8](repeating: 1, count: 64)))
    #expect(error.kind == .unsupportedFormat)
    #expect(error.message.contains("this is ") && error.message.contains(name), "\(error)")
    #expect(error.message.contains("expected PNG, JPEG or WebP, ") && !error.message.contains("\n"), "\(error)")
    // The signature cut short names no format that is read, and reads nothing behind the end.
    for count in 1..<start.count {
      let cut = try #require(decodeError(of: Array(start[..<count])))
      #expect(cut.kind == .unsupportedFormat || cut.kind == .corrupt)
    }
  }

  // MARK: WebP

  private func number(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  private func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let padding: [UInt8] = data.count % 2 == 1 ? [0] : []
    return Array(name.utf8) + number(data.count) + data + padding
  }

  private func riff(_ chunks: [UInt8]) -> [UInt8] {
    Array("RIFF".utf8) + number(chunks.count + 4) + Array("WEBP".utf8) + chunks
  }

  /// An extended file around the bitstream of a simple one.
  private func extended(_ simple: [UInt8], flags: UInt8, width: Int, height: Int, _ more: [UInt8] = []) -> [UInt8] {
    let size = Array(number(width - 1)[..<3]) + Array(number(height - 1)[..<3])
    return riff(chunk("VP8X", [flags, 0, 0, 0] + size) + Array(simple[12...]) + more)
  }

  @Test func webpRoundTrip() throws {
    for (width, height) in [(1, 1), (1, 7), (300, 2), (33, 17)] {
      let image = Noise(state: 9).with { $0.image(width, height) }
      let webp = try image.webpData()
      #expect(try Image.decode(webp) == DecodedImage(image: image, format: .webp))
    }
  }

  @Test func webpOrientationNeedsItsFlag() throws {
    let image = Noise(state: 5).with { $0.image(6, 4) }
    let exif = chunk("ICCP", [1, 2, 3]) + chunk("EXIF", KindTests.exif(8, big: false))
    let simple = try image.webpData()
    let turned = try Image.decode(extended(simple, flags: 0x08, width: 6, height: 4, exif))
    #expect(turned.orientation == 8 && turned.image == image.oriented(8))
    #expect(try Image.decode(extended(simple, flags: 0, width: 6, height: 4, exif)).orientation == 1)
    // XMP alone turns nothing.
    let xmp = chunk("XMP ", Array("<x tiff:Orientation=\"6\"/>".utf8))
    #expect(try Image.decode(extended(simple, flags: 0x04, width: 6, height: 4, xmp)).image == image)
  }

  @Test func animatedWebPIsRefused() throws {
    let error = try #require(decodeError(at: KindTests.folder + "/animated.webp"))
    #expect(error.kind == .unsupportedFormat && error.message.contains("animated"), "\(error)")
    #expect(error.message.contains("convert") && !error.message.contains("\n"))
  }

  /// A header that claims more than the limit, and one whose bitstream has another size.
  @Test func webpClaimsAreChecked() throws {
    let simple = try Noise(state: 5).with { $0.image(6, 4) }.webpData()
    var huge = simple  // VP8L: signature byte, then 14 bits of width - 1, 14 of height - 1
    huge.replaceSubrange(21..<25, with: [0xff, 0xff, 0xff, 0x0f])
    let error = try #require(decodeError(of: huge))
    #expect(error.kind == .tooLarge && error.message.contains("16384x16384"), "\(error)")
    #expect(decodeError(of: extended(simple, flags: 0, width: 60, height: 40))?.kind == .corrupt)
    #expect(decodeError(of: simple, options: .init(maxPixels: 23))?.kind == .tooLarge)
  }

  static let webps = [
    "lossy.webp", "lossless.webp", "lossy-alpha.webp", "lossless-alpha.webp", "exif7-profile-alpha.webp",
  ]

  @Test(arguments: webps) func webpPrefixes(file: String) throws {
    let bytes = try KindTests.bytes(file)
    let whole = try Image.decode(bytes).image
    for count in 0..<bytes.count {
      guard let part = try? Image.decode(Array(bytes[..<count])) else { continue }
      #expect(part.image == whole, "prefix of \(count) bytes")
    }
    #expect(try Image.decode(bytes + [1, 2, 3]).image == whole)
  }

  @Test(arguments: webps) func webpFlippedBytes(file: String) throws {
    let bytes = try KindTests.bytes(file)
    var noise = Noise(state: UInt64(bytes.count))
    for _ in 0..<600 {
      var damaged = bytes
      for _ in 0...noise.below(3) { damaged[noise.below(bytes.count)] ^= UInt8(1 + noise.below(255)) }
      guard let decoded = try? Image.decode(damaged, options: .init(maxPixels: 1_000_000)) else { continue }
      #expect((1...8).contains(decoded.orientation))
      #expect(decoded.image.rgb.count == decoded.image.width * decoded.image.height * 3)
    }
  }

  // MARK: Writing

  @Test func endingsNameFormats() throws {
    let cases: [(String, ImageFormat?)] = [
      ("a.png", .png), ("a.PNG", .png), ("x/y.z/a.jpg", .jpeg), ("a.b.JPEG", .jpeg), ("a.webp", .webp), ("a.gif", nil),
      ("a", nil), ("a.png/b", nil), ("png", nil), ("a.", nil), (".png", .png), ("", nil), ("a.png ", nil),
    ]
    for (path, format) in cases { #expect(ImageFormat(endingOf: path) == format, "\(path)") }
    let image = Image(width: 20, height: 12, colour: [9, 120, 240])
    for format in ImageFormat.allCases {
      let decoded = try Image.decode(image.data(as: format))
      #expect(decoded.format == format && decoded.image.size == image.size)
    }
    let wide = Image(width: 16_384, height: 1, colour: [0, 0, 0])
    #expect(throws: ImageError.self) { try wide.webpData() }
    #expect(try Image.decode(wide.pngData()).image == wide)
  }
}
