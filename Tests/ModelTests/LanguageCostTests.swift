import Testing
import VTok

/// The full ledger of a language model, against numbers worked out by hand.
@Suite struct LanguageCostTests {
  /// A run of `counts` rows entering every layer, then `steps` decoded tokens.
  private func run(_ name: String, _ counts: [Int], steps: Int = 0, cached: Bool = true) throws -> (Trace, Shape) {
    let shape = try #require(Shape.published(name))
    var run = Run(.dense(shape))
    for step in 0...steps {
      for count in counts {
        var layer = Trace.Layer(rows: [step == 0 ? count : 1], keys: [count + step])
        layer.cached = cached ? count + step : 0
        run.passLayer(layer, ids: [])
      }
    }
    return (run.trace, shape)
  }
  private func cost(_ name: String, _ counts: [Int], steps: Int = 0, cached: Bool = true) throws -> LanguageCost {
    let (trace, shape) = try run(name, counts, steps: steps, cached: cached)
    return try #require(Cost(of: trace, shape: shape).language)
  }

  /// 6.48 G of weights, 0.131 of the head, 0.262 M for every cached token.
  @Test func decodingOfA7B() throws {
    let short = try cost("llava-1.5-7b", [Int](repeating: 99, count: 32), steps: 1).decode[0]
    let long = try cost("llava-1.5-7b", [Int](repeating: 1099, count: 32), steps: 1).decode[0]
    #expect(long - short == 1000 * 32 * 2 * 4096)
    let weights = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    #expect(short == weights + 100 * 32 * 2 * 4096 + 4096 * 32064)
    #expect(fixed(Double(weights) * 1e-9, 2) == "6.48")
  }

  @Test(arguments: [("llava-1.5-7b", 576, "302.0"), ("llava-next-7b", 2880, "1509.9"), ("llava-next-7b", 320, "167.8")])
  func cacheBytes(_ name: String, tokens: Int, megabytes: String) throws {
    let language = try cost(name, [Int](repeating: tokens, count: 32))
    #expect(fixed(Double(language.bytes(language.prefillEntries.reduce(0, +))) * 1e-6, 1) == megabytes)
    #expect(language.bytes(1) * 32 == 524_288)
  }

  /// Qwen2.5-VL-7B: 2nd² + 1024nd in place of 4nd², and 4 of 28 heads in the cache.
  @Test func groupedQueries() throws {
    let n = 100
    let language = try cost("qwen2.5-vl-7b", [Int](repeating: n, count: 28))
    let (d, m) = (3584, 18944)
    #expect(language.prefill[0].attention == 2 * n * d * d + 1024 * n * d + 2 * n * n * d)
    #expect(language.prefill[0].mlp == 3 * n * d * m)
    #expect(language.bytes(1) == 2 * 2 * 4 * 128)
  }

  /// A cache that is cut stays at its peak for a moment; a run without a cache holds none.
  @Test func peaks() throws {
    let shape = try #require(Shape.published("llava-1.5-7b"))
    var run = Run(.dense(shape))
    for _ in 0..<32 {
      var layer = Trace.Layer(rows: [600])
      layer.cached = 150
      run.passLayer(layer, ids: [])
    }
    let language = try #require(Cost(of: run.trace, shape: shape).language)
    #expect(language.peakEntries == 32 * 600 && language.prefillEntries == [Int](repeating: 150, count: 32))
    #expect(try cost("llava-1.5-7b", [Int](repeating: 99, count: 32), steps: 2, cached: false).peakEntries == 0)
    #expect(try cost("llava-1.5-7b", [Int](repeating: 99, count: 32), steps: 2).peakEntries == 32 * 101)
  }

  @Test func labels() throws {
    let (trace, shape) = try run("llava-1.5-7b", [Int](repeating: 50, count: 32))
    let scaled = Convention.scaling.value(of: trace, shape: shape)
    #expect(abs(scaled / (2 * 6.74e9 * 50 * 1e-12) - 1) < 0.001)
    #expect(Set(Convention.allCases.map(\.label)).count == Convention.allCases.count)
    let all = Convention.mac3All.value(of: trace, shape: shape)
    #expect(
      abs(
        all - Double(try cost("llava-1.5-7b", [Int](repeating: 50, count: 32)).prefill.reduce(0) { $0 + $1.macs })
          * 1e-12) < 1e-9)
  }
}
