import VTokTensor
import VTokWeights

/// The text encoder of CLIP and SigLIP: the same blocks as the vision tower, over token embeddings.
public struct TextTower: Sendable {
  /// Which row stands for the text.
  enum End: Sendable {
    case largestID
    case firstID(Int)
    case lastPosition
  }

  /// `[vocabulary, width]`
  let tokens: Weight
  /// `[positions, width]`
  let positions: Tensor
  let blocks: [TransformerBlock]
  let finalNorm: LayerNorm
  let causal: Bool
  let end: End
  let head: Linear

  /// Number of ids it has embeddings for.
  public var vocabulary: Int { tokens.rows }
  /// Longest text in tokens.
  public var contextLength: Int { positions.rows }

  init(
    _ view: Checkpoint, _ config: Config, causal: Bool, activation: Activation, epsilon: Float, end: End,
    head: Linear
  ) throws {
    let width = try config.int("hidden_size", causal ? 512 : 768)
    let epsilon = try config.float("layer_norm_eps", epsilon)
    tokens = try view.weight("embeddings.token_embedding.weight", [nil, width])
    positions = try view.tensor("embeddings.position_embedding.weight", [nil, width])
    blocks = try HuggingFaceBlocks.clip(
      view["encoder"]["layers"], count: try config.int("num_hidden_layers", 12), width: width,
      ffn: try config.int("intermediate_size", causal ? 2048 : 3072),
      heads: try config.int("num_attention_heads", causal ? 8 : 12), activation: try config.activation(activation),
      epsilon: epsilon)
    finalNorm = try view.norm("final_layer_norm", width, epsilon: epsilon)
    self.causal = causal
    self.end = end
    self.head = head
  }

  public struct Output: Sendable {
    /// Entering block 0, then after every block. `[n, width]` each
    public let hidden: [Tensor]
    /// After the final norm. `[n, width]`
    public let last: Tensor
    /// The row that stands for the text, and its projection (not normalised).
    public let pooled: [Float], projected: [Float]
  }

  /// - Precondition: ids lie in the vocabulary and are at most `contextLength`.
  public func callAsFunction(_ ids: [Int]) -> Output {
    precondition(!ids.isEmpty && ids.count <= contextLength, "\(ids.count) ids for \(contextLength) positions")
    let width = positions.width
    var x = Tensor(zeros: [ids.count, width])
    for (row, id) in ids.enumerated() {
      precondition((0..<tokens.rows).contains(id), "id \(id) in a vocabulary of \(tokens.rows)")
      for (column, value) in zip(tokens.row(id), positions.row(row)).map(+).enumerated() {
        x.values[row * width + column] = value
      }
    }
    var hidden = [x]
    let memory = TransformerBlock.Memory(rows: ids.count, block: blocks[0], threads: 1)
    for block in blocks {
      _ = block.attend(&x, memory, causal: causal)
      block.feedForward(&x, memory)
      hidden.append(x)
    }
    let last = finalNorm(x)
    let row: Int
    switch end {
    case .lastPosition: row = ids.count - 1
    case .largestID: row = ids.firstIndex(of: ids.max()!)!
    case .firstID(let id): row = ids.firstIndex(of: id) ?? 0  // argmax of an all-false mask, as transformers does
    }
    let pooled = Array(last.row(row))
    return Output(
      hidden: hidden, last: last, pooled: pooled, projected: head(Tensor(pooled, shape: [1, width])).values)
  }
}

/// Blocks under the names of Hugging Face families.
enum HuggingFaceBlocks {
  /// CLIP and SigLIP: `self_attn.{q,k,v,out}_proj`, `layer_norm1/2`, `mlp.fc1/fc2`.
  static func clip(
    _ layers: Checkpoint, count: Int, width: Int, ffn: Int, heads: Int, activation: Activation, epsilon: Float
  ) throws -> [TransformerBlock] {
    try requireHeads(heads, width: width, blocks: count)
    return try (0..<count).map { index in
      let view = layers[index]
      return TransformerBlock(
        heads: heads, norm1: try view.norm("layer_norm1", width, epsilon: epsilon),
        qkv: try view["self_attn"].linear(
          stacking: ["q_proj", "k_proj", "v_proj"], [width, width], bias: true),
        output: try view.linear("self_attn.out_proj", [width, width]), scale1: nil,
        norm2: try view.norm("layer_norm2", width, epsilon: epsilon), up: try view.linear("mlp.fc1", [ffn, width]),
        down: try view.linear("mlp.fc2", [width, ffn]), mlp: .plain(activation), scale2: nil)
    }
  }
}
