import VTokCore
import VTokTensor

/// The blocks of a tower as a walk passes them: real ones, noise in their place, or what another run has left of them.
package protocol BlockSource {
  /// Blocks there are, and how many of them the features need.
  var count: Int { get }
  var depth: Int { get }

  /// Rows of every window of a block whose rows attend inside windows; empty where a tile attends as a whole.
  func windows(in block: Int) -> [Int]

  /// Runs the first half of a block, so that what `requests` ask for can be had until the next call.
  /// - Parameters:
  ///   - only: so many rows at the beginning are wanted, the others may stay as they are; nil: all.
  ///   - carried: attention of every tile to use in place of the block's own, `[heads, n, n]`; empty: its own.
  mutating func attend(
    _ block: Int, _ tiles: inout [TokenSequence], for requests: [Request], only: Int?, carried: [Tensor])

  /// Attention of the block that has just run, as a request wants it: `[heads, rows, keys]`, or `[heads, keys]`.
  mutating func attention(_ request: Request, tile: Int, rows: [Int]) -> Tensor

  /// Keys of the block that has just run. `[heads, n, headDim]`
  mutating func keys(tile: Int) -> Tensor

  /// Runs the second half of a block.
  mutating func feedForward(_ block: Int, _ tiles: inout [TokenSequence], only: Int?)

  /// What a block would form on tokens, without running it.
  mutating func probe(_ block: Int, _ request: Request, _ tokens: TokenSequence, rows: [Int]) -> BlockProbe

  /// Pixels of the rows entering block 0, in 0...1, `[n, 3 * patch * patch]`; nil where nobody has them.
  mutating func pixels(tile: Int) -> Tensor?

  /// Lets what belongs to the rows of a tile follow a method that changed them before block 0.
  mutating func follow(_ reduction: Reduction, tile: Int)

  /// Makes features of what has left the last block.
  mutating func finish(_ tiles: inout [TokenSequence])

  /// Features in the space that they share with the question, `[n, width]`; nil where there is none.
  mutating func joint(_ tokens: TokenSequence) -> Tensor?
}

/// What a block that need not run would form.
package struct BlockProbe {
  /// `[heads, rows, n]`; nil without rows.
  var attention: Tensor?
  /// `[heads, n, headDim]`; nil where nobody asked.
  var keys: Tensor?
}
