import VTokCore
import VTokTensor

/// The tokens of one image between the blocks of a dense run. Other runs of the same pixels go on from the last place where
/// their methods have neither looked nor acted yet: what comes before is the same to the bit, so a table of many methods
/// computes it once and counts it in full for each.
public final class SharedBlocks {
  /// Entering block i, and, last, leaving the last one.
  private var tiles: [[TokenSequence]] = []
  private var layers: [Trace.Layer] = []
  /// Seconds of this thread's processor and of the clock that the blocks before took.
  private var processor: [Double] = [], clock: [Double] = []
  /// Processor seconds spent on keeping, which a dense run without it would not have spent.
  public private(set) var keeping = 0.0

  public init() {}

  var isEmpty: Bool { tiles.isEmpty }

  /// Where a run may begin: tokens, the layers before them, and what those took.
  struct Start {
    let block: Int
    let tiles: [TokenSequence]
    let layers: ArraySlice<Trace.Layer>
    let processor: Double, clock: Double
  }

  /// nil before a dense run has filled it, and for methods that see other pixels.
  func start(for composition: Composition) -> Start? {
    guard composition.patches == nil, !tiles.isEmpty else { return nil }
    let block = min(composition.untouchedBlocks ?? tiles.count - 1, tiles.count - 1)
    return Start(
      block: block, tiles: tiles[block], layers: layers[..<block], processor: processor[block], clock: clock[block])
  }

  /// - Parameter layer: the block before; nil at the entrance.
  /// - Returns: seconds of the clock that keeping took.
  func keep(_ tokens: [TokenSequence], after layer: Trace.Layer?, processor: Double, clock: Double) -> Double {
    let began = threadSeconds()
    // A copy of the numbers, now: a shared buffer would be copied later, on the clock of the next block.
    tiles.append(
      tokens.map { tile in
        var copy = tile
        copy.x = Tensor(shape: tile.x.shape) { $0.update(from: tile.x.values, count: tile.x.values.count) }
        return copy
      })
    if let layer { layers.append(layer) }
    self.processor.append(processor - keeping)
    self.clock.append(clock - keeping)
    let seconds = threadSeconds() - began
    keeping += seconds
    return seconds
  }
}
