import TestSupport
import Testing
import VTok

/// What the goldens of PaddleOCR-VL do not see.
@Suite struct PaddleOCRVLTests {
  private static let folder = TinyModels.folder + "paddleocr-tiny-a"

  /// A picture thinner than a cell is enlarged at its own aspect ratio first, and refused for what it then is.
  @Test func thinPictures() throws {
    let processor = try ProcessorConfig.read(
      ProcessorFile(["image_processor_type": "PaddleOCRVLImageProcessor"]), config: [:])
    let merged = try #require(processor as? MergedPatchProcessor)
    #expect(merged.area == 147_456...2_359_296 && merged.frames == 1 && merged.order == .rows)
    // 10 x 1000 becomes 28 x 2800, and that is enlarged to the least area.
    #expect(try merged.resized(Size(width: 1000, height: 10)) == Size(width: 3864, height: 56))
    #expect(throws: ImageError.self) { try merged.resized(Size(width: 3000, height: 10)) }
  }

  /// The patches of one picture come row by row, and squares of four become one token.
  @Test func tokensKnowTheirSquares() throws {
    let model = try MultimodalModel.load(Checkpoint(directory: Self.folder))
    let image = TinyModels.noise(for: model, seed: 2, grid: (2, 3))
    var run = Run(.dense(model.shape))
    let span = try model.encode([image], run: &run)[0][0]
    let squares = (0..<span.count).map { span.origin.range($0).map { Int(span.origin.patches[$0]) } }
    #expect(squares[0] == [0, 1, 6, 7] && squares[1] == [2, 3, 8, 9] && squares[3] == [12, 13, 18, 19])
  }

  @Test(arguments: ["evit:keep=0.5", "hired:keep=0.5"]) func refuses(_ spec: String) throws {
    let shape = try MultimodalModel.load(Checkpoint(directory: Self.folder)).shape
    #expect(throws: CompressionError.self) { try Composition(MethodSpec(spec).make(budget: nil), for: shape) }
  }

  /// The head is the embedding table where no other is in the file.
  @Test func tiedHeads() throws {
    try withCopy(
      of: Self.folder, config: { $0["tie_word_embeddings"] = nil },
      body: { path in
        #expect(throws: Never.self) { try MultimodalModel.load(Checkpoint(directory: path)) }
      })
  }
}
