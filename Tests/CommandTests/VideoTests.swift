import Foundation
import Testing
import VTok

/// Videos as frames: the processors, how they stand in prompts, and `generate --video`.
@Suite struct VideoTests {
  /// Pictures with stripes of their own.
  private static func frames(_ count: Int, width: Int = 60, height: Int = 40) -> [Image] {
    (0..<count).map { number in
      var image = Image(width: width, height: height, colour: [40, 90, 200])
      for index in image.rgb.indices { image.rgb[index] = UInt8((index * (number + 3) / 7) % 256) }
      return image
    }
  }

  private static func processor(frames: Int = 2, isOfAll: Bool = false, area: ClosedRange<Int> = 64...1_000_000)
    -> MergedPatchProcessor
  {
    let pixels = ImageProcessor(resize: .none, filter: .bicubic, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
    var processor = MergedPatchProcessor(pixels: pixels, patch: 4, merge: 2, frames: frames, area: area)
    processor.videos = MergedPatchProcessor.Videos(pixels: pixels, area: area, isOfAll: isOfAll)
    return processor
  }

  /// A still picture is a frame that stands twice.
  @Test func twoEqualFramesAreAStillPicture() throws {
    let (processor, frame) = (Self.processor(), Self.frames(1)[0])
    let video = try #require(try processor.video([frame, frame], rate: 2))
    let image = try processor.tiles(of: frame)
    #expect(video.tiles == image.tiles && (video.rows, video.columns) == (image.rows, image.columns))
    #expect(video.isVideo && video.seconds == [0.25] && video.pace == 1)
  }

  /// Of a patch every channel once per frame; the last frame stands for one that is missing.
  @Test func framesLieBehindEachOther() throws {
    let processor = Self.processor()
    let frames = Self.frames(3)
    let video = try #require(try processor.video(frames, rate: 4))
    #expect(video.tiles.count == 2 && video.seconds == [0.125, 0.5] && video.pace == 0.5)
    let stills = try frames.map { try processor.tiles(of: $0).tiles[0] }
    let plane = 16
    for (tile, pair) in [(0, [0, 1]), (1, [2, 2])] {
      for (place, frame) in pair.enumerated() {
        for channel in 0..<3 {
          for row in [0, 7] {
            let start = row * 6 * plane + (2 * channel + place) * plane
            let own = row * 6 * plane + 2 * channel * plane
            #expect(
              video.tiles[tile].values[start..<start + plane].elementsEqual(
                stills[frame].values[own..<own + plane]))
          }
        }
      }
    }
    #expect(throws: ImageError.self) { try processor.video([frames[0]], rate: 1) }
  }

