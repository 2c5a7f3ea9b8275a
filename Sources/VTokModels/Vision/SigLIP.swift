import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

#if canImport(Glibc)
  import Glibc
#else
  import Foundation
#endif

/// SigLIP as Hugging Face publishes it: no class token, an attention-pooling head, sigmoid zero-shot scores.
/// (transformers: `models/siglip`; Zhai et al. 2023, arXiv 2303.15343.)
public struct SigLIP: Sendable {
  public let vision: VisionModel
  public let text: TextTower
  let logitScale: Float, logitBias: Float

  static func loadVision(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = try Config(json: checkpoint.config).visionPart()
    let view =
      checkpoint.has("vision_model.embeddings.patch_embedding.weight") ? checkpoint["vision_model"] : checkpoint
    let width = try config.int("hidden_size", 768)
    let ffn = try config.int("intermediate_size", 3072)
    let heads = try config.int("num_attention_heads", 12)
    let patch = try config.int("patch_size", 16)
    let epsilon = try config.float("layer_norm_eps", 1e-6)
    let activation = try config.activation(.geluTanh)
    let blocks = try HuggingFaceBlocks.clip(
      view["encoder"]["layers"], count: try config.int("num_hidden_layers", 12), width: width, ffn: ffn, heads: heads,
      activation: activation, epsilon: epsilon)
    let grid = try PositionGrid.square(
      try view.tensor("embeddings.position_embedding.weight", [nil, width]), kernel: .plain,
      name: "embeddings.position_embedding.weight")
    let embedding = VisionTower.Embedding(
      patch: patch, projection: try view.patchProjection("embeddings.patch_embedding", width: width, patch: patch),
      prefix: [], positions: grid, norm: nil)
    let pool =
      try config.bool("vision_use_head", true)
      ? try AttentionPool(view["head"], width: width, ffn: ffn, heads: heads, activation: activation, epsilon: epsilon)
      : nil
    let head: VisionModel.Head = pool.map { .attention($0) } ?? .mean(nil, nil)
    let shape = Shape.Tower(
      blocks: blocks.count, width: width, heads: heads, ffn: ffn, prefix: 0, hasClassifier: false, rows: grid.rows,
      columns: grid.columns, patch: patch, headMACs: head.macs.constant, headMACsPerToken: head.macs.perToken)
    let side = grid.rows * patch
    let fallback = ImageProcessor(
      resize: .exact(width: side, height: side), filter: .bicubic, crop: nil, cropRounding: .floor,
      mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])
    return VisionModel(
      family: "siglip",
      tower: VisionTower(
        embedding: embedding, blocks: blocks, finalNorm: try view.norm("post_layernorm", width, epsilon: epsilon),
        shape: shape), head: head, labels: nil,
      processor: try .huggingFace(checkpoint, fallback: fallback, bareSizeIsSquare: true))
  }

  /// Both towers, for zero-shot classification. The text is always padded to the tower's full length.
  public static func load(_ checkpoint: Checkpoint) throws -> SigLIP {
    let vision = try loadVision(checkpoint)
    let view = checkpoint["text_model"]
    let config = try Config(json: checkpoint.config).section("text_config")
    let text = try TextTower(
      view, config, causal: false, activation: .geluTanh, epsilon: 1e-6, end: .lastPosition,
      head: view.linear("head", [vision.tower.shape.width, config.int("hidden_size", 768)]))
    let (scale, bias) = (try checkpoint.tensor("logit_scale", [1]), try checkpoint.tensor("logit_bias", [1]))
    try checkpoint.refuseUnknown([.positions])
    return SigLIP(vision: vision, text: text, logitScale: scale.values[0], logitBias: bias.values[0])
  }

  /// L2-normalised image vector. Pixels `[3, height, width]`.
  public func embed(_ pixels: Tensor, threads: Int = 1) -> [Float] {
    normalised(vision(pixels, threads: threads).pooled)
  }
  /// L2-normalised text vector of one padded sequence.
  public func embed(_ ids: [Int]) -> [Float] { normalised(text(ids).projected) }

  /// The probability that a logit stands for.
  public static func probability(_ logit: Float) -> Float { 1 / (1 + expf(-logit)) }

  /// `exp(logit_scale) u · v + logit_bias` for every text.
  public func logits(image: [Float], texts: [[Float]]) -> [Float] {
    texts.map { v in expf(logitScale) * zip(image, v).reduce(0) { $0 + $1.0 * $1.1 } + logitBias }
  }
}

/// Multi-head attention of one learned query over all tokens: `y = attn`, `y + MLP(LN(y))` (the residual is the
/// attention output, not the query).
public struct AttentionPool: Sendable {
  let query: Tensor  // [1, width], already projected
  let key: Linear, value: Linear, output: Linear
  let norm: LayerNorm
  let up: Linear, down: Linear
  let activation: Activation
  let heads: Int

  init(_ view: Checkpoint, width: Int, ffn: Int, heads: Int, activation: Activation, epsilon: Float) throws {
    let packed = try view.tensor("attention.in_proj_weight", [3 * width, width])
    let bias = try view.vector("attention.in_proj_bias", [3 * width])
    func part(_ index: Int) -> Linear {
      Linear(
        weight: Weight(packed.gathered(Array(index * width..<(index + 1) * width))),
        bias: Array(bias[index * width..<(index + 1) * width]))
    }
    query = part(0)(try view.tensor("probe", [1, 1, width]).reshaped([1, width]))
    (key, value) = (part(1), part(2))
    output = try view.linear("attention.out_proj", [width, width])
    norm = try view.norm("layernorm", width, epsilon: epsilon)
    up = try view.linear("mlp.fc1", [ffn, width])
    down = try view.linear("mlp.fc2", [width, ffn])
    (self.heads, self.activation) = (heads, activation)
  }

  var macs: (constant: Int, perToken: Int) { Self.macs(width: query.width, ffn: up.weight.rows) }

  /// Two projections of every token and its two products; two of the query and its MLP.
  static func macs(width: Int, ffn: Int) -> (constant: Int, perToken: Int) {
    (2 * width * width + 2 * width * ffn, 2 * width * width + 2 * width)
  }

  /// x `[n, width]`, result `[width]`.
  func callAsFunction(_ x: Tensor) -> [Float] {
    let (keys, values) = (key(x), value(x))
    let width = query.width
    let headDim = width / heads
    var mixed = [Float](repeating: 0, count: width)
    for head in 0..<heads {
      let span = head * headDim..<(head + 1) * headDim
      let logits = (0..<x.rows).map { row in
        span.reduce(Float(0)) { $0 + query.values[$1] * keys.values[row * width + $1] } / Float(headDim).squareRoot()
      }
      for (row, share) in softmax(logits).enumerated() {
        for column in span { mixed[column] += share * values.values[row * width + column] }
      }
    }
    let y = output(Tensor(mixed, shape: [1, width]))
    var hidden = up(norm(y))
    hidden.activate(activation)
    let z = down(hidden)
    return zip(y.values, z.values).map(+)
  }
}
