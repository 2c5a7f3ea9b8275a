import Foundation
import TestSupport
import Testing
import VTok

/// What the goldens of LLaVA-OneVision do not see.
@Suite struct LLaVAOneVisionTests {
  private static let folder = TinyModels.folder + "llavaov-tiny-a"

  private static func model() throws -> MultimodalModel { try .load(Checkpoint(directory: folder)) }

  /// A picture of 2 x 3 tiles of 5 x 5 cells, which two tiles' worth of cells are left of.
  private static func picture(_ model: MultimodalModel) -> PreparedImage {
    TinyModels.noise(for: model, seed: 4, grid: (2, 3), original: Size(width: 93, height: 62))
  }

  /// Python's floor division, not the floor of a quotient, which would be 81.
  @Test(arguments: [(1600, 5, 80), (384, 1, 27)]) func packedSquares(side: Int, tiles: Int, cells: Int) {
    let grid = AnyresGrid(rows: tiles, columns: tiles, side: 27, width: side, height: side)
    let packed = grid.packed(limit: 9)
    #expect(packed == (cells, cells))
  }

  /// Every interpolated row knows the patches that it shows, by weights that sum to 1, and has the mass of one token.
  @Test func interpolatedRowsKnowTheirPatches() throws {
    let model = try Self.model()
    let image = Self.picture(model)
    var run = Run(.dense(model.shape))
    let span = try model.encode([image], run: &run)[0][0]
    let dense = try model.spans(of: image)[0]
    #expect(span.count == dense && span.count < 25 * 7)
    let patches = span.rows(.patch)
    #expect(patches.contains { span.origin.range($0).count == 4 })
    for row in patches {
      let weights = span.origin.range(row).map { span.origin.weights[$0] }
      #expect(abs(weights.reduce(0, +) - 1) < 1e-5 && weights.first == weights.max())
    }
    #expect(span.mass.allSatisfy { $0 == 1 })
  }

  /// A thinned tower has no grid: neither interpolation nor newlines.
  @Test func thinnedTowers() throws {
    let model = try Self.model()
    let image = Self.picture(model)
    var run = Run(try Composition(MethodSpec("tome:r=4").make(budget: nil), for: model.shape))
    let span = try model.encode([image], run: &run)[0][0]
    let dense = try model.spans(of: image)[0]
    let newlines = span.rows(.newline).count
    #expect(newlines == 0 && span.count < dense * 3)
    #expect(span.origin.offsets.count == span.count + 1)
  }

  /// Several pictures of a prompt are one tile each, as many tokens as patches and a newline.
  @Test func severalPictures() throws {
    let processor = try ProcessorConfig.load(Checkpoint(directory: Self.folder))
    let picture = Image(width: 60, height: 31, colour: [255, 0, 0])
    let (alone, among) = (try processor.tiles(of: picture), try processor.tiles(of: picture, among: 2))
    #expect(alone.tiles.count == 1 + alone.rows * alone.columns && alone.tiles.count > 1)
    #expect(among.tiles.count == 1 && (among.rows, among.columns) == (0, 0))
    // The mean colour above and below, the picture in the middle.
    #expect(abs(among.tiles[0].values[0]) < 0.01 && among.tiles[0].values[15 * 31 + 15] > 0.9)
    #expect(try Self.model().spans(of: among) == [26])
  }

  /// Frames are pooled to half a grid each way, rounded up, with one newline behind the last.
  @Test func videos() throws {
    let model = try Self.model()
    let video = PreparedImage(tiles: Self.picture(model).tiles, original: Size(31), isVideo: true)
    #expect(try model.spans(of: video) == [7 * 9 + 1])
    var run = Run(.dense(model.shape))
    let span = try model.encode([video], run: &run)[0][0]
    #expect(span.count == 64 && span.rows(.newline) == [63])
    let other = TinyModels.model("llava15-tiny-d")
    let tile = TinyModels.noise(for: other, seed: 1).tiles
    run = Run(.dense(other.shape))
    let error = modelError {
      _ = try other.prefill(
        [other.placeholder], [PreparedImage(tiles: tile, original: Size(28), isVideo: true)], run: &run)
    }
    #expect(error?.message.contains("Give the frames as images") == true)
  }

  /// LLaVA-1.5 with SigLIP: the same tower and projector, all rows, no newline. "default" would drop a patch.
  @Test func plainLLaVAWithSigLIP() throws {
    let dropped = ["image_grid_pinpoints", "vision_aspect_ratio"]
    func change(_ config: inout JSONObject) {
      config["model_type"] = "llava"
      for key in dropped { config[key] = nil }
    }
    let oneVision = try Self.model()
    let tile = Self.picture(oneVision).tiles[0]
    try withCopy(
      of: Self.folder, config: change, tensors: { $0.hasSuffix("image_newline") ? nil : ($0, $1) },
      body: { path in
        let model = try MultimodalModel.load(Checkpoint(directory: path))
        let image = PreparedImage(tiles: [tile], original: Size(31))
        var (run, other) = (Run(.dense(model.shape)), Run(.dense(oneVision.shape)))
        let span = try model.encode([image], run: &run)[0][0]
        let whole = try oneVision.encode([image], run: &other)[0][0]
        #expect(span.count == 25 && span.x == whole.x.gathered(Array(0..<25)))
        #expect(throws: CompressionError.self) { try Composition([HiRED(rate: 0.2)], for: model.shape) }
      })
    for strategy in [JSON("default"), .null] {
      let error = try withCopy(
        of: Self.folder,
        config: {
          change(&$0)
          $0["vision_feature_select_strategy"] = strategy
        }, body: { path in modelError { _ = try MultimodalModel.load(Checkpoint(directory: path)) } })
      #expect(error?.message.contains("vision_feature_select_strategy") == true)
    }
  }

  @Test func aTowerThatIsNone() throws {
    let error = try withCopy(
      of: Self.folder,
      config: { $0["vision_config"] = ["model_type": "pixtral"] },
      body: { path in modelError { _ = try MultimodalModel.load(Checkpoint(directory: path)) } })
    #expect(error?.message.contains("'pixtral'") == true)
  }
}
