import COpenBLAS
import CVTokKernels

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

/// A row-major matrix as `sgemm` reads it: where it starts, and how far its rows lie apart.
package struct Strided {
  let base: UnsafePointer<Float>, stride: Int
  let isTransposed: Bool

  @inline(__always)
  package init(_ base: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
    self.base = base
    self.stride = stride
    isTransposed = transposed
  }
}

/// `c = alpha * a b + beta * c` on raw row-major matrices: a, turned where it says so, `[m, k]`, b likewise `[k, n]`, c
/// `[m, n]` with its rows `stride` apart. One thread.
@inline(__always)
package func sgemm(
  m: Int, n: Int, k: Int, alpha: Float = 1, _ a: Strided, _ b: Strided, beta: Float = 0,
  into c: UnsafeMutablePointer<Float>, stride: Int
) {
  guard m > 0, n > 0, blasIsSingleThreaded else { return }
  cblas_sgemm(
    CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans, blasint(m),
    blasint(n), blasint(k), alpha, a.base, blasint(a.stride), b.base, blasint(b.stride), beta, c, blasint(stride))
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

/// `a b^T`: a `[m, k]`, b `[n, k]`, result `[m, n]`.
public func product(_ a: Tensor, transposed b: Tensor) -> Tensor {
  precondition(a.width == b.width, "product of rows of length \(a.width) and \(b.width)")
  return Tensor(shape: [a.rows, b.rows]) { out in
    a.values.withUnsafeBufferPointer { left in
      b.values.withUnsafeBufferPointer { right in
        guard let left = left.baseAddress, let right = right.baseAddress else {
          return out.update(repeating: 0, count: a.rows * b.rows)
        }
        sgemm(
          m: a.rows, n: b.rows, k: a.width, Strided(left, stride: a.width),
          Strided(right, stride: b.width, transposed: true), into: out, stride: b.rows)
      }
    }
  }
}
