import CVTokKernels
import VTokCore
import VTokTensor

// Numbers that a pass needs beside its rows, from shapes alone: what `Memory` of blocks and layers allocates.

extension Shape.Decoder {
  /// Whether float32 copies in the order of the kernels are worth their memory: below about 32 million numbers.
  package var isSmall: Bool { weights + tableWeights < 1 << 25 }

  /// Of every row in a layer: first what mixes the rows, then gate and up.
  var innerScratch: Int {
    max(SelfAttention.scratch(self), deltaNet.map { GatedDeltaNet.scratch($0) } ?? 0, 2 * ffn)
  }

  /// Entries that there is memory for in caches that hold at most so many, after so many new tokens: a cache has room for some
  /// behind its prompt, and then grows by an eighth.
  package static func room(for entries: Int, newTokens: Int) -> Int {
    newTokens > SelfAttention.room ? entries + entries / 8 : entries
  }

  /// Of a pass of so many rows over so many keys, which are rounded behind the layer that has formed them.
  package func scratch(rows: Int, keys: Int, kv: CachePrecision, threads: Int) -> Int {
    let threads = min(threads, heads)
    let formed = kv == .f32 ? 0 : rows * 2 * kvHeads * headDim
    return rows * (2 * width + innerScratch) + formed
      + threads * (vtok_matrix.panels + Attention.Memory.widened(rows: rows, keys: keys, headDim: headDim, kv))
      + Attention.Memory.scores(rows: rows, keys: keys, heads: heads, threads: threads)
  }
}

extension Shape.Tower {
  /// Of a tile of so many rows in all blocks.
  package func scratch(rows: Int, threads: Int) -> Int {
    let slots = max(1, min(threads, heads))
    let up = ffnMatrices == 3 ? 2 * ffn : ffn
    return rows * (width + max(3 * width, ffn) + up)
      + slots * (min(rows, TransformerBlock.Memory.mostRows) * rows + vtok_matrix.panels)
  }
}
