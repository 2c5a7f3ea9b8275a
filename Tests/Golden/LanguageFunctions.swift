import Synchronization
import VTok

/// Methods inside the language model and on its cache, end to end on a tiny decoder.
let languageFunctions: [String: @Sendable (Inputs) throws -> [String: GoldenValue]] = [
  "fastv.e2e_inplace": { inputs in
    let config = inputs.config
    let method = FastV(layer: config["K"]!.int!, keep: .tokens(config["keep"]!.int!), mode: .inPlace)
    let result = try LanguageCase(inputs).run([method])
    var outputs = result.outputs
    outputs["score"] = result.scores[0]
    outputs["kept_image_index"] = result.keptImageIndex(entering: config["K"]!.int!)
    outputs["kept_position_ids"] = result.positions(entering: config["K"]!.int!)
    let steps = result.seen.indices.map { result.imageRows(entering: config["K"]!.int!, step: $0) }
    outputs["kept_image_index_each_forward"] = GoldenValue(steps.flatMap { $0 }, [steps.count, steps[0].count])
    return outputs
  },

  "fastv.e2e_kv": { inputs in
    let config = inputs.config
    let method = FastV(layer: config["K"]!.int!, keep: .ratio(1 - config["R"]!.double!))
    let result = try LanguageCase(inputs).run([method])
    var outputs = result.outputs
    outputs["score"] = result.scores[0]
    outputs["kept_image_index"] = result.keptImageIndex(entering: config["K"]!.int!)
    outputs["kept_position_ids"] = result.positions(entering: config["K"]!.int!)
    return outputs
  },

  "pyramiddrop.e2e": { inputs in
    let layers = inputs.config["layers_1based"]!.ints!  // behind layer l from 1 is before layer l from 0
    let ratios = inputs.config["keep_ratio_of_original"]!.doubles!
    let result = try LanguageCase(inputs).run([PyramidDrop(layers: layers, amount: .ratios(ratios))])
    var outputs = result.outputs
    for (stage, layer) in layers.enumerated() {
      outputs["stage\(stage).score"] = result.scores[stage]
      outputs["stage\(stage).kept_image_index"] = result.keptImageIndex(entering: layer)
      outputs["stage\(stage).kept_sequence_index"] = result.sequenceIndex(entering: layer)
      outputs["stage\(stage).position_ids_after"] = result.positions(entering: layer)
    }
    return outputs
  },
]

/// A checkpoint, a prompt whose embeddings are an input, and where its image lies.
struct LanguageCase {
  let model: LanguageModel, shape: Shape
  let prompt: TokenSequence
  let images: [Range<Int>]
  var image: Range<Int>? { images.first }
  /// Tokens decoded after the prefill.
  let steps: Int

  /// - Parameter checkpoint: nil: the case's own.
  init(_ inputs: Inputs, _ checkpoint: Checkpoint? = nil) throws {
    let checkpoint = try checkpoint ?? inputs.checkpoint()
    model = try LanguageModel(
      checkpoint["model"], head: try checkpoint.weightIfPresent("lm_head.weight", [nil, nil]),
      config: checkpoint.config)
    shape = Shape(tower: nil, decoder: model.shape, layout: Shape.Layout(tiling: .one))
    let embeddings = try inputs.tensor("inputs_embeds")[plane: 0]
    let config = inputs.config
    let starts = config["image_starts"]?.ints ?? config["image_token_start"]?.int.map { [$0] } ?? []
    let length = (config["num_image_tokens"] ?? config["image_tokens"])?.int ?? 0
    images = starts.map { $0..<$0 + length }
    let places = images.flatMap { $0 }
    let patches = (0..<embeddings.rows).map { places.firstIndex(of: $0) }
    prompt = TokenSequence(
      x: embeddings, kind: patches.map { $0 == nil ? .text : .patch }, origin: Origin(patches))
    steps = (inputs.case.manifest["outputs"]?["greedy_tokens"]?["shape"]?[0]?.int ?? 4) - 1
  }

