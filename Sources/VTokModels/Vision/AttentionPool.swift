import VTokTensor
import VTokWeights

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
    let view = view.at(.f32)  // a head
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
    self.heads = heads
    self.activation = activation
  }

  /// As timm names it (`layers/attention_pool.py`, `AttentionPoolLatent`).
  init(timm view: Checkpoint, width: Int, _ arguments: TimmArguments) throws {
    let view = view.at(.f32)
    let packed = try view.tensor("kv.weight", [2 * width, width])
    let bias = try view.vector("kv.bias", [2 * width])
    func part(_ rows: Range<Int>) -> Linear {
      Linear(weight: Weight(packed.gathered(Array(rows))), bias: Array(bias[rows]))
    }
    let latent = try view.tensor("latent", [1, 1, width]).reshaped([1, width])
    query = try view.linear("q", [width, width])(latent)
    (key, value) = (part(0..<width), part(width..<2 * width))
    output = try view.linear("proj", [width, width])
    norm = try view.norm("norm", width, epsilon: arguments.epsilon)
    up = try view.linear("mlp.fc1", [nil, width])
    down = try view.linear("mlp.fc2", [width, up.weight.rows])
    (heads, activation) = (arguments.heads, arguments.activation)
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
