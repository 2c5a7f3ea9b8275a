import Foundation
import Synchronization
import TestSupport
import Testing
import VTok

/// Every method in the language model and on its cache, on random models and prompts: what the prefill and every later step
/// give is what a decoder without caches gives (`DoubleLlama`), if every row sees the rows that were kept, at the positions
/// that the method's rule says.
@Suite struct RecomputationTests {
  /// Every method that stays in the language model, where it merges no rows, and options that change what it does.
  static let specs =
    TestSupport.specs(
      for: try! DecoderCase(seed: 1, isWide: true, isGrouped: false).shape,
      options: [
        "generic-explain": "weights=net,keep=0.4", "dart": "layer=2,keep=0.6,visual-pivots=2,text-pivots=2",
        "fastv": "layer=2,keep=0.4", "pyramiddrop": "layers=1/3,ratios=0.6/0.2",
        "transprune": "layers=2/3,accumulate=1/3,ratios=0.6/0.3",
        "mustdrop": "vision=off,layers=1/3,global=0.05,individual=0.5",
        "sparsevlm": "layers=1/3,counts=9/5,version=2.0", "elastic-cache": "policy=local,start=2,keep=0.6",
        "keyformer": "keep=0.5,interval=2", "v2drop": "layers=1/3,ratios=0.6/0.4",
        "priortr": "layers=1/3,ratios=0.6/0.4",
        "snapkv": "window=3,keep=0.6", "pyramidkv": "window=3,keep=0.6", "streaming-llm": "mode=prefill,keep=0.6",
      ], where: \.staysInLanguageModel
    ).filter { spec in ![LookM.name, EMS.name].contains { spec.hasPrefix($0) } } + variants
  private static let variants = [
    "cdpruner:kernel=openvino,keep=0.4", "dart:stage=embeddings,visual-pivots=2,keep=0.5",
    "fastv:layer=1,keep=0.5,mode=in-place", "elastic-cache:policy=h2o-elasticrepo,keep=0.6", "h2o:heavy=5,recent=4",
    "fastv:layer=2,keep=0.4+h2o:keep=0.6", "h2o:gqa=mean,heavy=5,recent=4", "keyformer:gqa=mean,keep=0.5,interval=2",
    "snapkv:window=3,granularity=query-head,pool=max,keep=0.6", "deep-random:layers=1/3,ratios=0.6/0",
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

  @Test(arguments: specs, [UInt64](1...3)) func whatWasKeptIsAllThatIsSeen(_ spec: String, seed: UInt64) throws {
    // Grouped queries where the method serves them.
    let isPerHead = !spec.contains("gqa=mean") && (spec.contains("h2o:") || spec.contains("keyformer"))
    let test = DecoderCase(seed: seed, isWide: spec.contains("2.0"), isGrouped: seed % 2 == 0 && !isPerHead)
    let (reference, n) = (test.reference, test.prompt.count)
    let model = try reference.model()
    let looker = Looker(layers: model.shape.layers)
    let methods = try MethodSpec(spec).make(budget: nil, read: { _ in relevanceNet })
    var run = try decoderRun(methods + [looker], on: model, image: test.image)
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
        #expect(near(logits[step], expected.logits.last!), "step \(step)")
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
        return key == row || held[head * held.count / model.shape.heads].contains(Int32(key))
      })
    for step in logits.indices {
      #expect(near(logits[step], expected.logits[n - 1 + step]), "step \(step)")
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
}
