import VTokCore
import VTokLibC
import VTokTensor
import VTokWeights

/// p-MoD: trained routers let ever fewer visual tokens into deeper layers; the others pass a layer by.
///
/// Zhang et al., "p-MoD: Building Mixture-of-Depths MLLMs via Progressive Ratio Decay", ICCV 2025 (arXiv 2412.04449);
/// MCG-NJU/p-MoD. What `config.json` says: which layers have a router, the share of visual tokens that each computes, and
/// how routers become weights (TanhNorm).
package struct MixtureOfDepths: Sendable {
  /// Of every layer; nil: no router.
  let shares: [Double?]
  let weighting: Weighting
  let hasBias: Bool

  /// `scale * squash(logit) + bias`
  struct Weighting: Sendable {
    enum Squash: String, Sendable { case tanh, sigmoid, softmax, none }
    let squash: Squash
    let scale: Float, bias: Float

    /// From `tanh_0.2_1`; a name alone means scale and bias 1.
    init?(_ text: String) {
      let parts = text.split(separator: "_").map(String.init)
      guard let name = parts.first, let squash = Squash(rawValue: name), parts.count == 1 || parts.count == 3 else {
        return nil
      }
      let numbers = parts.dropFirst().compactMap { Float($0) }.filter(\.isFinite)
      guard numbers.count == parts.count - 1 else { return nil }
      self.squash = squash
      scale = numbers.first ?? 1
      bias = numbers.last ?? 1
    }

    /// - Parameter logits: of the visual tokens, over which softmax is taken.
    func callAsFunction(_ logits: [Float]) -> [Float] {
      let squashed: [Float] =
        switch squash {
        case .tanh: logits.map { tanhf($0) }
        case .sigmoid: logits.map { 1 / (1 + expf(-$0)) }
        case .softmax: softmax(logits)
        case .none: logits
        }
      return squashed.map { $0 * scale + bias }
    }
  }

  /// nil where the configuration names no layers with routers.
  init?(_ config: Config, layers: Int) throws {
    guard let targets = try config.string("mod_target_layers") else { return nil }
    let average = Double(try config.float("mod_router_factor", 0.5))
    let kind = try config.string("mod_target_token_type") ?? "vision_all"
    guard kind == "vision_all" else { throw config.unfit("mod_target_token_type", "vision_all") }
    guard let shares = Self.shares(targets, average: average, layers: layers) else {
      throw config.unfit(
        "mod_target_layers",
        "shiftedcos_decay_MAX_MIN, shiftedlinear_decay_MAX_MIN, deep_all, "
          + "deep_all_include_last or interleave")
    }
    guard shares.allSatisfy({ $0.map { (0...1).contains($0) } ?? true }) else {
      throw config.unfit("mod_router_factor", "shares of visual tokens in 0...1")
    }
    guard let weighting = Weighting(try config.string("mod_weight_norm") ?? "tanh_0.2_1") else {
      throw config.unfit("mod_weight_norm", "tanh, sigmoid, softmax or none, alone or followed by _SCALE_BIAS")
    }
    self.shares = shares
    self.weighting = weighting
    hasBias = try config.bool("mod_bias_enabled", true)
  }

  /// Progressive ratio decay, or the same share in all layers with a router. The official code divides by 31, which is right
  /// for 32 layers; here it is the number of the last layer.
  /// - Returns: nil if `targets` is unknown.
  static func shares(_ targets: String, average: Double, layers: Int) -> [Double?]? {
    let indices = 0..<layers
    switch targets {
    case "deep_all": return indices.map { $0 >= 2 && $0 < layers - 1 ? average : nil }
    case "deep_all_include_last": return indices.map { $0 >= 2 ? average : nil }
    case "interleave": return indices.map { $0 % 2 == 1 ? average : nil }
    default: break
    }
    let parts = targets.split(separator: "_")
    guard parts.count == 4, parts[1] == "decay", let most = Double(parts[2]), let least = Double(parts[3]),
      most.isFinite, least.isFinite,
      let decay = decay(String(parts[0]), average: average, layers: layers)
    else { return nil }
    return decay.map { $0 <= most ? max($0, least) : nil }
  }

  /// Shares before they are cut to a range. `[layers]`; nil if the kind is unknown.
  package static func decay(_ kind: String, average: Double, layers: Int) -> [Double]? {
    let last = Double(max(layers - 1, 1))
    switch kind {
    case "shiftedcos": return (0..<layers).map { cos(Double($0) * .pi / last) / 2 + average }
    case "shiftedlinear": return (0..<layers).map { -Double($0) / last + 0.5 + average }
    default: return nil
    }
  }

  /// - Parameter layers: the view `layers`, where a layer with a router keeps its own weights under `decoder_layer`.
  func routers(_ layers: Checkpoint, width: Int) throws -> [Int: DepthRouter] {
    var routers: [Int: DepthRouter] = [:]
    for index in shares.indices where shares[index] != nil {
      let view = layers[index]["router.router"]
      routers[index] = DepthRouter(
        logit: Linear(
          weight: try view.weight("weight", [1, width]), bias: hasBias ? try view.vector("bias", [1]) : nil),
        weighting: weighting)
    }
    return routers
  }
}

