import Foundation
import TestSupport
import Testing
import VTok

/// Vision-language models on the tiny checkpoints of the golden cases.
@Suite struct MultimodalTests {
  static let names = TinyModels.names

  // MARK: Images and prompts

  @Test(arguments: names) func imagesInCompanyEqualImagesAlone(name: String) throws {
    let model = TinyModels.model(name)
    let images = [TinyModels.noise(for: model, seed: 1), TinyModels.noise(for: model, seed: 2, grid: (1, 3))]
    var run = Run(.dense(model.shape))
    let prompt = try model.prompt(try TinyModels.prompt(model, images), images, run: &run)
    #expect(prompt.id == (0..<Int32(prompt.count)).map { $0 })
    var first = 0
    for (image, layout) in zip(images, run.images) {
      var alone = Run(.dense(model.shape))
      let spans = try model.encode([image], run: &alone)[0]
      let counts = try model.spans(of: image)
      #expect(layout.spans.map(\.count) == counts && spans.map(\.count) == counts)
      for (range, span) in zip(layout.spans, spans) {
        let rows = range.map(Int.init)
        #expect(prompt.x.gathered(rows) == span.x)
        // Patches are counted through the prompt.
        for (row, own) in zip(rows, 0..<span.count) {
          let (here, there) = (prompt.origin.range(row), span.origin.range(own))
          #expect(prompt.origin.patches[here].map { Int($0) - first } == span.origin.patches[there].map { Int($0) })
        }
      }
      first += alone.trace.patches
    }
    #expect(run.trace.patches == first && run.trace.connected >= prompt.rows(.patch).count)
  }

