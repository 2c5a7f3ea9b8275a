import Foundation
import Testing
import VTok

/// A rehearsed prompt costs what a real one costs, layer by layer and step by step, for every method on every family of
/// vision-language models: the tiny checkpoints of the golden cases, with random weights.
@Suite struct LanguageRehearsalTests {
  static let folder = (#filePath as NSString).deletingLastPathComponent + "/../Golden/Cases/lvlm/"
  static let checkpoints = try! FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    .filter { FileManager.default.fileExists(atPath: folder + $0 + "/config.json") }

  /// Without those whose counts depend on the image; the picture has no padding, whose tokens LLaVA-NeXT drops.
  static let methods = [
    "", "divprune:keep=0.3", "hired:keep=0.4", "visionzip:keep=0.5",
    "dart:keep=8,layer=1,text-pivots=2,visual-pivots=2",
    "fastv:layer=1,keep=0.5", "fastv:layer=1,keep=0.5,mode=in-place", "pyramiddrop:layers=1/2,ratios=0.5/0.25",
    "transprune:layers=1/2,ratios=0.5/0.25,accumulate=1/2", "elastic-cache:keep=0.5", "h2o:keep=0.5", "tome:r=1",
    "v2drop:layers=1/2,keep=0.3", "priortr:layers=1,keep=0.4", "deep-random:keep=0.5", "snapkv:window=4,keep=0.5",
    "snapkv:window=4,keep=0.5,granularity=query-head", "streaming-llm:keep=0.4", "h2o:gqa=mean,keep=0.5",
    "cls-attention:keep=0.5", "random:keep=0.5", "visionzip:keep=0.6+fastv:layer=2,keep=0.5+elastic-cache:keep=0.7",
  ]

  /// A cache that splits by head counts its entries once.
  @Test func headsThatPartAreCountedOnce() throws {
    let text = try String(contentsOfFile: Self.folder + "llava15-tiny-d/config.json", encoding: .utf8)
      .replacingOccurrences(of: #""num_key_value_heads": 2"#, with: #""num_key_value_heads": 4"#)
    let outline = try ModelOutline(config: JSON(parsing: Array(text.utf8)))
    let prompt = Rehearsal.Prompt(picture: Size(60), text: 16, newTokens: 3)
    let acts = try Rehearsal.trace(MethodSpec("h2o").make(budget: .ratio(0.5)), of: outline, prompt: prompt).acts
    let layers = outline.shape.decoder!.layers
    #expect(acts.count == 3 * layers && acts.prefix(layers).allSatisfy { $0.output == $0.input / 2 })
    #expect(acts.dropFirst(layers).allSatisfy { $0.output == $0.input - 1 && $0.output == acts[0].output })
  }

  @Test(arguments: checkpoints) func likeARealRun(_ name: String) throws {
    let checkpoint = try Checkpoint(directory: Self.folder + name)
    let model = try MultimodalModel.load(checkpoint)
    let outline = try ModelOutline.of(Self.folder + name)
    #expect(outline.shape == model.shape)
    let prompt = Rehearsal.Prompt(picture: Size(60), text: 9, newTokens: 4)
    let processor = try ProcessorConfig.load(checkpoint)
    let image = try processor.tiles(of: Image(width: 60, height: 60, colour: [90, 150, 30]))
    var served = 0
    for text in Self.methods {
      let methods = try text.isEmpty ? [] : MethodSpec(text).make(budget: nil)
      guard let composition = try? Composition(methods, for: model.shape) else { continue }
      // How it shares its budget among tiles follows their attention.
      if text.hasPrefix("hired"), model.shape.layout?.hasNewline == true { continue }
      served += 1
      let ids = Self.ids(outline, image, prompt, placeholder: model.placeholder)
      var run = Run(composition)
      let rehearsed: Trace
      do { rehearsed = try Rehearsal.trace(methods, of: outline, prompt: prompt) } catch let error as CompressionError {
        // A window that misses the image is found when the prompt is read: then in a real run too.
        #expect(throws: error) { _ = try model.prefill(ids, [image], run: &run) }
        continue
      }
      var decoding = try model.prefill(ids, [image], run: &run)
      for _ in 1..<prompt.newTokens { try model.language.step(5, &decoding, run: &run) }
      let (ours, real) = [rehearsed, run.trace].map { Cost(of: $0, shape: model.shape) }.pair
      #expect(ours == real, "\(text)")
      #expect(rehearsed.language.map(\.visual) == run.trace.language.map(\.visual), "\(text)")
      #expect(rehearsed.acts.map(\.output) == run.trace.acts.map(\.output), "\(text)")
    }
    #expect(served >= 7, "\(name)")
  }

  @Test func thereAreCheckpoints() { #expect(Self.checkpoints.count >= 6) }

  /// Ids of the prompt that a rehearsal makes up.
  static func ids(_ outline: ModelOutline, _ image: PreparedImage, _ prompt: Rehearsal.Prompt, placeholder: Int)
    -> [Int]
  {
    var text = outline.geometry!.markers(of: image)
    text[0] += 1
    text[text.count - 1] += prompt.text - 1
    return text.enumerated().flatMap { ($0 == 0 ? [] : [placeholder]) + [Int](repeating: 7, count: $1) }
  }
}

extension Array {
  fileprivate var pair: (Element, Element) { (self[0], self[1]) }
}
