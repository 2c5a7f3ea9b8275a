import Testing
import VTokCore
import VTokMethods
import VTokTensor

/// The rules of single methods against plain restatements of them.
@Suite struct SelectionTests {
  static func rows(_ count: Int, _ width: Int, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor((0..<count * width).map { _ in generator.uniform() * 2 - 1 }, shape: [count, width])
  }

  static func cosine(_ x: Tensor, _ a: Int, _ b: Int) -> Double {
    let (p, q) = (x.row(a).map(Double.init), x.row(b).map(Double.init))
    let dot = zip(p, q).reduce(0) { $0 + $1.0 * $1.1 }
    func length(_ v: [Double]) -> Double { v.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    return dot / (length(p) * length(q))
  }

  @Test(arguments: 0..<12) func divpruneTakesTheFarthestEachTime(seed: UInt64) {
    let x = Self.rows(40, 6, seed: seed)
    var notes = Notes()
    let chosen = DivPrune.select(x, keep: 15, notes: &notes)
    #expect(Set(chosen).count == 15)
    func nearest(_ token: Int, _ set: some Sequence<Int>) -> Double {
      set.map { 1 - Self.cosine(x, token, $0) }.min()!
    }
    // Whoever was taken was, within float noise, the best choice at that moment.
    let isolation = (0..<40).map { token in nearest(token, (0..<40).filter { $0 != token }) }
    #expect(isolation[chosen[0]] >= isolation.max()! - 1e-5)
    for step in 1..<15 {
      let taken = chosen[..<step]
      let best = (0..<40).filter { !taken.contains($0) }.map { nearest($0, taken) }.max()!
      #expect(nearest(chosen[step], taken) >= best - 1e-5)
    }
    #expect(notes.macs == 40 * 40 * 6 && notes.margin.isFinite)
  }

  @Test func divpruneSurvivesDuplicatesAndZeros() {
    var notes = Notes()
    let same = Tensor([Float](repeating: 1, count: 5 * 3), shape: [5, 3])
    #expect(Set(DivPrune.select(same, keep: 5, notes: &notes)) == Set(0..<5))
    let zeros = Tensor(zeros: [4, 3])
    #expect(Set(DivPrune.select(zeros, keep: 3, notes: &notes)).count == 3)
    #expect(DivPrune.select(Tensor([1, 2], shape: [1, 2]), keep: 1, notes: &notes) == [0])
    #expect(DivPrune.select(same, keep: 0, notes: &notes).isEmpty)
  }

  @Test(arguments: 0..<12) func tomeMergesTheMostSimilarPairs(seed: UInt64) {
    let x = Self.rows(21, 4, seed: seed)
    var notes = Notes()
    let matching = ToMe.match(x, r: 6, prefix: 1, notes: &notes)
    // Every token of A but the class token, with its best partner in B.
    let best = stride(from: 2, to: 21, by: 2).map { a in
      (a, stride(from: 1, to: 21, by: 2).map { Self.cosine(x, a, $0) }.max()!)
    }
    let wanted = best.sorted { $0.1 > $1.1 }.prefix(6).map(\.0)
    #expect(Set(matching.sources.map { 2 * $0 }) == Set(wanted))
    let reduction = matching.reduction(of: 21)
    #expect(reduction.count == 15)
    #expect(Array(reduction.row(0)) == [0], "the class token stays first and alone")
    #expect(reduction.members.sorted() == (0..<21).map { Int32($0) })
  }

  @Test func tomeClampsToHalf() {
    var notes = Notes()
    let matching = ToMe.match(Self.rows(10, 3, seed: 1), r: 100, prefix: 0, notes: &notes)
    #expect(matching.sources.count == 5 && matching.reduction(of: 10).count == 5)
    #expect(ToMe.match(Self.rows(2, 3, seed: 1), r: 1, prefix: 1, notes: &notes).sources.isEmpty)
  }

  @Test func topKBreaksTiesByIndexAndBooksTheMargin() {
    var notes = Notes()
    #expect(notes.top([1, 3, 3, 2, 3], 2) == [1, 2])
    #expect(notes.margin == 0)
    notes = Notes()
    #expect(notes.top([1, 5, 3], 2) == [1, 2] && notes.margin == 2)
    #expect(notes.top([1, 5, 3], 3) == [1, 2, 0])
    #expect(Notes().margin == .infinity)
  }

  @Test func chanceIsSeededPerImage() {
    func sample(_ seed: UInt64) -> [Int] {
      var generator = SeededGenerator(seed: seed)
      return generator.sample(10, below: 100)
    }
    #expect(sample(1) == sample(1) && sample(1) != sample(2))
    #expect(mixedSeed(0, "a.jpg") != mixedSeed(0, "b.jpg") && mixedSeed(0, "a.jpg") != mixedSeed(1, "a.jpg"))
    // Every index is drawn about equally often.
    var counts = [Int](repeating: 0, count: 20)
    for seed in 0..<2000 {
      var generator = SeededGenerator(seed: UInt64(seed))
      for index in generator.sample(5, below: 20) { counts[index] += 1 }
    }
    #expect(counts.allSatisfy { (400...600).contains($0) }, "\(counts)")
  }
}
