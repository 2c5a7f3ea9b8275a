import Foundation
import TestSupport
import Testing
import VTok

/// Which of several processor files counts, everywhere that pixels are made.
@Suite struct ProcessorFileTests {
  static let new = "processor_config.json", old = "preprocessor_config.json"

  private func read(_ files: [String: String]) throws -> ProcessorFile? {
    try ProcessorFile { name in try files[name].map { try JSON(parsing: $0) } }
  }

  @Test func theNestedOneWins() throws {
    let both = [Self.new: #"{"image_processor": {"resample": 2}}"#, Self.old: #"{"resample": 3}"#]
    #expect(try read(both)?.json["resample"] == 2 && read(both)?.file == Self.new)
    #expect(try read([Self.new: both[Self.new]!])?.json["resample"] == 2)
    #expect(try read([Self.old: both[Self.old]!])?.file == Self.old)
    #expect(try read([:]) == nil)
  }

  /// SmolVLM2's published file holds the length of an image and no processor; null is none too.
  @Test(arguments: [#"{"image_seq_len": 64}"#, #"{"image_processor": null}"#, #"{"video_processor": {"resample": 1}}"#])
  func aFileWithoutProcessorSaysNothing(text: String) throws {
    #expect(try read([Self.new: text, Self.old: #"{"resample": 3}"#])?.json["resample"] == 3)
    #expect(try read([Self.new: text]) == nil)
  }

  @Test(arguments: [
    (new, #"{"image_processor": "CLIPImageProcessor"}"#), (new, #"{"image_processor": []}"#), (new, "[]"),
    (old, "3"), (old, #""text""#),
  ]) func whatIsNoObjectIsRefused(file: String, text: String) {
    #expect {
      _ = try read([file: text])
    } throws: { "\($0)".hasPrefix(file) }
  }

  /// Messages name the file and the place that the value stands in.
  @Test func messagesNameThePlace() throws {
    let file = try read([
      Self.new: #"{"image_processor": {"image_processor_type": "CLIPImageProcessor", "resample": 9}}"#
    ])
    #expect {
      _ = try ProcessorConfig.read(file, config: [:])
    } throws: { error in
      guard case .configuration(Self.new, "image_processor.resample", _, _) = error as? ModelError else { return false }
      return true
    }
  }

  @Test(arguments: ["hf_clip_vision", "hf_siglip_vision", "hf_vit_cls", "hf_dinov2"])
  func towersReadItToo(folder: String) throws {
    let type = folder == "hf_dinov2" ? "BitImageProcessor" : "CLIPImageProcessorFast"
    func file(_ mean: String) -> String {
      #"{"image_processor_type": "\#(type)", "do_normalize": true, "image_mean": [\#(mean), 0.5, 0.5]}"#
    }
    func mean(_ files: [String: String]) throws -> Float {
      try withCopy(of: goldenCases + "vit-runtime/" + folder, files: files) { path in
        try VisionModel.load(Checkpoint(directory: path)).processor!.mean[0]
      }
    }
    let nested = #"{"image_processor": \#(file("0.25"))}"#
    #expect(try mean([Self.new: nested, Self.old: file("0.75")]) == 0.25)
    #expect(try mean([Self.new: nested]) == 0.25)
    #expect(try mean([Self.new: #"{"image_seq_len": 3}"#, Self.old: file("0.75")]) == 0.75)
  }

  /// A tower's pictures through a processor that does something else.
  @Test(arguments: [
    "ConvNextImageProcessor", "EfficientNetImageProcessorFast", "BlipImageProcessor", "Siglip2ImageProcessor",
  ])
  func aTowersUnknownProcessor(type: String) throws {
    let text = #"{"image_processor_type": "\#(type)"}"#
    try withCopy(of: goldenCases + "vit-runtime/hf_vit_cls", files: [Self.old: text]) { path in
      let error = modelError { _ = try VisionModel.load(Checkpoint(directory: path)) }
      #expect(error?.description.contains(type) == true)
    }
  }

  @Test(arguments: [
    #"{"shortest_edge": 28, "longest_edge": 56}"#, #"{"max_height": 28, "max_width": 28}"#, #"{"height": 28}"#, "{}",
    #"{"longest_edge": 30}"#,
  ]) func aSizeThatIsNotRead(size: String) {
    for type in ["CLIP", "Llava", "LlavaNext"] {
      let file = #"{"image_processor_type": "\#(type)ImageProcessor", "size": \#(size)}"#
      #expect(throws: ModelError.self, "\(type) \(size)") {
        try ProcessorConfig.read(read([Self.old: file]), config: [:])
      }
    }
  }

  /// Every resize of a processor by the filter that its file names, under any ending of the type's name.
  @Test(arguments: ["", "Fast", "Pil"]) func everyFilterIsRead(backend: String) throws {
    for (code, filter) in [(0, Resample.nearest), (1, .lanczos), (2, .bilinear), (3, .bicubic), (4, .box)] {
      func processor(_ type: String) throws -> any TiledProcessor {
        let text =
          #"{"image_processor": {"image_processor_type": "\#(type)ImageProcessor\#(backend)", "resample": \#(code)}}"#
        return try ProcessorConfig.read(read([Self.new: text]), config: [:])
      }
      for type in ["CLIP", "Llava"] { #expect((try processor(type) as? ImageProcessor)?.filter == filter) }
      #expect((try processor("LlavaNext") as? AnyResolutionProcessor)?.tile.filter == filter)
      for type in ["Idefics3", "SmolVLM"] {
        #expect((try processor(type) as? SplittingProcessor)?.pixels.filter == filter)
      }
      #expect((try processor("Qwen2VL") as? MergedPatchProcessor)?.pixels.filter == filter)
    }
  }

  /// Limits of Qwen in `size`; a number of its own name has the last word, as in transformers.
  @Test func limitsOfQwen() throws {
    func area(_ text: String) throws -> ClosedRange<Int>? {
      let file = #"{"image_processor": {"image_processor_type": "Qwen2VLImageProcessor", \#(text)}}"#
      return (try ProcessorConfig.read(read([Self.new: file]), config: [:]) as? MergedPatchProcessor)?.area
    }
    #expect(try area(#""size": {"shortest_edge": 1024, "longest_edge": 3072}"#) == 1024...3072)
    #expect(try area(#""size": {"shortest_edge": 1024, "longest_edge": 3072}, "min_pixels": 784"#) == 784...3072)
    #expect(try area(#""size": {"min_pixels": 900, "max_pixels": 9000}"#) == 900...9000)
  }

  /// Tile and thumbnail of LLaVA-NeXT are those that the file says, whether it crops and resizes or not.
  @Test func sizesOfLLaVANeXT() throws {
    let text = #"""
      {"image_processor": {"image_processor_type": "LlavaNextImageProcessor", "size": {"shortest_edge": 34},
       "crop_size": {"height": 28, "width": 28}, "do_resize": false, "do_center_crop": false,
       "image_grid_pinpoints": [[28, 56]]}}
      """#
    let next = try #require(ProcessorConfig.read(read([Self.new: text]), config: [:]) as? AnyResolutionProcessor)
    #expect(next.side == 28 && next.thumbnail == Size(34) && next.tile.crop == nil && next.tile.resize == .none)
  }
}
