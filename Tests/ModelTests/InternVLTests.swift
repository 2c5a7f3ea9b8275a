import Foundation
import TestSupport
import Testing
import VTok

/// What the goldens of InternVL do not see.
@Suite struct InternVLTests {
  private static let authors = TinyModels.folder + "internvl-orig-a"
  private static let transformers = TinyModels.folder + "internvl-tiny-a"

  private func load(_ path: String) throws { _ = try MultimodalModel.load(Checkpoint(directory: path)) }

  /// A larger grid of the same aspect ratio is taken once the picture has more than half its pixels.
  @Test(arguments: [
    (448, 448, 1, 1), (633, 633, 1, 1), (634, 634, 2, 2), (900, 450, 1, 2), (1280, 640, 2, 4), (100, 5000, 12, 1),
    (5000, 100, 1, 12),
  ]) func grid(width: Int, height: Int, rows: Int, columns: Int) {
    let processor = AspectTilesProcessor(
      pixels: ImageProcessor(resize: .none, filter: .bicubic), tile: Size(448), tiles: 1...12)
    let grid = processor.grid(for: Size(width: width, height: height))
    #expect(grid == (rows, columns))
  }

  /// Several tiles are followed by the whole image, one is alone.
  @Test func thumbnailIsLast() {
    let processor = AspectTilesProcessor(
      pixels: ImageProcessor(resize: .none, filter: .bicubic), tile: Size(4), tiles: 1...6)
    let wide = processor.tiles(of: Image(width: 12, height: 4, colour: [9, 9, 9]))
    #expect(wide.tiles.count == 4 && (wide.rows, wide.columns) == (1, 3))
    let single = processor.tiles(of: Image(width: 4, height: 4, colour: [9, 9, 9]))
    #expect(single.tiles.count == 1 && (single.rows, single.columns) == (1, 1))
  }

  @Test(arguments: [
    ("vision_feature_select_strategy", JSON("full")), ("vision_feature_layer", 9), ("downsample_ratio", 0.3),
    ("downsample_ratio", 2),
  ]) func refuses(key: String, value: JSON) throws {
    let error = try withCopy(
      of: Self.transformers, config: { $0[key] = value }, body: { path in modelError { try load(path) } })
    guard case .configuration(_, key, _, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: [("ps_version", JSON("v1")), ("ps_version", .null), ("select_layer", 8)])
  func refusesOfTheAuthors(key: String, value: JSON) throws {
    let error = try withCopy(
      of: Self.authors, config: { $0[key] = value }, body: { path in modelError { try load(path) } })
    guard case .configuration(_, key, _, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// The ids of the placeholder and of the end of a turn stand in the tokenizer's files alone.
  @Test func idsOfTheAuthorsFiles() throws {
    let checkpoint = try Checkpoint(directory: Self.authors)
    let model = try MultimodalModel.load(checkpoint)
    #expect(model.placeholder == 285 && model.stops == [282])
    let tokenizer = try TextTokenizer(checkpoint)
    #expect(tokenizer.id("<IMG_CONTEXT>") == 285 && tokenizer.encode("<img>a</img>").first == 283)
    // What a folder says of a CLIP processor is not read.
    #expect(try ProcessorConfig.load(checkpoint) is AspectTilesProcessor)
  }

  /// The template that the authors' code takes is named in `config.json`; one that is not built is refused.
  @Test func templateOfTheAuthors() throws {
    let checkpoint = try Checkpoint(directory: Self.authors)
    let text = try #require(VisualText(of: checkpoint.config))
    let template = try PromptTemplate.load(checkpoint, tokenizer: TextTokenizer(checkpoint), for: text)
    #expect(template.name == "internvl2_5" && template.origin == .checkpoint(file: "config.json"))
    let files = try ["vocab.json", "merges.txt", "tokenizer_config.json"].map {
      ($0, try String(contentsOfFile: Self.authors + "/" + $0, encoding: .utf8))
    }
    try withCopy(
      of: Self.authors, config: { $0["template"] = "Hermes-2" },
      files: Dictionary(uniqueKeysWithValues: files),
      body: { path in
        let copy = try Checkpoint(directory: path)
        #expect(
          modelError { _ = try PromptTemplate.load(copy, tokenizer: TextTokenizer(copy), for: text) }?.message
            .contains("Hermes-2") == true)
      })
  }

  /// Dynamic scaling of frequencies changes nothing up to the length of training; beyond it is refused.
  @Test func longPrompts() throws {
    let model = try MultimodalModel.load(Checkpoint(directory: Self.transformers))
    #expect(model.language.longest == 512)
    var run = Run(.dense(model.shape))
    #expect(
      modelError { _ = try model.prefill([Int](repeating: 5, count: 513), run: &run) }?.message.contains("512")
        == true)
  }

  /// Methods that count on a token for every patch are refused for the connector's squares.
  @Test(arguments: ["hired:keep=0.5", "visionzip:keep=0.5", "cls-attention:keep=0.5"]) func refuses(_ spec: String)
    throws
  {
    let shape = try MultimodalModel.load(Checkpoint(directory: Self.transformers)).shape
    #expect {
      try Composition(MethodSpec(spec).make(budget: nil), for: shape)
    } throws: {
      "\($0)".contains("fuses 4 patches into one token")
    }
  }
}
