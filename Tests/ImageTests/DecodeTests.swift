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

  /// A row of an endless number of empty refinement scans must not keep the decoder busy.
  @Test(.timeLimit(.minutes(1))) func scanBombIsRefused() throws {
    var bytes = try fileBytes(Self.folder + "/jpeg-progressive-422.jpg")
    // SOS for the DC refinement of component 1 (Ss 0, Se 0, Ah 1, Al 0), without data.
    let scan: [UInt8] = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0x10]
    bytes.removeLast(2)
    for _ in 0..<100_000 { bytes += scan }
    bytes += [0xff, 0xd9]
    #expect(decodeError(of: bytes)?.kind == .corrupt)
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
