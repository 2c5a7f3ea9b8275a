import COpenBLAS
import CVTokKernels
import Dispatch

/// OpenBLAS runs each call on the calling thread; splitting is ours (`parallel`). Its own threads would cost more than
/// they give at the sizes of a transformer block.
private let blasIsSingleThreaded: Bool = {
  openblas_set_num_threads(1)
  return true
}()

/// What gradients and `sgemm` bounds are computed with: the kernel set OpenBLAS chose, and its version.
public enum BLAS {
  /// Name of the CPU kernels in use, for example `SkylakeX`.
  public static var core: String { String(cString: openblas_get_corename()) }
  /// For example `OpenBLAS 0.3.21`.
  public static var version: String {
    String(cString: openblas_get_config()).split(separator: " ").prefix(2).joined(separator: " ")
  }
}

/// Level of the row kernels: `x86-64-v4`, `x86-64-v3`, `x86-64`, `aarch64` or `generic`.
public var cpuLevel: String { String(cString: vtok_cpu_level()) }

/// `c = alpha * op(a) op(b) + beta * c` on raw row-major matrices, op(a) `[m, k]`, op(b) `[k, n]`, c `[m, n]`; `a`, `b`
/// and `c` have row strides `lda`, `ldb`, `ldc`. One thread.
@inline(__always)
package func sgemm(
  _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, _ lda: Int, transposeA: Bool = false,
  _ b: UnsafePointer<Float>, _ ldb: Int, transposeB: Bool, beta: Float = 0, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
) {
  guard m > 0, n > 0, blasIsSingleThreaded else { return }
  cblas_sgemm(
    CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
}

/// A matrix formed on the way, such as the keys or values of a head, for `vtok_product`: every product packs it anew.
extension vtok_matrix {
  /// The matrix has these rows; they lie `stride` apart.
  package init(rows: UnsafePointer<Float>, depth: Int, stride: Int) {
    self.init(base: rows, type: VTOK_F32, depth: depth, stride: stride, transposed: 0, packed: 0)
  }

  /// The matrix has these columns: `depth` lines, `stride` apart.
  package init(columns: UnsafePointer<Float>, depth: Int, stride: Int) {
    self.init(base: columns, type: VTOK_F32, depth: depth, stride: stride, transposed: 1, packed: 0)
  }

  /// Floats of scratch memory that packing takes.
  package static let panels = 1024 * vtok_panel()
}

/// Runs `body(0..<count)` on up to `threads` threads. Iterations are handed out one by one, so uneven work balances.
/// Nothing is promised about order: each iteration must write where no other one does.
public func parallel(_ count: Int, threads: Int, _ body: @Sendable (Int) -> Void) {
  if threads <= 1 || count <= 1 {
    for index in 0..<count { body(index) }
  } else if count <= threads {
    DispatchQueue.concurrentPerform(iterations: count, execute: body)
  } else {
    let next = Counter()
    DispatchQueue.concurrentPerform(iterations: threads) { _ in
      while let index = next.take(below: count) { body(index) }
    }
  }
}

/// `a b^T`: a `[m, k]`, b `[n, k]`, result `[m, n]`.
public func product(_ a: Tensor, transposed b: Tensor) -> Tensor {
  precondition(a.width == b.width, "product of rows of length \(a.width) and \(b.width)")
  return Tensor(shape: [a.rows, b.rows]) { out in
    sgemm(a.rows, b.rows, a.width, a.values, a.width, b.values, b.width, transposeB: true, out, b.rows)
  }
}