  /// Greedy decoding under `methods`, with a method behind them that looks at the entrance of every layer.
  func run(_ methods: [any Compressor]) throws -> LanguageResult {
    let probe = LayerProbe(layers: model.shape.layers)
    var run = Run(try Composition(methods + [probe], for: shape), keepingNotes: true)
    run.images = images.map {
      ImageLayout(
        tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1,
        spans: [Int32($0.lowerBound)..<Int32($0.upperBound)])
    }
    var decoding = try model.prefill(prompt, run: &run)
    var result = LanguageResult(
      image: images.first ?? 0..<0, prefill: decoding, last: decoding, tokens: [argmax(decoding.logits)!],
      logits: [decoding.logits],
      cacheLengths: [decoding.caches.map { $0[0].count }], run: run, seen: [])
    for _ in 0..<steps {
      try model.step(result.tokens.last!, &decoding, run: &run)
      result.tokens.append(argmax(decoding.logits)!)
      result.logits.append(decoding.logits)
      result.cacheLengths.append(decoding.caches.map { $0[0].count })
    }
    result.last = decoding
    result.hidden = model.normed(result.prefill.tokens.x)
    result.run = run
    result.seen = probe.box.seen.withLock { $0 }
    return result
  }
}

/// What happened, under the names that the manifests share.
struct LanguageResult {
  let image: Range<Int>
  let prefill: Decoding
  /// After the last step.
  var last: Decoding
  /// Of the prefill, then of every step.
  var tokens: [Int], logits: [[Float]], cacheLengths: [[Int]]
  var run: Run
  /// Every layer's entrance of the prefill, and of every later one.
  var seen: [[TokenSequence]]
  var hidden: Tensor?

  var outputs: [String: GoldenValue] {
    func lengths(_ step: Int) -> GoldenValue { GoldenValue(cacheLengths[step], [cacheLengths[step].count]) }
    let later = logits.dropFirst()
    return [
      "prefill_logits_last": GoldenValue(row(logits[0])), "greedy_tokens": GoldenValue(tokens, [tokens.count]),
      "prefill_last_hidden": GoldenValue(row(Array(hidden!.row(hidden!.rows - 1)))),
      "decode_logits": GoldenValue(Array(later.joined()), [later.count, logits[0].count]),
      "kv_lengths_after_prefill": lengths(0), "kv_lengths_after_run": lengths(cacheLengths.count - 1),
    ]
  }

  /// The notes `score` of every act of the methods, in order.
  var scores: [GoldenValue] { run.trace.acts.compactMap { $0.notes.kept["score"].map { GoldenValue(row($0)) } } }

  /// Original image index of the visual rows that enter a layer.
  func imageRows(entering layer: Int, step: Int = 0) -> [Int] {
    seen[step][layer].id.map(Int.init).filter(image.contains).map { $0 - image.lowerBound }
  }
  func keptImageIndex(entering layer: Int) -> GoldenValue { list(imageRows(entering: layer)) }
  func sequenceIndex(entering layer: Int) -> GoldenValue { list(seen[0][layer].id.map(Int.init)) }
  func positions(entering layer: Int) -> GoldenValue { list(seen[0][layer].position.map { Int($0.t) }) }

  private func list(_ values: [Int]) -> GoldenValue { GoldenValue(values, [values.count]) }
}

/// A method that only looks: the tokens entering every language layer, after the methods before it in the list.
struct LayerProbe: Compressor {
  static let name = "layer-probe"
  static let summary = "records the tokens entering every language layer"
  final class Box: Sendable { let seen = Mutex<[[TokenSequence]]>([]) }
  let box = Box()
  private let layers: Int

  init(layers: Int) { self.layers = layers }
  init(_ options: inout Options) throws(OptionError) { layers = 0 }

  func plan(for model: Shape) -> Plan { Plan(act: Set((0...layers).map { .layer($0) })) }

  mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) -> [Reduction]? {
    let tokens = view.sequences[0]
    box.seen.withLock { seen in
      if site == .layer(0) { seen.append([]) }
      seen[seen.count - 1].append(tokens)
    }
    return nil
  }
}
