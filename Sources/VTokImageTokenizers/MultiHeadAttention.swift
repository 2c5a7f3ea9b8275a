import CVTokKernels
import VTokModels
import VTokTensor
import VTokWeights

/// Attention of one sequence to another, each with projections of its own: what DETR, BERT and Perceiver layers share. Rows that
/// attend to themselves alone are better off in a `TransformerBlock`.
struct MultiHeadAttention: Sendable {
  let heads: Int
  let query: Linear, key: Linear, value: Linear
  let output: Linear

  /// `output(softmax(q kᵀ / √d) v)` with q, k and v the projections of these rows.
  /// - Parameters:
  ///   - keys: as many rows as `values`.
  ///   - isCausal: row r sees keys 0...r.
  /// - Returns: a row for every row of `queries`.
  func callAsFunction(
    _ queries: Tensor, keys: Tensor, values: Tensor, isCausal: Bool = false, threads: Int
  ) -> Tensor {
    precondition(keys.rows == values.rows, "\(keys.rows) keys for \(values.rows) values")
    let (k, v) = (key(keys, threads: threads), value(values, threads: threads))
    return output(
      Self.mix(query(queries, threads: threads), k, v, heads: heads, isCausal: isCausal, threads: threads),
      threads: threads)
  }

  /// `softmax(q kᵀ / √d) v`, head by head. q `[n, width]`, k and v `[m, width]`; result `[n, width]`.
  private static func mix(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, isCausal: Bool, threads: Int
  ) -> Tensor {
    let (n, m, width) = (q.rows, k.rows, q.width)
    let headDim = width / heads
    var q = q
    vtok_scale_rows(&q.values, n, width, width, 1 / Float(headDim).squareRoot())
    let scaled = q
    return Tensor(shape: [n, width]) { out in
      let out = Shared(out)
      parallel(heads, threads: threads) { head in
        let size = min(n, 256)
        let (scores, panel) = (Scratch(size * m), Scratch(vtok_matrix.panels))
        let offset = head * headDim
        scaled.values.withUnsafeBufferPointer { q in
          k.values.withUnsafeBufferPointer { k in
            v.values.withUnsafeBufferPointer { v in
              let keys = vtok_matrix(rows: k.baseAddress! + offset, depth: headDim, stride: width)
              let values = vtok_matrix(columns: v.baseAddress! + offset, depth: m, stride: width)
              for first in stride(from: 0, to: n, by: size) {
                let rows = min(size, n - first)
                vtok_product(
                  q.baseAddress! + first * width + offset, rows, width, keys, 0, m, 0, scores.pointer, m, panel.pointer)
                if isCausal {
                  vtok_softmax_rows_causal(scores.pointer, rows, m, m, first)
                } else {
                  vtok_softmax_rows(scores.pointer, rows, m, m, nil)
                }
                vtok_product(
                  scores.pointer, rows, m, values, 0, headDim, 0, out.pointer + first * width + offset, width,
                  panel.pointer)
              }
            }
          }
        }
      }
    }
  }
}

// MARK: Loading

extension MultiHeadAttention {
  /// As PyTorch's `MultiheadAttention` names it: queries, keys and values of one width in one matrix.
  init(torch view: Checkpoint, width: Int, heads: Int) throws {
    let weights = try view.tensor("in_proj_weight", [3 * width, width])
    let biases = try view.vector("in_proj_bias", [3 * width])
    func part(_ index: Int) -> Linear {
      let rows = index * width..<(index + 1) * width
      return Linear(weight: Weight(weights.gathered(Array(rows))).packed, bias: Array(biases[rows]))
    }
    self.init(
      heads: heads, query: part(0), key: part(1), value: part(2),
      output: try view.linear("out_proj", [width, width]))
  }

  /// As BERT names it, below `self` and `output`.
  /// - Parameter memory: width of the rows that are attended to.
  init(bert view: Checkpoint, width: Int, memory: Int, heads: Int) throws {
    self.init(
      heads: heads, query: try view.linear("self.query", [width, width]),
      key: try view.linear("self.key", [width, memory]), value: try view.linear("self.value", [width, memory]),
      output: try view.linear("output.dense", [width, width]))
  }

  /// As Perceiver resamplers name it, without biases: heads have a width of their own.
  init(perceiver view: Checkpoint, width: Int, heads: Int, headDim: Int) throws {
    let inner = heads * headDim
    let both = try view.tensor("to_kv.weight", [2 * inner, width])
    func half(_ rows: Range<Int>) -> Linear {
      Linear(weight: Weight(both.gathered(Array(rows))).packed, bias: nil)
    }
    self.init(
      heads: heads, query: try view.linear("to_q", [inner, width], bias: false), key: half(0..<inner),
      value: half(inner..<2 * inner), output: try view.linear("to_out", [width, inner], bias: false))
  }
}

func + (a: Tensor, b: Tensor) -> Tensor {
  var sum = a
  sum.add(b)
  return sum
}
