import Foundation
import Testing
import VTokImage

/// Every file of Malformed/ against the verdict in its manifest.
@Suite struct MalformedTests {
  struct Verdict: Decodable, Sendable, CustomTestStringConvertible {
    let file: String
    let what: String
    let expect: String
    let width: Int?
    let height: Int?
    let tolerance: Int?
    let rgb8Sha256: String?
    let probes: [[Int]]?
    let meanRgb: [Double]?
    let orientedWidth: Int?
    let orientedHeight: Int?

    var testDescription: String { file }
  }

  struct Manifest: Decodable {
    let files: [Verdict]
  }

  static let folder = testFolder("Malformed")
  /// The manifest's policy.
  static let asStored = DecodeOptions(rawOrientation: true, alpha: .drop)
  static let verdicts: [Verdict] = {
    let data = try! Data(contentsOf: URL(fileURLWithPath: folder + "/manifest.json"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try! decoder.decode(Manifest.self, from: data).files
  }()

  @Test(arguments: verdicts) func verdict(_ verdict: Verdict) throws {
    let decoded: DecodedImage
    do {
      decoded = try Image.decode(contentsOf: Self.folder + "/" + verdict.file, options: Self.asStored)
    } catch {
      #expect(verdict.expect != "decode", "\(verdict.what): \(error)")
      #expect(error.message.contains(verdict.file))
      return
    }
    #expect(verdict.expect != "reject", "\(verdict.what)")
    guard let width = verdict.width, let height = verdict.height else { return }
    let image = decoded.image
    #expect(image.size == Size(width: width, height: height))
    if verdict.tolerance == 0 { #expect(sha256(image.rgb) == verdict.rgb8Sha256) }
    for probe in verdict.probes ?? [] {
      for (found, right) in zip(image.pixel(probe[0], probe[1]), probe[2...]) {
        #expect(abs(Int(found) - right) <= verdict.tolerance ?? 0, "pixel \(probe[0]), \(probe[1])")
      }
    }
    for (channel, mean) in (verdict.meanRgb ?? []).enumerated() {
      let sum = stride(from: channel, to: image.rgb.count, by: 3).reduce(0) { $0 + Int(image.rgb[$1]) }
      #expect(abs(Double(sum) / Double(width * height) - mean) <= 1)
    }
    if let width = verdict.orientedWidth, let height = verdict.orientedHeight {
      let upright = try Image.decode(contentsOf: Self.folder + "/" + verdict.file)
      #expect(upright.image.size == Size(width: width, height: height))
      #expect(upright.orientation == decoded.orientation)
    }
  }

  @Test func allFilesHaveAVerdict() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
    #expect(Set(files).subtracting(["manifest.json", "README.md"]) == Set(Self.verdicts.map(\.file)))
    #expect(sha256(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test(arguments: [
    ("other.gif", ImageError.Kind.unsupportedFormat, "GIF"), ("other.bmp", .unsupportedFormat, "BMP"),
    ("text.png", .unsupportedFormat, "known format"), ("empty.png", .corrupt, "empty"),
    ("png-huge-2147483647x1.png", .tooLarge, "2147483647x1"), ("png-bomb-24000x24000.png", .tooLarge, "24000x24000"),
    ("jpeg-huge-65500x65500.jpg", .tooLarge, "65500x65500"), ("png-badcrc-idat.png", .corrupt, "CRC"),
    ("png-trunc-idat.png", .corrupt, "ends too early"), ("jpeg-trunc-scan.jpg", .corrupt, "ends too early"),
    ("jpeg-12bit-sof.jpg", .unsupportedFormat, "12"),
  ]) func causeIsNamed(file: String, kind: ImageError.Kind, text: String) throws {
    let error = try #require(decodeError(at: Self.folder + "/" + file))
    #expect(error.kind == kind)
    #expect(error.message.contains(text), "\(error)")
  }
}
