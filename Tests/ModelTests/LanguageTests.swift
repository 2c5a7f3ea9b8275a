import Foundation
import TestSupport
import Testing
import VTok

/// The decoder against `DoubleLlama`, which knows no caches and no blocks.
@Suite struct LanguageTests {
  static let sizes: [DoubleLlama.Size] = [
    .init(kvHeads: 4), .init(), .init(kvHeads: 1, hasBiases: true), .init(headDim: 4, isTied: true),
    .init(hasBiases: true, sections: [1, 2, 1]), .init(window: 7), .init(stretch: 4),
  ]

  // MARK: The plain path

  /// 300 rows pass in three blocks of queries; decoding continues from the cache.
  @Test(arguments: sizes.indices, [5, 300]) func prefillAndDecodingAreARecomputation(_ index: Int, _ count: Int) throws
  {
    let reference = DoubleLlama(Self.sizes[index])
    let model = try reference.model()
    var positions: [Position]?
    if !reference.size.sections.isEmpty {  // an image of 3 columns from row 1 on, then text
      positions = (0..<count).map { row in
        let cell = min(row, count - 2) - 1
        return row == 0
          ? Position(0)
          : row > count - 2
            ? Position(1 + (count - 2) / 3 + 1) : Position(t: 1, h: Int32(1 + cell / 3), w: Int32(1 + cell % 3))
      }
    }
    let prompt = reference.prompt(count, position: positions)
    var run = try decoderRun(on: model)
    var seen: [Int: Tensor] = [:]
    var decoding = try model.prefill(prompt, run: &run, threads: 2) { seen[$0] = $1 }
    let ids = [7, 1, 30]
    let largest = prompt.position.map { Int(max($0.t, $0.h, $0.w)) }.max()!
    let expected = reference(
      reference.whole(prompt, ids),
      position: { $1 < count ? prompt.position[$1] : Position(largest + 1 + $1 - count) })
    #expect(near(decoding.logits, expected.logits[count - 1]))
    #expect(seen.keys.sorted() == Array(0...reference.size.layers))
    for layer in 0..<reference.size.layers {
      #expect(near(seen[layer]!.values, Array(expected.hidden[layer][..<count].joined())))
    }
    let last = seen[reference.size.layers]!
    #expect(near(last.values, Array(expected.normed[..<count].joined())), "the last one is normed")
    #expect(near(model.logits(last).values, Array(expected.logits[..<count].joined())))
    for (step, id) in ids.enumerated() {
      try model.step(id, &decoding, run: &run, threads: 2)
      #expect(near(decoding.logits, expected.logits[count + step]), "step \(step)")
      #expect(decoding.caches.allSatisfy { $0.count == 1 && $0[0].count == count + step + 1 })
    }
    #expect(decoding.received == decoding.caches.map { $0[0].count })
    #expect(decoding.caches[0][0].id == (0..<Int32(count + 3)).map { $0 })
  }

  @Test(arguments: [false, true]) func threadsChangeNoBit(_ halved: Bool) throws {
    let model = try DoubleLlama().model(halved: halved)
    let prompt = DoubleLlama().prompt(200)
    var logits: [[[Float]]] = [[], [], []]
    for threads in 1...3 {
      var run = try decoderRun(on: model)
      var decoding = try model.prefill(prompt, run: &run, threads: threads)
      logits[threads - 1].append(decoding.logits)
      for id in [4, 20, 31] {
        try model.step(id, &decoding, run: &run, threads: threads)
        logits[threads - 1].append(decoding.logits)
      }
    }
    #expect(logits[1] == logits[0] && logits[2] == logits[0])
  }

  @Test func equalAxesAreOneAxis() throws {
    let plain = try DoubleLlama(.init(hasBiases: true)).model()
    let axes = try DoubleLlama(.init(hasBiases: true, sections: [1, 2, 1])).model()
    #expect(plain.shape.sections == [] && axes.shape.sections == [1, 2, 1])
    let prompt = DoubleLlama(.init(hasBiases: true)).prompt(20)
    let logits = try [plain, axes].map { model in
      var run = try decoderRun(on: model)
      return try model.prefill(prompt, run: &run).logits
    }
    #expect(logits[0] == logits[1])
  }

  @Test func halfWeightsAreTheirRoundedValues() throws {
    var reference = DoubleLlama()
    let prompt = reference.prompt(30)
    var found: [[Float]] = []
    for halved in [true, false] {
      let model = try reference.model(halved: halved) { values in
        if halved { return }
        for index in values.indices {
          guard case .f32(let tensor) = values[index].1, tensor.shape.count > 1 else { continue }
          values[index].1 = .f32(Tensor(tensor.values.map { Float(Float16($0)) }, shape: tensor.shape))
        }
      }
      var run = try decoderRun(on: model)
      var decoding = try model.prefill(prompt, run: &run)
      try model.step(3, &decoding, run: &run)
      found.append(decoding.logits)
    }
    #expect(distance(found[0], found[1]) < 1e-5)
    reference = DoubleLlama(seed: 9)
    #expect(try reference.model().embeddings(of: [4, 4, 0]) == reference.embeddings([4, 4, 0]))
  }

