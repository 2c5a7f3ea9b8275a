import Foundation
import Synchronization
import Testing
import VTok

/// Every method in the language model and on its cache, on random models and prompts: what the prefill and every later step
/// give is what a decoder without caches gives (`DoubleLlama`), if every row sees the rows that were kept, at the positions
/// that the method's rule says.
@Suite struct RecomputationTests {
  static let specs = [
    "divprune:keep=0.5", "cdpruner:kernel=openvino,keep=0.4", "generic-explain:weights=net,keep=0.4",
    "dart:layer=2,keep=0.6,visual-pivots=2,text-pivots=2", "dart:stage=embeddings,visual-pivots=2,keep=0.5",
    "fastv:layer=2,keep=0.4", "fastv:layer=1,keep=0.5,mode=in-place", "pyramiddrop:layers=1/3,ratios=0.6/0.2",
    "transprune:layers=2/3,accumulate=1/3,ratios=0.6/0.3", "mustdrop:vision=off,layers=1/3,global=0.05,individual=0.5",
    "sparsevlm:layers=1/3,counts=9/5,version=2.0", "elastic-cache:policy=local,start=2,keep=0.6",
    "elastic-cache:policy=h2o-elasticrepo,keep=0.6", "h2o:keep=0.5", "h2o:heavy=5,recent=4",
    "keyformer:keep=0.5,interval=2", "fastv:layer=2,keep=0.4+h2o:keep=0.6",
    "divprune:keep=0.6+pyramiddrop:layers=1/3,ratios=0.6/0.2+elastic-cache:policy=local,keep=0.7",
  ]

