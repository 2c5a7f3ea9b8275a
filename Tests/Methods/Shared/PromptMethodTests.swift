import TestSupport
import Testing
import VTok

/// What must hold of every method between vision tower and language model, on seeded noise of random shapes.
@Suite struct PromptMethodTests {
  static let seeds = TileStage.seeds

  /// Every method that acts between tower and prompt, and options that change what it does.
  static let packers =
    specs(
      for: SmallShapes.tiles(),
      options: [
        "hired": "keep=0.2,mode=paper", "globalcom2": "keep=0.25", "visionzip": "dominant=5,contextual=3",
        "token-corr": "similarity=0.3",
      ], standard: "keep=0.3", where: \.actsBeforePrompt)
    + [
      "globalcom2:keep=0.25,mode=clean", "token-corr:similarity=0.3,sample=seeded",
      "vispruner:version=fastervlm,keep=0.3",
      "hiprune:total=40,alpha=0.3", "scope:combine=add,keep=0.4", "holov:crops=5,keep=0.6,overflow=drop",
    ]

  /// Every method that cuts the prompt by what its tokens are.
  static let cutters =
    specs(
      for: PromptStage.shape, options: ["dart": "keep=0.5"], standard: "keep=0.3", where: \.cutsWithoutAttention)
    + [
      "cdpruner:kernel=openvino,keep=0.3", "cdpruner:kernel=openvino,split=off,keep=9",
      "dart:tokens=9,order=sorted", "dart:stage=embeddings,keep=0.5",
    ]

  @Test(arguments: packers, seeds) func originsAreTrue(_ spec: String, seed: UInt64) throws {
    let stage = TileStage(seed: seed)
    for tokens in [try stage.run(spec).packed] {
      for row in 0..<tokens.count where tokens.kind[row] == .patch {
        // The first patch a row stands for is its anchor, whose value it has or starts with.
        #expect(tokens.origin.patches[tokens.origin.range(row).lowerBound] == stage.patch(ofID: tokens.id[row]))
      }
      #expect(tokens.kind.indices.allSatisfy { tokens.kind[$0] != .newline || tokens.origin.range($0).isEmpty })
    }
  }

  @Test(arguments: cutters, seeds) func textAndOrderStay(_ spec: String, seed: UInt64) throws {
    let stage = PromptStage(seed: seed)
    let run = try stage.run(spec)
    #expect(run.tokens.rows(.text).map { run.tokens.id[$0] } == stage.tokens.rows(.text).map { stage.tokens.id[$0] })
    #expect(run.tokens.id == run.tokens.id.sorted() && Set(run.tokens.id).count == run.tokens.count)
    for row in 0..<run.tokens.count {
      #expect(run.tokens.x.row(row) == stage.tokens.x.row(Int(run.tokens.id[row])))
    }
  }

  @Test(arguments: TileStage.seeds) func runsRepeat(seed: UInt64) throws {
    for spec in Self.packers {
      let (first, second) = (try TileStage(seed: seed).run(spec), try TileStage(seed: seed).run(spec))
      #expect(first.packed.id == second.packed.id && first.packed.x == second.packed.x)
    }
    for spec in Self.cutters {
      #expect(try PromptStage(seed: seed).run(spec).tokens.id == PromptStage(seed: seed).run(spec).tokens.id)
    }
  }
}
