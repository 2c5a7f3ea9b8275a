import Foundation
import TestSupport
import Testing
import VTok

/// Against its paper: the official code has no golden vectors here.
@Suite struct KeyformerTests {
  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: Keyformer.self, "recent=0.3 interval=8 tau=1 tau-step=0.01 gqa=refused keep")
  }

  @Test(arguments: [
    "keyformer:interval=0", "keyformer:recent=2",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  // MARK: What it keeps

  @Test(arguments: LanguageStage.seeds) func keyformerCutsNowAndThen(seed: UInt64) throws {
    let stage = LanguageStage(seed: seed)
    let n = stage.tokens.count
    let (total, run) = (Int(0.5 * Double(n)), try stage.run("keyformer:keep=0.5,interval=3", steps: 7))
    let counts = [n, n + 1, n + 2, total, total + 1, total + 2, total, total + 1]
    for (step, caches) in run.caches.enumerated() {
      for cache in caches {
        #expect(cache.allSatisfy { $0.count == counts[step] })
        #expect(cache.allSatisfy { $0.id == $0.id.sorted() && $0.id.last == Int32(n + step - 1) })
      }
    }
    let latest = max(1, Int(Double(total) * 0.3))
    #expect(run.caches[3][2].allSatisfy { Array($0.id.suffix(latest)) == (n + 3 - latest..<n + 3).map { Int32($0) } })
    // As published: 60% of the prompt, every eighth token.
    let published = try stage.run("keyformer", steps: 8).caches
    #expect(published[7][0][0].count == n + 7 && published[8][0][0].count == Int(0.6 * Double(n)))
  }

  /// A method that cuts only while an answer grows has not failed its budget when the prompt is read.
  @Test func cachesCutLater() throws {
    let generator = try Generator(
      model: smallModels + "vqa-small", method: "keyformer:interval=1", keep: .ratio(0.25))
    let image = try Image.decode(contentsOf: smallModels + "vqa-small/reference/0.png").image
    let answer = try generator("what color is the shape?", about: [image], limit: 3)
    #expect(answer.ids.count > 1 && answer.table.trace.acts.contains { $0.output < $0.input })
  }

  /// Keyformer in double precision, straight from its formulas: scores of all entries of all heads from the logits of every
  /// step, noise added, and what stays at every eighth step.
  @Test(arguments: [UInt64](1...3)) func keyformerIsItsFormulas(seed: UInt64) throws {
    let test = DecoderCase(seed: seed, isWide: false, isGrouped: false)
    let (reference, n) = (test.reference, test.prompt.count)
    let model = try reference.model()
    let (layers, heads) = (model.shape.layers, model.shape.heads)
    let fed = (0..<17).map { ($0 * 7 + Int(seed)) % reference.size.vocabulary }
    var run = try decoderRun([Keyformer(keep: .ratio(0.6), interval: 8)], on: model, image: test.image)
    var decoding = try model.prefill(test.prompt, run: &run)
    var logits = [decoding.logits]
    var caches = [decoding.caches]
    for token in fed {
      try model.step(token, &decoding, run: &run)
      logits.append(decoding.logits)
      caches.append(decoding.caches)
    }
    let total = Int(0.6 * Double(n))
    let recent = Int(0.3 * Double(total))
    var score = [[[Int: Double]]](repeating: .init(repeating: [:], count: heads), count: layers)
    // What every row behind the prompt sees of the rows before it, by row, layer and head.
    var seen: [[[Set<Int>]]] = []
    var held = [[Set<Int>]](repeating: .init(repeating: Set(0..<n), count: heads), count: layers)
    for step in 0...fed.count {
      if step > 0 { seen.append(held) }
      let pass = reference(
        reference.whole(test.prompt, Array(fed.prefix(step))),
        sees: { layer, head, row, key in row < n || key == row || seen[row - n][layer][head].contains(key) })
      #expect(near(logits[step], pass.logits.last!), "step \(step)")
      let temperature = 1 + 0.01 * Double(step)
      for layer in 0..<layers {
        for head in 0..<heads {
          let noise = GumbelField(seed: 4, step: step, layer: layer, head: head)
          for row in step == 0 ? 0..<n : n + step - 1..<n + step {
            let keys = (0...row).filter { pass.scores[layer][head][row][$0] > -.infinity }
            let raised = keys.map { key in
              exp((pass.scores[layer][head][row][key] + Double(noise[Int32(row), Int32(key)])) / temperature)
            }
            let sum = raised.reduce(0, +)
            for (key, value) in zip(keys, raised) { score[layer][head][key, default: 0] += value / sum }
          }
          if step > 0 { held[layer][head].insert(n + step - 1) }
          if step > 0, step % 8 == 0 {
            let all = held[layer][head].sorted()
            let latest = all.suffix(recent)
            let heavy = all.dropLast(recent).sorted { score[layer][head][$0]! > score[layer][head][$1]! }
            held[layer][head] = Set(heavy.prefix(total - recent) + latest)
          }
          let parts = caches[step][layer]
          #expect(parts[parts.count == 1 ? 0 : head].id == held[layer][head].sorted().map { Int32($0) })
        }
      }
    }
    #expect(caches.last![0].map(\.count) == [Int](repeating: total + 1, count: heads))
  }

  // MARK: Refusals

  @Test func refusesByFamily() throws {
    try expectRefusals(of: Keyformer.self, ("heads on 2 cached ones", { $0.decoder!.kvHeads < $0.decoder!.heads }))
  }

  @Test func misfitsAreRefusedBeforeWeightsLoad() throws {
    for (spec, shape) in [
      ("keyformer", SmallShapes.language(kvHeads: 2)),
      ("keyformer", SmallShapes.vit),
    ] { try expectRefusal(spec, for: shape) }
  }
}