  /// Sees what enters every layer, after the methods before it in the list.
  struct Looker: Compressor {
    static let name = "looker"
    static let summary = "for tests"
    final class Box: Sendable { let entering = Mutex<[[TokenSequence]]>([]) }
    let box = Box()
    private let layers: Int
    init(layers: Int) { self.layers = layers }
    init(_ options: inout Options) throws(OptionError) { layers = 0 }
    func plan(for model: Shape) -> Plan { Plan(act: Set((0..<layers).map { .layer($0) })) }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
      let tokens = view.sequences[0]
      box.entering.withLock { passes in
        if site == .layer(0) { passes.append([]) }
        passes[passes.count - 1].append(tokens)
      }
      return nil
    }
  }

  /// A model, a prompt with one image in it, and tokens to be fed after it.
  struct Case {
    let reference: DoubleLlama
    let prompt: TokenSequence, image: Range<Int>
    let fed: [Int]

    init(seed: UInt64, isWide: Bool, isGrouped: Bool) {
      var generator = SeededGenerator(seed: seed)
      var size = DoubleLlama.Size(layers: Int.random(in: 4...5, using: &generator))
      size.heads = isWide ? 14 : 2 * Int.random(in: 1...2, using: &generator)
      size.kvHeads = isGrouped ? size.heads / 2 : size.heads
      size.headDim = isWide ? 4 : [4, 8].randomElement(using: &generator)!
      reference = DoubleLlama(size, seed: seed + 1)
      let start = Int.random(in: 1...5, using: &generator)
      image = start..<start + Int.random(in: 14...24, using: &generator)
      prompt = reference.prompt(
        image.upperBound + Int.random(in: 3...6, using: &generator), image: image, seed: seed + 2)
      fed = (0..<5).map { _ in Int.random(in: 0..<size.vocabulary, using: &generator) }
    }
  }

  @Test(arguments: specs, [UInt64](1...3)) func whatWasKeptIsAllThatIsSeen(_ spec: String, seed: UInt64) throws {
    // Grouped queries where the method serves them.
    let isPerHead = spec.contains("h2o:") || spec.contains("keyformer")
    let test = Case(seed: seed, isWide: spec.contains("2.0"), isGrouped: seed % 2 == 0 && !isPerHead)
    let (reference, n) = (test.reference, test.prompt.count)
    let model = try reference.model()
    let looker = Looker(layers: model.shape.layers)
    let methods = try MethodSpec(spec).make(budget: nil, read: { _ in relevanceNet })
    var run = try LanguageTests.run(methods + [looker], on: model, image: test.image)
    var decoding = try model.prefill(test.prompt, run: &run)
    var (logits, caches) = ([decoding.logits], [decoding.caches])
    for token in test.fed {
      try model.step(token, &decoding, run: &run)
      logits.append(decoding.logits)
      caches.append(decoding.caches)
    }
    let passes = looker.box.entering.withLock { $0 }
    #expect(run.trace.acts.contains { $0.output < $0.input })
    let rule = run.composition.positions!
    if rule.decode == .afresh {
      #expect(passes.count == 6 && caches.allSatisfy(\.isEmpty))
      for (step, entering) in passes.enumerated() {
        let places = places(entering)
        let expected = reference(
          reference.whole(test.prompt, Array(test.fed.prefix(step))),
          position: { layer, row in Position(Int(places[layer][Int32(row)] ?? 0)) },
          sees: { layer, _, _, key in places[layer][Int32(key)] != nil })
        #expect(LanguageTests.near(logits[step], expected.logits.last!), "step \(step)")
      }
      return
    }
    let places = places(passes[0])
    let alive = caches.map { $0.map { $0.map { Set($0.id) } } }
    let next = places[0].values.max()! + 1
    func position(_ layer: Int, _ row: Int) -> Position {
      if row < n { return Position(Int(places[layer][Int32(row)] ?? 0)) }
      let held = caches[row - n][layer].map(\.count).max()!
      return Position(rule.decode == .cacheLength ? held : Int(next) + row - n)
    }
    let expected = reference(
      reference.whole(test.prompt, test.fed), position: position,
      sees: { layer, head, row, key in
        if row < n { return places[layer][Int32(key)] != nil }
        let held = alive[row - n][layer]
        return key == row || held[held.count == 1 ? 0 : head].contains(Int32(key))
      })
    for step in logits.indices {
      #expect(LanguageTests.near(logits[step], expected.logits[n - 1 + step]), "step \(step)")
    }
    // What lies in a cache stands where it stood when it entered.
    for (layer, parts) in decoding.caches.enumerated() {
      for part in parts {
        #expect(zip(part.id, part.position).allSatisfy { $1 == position(layer, Int($0)) })
      }
    }
  }

  /// Position of every row that enters a layer, by id.
  private func places(_ entering: [TokenSequence]) -> [[Int32: Int32]] {
    entering.map { Dictionary(uniqueKeysWithValues: zip($0.id, $0.position.map(\.t))) }
  }

  /// Rows that were merged: the same reductions on the prompt with the answer behind it, read at once.
  @Test(arguments: [UInt64](1...4)) func mergedRowsAreSeenAsTheyAre(seed: UInt64) throws {
    let test = Case(seed: seed, isWide: false, isGrouped: seed % 2 == 0)
    let model = try test.reference.model()
    let method = SparseVLM(counts: [9, 4], version: .recycling, layers: [1, 3])
    let recorder = Replay(SparseVLM.self, method)
    var run = try LanguageTests.run([recorder], on: model, image: test.image)
    var decoding = try model.prefill(test.prompt, run: &run)
    for token in test.fed { try model.step(token, &decoding, run: &run) }
    let made = recorder.box.reductions.withLock { $0 }
    #expect(made.count == 2 && made.values.contains { $0.blend != .copy })

    let replay = Replay(SparseVLM.self, method, playing: made)
    var again = try LanguageTests.run([replay], on: model, image: test.image)
    var whole = test.prompt
    let more = TokenSequence(
      x: test.reference.embeddings(test.fed), kind: test.fed.map { _ in .text },
      position: test.fed.indices.map { Position(test.prompt.count + $0) }, origin: Origin(test.fed.map { _ in nil }),
      id: test.fed.indices.map { Int32(test.prompt.count + $0) })
    whole.append(more)
    let once = try model.prefill(whole, run: &again)
    #expect(distance(once.logits, decoding.logits) < LanguageTests.tolerance)
    #expect(once.caches.map { $0[0].id } == decoding.caches.map { $0[0].id })
    #expect(once.caches.map { $0[0].position } == decoding.caches.map { $0[0].position })
  }

  /// A method that writes down what another does, or does what was written down, leaving later rows as they are.
  struct Replay: Compressor {
    static let name = "replay"
    static let summary = "for tests"
    final class Box: Sendable { let reductions = Mutex<[Site: Reduction]>([:]) }
    let box = Box()
    private var base: any Compressor
    private let playing: [Site: Reduction]?

    init<Base: Compressor>(_ type: Base.Type, _ base: Base, playing: [Site: Reduction]? = nil) {
      (self.base, self.playing) = (base, playing)
    }
    init(_ options: inout Options) throws(OptionError) { fatalError("made by hand") }
    func plan(for model: Shape) throws(CompressionError) -> Plan { try base.plan(for: model) }

    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    {
      guard let playing else {
        let made = try base.reduce(view, at: site, notes: &notes)
        if let made { box.reductions.withLock { $0[site] = made[0] } }
        return made
      }
      return playing[site].map { reduction in
        let later = (reduction.inputCount..<view.sequences[0].count).map { [Int32($0)] }
        let rows = (0..<reduction.count).map { Array(reduction.row($0)) } + later
        var blend = reduction.blend
        if case .weighted(let weights) = blend { blend = .weighted(weights + later.map { _ in 1 }) }
        return [Reduction(rows: rows, of: view.sequences[0].count, blend: blend)]
      }
    }
  }

  /// Keyformer in double precision, straight from its formulas: scores of all entries of all heads from the logits of every
  /// step, noise added, and what stays at every eighth step.
  @Test(arguments: [UInt64](1...3)) func keyformerIsItsFormulas(seed: UInt64) throws {
    let test = Case(seed: seed, isWide: false, isGrouped: false)
    let (reference, n) = (test.reference, test.prompt.count)
    let model = try reference.model()
    let (layers, heads) = (model.shape.layers, model.shape.heads)
    let fed = (0..<17).map { ($0 * 7 + Int(seed)) % reference.size.vocabulary }
    var run = try LanguageTests.run([Keyformer(keep: .ratio(0.6), interval: 8)], on: model, image: test.image)
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
      #expect(LanguageTests.near(logits[step], pass.logits.last!), "step \(step)")
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
}
