import Testing
import VTok

@Suite struct ProcessorConfigTests {
  static func read(_ file: String?, config: String = "{}") throws -> any TiledProcessor {
    try ProcessorConfig.read(file.map { ProcessorFile(try JSON(parsing: $0)) }, config: JSON(parsing: config))
  }

  /// Files as published, cut to what matters.
  @Test func readsPublishedFiles() throws {
    let llava = try #require(
      Self.read(
        #"""
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336}, "do_center_crop": true,
         "crop_size": {"height": 336, "width": 336}, "resample": 3, "rescale_factor": 0.00392156862745098}
        """#) as? ImageProcessor)
    #expect(llava.resize == .shortestEdge(336) && llava.crop == Size(336) && llava.padToSquare == nil)
    let siglip = try #require(
      Self.read(#"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}}"#)
        as? ImageProcessor)
    #expect(siglip.resize == .exact(width: 384, height: 384) && siglip.crop == nil && siglip.mean == [0.5, 0.5, 0.5])
    let next = try #require(
      Self.read(
        #"""
        {"image_processor_type": "LlavaNextImageProcessor", "aspect_ratio_setting": "anyres", "do_pad": true,
         "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
         "image_grid_pinpoints": [[336, 672], [672, 336]]}
        """#) as? AnyResolutionProcessor)
    #expect(next.pinpoints == [Size(width: 672, height: 336), Size(width: 336, height: 672)] && next.side == 336)
    let smol = try #require(
      Self.read(
        #"""
        {"image_processor_type": "Idefics3ImageProcessorFast", "size": {"longest_edge": 2048}, "resample": 1,
         "max_image_size": {"longest_edge": 512}, "do_image_splitting": true}
        """#) as? SplittingProcessor)
    #expect(smol.side == 512 && smol.longestEdge == 2048 && smol.pixels.filter == .lanczos)
    let qwen = try #require(
      Self.read(
        #"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056}"#)
        as? MergedPatchProcessor)
    #expect(qwen.area == 3136...12_845_056 && (qwen.patch, qwen.merge, qwen.frames) == (14, 2, 2))
  }

  @Test func fallsBackOnTheModel() throws {
    let tower = #""vision_config": {"image_size": 28, "patch_size": 7}"#
    let llava = try Self.read(nil, config: #"{"model_type": "llava", "image_aspect_ratio": "pad", \#(tower)}"#)
    #expect((llava as? ImageProcessor)?.padToSquare == [122, 116, 104])
    #expect((llava as? ImageProcessor)?.crop == Size(28))
    let next = try Self.read(nil, config: #"{"model_type": "llava_next", \#(tower)}"#) as? AnyResolutionProcessor
    #expect(next?.pinpoints.first == Size(width: 56, height: 28))
    let idefics = try Self.read(nil, config: #"{"model_type": "idefics3", \#(tower)}"#) as? SplittingProcessor
    #expect(idefics?.side == 28 && idefics?.longestEdge == 112)
    let qwen = try Self.read(nil, config: #"{"model_type": "qwen2_vl", \#(tower)}"#) as? MergedPatchProcessor
    #expect(qwen?.patch == 7 && qwen?.area == 3136...1_003_520)
  }

  @Test(arguments: [
    (#"{"image_processor_type": "PixtralImageProcessor"}"#, "image_processor_type"),
    (#"{"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": []}"#, "image_grid_pinpoints"),
    (#"{"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": [[336, 100]]}"#, "pinpoints"),
    (#"{"image_processor_type": "LlavaNextImageProcessor", "size": {"shortest_edge": -1}}"#, "size.shortest_edge"),
    (#"{"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 1e9, "width": 1}}"#, "crop_size.height"),
    (#"{"image_processor_type": "SmolVLMImageProcessor", "size": {"height": 5, "width": 5}}"#, "size"),
    (#"{"image_processor_type": "SmolVLMImageProcessor", "max_image_size": {"longest_edge": 0}}"#, "max_image_size"),
    (#"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 10000, "max_pixels": 5}"#, "max_pixels"),
    (#"{"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 1073741824}"#, "patch_size"),
    (#"{"image_processor_type": "Qwen2VLImageProcessor", "resample": 5}"#, "resample"),
  ]) func refuses(file: String, key: String) {
    #expect {
      _ = try Self.read(file)
    } throws: { error in
      guard case .configuration(_, let found, _, _) = error as? ModelError else { return false }
      return found.contains(key)
    }
  }
}
