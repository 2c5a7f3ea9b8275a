import VTokImage
import VTokWeights

extension MultimodalFamily {
  static let qwen2VL = MultimodalFamily(
    name: "qwen2-vl", types: ["qwen2_vl"], summary: "Qwen2-VL",
    text: .qwen2VL, placeholder: 151_655, languageType: { _ in "qwen2_vl_text" },
    outline: { try QwenVL.outline($0, $1, isWindowed: false) }, processors: [.qwen2VL], processor: { _ in .qwen2VL },
    videos: .qwen2VL,
    templates: [.qwen2VL], template: { _, _ in .qwen2VL },
    published: [
      published(
        "qwen2-vl-2b", DecoderSize(width: 1536, layers: 28, heads: 12, kvHeads: 2, ffn: 8960, vocabulary: 151936)),
      published(
        "qwen2-vl-7b", DecoderSize(width: 3584, layers: 28, heads: 28, kvHeads: 4, ffn: 18944, vocabulary: 152064)),
      published(
        "qwen2-vl-72b", DecoderSize(width: 8192, layers: 80, heads: 64, kvHeads: 8, ffn: 29568, vocabulary: 152064)),
    ], gguf: QwenVL.gguf("qwen2vl_merger", isWindowed: false), load: { try QwenVL($0, shape: $1) })

  private static func published(_ name: String, _ text: DecoderSize) -> PublishedModel {
    QwenVL.published(name, type: "qwen2_vl", text, vision: [:])
  }
}

extension VisualText {
  /// One placeholder per token of the image, between two marks that templates write.
  public static let qwen = VisualText(
    placeholder: "<|image_pad|>", image: "<|vision_start|><|image_pad|><|vision_end|>")
  /// The same with videos, which are one span.
  static let qwen2VL = qwen { _, spans in spans.joined() }

  /// - Parameter video: of a video its placeholders written out, from the seconds and the placeholders of every span.
  static func qwen(video: @escaping @Sendable ([Double], [String]) -> String) -> VisualText {
    var text = qwen
    text.video = VideoText(
      placeholder: "<|video_pad|>", video: "<|vision_start|><|video_pad|><|vision_end|>", write: video)
    return text
  }
}

extension VideoRule {
  static let qwen2VL = VideoRule(area: 128 * 28 * 28...768 * 28 * 28, isOfAll: false)
}

extension ProcessorKind {
  static let qwen2VL = ProcessorKind(names: ["Qwen2VLImageProcessor"]) { try $0.mergedPatches() }
}

extension ProcessorValues {
  /// A limit on the number of pixels, which has had three places.
  private func pixels(_ key: String, _ edge: String, in settings: Config) throws -> Int? {
    for path in [key, "size.\(edge)", "size.\(key)"] {
      if let number = try settings.intIfPresent(path, in: 1...1 << 26) { return number }
    }
    return nil
  }

  /// - Parameters:
  ///   - area: pixels that a resized picture may have, where no file says it.
  ///   - frames: the same of frames that a still picture stands for.
  func mergedPatches(
    area: ClosedRange<Int> = 3136...1_003_520, frames: Int = 2, order: MergedPatchProcessor.Order = .cells,
    enlargesThin: Bool = false
  ) throws -> MergedPatchProcessor {
    let whole = try self.area(area, in: settings)
    var processor = MergedPatchProcessor(
      pixels: try pixels(filter: .bicubic, mean: ImageProcessor.clipMean, std: ImageProcessor.clipStd),
      patch: try settings.intIfPresent("patch_size") ?? tower("patch_size") ?? 14,
      merge: try settings.intIfPresent("merge_size") ?? tower("spatial_merge_size") ?? 2,
      frames: try settings.intIfPresent("temporal_patch_size") ?? tower("temporal_patch_size") ?? frames,
      area: whole, order: order, enlargesThin: enlargesThin)
    if let videos {
      // A file that says nothing of videos holds for them too.
      let own = videoSettings ?? settings
      let values = ProcessorValues(settings: own, config: config, hasFile: hasFile)
      processor.videos = MergedPatchProcessor.Videos(
        pixels: videoSettings == nil
          ? processor.pixels
          : try values.pixels(filter: .bicubic, mean: processor.pixels.mean, std: processor.pixels.std),
        area: try self.area(videos.area, in: own), isOfAll: videos.isOfAll)
    }
    return processor
  }

  /// Pixels that a picture may have; nil: it is not resized.
  private func area(_ fallback: ClosedRange<Int>, in settings: Config) throws -> ClosedRange<Int>? {
    let least = try pixels("min_pixels", "shortest_edge", in: settings) ?? fallback.lowerBound
    let most = try pixels("max_pixels", "longest_edge", in: settings) ?? fallback.upperBound
    guard least <= most else { throw settings.unfit("max_pixels", "at least the \(least) of min_pixels") }
    return try settings.bool("do_resize", true) ? least...most : nil
  }
}

extension KnownTemplate {
  /// Qwen2-VL and Qwen2.5-VL: that of Qwen3-VL, and a sentence of the system's own where there is none.
  static let qwen2VL = KnownTemplate(
    name: "qwen2-vl",
    body: #"""
      {%- if messages[0].role != 'system' -%}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}
      {%- endif -%}
      """# + qwen3VL.body)
}
