import CVTokKernels
import Testing
import VTokLibC
import VTokTensor

@Suite struct KernelTests {
  /// Against double precision over the whole range an MLP can see.
  @Test(arguments: [VTOK_GELU, VTOK_GELU_TANH, VTOK_QUICK_GELU, VTOK_SILU])
  func activations(_ kind: vtok_activation) {
    let inputs = stride(from: -30.0, through: 30.0, by: 0.0037).map { Float($0) }
    var outputs = inputs
    vtok_bias_activation(&outputs, 1, outputs.count, nil, kind)
    for (x, y) in zip(inputs.map(Double.init), outputs) {
      let exact: Double
      switch kind {
      case VTOK_GELU: exact = 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
      case VTOK_GELU_TANH: exact = 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      case VTOK_QUICK_GELU: exact = x / (1 + exp(-1.702 * x))
      default: exact = x / (1 + exp(-x))
      }
      #expect(abs(Double(y) - exact) <= 4e-7 * max(1, abs(x)), "x = \(x)")
    }
  }

  /// Slopes against central differences in double precision.
  @Test(arguments: [VTOK_GELU, VTOK_GELU_TANH, VTOK_QUICK_GELU, VTOK_SILU])
  func activationSlopes(_ kind: vtok_activation) {
    func exact(_ x: Double) -> Double {
      switch kind {
      case VTOK_GELU: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
      case VTOK_GELU_TANH: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      case VTOK_QUICK_GELU: x / (1 + exp(-1.702 * x))
      default: x / (1 + exp(-x))
      }
    }
    let inputs = stride(from: -12.0, through: 12.0, by: 0.0137).map { Float($0) }
    var slopes = [Float](repeating: 2, count: inputs.count)
    vtok_activation_backward(inputs, inputs.count, kind, &slopes)
    for (x, slope) in zip(inputs.map(Double.init), slopes) {
      let expected = (exact(x + 1e-5) - exact(x - 1e-5)) / 1e-5  // twice the slope: the gradient above is 2
      #expect(abs(Double(slope) - expected) <= 6e-6, "x = \(x)")
    }
  }

  @Test(arguments: [1, 2, 15, 16, 17, 31, 197, 1370])
  func softmaxAndNorms(_ n: Int) {
    var generator = SeededGenerator(seed: UInt64(n))
    let x = (0..<n).map { _ in generator.normal() * 5 }
    let bias = (0..<n).map { _ in generator.normal() }
    var row = x
    vtok_softmax_rows(&row, 1, n, n, bias)
    let logits = zip(x, bias).map { Double($0 + $1) }
    let top = logits.max()!
    let total = logits.reduce(0) { $0 + exp($1 - top) }
    for (value, logit) in zip(row, logits) { #expect(abs(Double(value) - exp(logit - top) / total) < 1e-6) }

    let weight = (0..<n).map { _ in generator.normal() }
    let normed = LayerNorm(weight: weight, bias: bias, epsilon: 1e-6)(Tensor(x, shape: [1, n])).values
    let mean = x.reduce(0.0) { $0 + Double($1) } / Double(n)
    let variance = x.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(n)
    for index in x.indices {
      let exact =
        (Double(x[index]) - mean) / (variance + 1e-6).squareRoot() * Double(weight[index]) + Double(bias[index])
      #expect(abs(Double(normed[index]) - exact) < 2e-5 * max(1, abs(exact)))
    }
  }

  /// Votes are added row by row, so that the order is known and any CPU gives the same bits.
  @Test(arguments: [1, 3, 4, 17, 197]) func votesAreSummedInRowOrder(_ n: Int) {
    var generator = SeededGenerator(seed: UInt64(n))
    let votes = (0..<n * n).map { _ in generator.uniform() }
    let weights = (0..<n).map { _ in generator.uniform() }
    var sums = [Float](repeating: .nan, count: n)
    vtok_exact_votes(votes, n, n, n, weights, &sums)
    for column in 0..<n {
      var sum: Float = 0
      for row in 0..<n {
        let vote = weights[row] * votes[row * n + column]
        sum += vote
      }
      #expect(sums[column] == sum)
    }
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5]) func distancesOfAllPowers(_ power: Int) {
    var generator = SeededGenerator(seed: 3)
    let (m, k, n) = (3, 5, 37)
    let a = (0..<m * n).map { _ in generator.normal() }
    let b = (0..<k * n).map { _ in generator.normal() }
    var out = [Float](repeating: .nan, count: m * k)
    vtok_exact_distances(a, m, b, k, n, Int32(power), &out)
    for i in 0..<m {
      for j in 0..<k {
        let differences = (0..<n).map { abs(Double(a[i * n + $0]) - Double(b[j * n + $0])) }
        let exact = power == 0 ? differences.max()! : differences.reduce(0) { $0 + pow($1, Double(power)) }
        #expect(abs(Double(out[i * k + j]) - exact) <= 1e-5 * exact)
      }
    }
  }

