import Testing
import VTok

@Suite struct EViTTests {
  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: EViT.self, "rate=0.7 blocks fuse=on keep")
  }

  @Test(arguments: [
    "evit:blocks=6/3", "evit:blocks=1.5", "evit:rate=0.5,keep=9",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  /// The published procedure written down a second time, in double precision and in the authors' order of tokens: sorted by
  /// attention, the fused one last.
  @Test(arguments: [(0.7, true), (0.31, true), (0.5, false)]) func evitIsThePublishedProcedure(rate: Double, fuse: Bool)
    throws
  {
    let run = try TowerStage().run("evit:rate=\(rate),fuse=\(fuse ? "on" : "off")")
    var rows = (0..<run.input.count).map { run.input.x.row($0).map(Double.init) }
    var order = Array(rows.indices)  // the stage's place of every row of the reference
    for (block, attention) in run.first.enumerated() where [3, 6, 9].contains(block) {
      let heads = attention.shape[0]
      let n = attention.shape[2]
      #expect(n == rows.count)
      let scores = order.map { place in
        (0..<heads).reduce(0) { $0 + Double(attention.values[$1 * n + place]) } / Double(heads)
      }
      let sorted = (1..<n).sorted { scores[$0] > scores[$1] }
      let kept = Int((rate * Double(n - 1)).rounded(.up))
      let (top, rest) = (sorted[..<kept], sorted[kept...])
      let fused = rest.reduce([Double](repeating: 0, count: rows[0].count)) { sum, index in
        zip(sum, rows[index]).map { $0 + scores[index] * $1 }
      }
      // The stage keeps its rows in order, the fused one last.
      let places = top.map { order[$0] }.sorted()
      let next = [0] + top.map { 1 + places.firstIndex(of: order[$0])! } + (fuse ? [1 + kept] : [])
      rows = [rows[0]] + top.map { rows[$0] } + (fuse ? [fused] : [])
      order = next
    }
    #expect(run.tokens.count == rows.count)
    for (index, place) in order.enumerated() {
      #expect(zip(rows[index], run.tokens.x.row(place)).allSatisfy { abs($0 - Double($1)) < 1e-5 })
    }
  }

  @Test(arguments: [2, 3, 20, 97, 150, 195, 196]) func evitReachesBudgets(keep: Int) throws {
    let run = try TowerStage().run("evit", budget: .tokens(keep))
    #expect(run.patches.last == keep)
    #expect(Set(run.tokens.id).count == run.tokens.count)
    #expect(Set(run.tokens.origin.patches).count == 196, "what is fused is not lost")
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: EViT.self, ("no class token", { $0.tower?.hasClassifier == false }))
  }

  @Test func evitRefusesWhatItCannotServe() {
    #expect(throws: CompressionError.self) { try TowerStage(prefix: 0).run("evit") }
    #expect(throws: CompressionError.self) { try TowerStage().run("evit:keep=1") }
    #expect(throws: CompressionError.self) { try TowerStage().run("evit:blocks=12") }
  }
}
