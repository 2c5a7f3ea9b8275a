import Foundation
import Testing
import VTokImage

@Suite struct DecodeTests {
  static let folder = testFolder("Malformed")

  // MARK: Limits

  @Test func pixelLimitIsExact() throws {
    let png = try Noise(state: 1).with { $0.image(20, 10) }.pngData()
    #expect(try Image.decode(png, options: .init(maxPixels: 200)).image.size == Size(width: 20, height: 10))
    #expect(
      decodeError(of: png, options: .init(maxPixels: 199))?.kind == .tooLarge)
  }

  /// The huge files would need 12 to 30 GB, the bomb 1.7 GB: refusing all of them a hundred times takes no time.
  @Test(.timeLimit(.minutes(1))) func pixelLimitComesBeforeMemory() throws {
    for file in ["jpeg-huge-65500x65500.jpg", "png-huge-100000x100000.png", "png-bomb-24000x24000.png"] {
      let bytes = try fileBytes(Self.folder + "/" + file)
      for _ in 0..<100 { #expect(decodeError(of: bytes)?.kind == .tooLarge) }
    }
  }

  /// An 8x8 progressive JPEG that sends its AC coefficients bit by bit, all of them zero: the last scan all those that had
  /// no scans of their own.
  private func progressive(scans: Int) -> [UInt8] {
    func table(_ kind: UInt8) -> [UInt8] { [0xff, 0xc4, 0, 20, kind, 1] + [UInt8](repeating: 0, count: 16) }
    func scan(_ coefficients: ClosedRange<UInt8>, _ bits: UInt8) -> [UInt8] {
      [0xff, 0xda, 0, 8, 1, 1, 0, coefficients.lowerBound, coefficients.upperBound, bits, 0x7f]
    }
    var bytes: [UInt8] = [0xff, 0xd8, 0xff, 0xdb, 0, 67, 0] + [UInt8](repeating: 1, count: 64)
    bytes += [0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0] + table(0) + table(0x10) + scan(0...0, 0)
    let single = scans - 2
    for index in 0..<single {
      let coefficient = UInt8(1 + index / 10)
      let first = UInt8(min(10, single - index / 10 * 10) - 1)  // bits that this coefficient begins with
      let low = first - UInt8(index % 10)
      bytes += scan(coefficient...coefficient, low == first ? low : (low + 1) << 4 | low)
    }
    return bytes + scan(UInt8(1 + (single + 9) / 10)...63, 0) + [0xff, 0xd9]
  }

  /// Each scan goes over the whole image and may be a few bytes long.
  @Test func scanBombIsRefused() throws {
    #expect(try Image.decode(progressive(scans: 500)).image == Image(width: 8, height: 8, colour: [128, 128, 128]))
    #expect(decodeError(of: progressive(scans: 501))?.message.contains("scans") == true)
  }

  // MARK: Damage

  static let fuzzed = [
    "png-rgb8.png", "png-palette1.png", "png-gray16.png", "png-interlaced-rgb8.png", "jpeg-1x1.jpg", "jpeg-420-odd.jpg",
    "jpeg-progressive-422.jpg", "jpeg-cmyk-adobe.jpg", "jpeg-exif-orientation6.jpg",
  ]

  /// A cut file is refused, or whole because nothing but its end was missing.
  @Test(arguments: fuzzed) func prefixes(file: String) throws {
    let bytes = try fileBytes(Self.folder + "/" + file)
    let whole = try Image.decode(bytes).image
    for count in 0..<bytes.count {
      guard let part = try? Image.decode(Array(bytes[..<count])) else { continue }
      #expect(part.image == whole, "prefix of \(count) bytes")
    }
  }

  @Test(arguments: fuzzed) func flippedBytes(file: String) throws {
    let bytes = try fileBytes(Self.folder + "/" + file)
    var noise = Noise(state: UInt64(bytes.count))
    for _ in 0..<400 {
      var damaged = bytes
      for _ in 0...noise.below(3) { damaged[noise.below(bytes.count)] ^= UInt8(1 + noise.below(255)) }
      guard let decoded = try? Image.decode(damaged, options: .init(maxPixels: 1_000_000)) else { continue }
      #expect((1...8).contains(decoded.orientation))
      #expect(decoded.image.rgb.count == decoded.image.width * decoded.image.height * 3)
    }
  }

  // MARK: Files

  @Test func filesThatCannotBeRead() throws {
    try inTemporaryFolder { folder in
      let manager = FileManager.default
      try manager.createSymbolicLink(atPath: folder + "/loop.png", withDestinationPath: "loop.png")
      try manager.createDirectory(atPath: folder + "/photo.png", withIntermediateDirectories: false)
      try #require(mkfifo(folder + "/pipe.jpg", 0o600) == 0)
      try Data().write(to: URL(fileURLWithPath: folder + "/closed.png"))
      try manager.setAttributes([.posixPermissions: 0], ofItemAtPath: folder + "/closed.png")
      var cases = [
        ("loop.png", "symbolic links"), ("photo.png", "folder"), ("pipe.jpg", "pipe"), ("missing.png", "No such file"),
      ]
      if getuid() != 0 { cases.append(("closed.png", "denied")) }
      for (name, cause) in cases {
        let path = folder + "/" + name
        let error = try #require(decodeError(at: path))
        #expect(error.kind == .unreadable)
        #expect(error.message.contains(path))
        #expect(error.message.contains(cause), "\(error)")
      }
      let device = decodeError(at: "/dev/zero")
      #expect(device?.kind == .unreadable)
    }
  }

  @Test func namesDoNotMatter() throws {
    try inTemporaryFolder { folder in
      let bytes = try fileBytes(Self.folder + "/png-rgb8.png")
      for name in ["a b.png", "-x.png", "ü.png", "new\nline.png", "no extension", "wrong.jpg"] {
        try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name))
        #expect(try Image.decode(contentsOf: folder + "/" + name).image.size == Size(width: 16, height: 12))
      }
      let error = decodeError(at: folder + "/two\nlines\u{1b}[31m")
      #expect(error?.message.contains("two\\nlines\\u{1B}[31m") == true)
    }
  }

  // MARK: Writing

  @Test(arguments: [(1, 1), (1, 7), (300, 2), (33, 17)]) func pngRoundTrip(width: Int, height: Int) throws {
    let image = Noise(state: 7).with { $0.image(width, height) }
    let png = try image.pngData()
    #expect(try image.pngData() == png)
    let decoded = try Image.decode(png)
    #expect(decoded == DecodedImage(image: image, format: .png, orientation: 1))
  }
}

extension Noise {
  func with<Result>(_ body: (inout Noise) -> Result) -> Result {
    var noise = self
    return body(&noise)
  }
}
