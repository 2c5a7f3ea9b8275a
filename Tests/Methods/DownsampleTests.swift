import TestSupport
import Testing
import VTok

@Suite struct DownsampleTests {
  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: Downsample.self, "keep")
  }

  // MARK: What it keeps

  @Test(arguments: [0.5, 0.25, 0.1]) func downsamplingAveragesTheGridOfEveryTile(ratio: Double) throws {
    for name in ["llava15-tiny-d", "llavanext-tiny-d"] {
      let model = TinyModels.model(name)
      let image = TinyModels.noise(for: model, seed: 10)
      let result = try TinyModels.logits(model, [image], [Downsample(keep: .ratio(ratio))])
      let tower = model.shape.tower!
      // What a tile has of the budget, which counts newlines and does not count padding.
      let layout = result.run.images[0]
      let share = Double(Budget.ratio(ratio).tokens(of: layout.tokens)) / Double(layout.patches)
      let grid = Shape.Tower.grid(
        rows: tower.rows, columns: tower.columns,
        patches: Int((share * Double(tower.patches)).rounded(.toNearestOrAwayFromZero)))
      #expect(result.run.trace.acts.map(\.method) == ["downsample:pool"])
      #expect(result.run.trace.acts[0].output == image.tiles.count * grid.rows * grid.columns)
      // Every token is the mean of patches that lie together, and together they cover the tile.
      let tokens = result.tokens
      let visual = tokens.rows(.patch)
      let weights = visual.map { tokens.origin.weights[tokens.origin.range($0)].reduce(0, +) }
      #expect(weights.allSatisfy { abs($0 - 1) < 1e-5 })
      let covered = visual.flatMap { tokens.origin.patches[tokens.origin.range($0)] }
      #expect(name != "llava15-tiny-d" || Set(covered).count == tower.patches)
    }
  }

  // MARK: Images at their own size

  private static let pages = smallModels + "vqa-pages"

  private static func page() throws -> Image { try Image.decode(contentsOf: pages + "/reference/0.png").image }

  /// The processor makes the image smaller, as whoever sets `max_pixels` does; what the dense model would cost is known.
  @Test(arguments: [Budget.ratio(0.5), .ratio(0.2), .tokens(9), .ratio(1)])
  func shrinksAsMaxPixelsDoes(budget: Budget) throws {
    let (generator, page) = (try Generator(model: Self.pages, method: "downsample", keep: budget), try Self.page())
    let dense = try generator.with(nil)
    let whole = try dense("what is the total?", about: [page], limit: 4)
    let wanted = budget.tokens(of: whole.table.tokensIn)
    let own = try #require(dense.processor as? MergedPatchProcessor)
    let cell = own.patch * own.merge * own.patch * own.merge
    let smaller = try MergedPatchProcessor(
      pixels: own.pixels, patch: own.patch, merge: own.merge, frames: own.frames, area: cell...wanted * cell
    ).tiles(of: page)
    let prompt = try generator.prepare("what is the total?", about: [page])
    #expect(prompt.images == [smaller])
    let (answer, alone) = (
      try generator(prompt, limit: 4), try dense(dense.prepare("what is the total?", about: [smaller]), limit: 4)
    )
    #expect(answer.ids == alone.ids && answer.table.cost == alone.table.cost)
    #expect(answer.table.tokensOut == alone.table.tokensIn && answer.table.tokensOut <= wanted)
    #expect(answer.table.tokensIn == whole.table.tokensIn)
    if answer.ids.count == whole.ids.count { #expect(answer.table.dense == whole.table.cost) }
    #expect(answer.outcome.dense == Double(whole.table.tokensIn) && answer.outcome.asked == Double(wanted))
  }

  /// A rehearsal, which has no image, counts the same.
  @Test func rehearsesSmallerImages() throws {
    let (generator, page) = (try Generator(model: Self.pages, method: "downsample:keep=0.3"), try Self.page())
    let trace = try Rehearsal.trace(
      generator.composition.methods, of: generator.outline, prompt: .init(picture: page.size, text: 8, newTokens: 1))
    let answer = try generator("what is the total?", about: [page], limit: 1)
    #expect(CostTable(trace, dense: trace, shape: generator.outline.shape).tokensOut == answer.table.tokensOut)
  }

  @Test func saysWhatItCannotShrink() throws {
    let generator = try Generator(model: Self.pages, method: "downsample:keep=1")
    #expect {
      try generator("what is it?", about: [Image(width: 256, height: 16, colour: [9, 9, 9])], limit: 1)
    } throws: {
      "\($0)".contains("asked 1 of") && "\($0)".contains("no fewer than")
    }
    #expect { try VisualReducer(generator) } throws: { "\($0)".contains("a smaller image") }
    let frames = [Image](repeating: try Self.page(), count: 2)
    #expect { try generator.video(Video(frames, rate: 1, names: ["0.png", "1.png"])) } throws: {
      "\($0)".contains("a video")
    }
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: Downsample.self, ("a tower that takes one image size", { $0.tower!.fuse > 1 && $0.layout?.tiling != .native })
    )
  }
}