  @Test func causalSoftmaxSeesOnlyThePast() {
    var x = [Float](repeating: 1, count: 9)
    vtok_softmax_rows_causal(&x, 3, 3, 3, 0)
    #expect(x[0] == 1 && x[1] == 0 && x[2] == 0)
    #expect(abs(x[3] - 0.5) < 1e-6 && x[5] == 0)
  }

  /// Every half value survives the round trip; float32 values round to nearest even as hardware does.
  @Test func halfPrecision() {
    let all = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: all.count)
    vtok_widen_f16(all, all.count, &wide)
    var back = [UInt16](repeating: 0, count: all.count)
    vtok_narrow_f16(wide, wide.count, &back)
    for (bits, value) in zip(all, wide) {
      #if arch(arm64) || os(Linux)
        let exact = Float(Float16(bitPattern: bits))
        #expect(value == exact || (value.isNaN && exact.isNaN))
      #endif
      if !value.isNaN { #expect(back[Int(bits)] == bits) }
    }
    var generator = SeededGenerator(seed: 1)
    let values = (0..<20000).map { _ in generator.normal() * pow(2, Float(Int(generator.next() % 50)) - 30) }
    var narrow = [UInt16](repeating: 0, count: values.count)
    vtok_narrow_f16(values, values.count, &narrow)
    for (value, bits) in zip(values, narrow) { #expect(Float16(value).bitPattern == bits, "\(value)") }
  }

  /// The promise of exact.c: 16 lanes, a fixed tree, no fused multiply-add, whatever the CPU.
  @Test(arguments: [1, 7, 16, 33, 64, 100, 384])
  func exactSumsKeepTheirOrder(_ n: Int) {
    var generator = SeededGenerator(seed: 9)
    let a = Tensor((0..<5 * n).map { _ in generator.normal() }, shape: [5, n])
    let b = Tensor((0..<7 * n).map { _ in generator.normal() }, shape: [7, n])
    var out = [Float](repeating: 0, count: 35)
    vtok_exact_products(a.values, 5, n, b.values, 7, n, n, &out)
    for i in 0..<5 {
      for j in 0..<7 {
        var lanes = [Float](repeating: 0, count: 16)
        for c in 0..<n {
          let product = a.values[i * n + c] * b.values[j * n + c]
          lanes[c % 16] = lanes[c % 16] + product
        }
        var half = 8
        while half > 0 {
          for lane in 0..<half { lanes[lane] = lanes[lane] + lanes[lane + half] }
          half /= 2
        }
        #expect(out[i * 7 + j] == lanes[0])
      }
    }
  }
}

@Suite struct TensorTests {
  @Test func topKTakesTheSmallerIndexOfATie() {
    #expect(topK([1, 3, 3, 2, 3], 2) == [1, 2])
    #expect(topK([.nan, 1, .nan, 0], 4) == [1, 3, 0, 2])
    #expect(argmax([Float](arrayLiteral: 2, 5, 5)) == 1)
  }

