import Testing
import VTokImage
import VTokTensor

@Suite struct ProcessorTests {
  let timm = ImageProcessor.timm(inputSize: Size(224), cropPct: 0.9)
  let clip = ImageProcessor(
    resize: .shortestEdge(224), filter: .bicubic, crop: Size(224), mean: ImageProcessor.clipMean,
    std: ImageProcessor.clipStd)
  let llava = ImageProcessor(
    padToSquare: [122, 116, 104], resize: .shortestEdge(56), filter: .bicubic, crop: Size(56))

  /// Only the cropped window is computed; it must be what cropping the whole gives.
  @Test func windowEqualsCropOfTheWhole() {
    var noise = Noise(state: 8)
    for _ in 0..<30 {
      let image = noise.image(1 + noise.below(60), 1 + noise.below(60))
      let processor = ImageProcessor.timm(inputSize: Size(24), cropPct: 0.8)
      let short = min(image.width, image.height)
      let whole = image.resized(width: 30 * image.width / short, height: 30 * image.height / short, filter: .bicubic)
      let x = Int((Double(whole.width - 24) / 2).rounded(.toNearestOrEven))
      let y = Int((Double(whole.height - 24) / 2).rounded(.toNearestOrEven))
      #expect(processor.prepare(image) == whole.cropped(x: x, y: y, width: 24, height: 24))
    }
  }

  /// The padded square is never made; the result must be as if it were.
  @Test(arguments: [(30, 11), (11, 30), (20, 20), (41, 1), (1, 41)]) func paddingEqualsPaddingFirst(
    width: Int, height: Int
  ) {
    let image = Noise(state: 9).with { $0.image(width, height) }
    var clip = llava
    clip.padToSquare = nil
    #expect(llava.prepare(image) == clip.prepare(image.paddedToSquare(colour: [122, 116, 104])))
  }

  @Test func sizes() {
    #expect(timm.resize == .shortestEdge(248))
    #expect(timm.preparedSize(width: 500, height: 375) == Size(224))
    let plain = ImageProcessor(resize: .shortestEdge(224), filter: .bicubic)
    #expect(plain.preparedSize(width: 500, height: 375) == Size(width: 298, height: 224))  // 298.67, truncated
    #expect(plain.preparedSize(width: 375, height: 500) == Size(width: 224, height: 298))
    let wide = ImageProcessor.timm(inputSize: Size(width: 384, height: 192), cropPct: 1)
    #expect(wide.resize == .covering(width: 384, height: 192))
    #expect(wide.preparedSize(width: 10, height: 10) == Size(width: 384, height: 192))
    let none = ImageProcessor(resize: .none, filter: .bicubic)
    #expect(none.preparedSize(width: 7, height: 9) == Size(width: 7, height: 9))
  }

  @Test func cropRoundings() {
    let image = Noise(state: 10).with { $0.image(7, 7) }
    // 7 - 4 = 3: floor 1, half to even 2. 7 - 2 = 5: 2 and 2. 7 - 10 = -3: margins of 2 and 1.
    for (side, floor, even) in [(4, 1, 2), (2, 2, 2), (10, -2, -1)] {
      for (rounding, start) in [(ImageProcessor.CropRounding.floor, floor), (.halfEven, even)] {
        let processor = ImageProcessor(resize: .none, filter: .bicubic, crop: Size(side), cropRounding: rounding)
        #expect(processor.prepare(image) == image.cropped(x: start, y: start, width: side, height: side))
      }
    }
  }

  /// `rescale` multiplies in double; timm divides by 255 in float32. The 256 results are the same.
  @Test func rescaleEqualsDivision() {
    let ramp = Image(width: 256, height: 1, rgb: (0...255).flatMap { [UInt8($0), UInt8($0), UInt8($0)] })
    let out = timm.normalise(ramp)
    #expect(out.shape == [3, 1, 256])
    for channel in 0..<3 {
      for sample in 0..<256 {
        let right = (Float(sample) / 255 - timm.mean[channel]) / timm.std[channel]
        #expect(out.values[channel * 256 + sample] == right)
      }
    }
  }

  @Test func visibleRegions() {
    typealias Region = ImageProcessor.Region
    let squash = ImageProcessor(resize: .exact(width: 224, height: 224), filter: .bilinear)
    #expect(squash.visibleRegion(width: 640, height: 480) == Region(x: 0, y: 0, width: 640, height: 480))
    #expect(clip.visibleRegion(width: 448, height: 896) == Region(x: 0, y: 224, width: 448, height: 448))
    #expect(llava.visibleRegion(width: 112, height: 56) == Region(x: 0, y: -28, width: 112, height: 112))
  }

  /// A long thin picture would become gigabytes if more than the crop were computed or the padding made.
  @Test(.timeLimit(.minutes(1))) func extremeShapes() {
    for (width, height) in [(65_535, 1), (1, 65_535)] {
      let image = Image(width: width, height: height, colour: [200, 100, 50])
      #expect(clip.prepare(image) == Image(width: 224, height: 224, colour: [200, 100, 50]))
      #expect(llava(image).shape == [3, 56, 56])
    }
  }
}
