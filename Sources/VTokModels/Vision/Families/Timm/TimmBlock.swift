import VTokCore
import VTokTensor
import VTokWeights

extension TimmViT {
  /// A block in the form that the arguments make.
  /// - Parameter shared: bias of pairs that all blocks add. `[entries, heads]`
  static func block(
    _ view: Checkpoint, _ width: Int, _ arguments: TimmArguments, entries: Int?, shared: Tensor?
  ) throws -> TransformerBlock {
    let mlp = view["mlp"]
    let down = try mlp.linear("fc2", [width, nil])
    let (hidden, epsilon, heads) = (down.weight.columns, arguments.epsilon, arguments.heads)
    func scale(_ vit: String, _ other: String) throws -> [Float]? {
      arguments.hasLayerScale ? try view.vector(arguments.code == .vit ? vit : other, [width]) : nil
    }
    var block = TransformerBlock(
      heads: heads, norm1: try view.norm("norm1", width, epsilon: epsilon),
      qkv: try projections(view["attn"], width, arguments),
      output: try view.linear("attn.proj", [width, width]), scale1: try scale("ls1.gamma", "gamma_1"),
      norm2: try view.norm("norm2", width, epsilon: epsilon),
      up: try arguments.isSplit
        ? mlp.linear(stacking: ["fc1_g", "fc1_x"], [hidden, width], bias: true)
        : mlp.linear("fc1", [arguments.isGated ? 2 * hidden : hidden, width]), down: down,
      mlp: arguments.isGated ? .gated : .plain(arguments.activation), scale2: try scale("ls2.gamma", "gamma_2"))
    if arguments.normsHeads { block.headNorm = try view.norm("attn.norm", width, epsilon: epsilon) }
    if arguments.normsHidden { block.hiddenNorm = try mlp.norm("norm", hidden, epsilon: epsilon) }
    if let entries {
      let name = "attn.relative_position_bias_table"
      let own = view.has(name) || shared == nil ? try view.tensor(name, [entries, heads]) : nil
      block.relativeBias = RelativeBias([own, shared].compactMap(\.self), heads: heads)
    }
    return block
  }

  /// Queries, keys and values. EVA and BEiT keep the biases of queries and values apart; keys have none.
  private static func projections(_ view: Checkpoint, _ width: Int, _ arguments: TimmArguments) throws -> Linear {
    let parts: [Linear]
    let exact = view.at(.f32)
    if arguments.code == .vit {
      return try view.linear("qkv", [3 * width, width], bias: arguments.hasBiases)
    } else if arguments.isFused {
      let biases =
        arguments.hasBiases
        ? try view.vector("q_bias", [width]) + [Float](repeating: 0, count: width) + view.vector("v_bias", [width])
        : nil
      parts = [Linear(weight: try exact.weight("qkv.weight", [3 * width, width]), bias: biases)]
    } else {
      parts = try ["q_proj", "k_proj", "v_proj"].map { name in
        try exact.linear(name, [width, width], bias: arguments.hasBiases && name != "k_proj")
      }
    }
    // EVA turns neighbours against each other. With all first ones of a head before all second ones it is the other layout,
    // and products of queries and keys are the same.
    let interleaved = arguments.rotary == .cells
    return view.joined(parts, order: interleaved ? halves(width, heads: arguments.heads) : nil)
  }

  /// Where the rows of queries and keys are that lie in pairs, head by head; values stay.
  private static func halves(_ width: Int, heads: Int) -> [Int] {
    let size = width / heads
    let turned = (0..<2 * heads).flatMap { head in
      (0..<size).map { head * size + ($0 < size / 2 ? 2 * $0 : 2 * ($0 - size / 2) + 1) }
    }
    return turned + (2 * width..<3 * width)
  }
}
