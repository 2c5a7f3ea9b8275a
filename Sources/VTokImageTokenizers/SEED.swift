import VTokImage
import VTokLibC
import VTokModels
import VTokTensor
import VTokWeights

/// SEED's second tokenizer (arXiv 2307.08041, 2310.01218; `AILab-CVC/SEED`, `models/seed_qformer`): what a picture shows as 32 ids of
/// 8192, each of which depends on those before it alone. Their feature lies near the picture's embedding by CLIP ViT-H/14 of
/// Open CLIP, so that pictures are found by 52 bytes each. Painting from it takes a diffusion model, which is no part of vtok.
///
/// The official scripts run in half precision, where ids may differ that lie near each other; these are those of float32.
public struct SEED: FeatureTokenizer {
  /// The files it is published in: the tokenizer may leave its tower to the second.
  static let parts = WeightParts(
    main: "seed_quantizer.pt", others: [WeightParts.Part(file: "eva_vit_g.pth", prefix: "visual_encoder")])
  static let needless = [
    Needless.positions, .mask,
    Needless("blocks.*", "pos_embed", reason: "of the training alone"),
    Needless(
      "Qformer.cls.*", "Qformer.bert.embeddings.word_embeddings.*", "Qformer.bert.embeddings.position_embeddings.*",
      "Qformer.bert.encoder.layer.*.intermediate.*", "Qformer.bert.encoder.layer.*.output.*",
      reason: "its branch for texts"),
    Needless(
      "visual_encoder.blocks.39.*", "visual_encoder.norm.*", "visual_encoder.fc_norm.*", "visual_encoder.head.*",
      reason: "behind the last block that the code builds"),
  ]
  /// The code masks later queries where there are exactly so many, and only then.
  private static let count = 32
  /// The code builds so many of the tower's 40 blocks.
  private static let mostBlocks = 39

  public let name = "seed"
  private let side: Int
  private let tower: SEEDTower
  private let towerNorm: LayerNorm
  private let queries: Tensor
  private let former: QueryFormer
  private let toCode: TanhMLP, fromCode: TanhMLP
  package let quantizer: VectorQuantizer
  private let head: SEEDFeature

  static func matches(_ checkpoint: Checkpoint) -> Bool {
    ["query_tokens", "encode_task_layer.0.weight", "quantize.embedding.weight"].allSatisfy(checkpoint.has)
  }

  /// - Throws: `ModelError`, `WeightError`.
  init(_ checkpoint: Checkpoint) throws {
    let config = Config(json: checkpoint.config)
    func heads(_ part: String, _ usual: Int) throws -> Int {
      try config.int("\(part)_num_heads", usual, in: 1...1024)
    }
    let visual = checkpoint["visual_encoder"]
    guard visual.has("cls_token") else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "visual_encoder", found: "not among the tensors",
        expected: "the vision tower, in the same file or as \(Self.parts.others[0].file) beside it")
    }
    tower = try SEEDTower(visual, heads: heads("vit", 16), most: Self.mostBlocks)
    side = tower.side
    let stored = try checkpoint.tensor("query_tokens", [1, nil, nil])
    guard stored.shape[1] == Self.count else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "query_tokens", found: "\(stored.shape[1]) queries",
        expected: "\(Self.count): the official code masks no other number")
    }
    let width = stored.width
    queries = stored.reshaped([Self.count, width])
    towerNorm = try checkpoint.norm("ln_vision", tower.width, epsilon: 1e-5)
    former = try QueryFormer(checkpoint["Qformer"], width: width, memory: tower.width, heads: heads("qformer", 12))
    let codes = try checkpoint.tensor("quantize.embedding.weight", [nil, nil])
    quantizer = VectorQuantizer(codes, isNormalised: false)
    toCode = try TanhMLP(checkpoint["encode_task_layer"], inputs: width, outputs: codes.width)
    fromCode = try TanhMLP(checkpoint["decode_task_layer"], inputs: codes.width, outputs: width)
    head = try SEEDFeature(
      checkpoint, count: Self.count, width: width, heads: heads("blocks", 12), queryHeads: heads("qformer", 12))
  }

  // MARK: Pictures

  public var codebookSize: Int { quantizer.codes.rows }
  public var featureWidth: Int { head.width }

  public func lengths(for size: Size) -> TokenLengths { .prefixes(Self.count) }

  /// The whole picture, stretched to a square.
  public var processor: ImageProcessor {
    ImageProcessor(
      resize: .exact(width: side, height: side), filter: .bicubic, mean: ImageProcessor.clipMean,
      std: ImageProcessor.clipStd)
  }

  public func prepare(_ image: Image) -> Image { processor.prepare(image) }

  /// Tokens are those of the tower's square, whose size stands in for the picture's.
  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    let count = try length(tokens, for: Size(side))
    let memory = vision(processor(image), threads: threads).normed
    let vectors = vectors(causal(memory, count: count, threads: threads), threads: threads)
    return ImageTokens(ids: quantizer(vectors), size: Size(side))
  }

  /// What a language model or the feature's head takes, `[tokens, width]`.
  public func embeddings(of tokens: ImageTokens) throws -> Tensor? {
    try check(tokens)
    return fromCode(quantizer.codes.gathered(tokens.ids), threads: 1)
  }

  public func feature(of tokens: ImageTokens, threads: Int) throws -> [Float] {
    try check(tokens)
    guard tokens.ids.count == Self.count else {
      throw ModelError.input(
        what: "the feature of \(name)", found: "\(tokens.ids.count) tokens", expected: "all \(Self.count) of a picture",
        fix: "Write them without a limit on their number.")
    }
    return head(fromCode(quantizer.codes.gathered(tokens.ids), threads: threads), threads: threads)
  }

  // MARK: Tensors

  /// All rows that leave the tower, class token first, and the same after the norm: what queries look at. `[1 + patches, width]`
  /// - Parameter pixels: `[3, side, side]`, normalised.
  package func vision(_ pixels: Tensor, threads: Int = 1) -> (last: Tensor, normed: Tensor) {
    let last = tower(pixels, threads: threads)
    return (last, towerNorm(last))
  }

  /// The first `count` queries behind so many layers. `[count, width]`
  /// - Parameter depth: nil: all layers.
  package func causal(_ memory: Tensor, count: Int = 32, depth: Int? = nil, threads: Int = 1) -> Tensor {
    former(
      queries.gathered(Array(0..<count)), memory: memory, isCausal: true, depth: depth, threads: threads)
  }

  /// What is compared with codes, `[count, dimensions]`.
  package func vectors(_ queries: Tensor, threads: Int = 1) -> Tensor { toCode(queries, threads: threads) }
}