  /// Limits of Qwen3-VL hold for all frames together: rows of transformers' own function.
  @Test(arguments: [
    // frames, size, limits in pixels, expected
    (4, Size(width: 60, height: 40), 64...4800, Size(width: 40, height: 24)),
    (2, Size(width: 60, height: 40), 64...4800, Size(width: 56, height: 40)),
    (2, Size(width: 60, height: 40), 64...1_000_000, Size(width: 64, height: 40)),
    (8, Size(width: 16, height: 12), 4096...1_000_000, Size(width: 32, height: 24)),
    (2, Size(width: 100, height: 4), 64...1_000_000, Size(width: 200, height: 8)),
  ]) func limitsOfAllFrames(_ count: Int, _ size: Size, _ area: ClosedRange<Int>, _ expected: Size) throws {
    let processor = Self.processor(isOfAll: true, area: area)
    let video = try #require(
      try processor.video(Self.frames(count, width: size.width, height: size.height), rate: 1))
    #expect(Size(width: video.columns * 4, height: video.rows * 4) == expected)
  }

  /// As the processor of transformers writes them out: 0.25 is shown as 0.2, the template's own marks stay around the whole.
  @Test func timesStandInTheText() throws {
    let text = try #require(VisualText(of: ["model_type": "qwen3_vl"]))
    let written = try text.writtenOut(
      "<|vision_start|><|video_pad|><|vision_end|>?",
      [VisualText.Visual(rows: 2, columns: 2, spans: [2, 1], seconds: [0.25, 1.75])])
    #expect(
      written == "<|vision_start|><0.2 seconds><|vision_start|><|video_pad|><|video_pad|><|vision_end|>"
        + "<1.8 seconds><|vision_start|><|video_pad|><|vision_end|><|vision_end|>?")
    #expect(throws: ModelError.self) { try text.check("no mark", images: 0, videos: 1) }
  }

  @Test func aFolderOfFramesIsAVideo() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("qwen25vl-tiny-a", in: folder)
      try write(
        #"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 64, "max_pixels": 4096}"#,
        model + "/preprocessor_config.json")
      let frames = folder + "/frames"
      try FileManager.default.createDirectory(atPath: frames, withIntermediateDirectories: true)
      let names = ["shot1-frame-2.png", "shot1-frame-9.png", "shot1-frame-10.png"]
      for (name, image) in zip(names, Self.frames(3)) { try WholeFile.write(image.pngData(), to: frames + "/" + name) }
      let base = ["generate", "--model", model, "--prompt", "what happens?", "--max-tokens", "4", "--format", "json"]
      func row(_ more: [String]) throws -> JSON {
        let done = try vtok(base + more)
        return try #require(JSON(parsing: done.out)[0], "\(done.error)")
      }
      let video = try row(["--video", frames])
      #expect(video["images"]?.strings == names.map { frames + "/" + $0 })
      let one = try row(["--image", frames + "/" + names[0]])
      #expect(video.value(at: "tokens.in")?.int == 2 * one.value(at: "tokens.in")!.int!)
      let named = try row(names.flatMap { ["--image", frames + "/" + $0] } + ["--as-video"])
      #expect(named["ids"] == video["ids"])
      // Time is in the positions.
      let slower = try row(["--video", frames, "--fps", "0.1"])
      #expect(slower["tokens"] == video["tokens"])
      let reduced = try row(["--video", frames, "--method", "divprune", "--keep-ratio", "0.5"])
      #expect(reduced.value(at: "tokens.out")!.int! * 2 == video.value(at: "tokens.in")!.int!)

      func refused(_ more: [String], _ text: String) throws {
        let done = try vtok(base + more)
        #expect(done.status != 0 && done.isOneError && done.error.contains(text), "\(done.error)")
      }
      try refused(["--video", folder + "/none"], "expected a folder")
      try refused(["--video", frames, "--image", frames + "/" + names[0]], "beside --image")
      try refused(["--image", frames + "/" + names[0], "--fps", "2"], "without a video")
      let unwindowed = try TinyModel.make("qwen2vl-tiny-a", in: folder)
      let processor = try String(contentsOfFile: model + "/preprocessor_config.json", encoding: .utf8)
      try write(processor, unwindowed + "/preprocessor_config.json")
      let still = try vtok(
        "generate", "--model", unwindowed, "--prompt", "what?", "--video", frames, "--method", "pixelprune")
      #expect(still.status != 0 && still.isOneError, "\(still.error)")
      #expect(still.error.contains("a video, expected still images"), "\(still.error)")
      try WholeFile.write(Self.frames(1, width: 30)[0].pngData(), to: frames + "/11.png")
      try refused(["--video", frames], "30x40 pixels, expected 60x40")
      try FileManager.default.removeItem(atPath: frames + "/11.png")
      try WholeFile.write(Self.frames(1)[0].pngData(), to: frames + "/2.png")
      try refused(["--video", frames], "with one number")
      let other = try TinyModel.make("llava15-tiny-d", in: folder)
      let done = try vtok(
        "generate", "--model", other, "--prompt", "what?", "--image", frames + "/2.png", "--image", frames + "/2.png",
        "--as-video")
      #expect(done.status != 0 && done.error.contains("qwen3-vl"), "\(done.error)")
    }
  }
}
