import Testing
import VTokTensor

/// Tensors that rows are added to: caches of language models.
@Suite struct GrowthTests {
  @Test func roomIsUsedBeforeATensorMoves() {
    var tensor = Tensor(shape: [100, 8], room: 16) { $0.update(repeating: 1, count: 800) }
    let start = tensor.values.withUnsafeBufferPointer { $0.baseAddress }
    for _ in 0..<16 { tensor.append(rows: Tensor(zeros: [1, 8])) }
    #expect(tensor.shape == [116, 8] && tensor.values.withUnsafeBufferPointer { $0.baseAddress } == start)
    #expect(tensor.values.prefix(800).allSatisfy { $0 == 1 } && tensor.values.suffix(128).allSatisfy { $0 == 0 })
  }

  /// Twice the rows would be most of what a long prompt takes.
  @Test func growsByAnEighth() {
    var tensor = Tensor(zeros: [4096, 64])
    for _ in 0..<1000 {
      tensor.append(rows: Tensor(zeros: [1, 64]))
      #expect(Double(tensor.values.capacity) < 1.15 * Double(tensor.values.count))
    }
    #expect(tensor.shape == [5096, 64])
  }
}