  @Test(arguments: [WeightType.f16, .bf16])
  func narrowWeightsMultiplyLikeWideOnes(_ type: WeightType) {
    var generator = SeededGenerator(seed: 3)
    let (rows, columns, n) = (700, 48, 5)  // more rows than one panel
    let bits = (0..<rows * columns).map { _ in
      type == .f16
        ? Float16(generator.normal()).bitPattern : UInt16(truncatingIfNeeded: generator.normal().bitPattern >> 16)
    }
    let box = Box(bits)
    let weight = Weight(rows: rows, columns: columns, type: type, base: UnsafeRawPointer(box.pointer), owner: box)
    let x = Tensor((0..<n * columns).map { _ in generator.normal() }, shape: [n, columns])
    let narrow = Linear(weight: weight, bias: nil)(x)
    let wide = Linear(weight: weight.widened, bias: nil)(x)
    for (a, b) in zip(narrow.values, wide.values) { #expect(abs(a - b) < 1e-4) }
    // Back through the product, from every layout.
    let elements = weight.tensor.values
    let y = Tensor((0..<n * rows).map { _ in generator.normal() }, shape: [n, rows])
    let back = [weight, weight.widened, weight.packed].map { weight in
      Tensor(shape: [n, columns]) { weight.multiplyBack(y.values, n, rows, into: $0, columns) }
    }
    for index in back[0].values.indices {
      let exact = (0..<rows).reduce(0.0) { sum, row in
        sum + Double(y.values[index / columns * rows + row]) * Double(elements[row * columns + index % columns])
      }
      for tensor in back { #expect(abs(Double(tensor.values[index]) - exact) < 5e-4) }
    }
  }

  /// Tokens do not feel their company, the threads, or how the weights lie in memory.
  @Test(arguments: [(1, 37), (3, 64), (13, 130), (65, 1000), (600, 70)]) func productsKeepTheirBits(n: Int, rows: Int) {
    let columns = 389
    var generator = SeededGenerator(seed: UInt64(n))
    func noise(_ count: Int) -> [Float] { (0..<count).map { _ in Float(Float16(generator.normal())) } }
    let stored = Weight(Tensor(noise(rows * columns), shape: [rows, columns]))
    let halves = Box((0..<rows).flatMap { stored.row($0).map { Float16($0).bitPattern } })
    let half = Weight(
      rows: rows, columns: columns, type: .f16, base: UnsafeRawPointer(halves.pointer), owner: halves)
    let x = Tensor(noise(n * columns), shape: [n, columns])
    func product(_ weight: Weight, _ range: Range<Int>, threads: Int) -> [Float] {
      let x = x.gathered(Array(range))
      return Tensor(shape: [range.count, rows]) {
        weight.multiply(x.values, range.count, columns, into: $0, rows, threads: threads)
      }.values
    }
    let whole = product(stored.packed, 0..<n, threads: 1)
    for threads in [1, 2, 5] {
      #expect(product(stored.packed, 0..<n, threads: threads) == whole)
      if n > 4 {
        #expect(product(stored, 0..<n, threads: threads) == whole)
        #expect(product(half, 0..<n, threads: threads) == whole)
      }
    }
    #expect(product(stored.packed, n - 1..<n, threads: 1) == Array(whole.suffix(rows)), "alone as in company")
    #expect(stored.packed.tensor == stored.tensor)
    for (index, value) in product(half, 0..<n, threads: 2).enumerated() {
      let exact = zip(x.row(index / rows), stored.row(index % rows)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      #expect(abs(Double(value) - exact) < 5e-4)
    }
    // Added to what is there.
    var sum = [Float](repeating: 1, count: n * rows)
    stored.packed.multiply(x.values, n, columns, accumulate: true, into: &sum, rows)
    for (a, b) in zip(sum, whole) { #expect(abs(a - b - 1) < 1e-4) }
  }

  @Test func randomSamplesAreDistinctAndRepeatable() {
    var a = SeededGenerator(seed: 5)
    var b = SeededGenerator(seed: 5)
    let sample = a.sample(100, below: 256)
    #expect(sample == b.sample(100, below: 256))
    #expect(Set(sample).count == 100 && sample.allSatisfy { (0..<256).contains($0) })
    #expect(mixedSeed(1, "a.jpg") != mixedSeed(1, "b.jpg"))
  }

  @Test func parallelVisitsEveryIndexOnce() {
    var visits = [Int](repeating: 0, count: 1000)
    visits.withUnsafeMutableBufferPointer { buffer in
      let shared = Shared(buffer.baseAddress!)
      parallel(1000, threads: 4) { shared.pointer[$0] += 1 }
    }
    #expect(visits.allSatisfy { $0 == 1 })
  }
}

private final class Box: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<UInt16>
  init(_ bits: [UInt16]) {
    pointer = .allocate(capacity: bits.count)
    pointer.update(from: bits, count: bits.count)
  }
  deinit { pointer.deallocate() }
}
