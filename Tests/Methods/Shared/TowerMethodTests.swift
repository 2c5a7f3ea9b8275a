import TestSupport
import Testing
import VTok

/// What must hold of every method that acts inside the tower, on seeded noise.
@Suite struct TowerMethodTests {
  /// Every method that acts in the blocks, and options that change what it does.
  static let specs =
    inTower + [
      "tome:r=13", "tome:r=8/0/8", "zero-tprune:schedule=vtok-deit-s-3.08",
      "zero-tprune:blocks=3/6,similar=20/0,tokens=100/50",
      "zero-tprune:blocks=0,similar=5,metric=chebyshev,partition=alternate", "diffrate:preset=vit-s-deit-2.9",
      "mctf:r=16", "mctf:r=0.2,blocks=3/6/9,both-ways=off,ahead=none", "pitome:ratio=0.9",
    ]
  static let inTower = TestSupport.specs(for: TowerStage().shape, standard: "keep=49", where: \.staysInBlocks)

  @Test(arguments: specs) func classTokenStaysFirst(_ spec: String) throws {
    let run = try TowerStage().run(spec)
    #expect(run.tokens.id[0] == 0)
    #expect(run.tokens.kind[0] == .classifier)
    #expect(run.tokens.kind.dropFirst().allSatisfy { $0 == .patch })
    #expect(run.tokens.x.row(0) == run.input.x.row(0))
  }

  /// EViT's fused row is weighted by attention, whose shares do not add up to 1.
  @Test(arguments: specs.filter { !$0.hasPrefix(EViT.name) }) func nothingIsInvented(_ spec: String) throws {
    let run = try TowerStage().run(spec)
    #expect(Set(run.tokens.id).count == run.tokens.count)
    #expect(Set(run.tokens.origin.patches).count == run.tokens.origin.patches.count)
    for row in 1..<run.tokens.count {
      let range = run.tokens.origin.range(row)
      #expect(Int(run.tokens.origin.patches[range.lowerBound]) == Int(run.tokens.id[row]) - 1)
      #expect(abs(run.tokens.origin.weights[range].reduce(0, +) - 1) < 1e-4)
    }
    #expect(run.tokens.mass.allSatisfy { $0 > 0 })
  }

  @Test(arguments: specs) func runsRepeat(_ spec: String) throws {
    let (first, second) = (try TowerStage().run(spec), try TowerStage().run(spec))
    #expect(first.tokens.x == second.tokens.x)
    #expect(first.tokens.id == second.tokens.id)
    #expect(first.tokens.origin == second.tokens.origin)
    #expect(first.tokens.mass == second.tokens.mass)
  }

  @Test(arguments: ["tome:r=0", "zero-tprune:blocks=0/4,similar=0,rate=1", "tome:keep=1.0", "zero-tprune:keep=1.0"])
  func nothingAskedNothingChanged(_ spec: String) throws {
    let run = try TowerStage().run(spec)
    #expect(run.tokens.id == run.input.id)
    #expect(run.tokens.x == run.input.x)
  }

  /// Without a class token, and with a register beside it; methods that need just one refuse.
  @Test(arguments: [0, 2]) func prefixTokensAreNeverTouched(_ prefix: Int) throws {
    let stage = TowerStage(prefix: prefix)
    let served = TestSupport.specs(for: stage.shape, standard: "keep=49", where: \.staysInBlocks)
    #expect(served.count >= 3)
    for spec in served + ["tome:r=13", "zero-tprune:blocks=0/5/8,similar=10,rate=0.7"] {
      let run = try stage.run(spec)
      #expect(Array(run.tokens.id.prefix(prefix)) == (0..<prefix).map { Int32($0) })
      #expect(run.tokens.kind.dropFirst(prefix).allSatisfy { $0 == .patch })
    }
  }

  /// EViT keeps one patch beside the fused one.
  @Test func oddAndTinyGridsWork() throws {
    for side in [1, 2, 3] {
      let stage = TowerStage(side: side)
      let served = TestSupport.specs(
        for: stage.shape, options: [EViT.name: "rate=0.1"], standard: "keep=1", where: \.staysInBlocks)
      #expect(served.count == Self.inTower.count)
      for spec in served + ["tome:r=13"] {
        let run = try stage.run(spec)
        #expect(run.tokens.count >= 2)
      }
    }
  }
}
