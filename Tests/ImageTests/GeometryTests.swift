import Testing
import VTokImage

@Suite struct GeometryTests {
  // MARK: Resize

  @Test(arguments: Resample.allCases) func plainColourStaysPlain(filter: Resample) {
    let image = Image(width: 37, height: 23, colour: [3, 128, 255])
    for (width, height) in [(5, 50), (80, 4), (37, 9), (1, 1)] {
      let out = image.resized(width: width, height: height, filter: filter)
      #expect(out == Image(width: width, height: height, colour: [3, 128, 255]))
    }
  }

  @Test(arguments: Resample.allCases) func sameSizeIsTheSamePicture(filter: Resample) {
    let image = Noise(state: 2).with { $0.image(31, 14) }
    #expect(image.resized(width: 31, height: 14, filter: filter) == image)
  }

  /// No filter of these prefers a side, so mirroring before and after is the same. Box and nearest decide ties by side.
  @Test(arguments: [Resample.bilinear, .bicubic, .lanczos]) func resizeCommutesWithMirrors(filter: Resample) {
    let image = Noise(state: 3).with { $0.image(40, 29) }
    for exif in [2, 3, 4] {
      let before = image.oriented(exif).resized(width: 17, height: 50, filter: filter)
      let after = image.resized(width: 17, height: 50, filter: filter).oriented(exif)
      #expect(zip(before.rgb, after.rgb).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
    }
  }

  @Test func boxAndNearestByHand() {
    let image = Image(width: 4, height: 2, rgb: [0, 10, 20, 30, 4, 8, 12, 16].flatMap { [$0, $0, $0] })
    #expect(image.resized(width: 2, height: 1, filter: .box).rgb == [6, 6, 6, 20, 20, 20])
    #expect(image.resized(width: 2, height: 1, filter: .nearest).rgb == [8, 8, 8, 16, 16, 16])
  }

  @Test func pillowNumbers() {
    #expect((0...4).map { Resample(pillow: $0) } == [.nearest, .lanczos, .bilinear, .bicubic, .box])
    #expect(Resample(pillow: 5) == nil && Resample(pillow: -1) == nil)
  }

  // MARK: Crop and pad

  @Test func cropInsideAndOutside() {
    let image = Noise(state: 4).with { $0.image(9, 7) }
    for (x, y, width, height) in [(2, 1, 4, 5), (-2, -3, 12, 14), (5, 5, 9, 9), (20, 0, 2, 2), (-5, 3, 3, 3)] {
      let out = image.cropped(x: x, y: y, width: width, height: height)
      for row in 0..<height {
        for column in 0..<width {
          let inside = (0..<9).contains(x + column) && (0..<7).contains(y + row)
          #expect(out.pixel(column, row) == (inside ? image.pixel(x + column, y + row) : [0, 0, 0]))
        }
      }
    }
  }

  @Test func padCentresByFloorDivision() {
    let image = Noise(state: 5).with { $0.image(8, 5) }
    let square = image.paddedToSquare(colour: [1, 2, 3])
    #expect(square.size == Size(8))
    #expect(square.cropped(x: 0, y: 1, width: 8, height: 5) == image)
    #expect([0, 6, 7].allSatisfy { square.pixel(4, $0) == [1, 2, 3] })
    #expect(
      image.oriented(6).paddedToSquare(colour: [1, 2, 3]).cropped(x: 1, y: 0, width: 5, height: 8).oriented(8) == image)
  }

  // MARK: Orientation

  /// The eight pictures of the EXIF standard: where the corners of an upright picture lie as stored.
  @Test(arguments: [
    (1, "abcd"), (2, "badc"), (3, "dcba"), (4, "cdab"), (5, "acbd"), (6, "bdac"), (7, "dbca"), (8, "cadb"),
  ]) func orientations(exif: Int, stored: String) {
    func image(_ corners: String) -> Image {
      Image(width: 2, height: 2, rgb: corners.utf8.flatMap { [$0, $0, $0] })
    }
    #expect(image(stored).oriented(exif) == image("abcd"))
  }

  @Test func orientationsAreInverses() {
    let image = Noise(state: 6).with { $0.image(5, 3) }
    for (exif, inverse) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)] {
      #expect(image.oriented(exif).oriented(inverse) == image)
      #expect(image.oriented(exif).width == (exif < 5 ? 5 : 3))
    }
    #expect(image.oriented(0) == image && image.oriented(9) == image)
  }
}
