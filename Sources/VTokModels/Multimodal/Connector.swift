import VTokCore
import VTokTensor

/// From rows of the tower to embeddings of the language model: LLaVA's projector, Idefics3's pixel shuffle with its
/// linear layer, Qwen's mergers. `second(activation(first(x)))` of every row x, or of several joined.
struct Connector: Sendable {
  /// Of every row, before rows are joined.
  var norm: Norm?
  /// Of joined rows.
  var joinedNorm: Norm?
  let first: Linear
  var activation = Activation.gelu
  var second: Linear?

  /// Width of the embeddings.
  var width: Int { (second ?? first).weight.rows }

  /// - Parameter groups: rows that become one, beside each other in this order; nil: every row alone.
  func callAsFunction(_ tokens: TokenSequence, joining groups: [[Int32]]? = nil, threads: Int) -> TokenSequence {
    var tokens = tokens
    let y = rows(of: tokens.x, joining: groups, threads: threads)
    if let groups {
      tokens.apply(Reduction(rows: groups, of: tokens.count, blend: .byCount), features: y)
    } else {
      tokens.x = y
    }
    return tokens
  }

  /// The same of bare rows. `[groups, width]`
  func rows(of x: Tensor, joining groups: [[Int32]]?, threads: Int) -> Tensor {
    var x = norm?(x) ?? x
    if let groups {
      x = x.gathered(groups.flatMap { $0.map(Int.init) }).reshaped([groups.count, first.weight.columns])
    }
    x = joinedNorm?(x) ?? x
    var y = first(x, threads: threads)
    guard let second else { return y }
    y.activate(activation)
    return second(y, threads: threads)
  }
}