  @Test(arguments: names) func placeholdersMayBeWrittenOut(name: String) throws {
    let model = TinyModels.model(name)
    let images = [TinyModels.noise(for: model, seed: 3), TinyModels.noise(for: model, seed: 4)]
    let short = try TinyModels.prompt(model, images)
    var counts = try images.flatMap { try model.spans(of: $0) }
    let long = short.flatMap { $0 == model.placeholder ? [Int](repeating: $0, count: counts.removeFirst()) : [$0] }
    #expect(
      try TinyModels.logits(model, images, ids: long).logits == TinyModels.logits(model, images, ids: short).logits)
  }

  @Test(arguments: names) func threadsChangeNothing(name: String) throws {
    let model = TinyModels.model(name)
    let images = [TinyModels.noise(for: model, seed: 5)]
    let methods: [any Compressor] = [DivPrune(keep: .ratio(0.4))]
    let one = try TinyModels.logits(model, images, methods)
    let two = try TinyModels.logits(model, images, methods, threads: 2)
    #expect(two.tokens.id == one.tokens.id && two.tokens.origin == one.tokens.origin)
    #expect(distance(two.logits.values, one.logits.values) < 1e-4)
  }

  static let broken: [([Int], String)] = [
    ([], "no token"), ([1, 2], "0 image placeholders"), ([1, -1, -1, 2], "2 image placeholders"),
    ([Int](repeating: -1, count: 63) + [4, -1], "other tokens among the 64"), ([1, -1, 96], "token id 96"),
    ([1, -1, -7], "token id -7"),
  ]
  @Test(arguments: 0..<broken.count) func promptsThatDoNotFit(index: Int) throws {
    let model = TinyModels.model("llava15-tiny-d")
    let (ids, part) = Self.broken[index]
    var run = Run(.dense(model.shape))
    let error = #expect(throws: ModelError.self) {
      try model.prefill(
        ids.map { $0 == -1 ? model.placeholder : $0 }, [TinyModels.noise(for: model, seed: 1)], run: &run)
    }
    #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    #expect(run.trace.patches == 0, "nothing has run")
  }

  @Test(arguments: names) func imagesThatDoNotFit(name: String) throws {
    let model = TinyModels.model(name)
    let good = TinyModels.noise(for: model, seed: 1)
    let wrong = [
      PreparedImage(tiles: [Tensor(zeros: [3, 5, 5])], rows: 1, columns: 1, original: Size(5)),
      PreparedImage(tiles: good.tiles + good.tiles, rows: good.rows, columns: good.columns, original: Size(5)),
    ]
    for image in wrong { #expect(throws: ModelError.self) { try model.spans(of: image) } }
  }

  /// From a picture of any shape to the language model, with the processor of the files.
  @Test(arguments: names, [(31, 57), (90, 30), (1, 4000), (640, 3), (1, 1)])
  func anyPictureOrAReason(name: String, size: (width: Int, height: Int)) throws {
    let model = TinyModels.model(name)
    let processor = try ProcessorConfig.load(Checkpoint(directory: TinyModels.folder + name))
    let picture = Image(width: size.width, height: size.height, colour: [200, 100, 50])
    do {
      let image = try processor.tiles(of: picture)
      let result = try TinyModels.logits(model, [image])
      let counts = try model.spans(of: image)
      let isFinite = result.logits.values.allSatisfy { $0.isFinite }
      #expect(isFinite && result.run.images[0].spans.map(\.count) == counts)
    } catch let error as ImageError {
      let aspect = Double(max(size.width, size.height)) / Double(min(size.width, size.height))
      #expect(model.shape.layout?.tiling == .native && aspect > 200, "\(error)")
    }
  }

  @Test func textAloneIsAPrompt() throws {
    let model = TinyModels.model("qwen2vl-tiny-a")
    let (logits, tokens, _) = try TinyModels.logits(model, [], ids: [3, 4, 5])
    #expect(logits.rows == 3 && tokens.position.map(\.h) == [0, 1, 2])
  }

  // MARK: Packing

  /// Grids, padding and token counts of transformers for images of many sizes.
  @Test func anyGridPacksToThePublishedCount() throws {
    let rows = try JSON(
      parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: TinyModels.folder + "size-arithmetic.json"))))[
        "rows"]!.array!
    #expect(rows.count == 48)
    for row in rows {
      let next = row["llavanext"]!
      let tiles = next["grid"]!.ints!
      let grid = AnyresGrid(
        rows: tiles[0], columns: tiles[1], side: 24, width: row["width"]!.int!, height: row["height"]!.int!)
      let (high, wide) = (grid.visible.rows.count, grid.visible.columns.count)
      #expect([high, wide] == next["unpadded_grid"]!.ints!)
      #expect(576 + high * (wide + 1) == next["image_tokens"]!.int!)
    }
  }

  /// Thumbnail, then the visible cells row by row, a newline behind every row.
  @Test(arguments: [(2, 2, 90, 60), (1, 3, 90, 20), (3, 1, 11, 100), (2, 1, 60, 60), (1, 2, 1, 4000), (2, 2, 4000, 1)])
  func packsTheVisibleGrid(rows: Int, columns: Int, width: Int, height: Int) throws {
    let model = TinyModels.model("llavanext-tiny-d")
    let side = model.shape.tower!.rows
    let image = TinyModels.noise(
      for: model, seed: 6, grid: (rows, columns), original: Size(width: width, height: height))
    var run = Run(.dense(model.shape))
    let span = try model.encode([image], run: &run)[0][0]
    #expect(try model.spans(of: image) == [span.count])
    let grid = AnyresGrid(rows: rows, columns: columns, side: side, width: width, height: height)
    var expected: [Int?] = (0..<side * side).map { $0 }
    for row in grid.visible.rows {
      for column in grid.visible.columns {
        let tile = row / side * columns + column / side
        expected.append((1 + tile) * side * side + row % side * side + column % side)
      }
      expected.append(nil)
    }
    #expect((0..<span.count).map { span.origin.patches[span.origin.range($0)].first.map(Int.init) } == expected)
    #expect(span.kind == expected.map { $0 == nil ? .newline : .patch })
  }

  /// Without a grid: one tile and one newline.
  @Test func anUncutImageEndsWithANewline() throws {
    let model = TinyModels.model("llavanext-tiny-d")
    var run = Run(.dense(model.shape))
    let span = try model.encode([TinyModels.noise(for: model, seed: 7, grid: (0, 0))], run: &run)[0][0]
    #expect(span.count == model.shape.tower!.patches + 1 && span.kind.last == .newline)
  }

  /// Tiles thinned before packing: thumbnail, then what is left in raster order of the visible grid, without newlines.
  @Test func thinnedTilesArePackedInRasterOrder() throws {
    let model = TinyModels.model("llavanext-tiny-d")
    let image = TinyModels.noise(for: model, seed: 8, grid: (1, 2), original: Size(width: 90, height: 30))
    let result = try TinyModels.logits(model, [image], [Thinner(site: .features)])
    let side = model.shape.tower!.rows
    let grid = AnyresGrid(rows: 1, columns: 2, side: side, width: 90, height: 30)
    let patches = result.run.images[0].spans[0].map { id in
      Int(result.tokens.origin.patches[result.tokens.origin.range(Int(id)).lowerBound])
    }
    let kept = Thinner.kept(of: side * side)
    #expect(patches.prefix(kept.count) == kept[...] && !result.tokens.kind.contains(.newline))
    let places = patches.dropFirst(kept.count).map { patch in
      (row: patch % (side * side) / side, column: (patch / (side * side) - 1) * side + patch % side)
    }
    #expect(places.map { $0.row * 2 * side + $0.column } == places.map { $0.row * 2 * side + $0.column }.sorted())
    #expect(places.allSatisfy { grid.visible.rows.contains($0.row) })
    #expect(places.count == 2 * kept.count { grid.visible.rows.contains($0 / side) })
  }

  // MARK: Methods

  /// Methods that keep everything change nothing.
  @Test(arguments: names) func keepingAllIsDense(name: String) throws {
    let model = TinyModels.model(name)
    let images = [TinyModels.noise(for: model, seed: 9)]
    let dense = try TinyModels.logits(model, images).logits
    var methods: [any Compressor] = [DivPrune(keep: .ratio(1)), FastV(layer: 1, keep: .ratio(1))]
    if model.shape.tower!.hasClassifier { methods.append(HiRED(keep: .ratio(1))) }
    let kinds = Set((0..<model.shape.decoder!.layers).map { model.shape.decoder!.mixer(of: $0) == .full })
    for method in methods where kinds == [true] && (try? Composition([method], for: model.shape)) != nil {
      #expect(try TinyModels.logits(model, images, [method]).logits == dense, "\(type(of: method).name)")
    }
  }

  /// After a cut, M-RoPE positions stay those of the cells.
  @Test func cellsKeepTheirPositions() throws {
    let model = TinyModels.model("qwen2vl-tiny-a")
    let image = TinyModels.noise(for: model, seed: 11, grid: (3, 4))
    let tokens = try TinyModels.logits(model, [image], [DivPrune(keep: .tokens(5))]).tokens
    let visual = tokens.rows(.patch)
    #expect(visual.count == 5)
    for row in visual {
      let cell = Int(tokens.id[row]) - 2
      #expect(tokens.position[row] == Position(t: 2, h: Int32(2 + cell / 4), w: Int32(2 + cell % 4)))
    }
    #expect(tokens.position.last == Position(2 + 4 + 1), "text goes on behind the longer side")
  }

  @Test func whatCannotBeRight() throws {
    let (llava, qwen) = (TinyModels.model("llava15-tiny-d").shape, TinyModels.model("qwen25vl-tiny-a").shape)
    for method: any Compressor in [
      ToMe(r: 2), HiRED(keep: .ratio(0.5)), VisionZip(dominant: 2, contextual: 1), Thinner(site: .features),
    ] {
      #expect(throws: CompressionError.self) { try Composition([method], for: qwen) }
    }
    #expect(throws: CompressionError.self) { try Composition([GlobalCom2(keep: .ratio(0.5))], for: llava) }
    #expect(throws: CompressionError.self) { try Composition([ToMe(r: 2), HiRED(keep: .ratio(0.5))], for: llava) }
    #expect(throws: CompressionError.self) {
      try Composition([ToMe(r: 2), Downsample(keep: .ratio(0.5))], for: llava)
    }
    #expect(throws: CompressionError.self) {
      try TinyModels.logits(TinyModels.model("llava15-tiny-d"), [], ids: [1], [CDPruner(perTile: 4)])
    }
  }

  /// Budgets in the tower count the blocks that run, not the one behind the features.
  @Test(
    arguments: Methods.names.filter {
      isBudgeted($0, for: TinyModels.model("llava15-tiny-d").shape, where: \.staysInBlocks)
    })
  func budgetsInTheTower(name: String) throws {
    let model = TinyModels.model("llava15-tiny-d")
    let methods = try MethodSpec(name).make(budget: .ratio(0.5))
    let result = try TinyModels.logits(model, [TinyModels.noise(for: model, seed: 13)], methods)
    let left = result.run.images[0].spans[0].count
    #expect(left == 32)
    #expect(throws: CompressionError.self) {
      try Composition(MethodSpec("cls-attention:block=4").make(budget: .ratio(0.5)), for: model.shape)
    }
  }

  @Test func methodsInTheTowerReachTheLanguageModel() throws {
    let model = TinyModels.model("llava15-tiny-d")
    let image = TinyModels.noise(for: model, seed: 12)
    let result = try TinyModels.logits(model, [image], [ToMe(r: 8)])
    // Four blocks run, the fifth is never needed.
    #expect(result.run.images[0].spans[0].count == 64 - 4 * 8 && result.run.trace.tower.count == 4)
    let tokens = result.tokens
    #expect(tokens.rows(.patch).reduce(0) { $0 + tokens.mass[$1] } == 64)
  }
}

/// Drops every third patch of every tile.
struct Thinner: Compressor {
  static let name = "thinner"
  static let summary = "for tests"
  let site: Site
  init(site: Site) { self.site = site }
  init(_ options: inout Options) throws(OptionError) { self.init(site: .features) }
  static func kept(of count: Int) -> [Int] { (0..<count).filter { $0 % 3 != 0 } }
  func plan(for model: Shape) -> Plan { Plan(act: [site]) }
  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    view.sequences.map { tokens in
      let patches = tokens.rows(.patch)
      return .keep(Self.kept(of: patches.count).map { patches[$0] }, of: tokens.count)
    }
  }
}
