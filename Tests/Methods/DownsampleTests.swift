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

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(
      of: Downsample.self, ("a tower that takes one image size", { $0.tower!.fuse > 1 && !$0.tower!.anySize }))
  }
}