  // MARK: What cannot be loaded

  static let damages: [(@Sendable (inout [(String, Safetensors.Value)]) -> Void)] = [
    { $0.removeAll { $0.0 == "model.layers.1.mlp.up_proj.weight" } },
    { $0.removeAll { $0.0 == "model.norm.weight" } },
    { $0.removeAll { $0.0.hasSuffix("q_proj.bias") } },
    { values in
      let index = values.firstIndex { $0.0 == "model.layers.0.self_attn.k_proj.weight" }!
      values[index].1 = .f32(Tensor(zeros: [15, 24]))
    },
    { values in
      let index = values.firstIndex { $0.0 == "model.embed_tokens.weight" }!
      values[index].1 = .f32(Tensor(zeros: [51, 24]))
    },
  ]
  @Test(arguments: damages.indices) func damagedCheckpoints(_ index: Int) {
    let reference = DoubleLlama(.init(hasBiases: true))
    #expect(throws: WeightError.self) { try reference.model(changing: Self.damages[index]) }
  }

  @Test func aHeadOfAnotherModel() {
    #expect(throws: ModelError.self) {
      try DoubleLlama().model { values in
        values[values.count - 1].1 = .f32(Tensor(zeros: [50, 23]))
      }
    }
  }

  static let misfits: [(String, JSON)] = [
    ("model_type", "gpt2"), ("hidden_act", "gelu"), ("num_key_value_heads", 3), ("head_dim", 7), ("hidden_size", -1),
    ("rope_scaling", ["type": "yarn", "factor": 4]), ("rope_scaling", ["type": "mrope", "mrope_section": [4, 4, 4]]),
    ("use_sliding_window", true), ("rope_theta", "10000"), ("rope_theta", 0),
  ]
  @Test(arguments: misfits.indices) func configurationsThatMakeNoSense(_ index: Int) {
    let reference = DoubleLlama()
    let (key, value) = Self.misfits[index]
    var members = reference.config.object!
    members[key] = value
    #expect(throws: ModelError.self) { try reference.model(config: .object(members)) }
  }

  @Test func tokensOutsideTheVocabulary() throws {
    let model = try DoubleLlama().model()
    #expect(throws: ModelError.self) { try model.embeddings(of: [3, 50]) }
    #expect(throws: ModelError.self) { try model.embeddings(of: [-1]) }
  }

  // MARK: Choosing tokens

  @Test func greedyTakesTheFirstOfEquals() {
    var sampling = Sampling.greedy
    #expect(sampling.next([1, 3, 3, 0]) == 1)
  }

  @Test func lotsFollowTheProbabilities() {
    let logits = [0.5, 0.3, 0.15, 0.05].map { logf($0) }
    func share(_ sampling: Sampling) -> [Double] {
      var sampling = sampling
      var counts = [Double](repeating: 0, count: 4)
      for _ in 0..<20_000 { counts[sampling.next(logits)] += 1 / 20_000 }
      return counts
    }
    func close(_ a: [Double], _ b: [Double]) -> Bool { zip(a, b).allSatisfy { abs($0 - $1) < 0.015 } }
    #expect(close(share(Sampling(temperature: 1)), [0.5, 0.3, 0.15, 0.05]))
    #expect(close(share(Sampling(temperature: 1, topP: 0.6)), [0.625, 0.375, 0, 0]), "the one that crosses is kept")
    #expect(close(share(Sampling(temperature: 1, topP: 0.3)), [1, 0, 0, 0]))
    #expect(close(share(Sampling(temperature: 0.5)), [0.25, 0.09, 0.0225, 0.0025].map { $0 / 0.365 }))
    #expect(share(Sampling(temperature: 1, seed: 5)) == share(Sampling(temperature: 1, seed: 5)))
    #expect(share(Sampling(temperature: 1, seed: 5)) != share(Sampling(temperature: 1, seed: 6)))
  }

  @Test func answersEndWhereTheyShould() throws {
    let model = try DoubleLlama().model()
    let prompt = DoubleLlama().prompt(6)
    var run = try decoderRun(on: model)
    let all = try model.generate(prompt, run: &run, limit: 6)
    #expect(all.count == 6 && run.trace.language.count == 3 * 6, "the last token is not fed")
    let stop = all[2]
    run = try decoderRun(on: model)
    let stopped = try model.generate(prompt, run: &run, limit: 6, stops: [stop])
    #expect(stopped == Array(all[...all.firstIndex(of: stop)!]))
    run = try decoderRun(on: model)
    var seen: [Int] = []
    let refused = try model.generate(prompt, run: &run, limit: 6) {
      seen.append($0)
      return seen.count < 2
    }
    #expect(refused == Array(all[..<2]) && seen == refused)
  }
}
