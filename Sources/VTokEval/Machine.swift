import Foundation
import VTokTensor

/// The computer a result was made on.
public enum Machine {
  /// `OpenBLAS 0.3.21 SkylakeX`
  public static var blas: String { "\(BLAS.version) \(BLAS.core)" }

  /// GFLOP/s (two per multiply-add) of one sgemm of `size`³ on one thread, the best of `repeats`.
  public static func sgemm(size: Int = 1024, repeats: Int = 12) -> Double {
    var generator = SeededGenerator(seed: 1)
    let a = Tensor((0..<size * size).map { _ in generator.uniform() }, shape: [size, size])
    let b = Tensor((0..<size * size).map { _ in generator.uniform() }, shape: [size, size])
    let clock = ContinuousClock()
    var best = Double.infinity
    for _ in 0..<repeats {
      let start = clock.now
      let c = product(a, transposed: b)
      best = min(best, start.duration(to: clock.now) / .seconds(1))
      precondition(c.values[0].isFinite)
    }
    return 2 * Double(size) * Double(size) * Double(size) / best * 1e-9
  }

  /// GB/s (10^9 bytes) at which `threads` threads read memory through a matrix-vector product, the best of `repeats`: the
  /// bound of decoding, which reads all weights for every token.
  public static func bandwidth(threads: Int, repeats: Int = 5) -> Double {
    let (rows, columns) = (1 << 15, 1 << 11)  // 256 MB, more than any cache
    let weight = Weight(Tensor(zeros: [rows, columns]))
    let linear = Linear(weight: weight, bias: nil)
    let x = Tensor(zeros: [1, columns])
    let clock = ContinuousClock()
    var best = Double.infinity
    for _ in 0..<repeats {
      let start = clock.now
      let y = linear(x, threads: threads)
      best = min(best, start.duration(to: clock.now) / .seconds(1))
      precondition(y.values[0] == 0)
    }
    return Double(rows * columns * 4) / best * 1e-9
  }

  /// Whether the kernels OpenBLAS uses stay below what the CPU can do.
  public static var blasIsHeldBack: Bool {
    let wide = ["SkylakeX", "Cooperlake", "SapphireRapids"]
    return cpuLevel == "x86-64-v4" && !wide.contains(BLAS.core)
  }

  /// Most memory this process ever held, in MB (2^20 bytes).
  public static var peakMemory: Double {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
  }
}
