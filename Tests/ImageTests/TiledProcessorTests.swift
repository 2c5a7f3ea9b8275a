import Testing
import VTokImage

@Suite struct TiledProcessorTests {
  static let clip = ImageProcessor(
    resize: .shortestEdge(28), filter: .bicubic, crop: Size(28), mean: ImageProcessor.clipMean,
    std: ImageProcessor.clipStd)
  static let plain = ImageProcessor(resize: .none, filter: .lanczos)
  static let processors: [any TiledProcessor] = [
    clip,
    AnyResolutionProcessor(
      tile: clip, thumbnail: Size(28), side: 28, pinpoints: [Size(width: 56, height: 28), Size(width: 28, height: 84)]),
    SplittingProcessor(pixels: plain, longestEdge: 64, side: 16),
    SplittingProcessor(pixels: plain, longestEdge: nil, side: 32, splits: false),
    MergedPatchProcessor(pixels: plain, patch: 14, merge: 2, frames: 2, area: 784...9408),
  ]

  static func gradient(_ size: Size) -> Image {
    Image(
      width: size.width, height: size.height,
      rgb: (0..<size.width * size.height * 3).map { UInt8(truncatingIfNeeded: $0 &* 7) })
  }

  /// Every size gives whole tiles of one shape or a typed error.
  @Test(arguments: [
    Size(1), Size(width: 1, height: 4000), Size(width: 4000, height: 1), Size(width: 3, height: 2),
    Size(width: Image.maxSide, height: 1), Size(width: 1, height: Image.maxSide), Size(width: 57, height: 31),
  ]) func takesAnySize(_ size: Size) {
    for processor in Self.processors {
      do {
        let prepared = try processor.tiles(of: Self.gradient(size))
        #expect(prepared.original == size)
        #expect(prepared.tiles.allSatisfy { $0.shape == prepared.tiles[0].shape && $0.values.allSatisfy(\.isFinite) })
        if !(processor is MergedPatchProcessor) {
          #expect([1, 1 + prepared.rows * prepared.columns].contains(prepared.tiles.count))
        }
      } catch {
        #expect(error.kind == .tooLarge && processor is MergedPatchProcessor, "\(error)")
      }
    }
  }

  @Test func refusesWhatTheOfficialProcessorRefuses() {
    let split = SplittingProcessor(pixels: Self.plain, longestEdge: 49, side: 49)
    let thin = Self.gradient(Size(width: 1, height: 5000))
    #expect { try split.tiles(of: thin) } throws: { ($0 as? ImageError)?.message.contains("too thin") == true }
    let unsized = MergedPatchProcessor(pixels: Self.plain, patch: 14, merge: 2, frames: 2, area: nil)
    #expect(throws: ImageError.self) { try unsized.tiles(of: thin) }
    #expect(throws: Never.self) { try unsized.tiles(of: Self.gradient(Size(56))) }
  }

  /// The odd margin lies right and below, and is black before normalisation.
  @Test func centresOnBlack() {
    let white = Image(width: 50, height: 28, colour: [255, 255, 255])
    var tile = Self.clip
    (tile.mean, tile.std) = ([0, 0, 0], [1, 1, 1])
    let next = AnyResolutionProcessor(
      tile: tile, thumbnail: Size(28), side: 28, pinpoints: [Size(width: 56, height: 28)])
    let prepared = next.tiles(of: white)
    #expect(prepared.tiles.count == 3 && (prepared.rows, prepared.columns) == (1, 2))
    let (left, right) = (prepared.tiles[1].values[..<28], prepared.tiles[2].values[..<28])
    #expect(Array(left) == [0, 0, 0] + [Float](repeating: 1, count: 25))
    #expect(Array(right) == [Float](repeating: 1, count: 25) + [0, 0, 0])
  }

  /// Pillow 13 takes the columns first where the height shrinks by more than twice as many pixels as the width.
  @Test func theOrderOfPassesShows() {
    let noise = Self.gradient(Size(width: 40, height: 90))
    let (rows, cheaper) = (
      noise.resized(width: 30, height: 20, filter: .bicubic),
      noise.resized(width: 30, height: 20, filter: .bicubic, passes: .cheaperFirst)
    )
    let columnsThenRows = noise.resized(width: 40, height: 20, filter: .bicubic)
      .resized(width: 30, height: 20, filter: .bicubic)
    #expect(cheaper == columnsThenRows && cheaper != rows)
    #expect(
      noise.resized(width: 5, height: 20, filter: .bicubic, passes: .cheaperFirst)
        == noise.resized(width: 5, height: 20, filter: .bicubic))
  }
}
