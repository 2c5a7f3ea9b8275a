import VTokCore
import VTokTensor

/// The layers of a language model with their weights.
struct WeightLayers: LayerSource {
  let model: LanguageModel
  let threads: Int
  var tokens: TokenSequence
  /// What the layer that has just run can tell.
  var recorded = DecoderLayer.Recorded()
  private(set) var memory: DecoderLayer.Memory

  init(_ model: LanguageModel, threads: Int) {
    self.model = model
    self.threads = threads
    tokens = TokenSequence(x: Tensor([], shape: [0, model.shape.width]), kind: [], origin: Origin([]))
    memory = DecoderLayer.Memory(rows: 0, keys: 0, shape: model.shape, kv: model.kv, threads: 1)
  }

  var shape: Shape.Decoder { model.shape }

  /// - Precondition: the token is in the vocabulary.
  func embedding(of token: Int) -> Tensor {
    guard let x = try? model.embeddings(of: [token]) else {
      preconditionFailure("token \(token) of \(shape.vocabulary)")
    }
    return x
  }

  mutating func begin(_ tokens: TokenSequence, keys: Int) {
    self.tokens = tokens
    memory = DecoderLayer.Memory(rows: tokens.count, keys: keys, shape: shape, kv: model.kv, threads: threads)
  }

  mutating func pass(_ layer: Int, _ past: inout LayerPast, for requests: [Request], _ run: Run) -> LayerPassage {
    let routing = model.routers[layer]?.enter(&tokens, run.images) { [shape] in shape.computed(of: $0, in: layer) }
    let taps = taps(at: layer, for: requests, run)
    let clock = ContinuousClock()
    let start = clock.now
    recorded = model.pass(
      layer, &tokens, &past, weights: routing?.weights, run.images, taps, branches: requests.contains { $0.branches },
      massBias: run.composition.decoderMassBias, memory)
    let seconds = start.duration(to: clock.now) / .seconds(1)
    let ids = tokens.id
    routing?.leave(&tokens)
    return LayerPassage(ids: ids, bypassing: routing?.bypassing ?? 0, seconds: seconds)
  }

  /// What attention must record, so that every request is answered from one pass.
  func taps(at layer: Int, for requests: [Request], _ run: Run) -> Attention.Taps {
    var taps = Attention.Taps(seed: run.seed, step: run.step, layer: layer)
    let all = requests + requests.compactMap(\.beside)
    taps.wanted = Set(all.compactMap(\.attentionTap)).map {
      ($0, $0.rows.indices(of: tokens.id, textStart: run.images.textStart))
    }
    return taps
  }

  func attention(_ request: Request, part: (index: Int, count: Int), rows: Int, keys: Int) -> Tensor? {
    request.attentionTap.flatMap { recorded.attention[$0]?[part.index] }
  }

  func probe(_ layer: Int, _ request: Request, rows: [Int], _ run: Run) -> Tensor {
    probe(layer, request, of: tokens, rows: rows, run)
  }

  func probe(_ layer: Int, _ request: Request, of tokens: TokenSequence, rows: [Int], _ run: Run) -> Tensor {
    let own = model.layers[layer]
    return own.attention!.probe(  // a plan that asks it of another layer is refused
      tokens, own.norm1, rows: rows, tap: request.probeTap, shape: shape, attention: model.attention,
      sight: model.sight(in: layer, of: tokens.id, run.images),
      taps: Attention.Taps(seed: run.seed, step: run.step, layer: layer), massBias: run.composition.decoderMassBias,
      memory)
  }

  func projections(_ layer: Int) -> Projections { projections(layer, of: tokens) }

  func projections(_ layer: Int, of tokens: TokenSequence) -> Projections {
    let own = model.layers[layer]
    return own.attention!.projections(tokens, own.norm1, shape: shape, threads: threads)  // as above
  }

  func turn(_ cache: inout TokenSequence, to positions: [Position]) {
    let moves = zip(cache.position, positions).map { Position(Int($1.t) - Int($0.t)) }
    let rotary = Rotary(moves, of: shape)
    let headDim = shape.headDim
    for row in 0..<cache.count where moves[row].t != 0 {
      for head in stride(from: 0, to: cache.width, by: 2 * headDim) {
        cache.rewrite(row, column: head) { rotary.rotate($0, 1, from: row, heads: 1, headDim: headDim) }
      }
    }
  }

  func keys(of cache: TokenSequence) -> Tensor {
    let (count, headDim, width) = (cache.count, shape.headDim, cache.width)
    let heads = width / (2 * headDim)
    return Tensor(shape: [heads, count, headDim]) { out in
      cache.x.values.withUnsafeBufferPointer { source in
        for head in 0..<heads {
          for row in 0..<count {
            (out + (head * count + row) * headDim).update(
              from: source.baseAddress! + row * width + 2 * head * headDim, count: headDim)
          }
        }
      }
    }
  }

  func normed() -> Tensor { model.norm(tokens.x) }

  func branches() -> [Branch] { recorded.branches }

  func logits() -> [Float] {
    model.logits(model.norm(tokens.x.gathered([tokens.count - 1])), threads: threads).values
  }
}

extension Request {
  fileprivate var attentionTap: Attention.Tap? {
    attention == .none ? nil : Attention.Tap(rows: attention, values: values, summed: summed)
  }
  fileprivate var probeTap: Attention.Tap { Attention.Tap(rows: probe, values: values, summed: summed) }
}

extension LanguageModel {
  /// Rows through one layer, and what is pending to them added.
  /// - Parameters:
  ///   - weights: of the MLP branch of every row; nil: all 1.
  ///   - images: of the prompt; all rows of one pass together.
  func pass(
    _ layer: Int, _ rows: inout TokenSequence, _ past: inout LayerPast, weights: [Float]? = nil,
    _ images: [ImageLayout], _ taps: Attention.Taps, branches: Bool, massBias: Bool = false,
    _ memory: DecoderLayer.Memory
  ) -> DecoderLayer.Recorded {
    let recorded = layers[layer](
      &rows, &past, weights: weights, shape: shape, attention: attention,
      sight: sight(in: layer, of: rows.id, images), taps: taps, branches: branches, massBias: massBias, memory)
    rows.settle()
    return recorded
  }

  /// What rows with these ids see in a layer.
  func sight(in layer: Int, of ids: [Int32], _ images: [ImageLayout]) -> Attention.Sight {
    let window: Int? = if case .window(let count) = shape.mixer(of: layer) { count } else { nil }
    return Attention.Sight(window: window, reach: shape.seesWholeImages ? images.reach(of: ids) : nil)
  }
}