/// EVA-CLIP ViT-g/14 as BLIP-2 uses it: all rows of the last block, without a final norm.
private struct SEEDTower: Sendable {
  let side: Int, width: Int
  private let patch: Int
  private let projection: Linear
  private let classToken: Tensor, positions: Tensor
  private let blocks: BlockStack

  init(_ checkpoint: Checkpoint, heads: Int, most: Int) throws {
    let kernel = try checkpoint.shape("patch_embed.proj.weight", rank: 4)
    let (width, patch) = (kernel[0], kernel[3])
    projection = try checkpoint.patchProjection("patch_embed.proj", width: width, patch: patch)
    classToken = try checkpoint.tensor("cls_token", [1, 1, width]).reshaped([1, width])
    let table = try checkpoint.tensor("pos_embed", [1, nil, width])
    positions = table.reshaped([table.shape[1], width])
    let grid = Int(Double(positions.rows - 1).squareRoot().rounded())
    guard grid > 0, grid * grid == positions.rows - 1, grid * patch <= 4096 else {
      throw ModelError.configuration(
        file: checkpoint.name, key: checkpoint.full("pos_embed"), found: "\(positions.rows) positions",
        expected: "those of a class token and a square grid")
    }
    (self.width, self.patch, side) = (width, patch, grid * patch)
    blocks = try BlockStack(count: min(checkpoint.count("blocks"), most), width: width, heads: heads) {
      try checkpoint["blocks"][$0].timmBlock(width: width, heads: heads, epsilon: 1e-6)
    }
  }

  func callAsFunction(_ pixels: Tensor, threads: Int) -> Tensor {
    var x = classToken
    x.append(rows: projection(pixels.patches(patch), threads: threads))
    x.add(positions)
    blocks(&x, threads: threads)
    return x
  }
}

/// Two linear layers with tanh between them.
private struct TanhMLP: Sendable {
  private let first: Linear, second: Linear

  init(_ checkpoint: Checkpoint, inputs: Int, outputs: Int) throws {
    first = try checkpoint.linear("0", [nil, inputs])
    second = try checkpoint.linear("2", [outputs, first.weight.rows])
  }

  func callAsFunction(_ x: Tensor, threads: Int) -> Tensor {
    var hidden = first(x, threads: threads)
    for index in hidden.values.indices { hidden.values[index] = tanhf(hidden.values[index]) }
    return second(hidden, threads: threads)
  }
}

/// From the embeddings of a picture's tokens to one vector: blocks that look both ways, then a few numbers a token side by side, or
/// one more query that looks at all of them.
private struct SEEDFeature: Sendable {
  private enum Pool: Sendable {
    /// Linear layers without bias, ReLU between them.
    case flat([Linear])
    case query(QueryFormer, Tensor)
  }

  private let positions: Tensor
  private let blocks: BlockStack
  private let pool: Pool
  private let projection: Linear

  var width: Int { projection.weight.rows }

  init(_ checkpoint: Checkpoint, count: Int, width: Int, heads: Int, queryHeads: Int) throws {
    positions = try checkpoint.tensor("pos_embed_image", [1, count, width]).reshaped([count, width])
    blocks = try BlockStack(count: checkpoint.count("blocks_image"), width: width, heads: heads) {
      try checkpoint["blocks_image"][$0].timmBlock(width: width, heads: heads, epsilon: 1e-6)
    }
    let inputs: Int
    // A file may hold what its projection does not read.
    if checkpoint.has("reverse_tokens"), checkpoint.shape("distill_image_proj.weight")?.last == width {
      let query = try checkpoint.tensor("reverse_tokens", [1, 1, width]).reshaped([1, width])
      pool = .query(
        try QueryFormer(checkpoint["Reverse_Qformer"], width: width, memory: width, heads: queryHeads), query)
      inputs = width
    } else {
      var size = width
      let layers = try ["0", "2", "4"].map { name in
        let layer = try checkpoint["image_down"].linear(name, [nil, size], bias: false)
        size = layer.weight.rows
        return layer
      }
      pool = .flat(layers)
      inputs = size * count
    }
    projection = try checkpoint.linear("distill_image_proj", [nil, inputs])
  }

  func callAsFunction(_ embeddings: Tensor, threads: Int) -> [Float] {
    var x = embeddings + positions
    blocks(&x, threads: threads)
    switch pool {
    case .query(let former, let query): x = former(query, memory: x, isCausal: false, threads: threads)
    case .flat(let layers):
      for (index, layer) in layers.enumerated() {
        x = layer(x, threads: threads)
        if index < layers.count - 1 {
          for place in x.values.indices { x.values[place] = max(0, x.values[place]) }
        }
      }
    }
    return projection(x.reshaped([1, x.values.count]), threads: threads).values
  }
}
