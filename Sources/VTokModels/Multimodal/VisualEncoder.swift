import VTokCore
import VTokImage
import VTokTensor

/// The weights that turn pixels into rows of the tower, and its rows into embeddings of the language model.
protocol VisualEncoder: Sendable {
  var tower: VisionTower { get }
  var connector: Connector { get }
  /// `[1, width]`
  var newline: Tensor? { get }

  /// Features of a tile as embeddings of the language model.
  /// - Parameters:
  ///   - groups: rows that become one; nil: every row alone.
  ///   - question: where the connector is conditioned on it. `[1, width]`
  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence
  /// Every tile as it enters the tower.
  /// - Parameter first: number of the image's first patch, counted through the prompt.
  func embed(_ image: PreparedImage, first: Int) -> [(tokens: TokenSequence, surroundings: WeightBlocks.Surroundings)]
}

extension VisualEncoder {
  var newline: Tensor? { nil }
  func connect(_ tile: TokenSequence, joining groups: [[Int32]]?, question: Tensor?, threads: Int) -> TokenSequence {
    connector(tile, joining: groups, threads: threads)
  }
}
