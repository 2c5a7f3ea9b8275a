import VTokCore
import VTokTensor

/// The layers of a language model as a walk passes them: real ones, noise in their place, or ones that remember what prompts
/// begin with.
package protocol LayerSource {
  var shape: Shape.Decoder { get }

  /// The rows on their way, entering the next layer.
  var tokens: TokenSequence { get set }

  /// The row of the embedding table of a new token. `[1, width]`
  mutating func embedding(of token: Int) -> Tensor

  /// Begins a pass.
  /// - Parameter keys: most entries that a cache will have.
  mutating func begin(_ tokens: TokenSequence, keys: Int)

  /// Lets the rows through a layer, so that what `requests` ask for can be had until the next one. What the layer keeps of
  /// them is added to its past: keys and values to the cache, one sequence, or one per KV head, as it was; one, where it was
  /// empty.
  mutating func pass(_ layer: Int, _ past: inout LayerPast, for requests: [Request], _ run: Run) -> LayerPassage

  /// Attention of the layer that has just run, as a request wants it, of the heads that read one sequence of its cache:
  /// `[heads, rows, keys]`, or `[heads, keys]`; nil before the first layer.
  /// - Parameter part: which of how many sequences.
  mutating func attention(_ request: Request, part: (index: Int, count: Int), rows: Int, keys: Int) -> Tensor?

  /// Attention rows that a layer would form on the rows on their way, without running it. `[heads, rows, n]`, or `[heads, n]`
  mutating func probe(_ layer: Int, _ request: Request, rows: [Int], _ run: Run) -> Tensor

  /// Turns the keys of a cache from the positions where they stand to others.
  /// - Parameter positions: new ones, one per row; the cache's own are still the old ones.
  func turn(_ cache: inout TokenSequence, to positions: [Position])

  /// Queries and keys that a layer would form of the rows on their way, without running it.
  mutating func projections(_ layer: Int) -> Projections

  /// The keys in a cache. `[kvHeads, n, headDim]`
  mutating func keys(of cache: TokenSequence) -> Tensor

  /// The rows on their way after the final norm. `[n, width]`
  mutating func normed() -> Tensor

  /// Attention and MLP of the layer that has just run; empty before the first one.
  mutating func branches() -> [Branch]

  /// Logits of the last row that has left the last layer. `[vocabulary]`; empty where nobody computes any.
  mutating func logits() -> [Float]
}

/// What passed a layer.
package struct LayerPassage {
  /// Of the rows inside.
  let ids: [Int32]
  /// Rows that passed it by (mixture of depths).
  var bypassing = 0
  var seconds = 0.0
}
