import Foundation
import TestSupport
import Testing
import VTok

/// One-D-Piece and TiTok beyond their goldens, quantisers, and the tokenizer inside the program.
@Suite struct TokenizerTests {
  private static let goldens =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
    + "/Golden/Cases/one-d-piece/"

  private func model(_ name: String, config: JSON? = nil, heads: (Int, Int)) throws -> OneDPiece {
    let manifest = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: Self.goldens + name + ".json"))))
    let checkpoint = try Checkpoint(
      file: Self.goldens + name + "_model.safetensors", config: config ?? manifest["config"]!)
    return try OneDPiece(checkpoint, heads: heads)
  }

  private func picture(_ name: String) throws -> Image { try Image.decode(contentsOf: pictures + "/" + name).image }

  // MARK: Quantisers

  @Test func equalDistancesGoToTheFirstCode() {
    // Codes 1 and 3 are one, code 2 is on the other side at the same distance from 0, code 4 has the direction of code 1.
    let codes = Tensor([9, 9, 1, 0, -1, 0, 1, 0, 5, 0], shape: [5, 2])
    let plain = VectorQuantizer(codes, isNormalised: false)
    #expect(plain(Tensor([1, 0, 0, 0, 0, 3, -2, 0, 4.9, 0], shape: [5, 2])) == [1, 1, 1, 2, 4])
    let angles = VectorQuantizer(codes, isNormalised: true)
    #expect(angles(Tensor([7, 0, -0.1, 0, 0, 0, 3, 3], shape: [4, 2])) == [1, 2, 0, 0])
    #expect(abs(angles.codes.values[0] - Float(0.5).squareRoot()) < 1e-6 && angles.codes.values[8] == 1)
  }

  @Test(arguments: [1, 3, 6, 9]) func gaussianLevelsAreTheirOwnNearest(_ bits: Int) {
    let quantizer = GaussianQuantizer(bits: bits, range: -2...6)
    #expect(quantizer.levels.count == 1 << bits && quantizer.levels == quantizer.levels.sorted())
    let all = Array(0..<1 << bits)
    #expect(quantizer(quantizer.values(all)) == all)
    #expect(quantizer([-100, 100, -.infinity]) == [0, all.count - 1, 0])
    #expect(zip(quantizer.levels, quantizer.levels.reversed()).allSatisfy { abs($0 + $1) < 1e-5 }, "symmetric")
  }

  // MARK: One-D-Piece and TiTok

  @Test func anyPrefixOfOneDPieceIsAPicture() throws {
    let model = try model("tiny_b", heads: (5, 5))
    #expect(model.name == "one-d-piece" && model.lengths(for: Size(16)) == .prefixes(9) && model.codebookSize == 100)
    let image = try picture("ship.jpg")
    let all = try model.encode(image)
    #expect(all.ids.count == 9 && all.size == Size(16) && model.prepare(image).size == Size(16))
    var made: [Image] = []
    for count in [1, 4, 9] {
      #expect(try model.encode(image, tokens: count) == all.prefix(count))
      made.append(try model.decode(all.prefix(count)))
      #expect(try model.decode(all.prefix(count), seed: 7, threads: 2) == made.last)
    }
    #expect(made[0] != made[1] && made[1] != made[2])
    for count in [0, 10, -1] {
      #expect(throws: ModelError.self) { _ = try model.encode(image, tokens: count) }
    }
    for ids in [[], [100], [-1], Array(repeating: 1, count: 10)] {
      #expect(throws: ModelError.self) { _ = try model.decode(ImageTokens(ids: ids, size: Size(16))) }
    }
    #expect(throws: ModelError.self) { _ = try model.decode(ImageTokens(ids: [1], size: Size(32))) }
  }

  @Test func titokHasOneLength() throws {
    // The legacy layout without a word about One-D-Piece, and the later one.
    for model in [
      try model("tiny_b", config: ["model": [:]], heads: (5, 5)), try model("titok_nonlegacy", heads: (5, 3)),
    ] {
      let count = model.lengths(for: Size(32)).most
      #expect(model.name == "titok" && model.lengths(for: Size(32)) == .fixed(count))
      let tokens = try model.encode(picture("cat.jpg"))
      #expect(try tokens.ids.count == count && model.decode(tokens).size == tokens.size)
      let error = #expect(throws: ModelError.self) { _ = try model.decode(tokens.prefix(count - 1)) }
      #expect(error.map { "\($0)".contains("expected \(count)") } == true)
      #expect(throws: ModelError.self) { _ = try model.encode(picture("cat.jpg"), tokens: 1) }
    }
    let error = #expect(throws: ModelError.self) {
      _ = try model("tiny_b", config: ["model": ["vq_model": ["quantize_mode": "vae"]]], heads: (5, 5))
    }
    #expect(error.map { "\($0)".contains("quantize_mode") } == true)
  }

  /// A tensor that is missing, empty, doubled or of another shape is named, or it does no harm; nothing traps.
  @Test(arguments: [("tiny_b", 5, 5), ("titok_nonlegacy", 5, 3)])
  func hostileShapesAreErrors(_ name: String, _ encoder: Int, _ decoder: Int) throws {
    let source = try Safetensors(path: Self.goldens + name + "_model.safetensors")
    let config = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: Self.goldens + name + ".json"))))[
      "config"]!
    let tensors = try source.entries.map { ($0.name, try source.tensor($0.name)) }
    let image = try picture("cat.jpg")
    let path = FileManager.default.temporaryDirectory.path + "/\(name)-\(UInt64.random(in: 0 ... .max)).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    /// The error of a checkpoint in which one tensor was changed or, for nil, left out.
    func error(_ at: Int, _ change: (Tensor) -> Tensor?) throws -> (any Error)? {
      let changed = tensors.enumerated().compactMap { index, entry in
        let tensor = index == at ? change(entry.1) : entry.1
        return tensor.map { (entry.0, Safetensors.Value.f32($0)) }
      }
      try Safetensors.write(changed, to: path)
      do {
        let model = try OneDPiece(Checkpoint(file: path, config: config), heads: (encoder, decoder))
        _ = try model.decode(model.encode(image))
        return nil
      } catch {
        return error
      }
    }
    #expect(try error(-1) { $0 } == nil)
    for (index, entry) in tensors.enumerated() {
      let missing = try error(index) { _ in nil }
      #expect(missing is WeightError || missing is ModelError, "\(entry.0)")
      for (what, change) in hostileChanges {
        if let found = try error(index, change) {
          #expect(found is WeightError || found is ModelError, "\(entry.0) \(what): \(found)")
        }
      }
    }
  }

  @Test func oneDPieceIsFoundByItsTensors() throws {
    let file = Self.goldens + "titok_nonlegacy_model.safetensors"
    // Heads of one for every 64 channels do not fit this small model: it is found, and refused in words.
    let error = #expect(throws: ModelError.self) { _ = try ImageTokenizers.load(Checkpoint(file: file)) }
    #expect(error.map { "\($0)".contains("num_heads") } == true)
    #expect(throws: ModelError.self) { _ = try ImageTokenizers.load(LoadedModel.checkpoint("vtok-tiny")) }
  }

  // MARK: KLT

  private func klt() throws -> any PaintingTokenizer { try LoadedTokenizer.load("klt").painter }

  /// Ids of a second implementation, in numpy with double precision and another heap.
  @Test func kltIdsAreThoseOfAnotherImplementation() throws {
    let ship = [
      939, 785, 129, 40, 651, 397, 163, 1021, 919, 262, 787, 344, 814, 540, 275, 781, 559, 232, 645, 223, 731, 809, 390,
      292, 216, 206, 143, 238, 233, 213, 367, 780, 642, 1010, 133, 558, 429, 74, 272, 80, 792, 308, 534, 915, 79, 956,
      752, 712, 867, 943, 675, 580, 966, 278, 756, 596, 327, 394, 270, 413, 374, 290, 911, 861,
    ]
    let chart = [1006, 682, 646, 186, 213, 908, 79, 451, 296, 210, 500, 331, 171, 479, 4, 287]
    #expect(try klt().encode(picture("ship.jpg"), tokens: 64).ids == ship)
    #expect(try klt().encode(picture("chart.png"), tokens: 16).ids == chart)
  }

  @Test func kltServesPicturesOfAnySize() throws {
    let klt = try klt()
    #expect(klt.codebookSize == 1024 && klt.bitsPerToken == 10)
    for name in ["cat.jpg", "receipt-tall.png", "skyline-wide.jpg", "solids-grey.jpg"] {
      let image = try picture(name)
      let all = try klt.encode(image, tokens: 1024)
      #expect(all.size == image.size && klt.prepare(image) == image)
      #expect(all.ids.allSatisfy { (0..<1024).contains($0) })
      var last = 0.0
      for count in [1, 4, 16, 64, 256, 1024] {
        #expect(try klt.encode(image, tokens: count) == all.prefix(count))
        let made = try klt.decode(all.prefix(count))
        #expect(made.size == image.size)
        let psnr = PictureQuality.psnr(PictureQuality.meanSquaredError(made, image))
        #expect(psnr > last, "\(name) at \(count): \(psnr) after \(last)")
        last = psnr
      }
      #expect(last > 17, "\(name): \(last)")
    }
    for size in [Size(1), Size(width: 1, height: 900), Size(width: 2000, height: 3)] {
      let image = Image(width: size.width, height: size.height, colour: [200, 40, 90])
      #expect(try klt.decode(klt.encode(image, tokens: 200)).size == size)
    }
    #expect(try klt.encode(picture("cat.jpg")).ids.count == KLTTokenizer.mostTokens)
    #expect(throws: ModelError.self) { _ = try klt.encode(picture("cat.jpg"), tokens: 4097) }
    #expect(throws: ModelError.self) { _ = try klt.decode(ImageTokens(ids: [1024], size: Size(4))) }
  }

  @Test func everyPrefixOfAnyIdsIsAPicture() throws {
    let klt = try klt()
    var random = SeededGenerator(seed: 5)
    for count in [1, 7, 4096] {
      let ids = (0..<count).map { _ in Int(random.next() % 1024) }
      #expect(try klt.decode(ImageTokens(ids: ids, size: Size(40))).size == Size(40))
    }
  }

  // MARK: Quality

  /// Values of scikit-image 0.26 (`structural_similarity` with Gaussian windows and population covariance).
  @Test func qualityIsTheUsualOne() throws {
    for (name, mirrored, coarse) in [
      ("cat.jpg", (0.9472132524, 22.4556078), (0.9338422477, 29.2354324)),
      ("chart.png", (0.7230724808, 11.8494645), (0.9673544506, 25.4924985)),
      ("ship.jpg", (0.6720148815, 14.7373291), (0.9128900706, 29.1911239)),
    ] {
      let image = try picture(name)
      var other = image
      for row in 0..<image.height {
        for column in 0..<image.width {
          for channel in 0..<3 {
            other.rgb[(row * image.width + column) * 3 + channel] =
              image.rgb[(row * image.width + image.width - 1 - column) * 3 + channel]
          }
        }
      }
      for (made, expected) in [
        (other, mirrored),
        (Image(width: image.width, height: image.height, rgb: image.rgb.map { $0 / 32 * 32 + 16 }), coarse),
      ] {
        #expect(abs(PictureQuality.ssim(image, made) - expected.0) < 2e-4)
        #expect(abs(PictureQuality.psnr(PictureQuality.meanSquaredError(image, made)) - expected.1) < 1e-5)
      }
      #expect(PictureQuality.ssim(image, image) == 1 && PictureQuality.meanSquaredError(image, image) == 0)
    }
    let small = Image(width: 3, height: 2, colour: [1, 2, 3])
    #expect(PictureQuality.ssim(small, small) == 1)
  }
}
