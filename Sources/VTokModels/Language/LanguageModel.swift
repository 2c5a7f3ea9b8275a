import CVTokKernels
import VTokCore
import VTokTensor
import VTokWeights

/// A decoder of the Llama family: Llama, Vicuna, Mistral, SmolLM; Qwen2 with its biases and rotary positions of three axes,
/// Qwen3 with norms of its heads; Gemma 3 with layers that see a window, norms of branches and images that see themselves.
public struct LanguageModel: Sendable {
  public let shape: Shape.Decoder
  package let layers: [DecoderLayer]
  /// Of every layer that some visual tokens pass by; empty in most models.
  let routers: [Int: DepthRouter]
  package let norm: RMSNorm
  private(set) var attention: Attention
  /// Tokens, prompt and answer, that its rotary positions are right for; nil: any number.
  public let longest: Int?
  /// `[vocabulary, width]`
  private let tokens: Weight, head: Weight
  /// Of rows of `tokens` on their way into the first layer; nil: 1.
  private let embeddingScale: Float?

  /// - Parameters:
  ///   - text: the view of `embed_tokens`, `layers` and `norm`.
  ///   - head: `lm_head.weight` `[vocabulary, width]`; nil: the token embeddings are the head too.
  ///   - config: the text part of `config.json`; absent keys have the defaults of its `model_type`.
  /// - Throws: `ModelError`, `WeightError`.
  public init(_ text: Checkpoint, head: Weight?, config: JSON) throws {
    try self.init(text, head: head, Config(json: config))
  }

  init(_ text: Checkpoint, head: Weight?, _ config: Config) throws {
    let config = try DecoderConfig(config)
    shape = config.shape
    longest = config.longest
    tokens = try text.weight("embed_tokens.weight", [shape.vocabulary, shape.width])
    let stored = head ?? tokens
    self.head = config.isSmall ? stored.packed : stored
    guard (self.head.rows, self.head.columns) == (shape.vocabulary, shape.width) else {
      throw ModelError.input(
        what: "lm_head.weight", found: "shape [\(self.head.rows), \(self.head.columns)]",
        expected: "[\(shape.vocabulary), \(shape.width)]",
        fix: "The weights are not those of the model in config.json: fetch both from one revision.")
    }
    routers = try config.depths?.routers(text["layers"], width: shape.width) ?? [:]
    layers = try (0..<shape.layers).map { [routers] index in
      let layer = text["layers"][index]
      return try DecoderLayer(routers[index] == nil ? layer : layer["decoder_layer"], config, index: index)
    }
    norm = try config.norm(text, "norm", shape.width)
    embeddingScale = config.embeddingScale
    attention = Attention(heads: shape.heads, kvHeads: shape.kvHeads, headDim: shape.headDim)
  }

  /// How caches hold keys and values; those that were begun otherwise cannot go on.
  public var kv: CachePrecision {
    get { attention.kv }
    set { attention.kv = newValue }
  }

  /// The head's row of a token: its logit is the product with a normed row. `[width]`
  package func headRow(_ token: Int) -> [Float] { head.row(token) }

  /// What its layers do that Llama's do not, for what runs their parts itself; nil: nothing.
  package var beyondLlama: String? {
    for layer in layers {
      guard let attention = layer.attention else { return "layers without attention" }
      if attention.queryNorm != nil { return "norms of the heads of q and k" }
      if layer.mixedNorm != nil || layer.activation != .silu { return "norms of branches, or another activation" }
    }
    return shape.mixers.allSatisfy { $0 == shape.mixer(of: 0) } ? nil : "layers of several kinds"
  }

  /// Rows of the embedding table. `[n, width]`
  public func embeddings(of ids: [Int]) throws(ModelError) -> Tensor {
    if let id = ids.first(where: { !(0..<tokens.rows).contains($0) }) {
      throw .input(
        what: "token", found: "id \(id)", expected: "an id below \(tokens.rows)",
        fix: "The tokenizer is not the one of this model: use the files of one revision.")
    }
    return Tensor(shape: [ids.count, shape.width]) { out in
      for (row, id) in ids.enumerated() {
        tokens.widen(rows: id..<id + 1, into: out + row * shape.width)
        if let embeddingScale { scale(out + row * shape.width, shape.width, embeddingScale) }
      }
    }
  }

  /// Refuses more tokens than the rotary positions are right for.
  /// - Throws: `ModelError.input`.
  package func check(prompt: Int, new: Int = 0) throws(ModelError) {
    guard let longest, prompt + new > longest else { return }
    throw .input(
      what: "prompt", found: "\(prompt) tokens" + (new > 0 ? " and \(new) new ones" : ""),
      expected: "at most the \(longest) of max_position_embeddings, beyond which rope_scaling would change",
      fix: "Ask less, with fewer or smaller images" + (new > 0 ? ", or for fewer new tokens." : "."))
  }

  /// The final norm of hidden states. `[n, width]`
  public func normed(_ hidden: Tensor) -> Tensor { norm(hidden) }

  /// Logits `[n, vocabulary]` of hidden states `[n, width]` after the final norm.
  public func logits(_ hidden: Tensor, threads: Int = 1) -> Tensor {
    Linear(weight: head, bias: nil)(hidden, threads: threads)
  }
}