/// Chooses the visual tokens that enter a layer; the weights of all of them scale what comes out (symmetric token
/// reweighting): of those inside the MLP branch, of the others the whole row. Text enters always, unweighted.
struct DepthRouter: Sendable {
  /// `[1, width]`, on the rows as they enter the layer, without a norm.
  let logit: Linear
  let weighting: MixtureOfDepths.Weighting

  /// Rows on their way around a layer.
  struct Routing {
    /// Of the rows inside; 1 for text.
    let weights: [Float]
    fileprivate let whole: TokenSequence
    fileprivate let inside: [Int], outside: [(row: Int, weight: Float)]

    var bypassing: Int { outside.count }

    /// Puts the rows that have passed the layer back among the others.
    func leave(_ tokens: inout TokenSequence) {
      var joined = whole
      let width = joined.x.width
      joined.x.values.withUnsafeMutableBufferPointer { rows in
        tokens.x.values.withUnsafeBufferPointer { passed in
          for (index, row) in inside.enumerated() {
            (rows.baseAddress! + row * width).update(from: passed.baseAddress! + index * width, count: width)
          }
        }
        for (row, weight) in outside { scale(rows.baseAddress! + row * width, width, weight) }
      }
      tokens = joined
    }
  }

  /// Router weight of every row of x `[n, width]` at `rows`.
  func weights(_ x: Tensor, _ rows: [Int]) -> [Float] { weighting(logit(x.gathered(rows)).values) }

  /// Leaves the rows that enter the layer, at their positions, under their ids. nil: all do, as in a prompt without images
  /// and in decoding.
  /// - Parameter count: how many of so many visual tokens enter.
  func enter(_ tokens: inout TokenSequence, _ images: [ImageLayout], count: (Int) -> Int?) -> Routing? {
    let visual = images.visualRows(of: tokens.id)
    guard let count = count(visual.count) else { return nil }
    let weights = weights(tokens.x, visual)
    let chosen = Set(topK(weights, count))
    var own = [Float](repeating: 1, count: tokens.count)
    var outside: [(row: Int, weight: Float)] = []
    for (index, row) in visual.enumerated() {
      own[row] = weights[index]
      if !chosen.contains(index) { outside.append((row, weights[index])) }
    }
    let skipped = Set(outside.map(\.row))
    let inside = (0..<tokens.count).filter { !skipped.contains($0) }
    let routing = Routing(weights: inside.map { own[$0] }, whole: tokens, inside: inside, outside: outside)
    tokens.apply(.keep(inside, of: tokens.count))
    return routing
  }
}

extension LanguageModel {
  /// The router's weights of rows `rows` of what enters a layer, `[n, width]`; nil where it has no router.
  package func routerWeights(_ layer: Int, _ hidden: Tensor, rows: [Int]) -> [Float]? {
    routers[layer]?.weights(hidden, rows)
  }
}
