import VTokCore
import VTokTensor

/// The layers of a language model for one of many prompts that begin alike: the rows before a question pass every layer once,
/// and later prompts take from there what those leave.
struct MemoisedLayers: LayerSource {
  private var base: WeightLayers
  private let shared: SharedPrefixes
  /// The rows in front that need not run again; those of `base` come after them.
  private var prefix: SharedPrefix?
  /// The layer that the rows enter next.
  private var next = 0

  init(_ base: WeightLayers, _ shared: SharedPrefixes) {
    self.base = base
    self.shared = shared
  }

  var shape: Shape.Decoder { base.shape }

  /// Setting other rows in front than the known ones ends the sharing.
  var tokens: TokenSequence {
    get { prefix?.joined(with: base.tokens, entering: next) ?? base.tokens }
    set {
      let rest = prefix?.rest(of: newValue, entering: next)
      if rest == nil { prefix = nil }
      base.tokens = rest ?? newValue
    }
  }

  mutating func begin(_ tokens: TokenSequence, keys: Int) {
    base.begin(tokens, keys: keys)
    (prefix, next) = (nil, 0)
  }

  mutating func pass(_ layer: Int, _ past: inout LayerPast, for requests: [Request], _ run: Run) -> LayerPassage {
    defer { next = layer + 1 }
    // Routers see all rows of a layer at once.
    if layer == 0, base.model.routers.isEmpty, let found = shared.prefix(of: base.tokens, run, base.model) {
      (prefix, base.tokens) = found
    }
    guard let prefix else { return base.pass(layer, &past, for: requests, run) }
    var taps = base.taps(at: layer, for: requests, run)
    let branches = requests.contains { $0.branches }
    let clock = ContinuousClock()
    let start = clock.now
    let before = prefix.layer(layer, taps.wanted.map(\.tap), branches: branches) {
      [model = base.model, memory = base.memory] rows, past, taps in
      model.pass(layer, &rows, &past, run.images, taps, branches: branches, memory)
    }
    past = before.past
    taps.before = before.sums
    base.recorded = base.model.pass(layer, &base.tokens, &past, run.images, taps, branches: branches, base.memory)
    if branches {
      base.recorded.branches = zip(before.branches, base.recorded.branches).map { $0.followed(by: $1) }
    }
    return LayerPassage(
      ids: prefix.ids + base.tokens.id, seconds: start.duration(to: clock.now) / .seconds(1))
  }

  func embedding(of token: Int) -> Tensor { base.embedding(of: token) }
  func attention(_ request: Request, part: (index: Int, count: Int), rows: Int, keys: Int) -> Tensor? {
    base.attention(request, part: part, rows: rows, keys: keys)
  }
  func probe(_ layer: Int, _ request: Request, rows: [Int], _ run: Run) -> Tensor {
    base.probe(layer, request, of: tokens, rows: rows, run)
  }
  func turn(_ cache: inout TokenSequence, to positions: [Position]) { base.turn(&cache, to: positions) }
  func projections(_ layer: Int) -> Projections { base.projections(layer, of: tokens) }
  func keys(of cache: TokenSequence) -> Tensor { base.keys(of: cache) }
  func normed() -> Tensor { base.model.norm(tokens.x) }
  func branches() -> [Branch] { base.branches() }
  func logits() -> [Float] { base.logits() }
}

extension Branch {
  /// The rows of two sequences, one after the other.
  fileprivate func followed(by next: Branch) -> Branch {
    Branch(input: input + next.input, output: output + next.output, dot: dot + next.dot)
  }
}
