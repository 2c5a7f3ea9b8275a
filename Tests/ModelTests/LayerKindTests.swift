import TestSupport
import Testing
import VTok

/// Decoders whose layers differ: windows that slide beside full attention (Gemma 3), gated delta nets with states beside it
/// (Qwen3.5). The shape says which is which, methods are refused where a layer cannot serve them, the ledger counts both.
@Suite struct LayerKindTests {
  private static func shape(_ name: String) throws -> Shape { try #require(Shape.published(name)) }

  private static func refusal(_ spec: String, _ model: String) throws -> String {
    let methods = try MethodSpec(spec).make(budget: nil)
    do {
      _ = try Composition(methods, for: shape(model))
      return ""
    } catch { return "\(error)" }
  }

  @Test(arguments: [("gemma-3-4b", 34, 5, 6), ("qwen3.5-9b", 32, 8, 4), ("qwen3.5-27b", 64, 16, 4)])
  func publishedShapesSayWhichLayersAreFull(_ name: String, _ layers: Int, _ full: Int, _ every: Int) throws {
    let decoder = try #require(try Self.shape(name).decoder)
    #expect(decoder.layers == layers && decoder.cutCaches.count == full)
    #expect(decoder.cutCaches.allSatisfy { ($0 + 1) % every == 0 })
  }

  // MARK: Refusals

  /// Methods that look at attention where there is none are told the nearest place.
  @Test func gatedDeltaNetsFormNoAttention() throws {
    let fastv = try Self.refusal("fastv:keep=0.5", "qwen3.5-9b")
    #expect(fastv.contains("gated delta net") && fastv.contains("layer 4") && fastv.contains("auto"), "\(fastv)")
    #expect(try Self.refusal("fastv:keep=0.5,layer=4", "qwen3.5-9b").isEmpty)
    #expect(try Self.refusal("fastv:keep=0.5,layer=5", "qwen3.5-9b").contains("layer 4"))
    #expect(try Self.refusal("dart:keep=0.5", "qwen3.5-9b").contains("layer 4"))
    // A probe is of the layer to come.
    #expect(try Self.refusal("pyramiddrop:layers=8/16", "qwen3.5-9b").contains("layer 7"))
    #expect(try Self.refusal("pyramiddrop:layers=7/15", "qwen3.5-9b").isEmpty)
    #expect(try Self.refusal("divprune:keep=0.5", "qwen3.5-9b").isEmpty)
  }

  @Test(arguments: ["fastv:keep=0.5,layer=auto", "dart:keep=0.5,layer=auto"])
  func autoMovesToTheNearest(_ spec: String) throws {
    for (model, layer) in [("qwen3.5-9b", 4), ("gemma-3-4b", 6), ("qwen3-vl-4b", 2)] {
      let composition = try Composition(MethodSpec(spec).make(budget: nil), for: Self.shape(model))
      #expect(composition.plans[0].act == [.layer(layer)])
    }
  }

  /// Of several layers each moves to the nearest that can tell, and none meet.
  @Test(arguments: [
    ("pyramiddrop:layers=auto", [7, 15, 23]), ("sparsevlm:layers=auto", [4, 8, 16]), ("priortr:layers=auto", [4]),
    ("transprune:layers=auto", [7, 11, 15]), ("mustdrop:layers=auto,vision=off", [4, 8, 12, 16]),
    ("pact:layer=auto", [3]),
  ]) func autoMovesLists(_ spec: String, _ layers: [Int]) throws {
    let composition = try Composition(MethodSpec(spec).make(budget: nil), for: Self.shape("qwen3.5-9b"))
    let cuts = composition.plans[0].act.filter { if case .layer(let layer) = $0 { layer > 0 } else { false } }
    #expect(cuts == Set(layers.map { Site.layer($0) }))
    // Where every layer can tell they stay as they are published.
    let asPublished = spec.replacing(":layers=auto,", with: ":").replacing(":layers=auto", with: "")
      .replacing(":layer=auto", with: "")
    let plain = try Composition(MethodSpec(asPublished).make(budget: nil), for: Self.shape("internvl3.5-8b"))
    let moved = try Composition(MethodSpec(spec).make(budget: nil), for: Self.shape("internvl3.5-8b"))
    #expect(moved.plans[0].act == plain.plans[0].act && moved.plans[0].act.count >= layers.count)
  }

  @Test func tooManyStagesAreRefused() throws {
    let found = try Self.refusal("sparsevlm:layers=auto", "qwen3.5-9b")
    #expect(found.isEmpty)
    let decoder = try #require(try Self.shape("qwen3.5-9b").decoder)
    #expect(decoder.nearestCut(to: 5, for: Request(projections: true)) == 3)
  }

  /// What a window lets go by age, and what a state has seen, is not cut.
  @Test func cachesOfFullLayersAloneAreCut() throws {
    let shape = try Self.shape("gemma-3-4b")
    let composition = try Composition(MethodSpec("elastic-cache:keep=0.5").make(budget: nil), for: shape)
    #expect(composition.plans[0].act == Set([5, 11, 17, 23, 29].map { Site.cache($0) }))
    #expect(composition.wholeCaches == 29)
    let llama = try Composition(MethodSpec("elastic-cache:keep=0.5").make(budget: nil), for: Self.shape("llava-1.5-7b"))
    #expect(llama.wholeCaches == 0 && llama.plans[0].act.count == 32)
  }

  // MARK: The ledger

  /// The numbers of the model's page: 116 million multiply-adds a row for the projections of a gated delta net, 2.4 for its
  /// recurrence, 267 for the MLP; a state of 3.1 MB and rows of 0.1 MB; a quarter of the layers has a cache.
  @Test func statesAreInTheLedger() throws {
    let outline = try #require(ModelOutline.published("qwen3.5-27b"))
    let trace = try Rehearsal.trace([], of: outline, prompt: .init(picture: Size(320), newTokens: 2))
    let cost = try #require(Cost(of: trace, shape: outline.shape).language)
    let (net, full) = (cost.prefill[0], cost.prefill[3])
    #expect(net.attention / net.tokens == 115_834_880 + 40_960 + 2_359_296)
    #expect(net.mlp / net.tokens == 3 * 5120 * 17408)
    let projections = 5120 * (3 * 24 * 256 + 2 * 4 * 256)
    #expect(full.attention / full.tokens == projections + 2 * full.tokens * 24 * 256)
    #expect(cost.prefillEntries.enumerated().allSatisfy { ($1 > 0) == (($0 + 1) % 4 == 0) })
    #expect(cost.stateBytes == 48 * 4 * (48 * 128 * 128 + 3 * 10240))
    let longer = try Rehearsal.trace([], of: outline, prompt: .init(picture: Size(640), newTokens: 2))
    #expect(Cost(of: longer, shape: outline.shape).language?.stateBytes == cost.stateBytes)
  }

  /// A layer with a window is charged for the rows that it sees.
  @Test func windowsAreInTheLedger() throws {
    let outline = try #require(ModelOutline.published("gemma-3-4b"))
    let trace = try Rehearsal.trace([], of: outline, prompt: .init(picture: Size(896), text: 2000, newTokens: 1))
    let cost = try #require(Cost(of: trace, shape: outline.shape).language)
    let rows = cost.prefill[0].tokens
    let projections = rows * 2 * 2560 * (8 + 4) * 256
    #expect(rows > 2000 && cost.prefill[0].attention == projections + 2 * rows * 1024 * 8 * 256)
    #expect(cost.prefill[5].attention == projections + 2 * rows * rows * 8 * 256)
  }

  // MARK: What is seen

  /// Rows of one picture see each other; pictures without text between are one; others see what comes before.
  @Test func imagesSeeThemselves() {
    func layout(_ spans: [Range<Int32>]) -> ImageLayout {
      ImageLayout(tileRows: 1, tileColumns: 1, side: 1, thumbnail: nil, width: 1, height: 1, spans: spans)
    }
    let images = [layout([2..<5, 7..<9]), layout([9..<10])]
    #expect(images.reach(of: Array(0..<11)) == [1, 2, 5, 5, 5, 6, 7, 10, 10, 10, 11])
    // After a cut the block is what is left of it.
    #expect(images.reach(of: [0, 3, 5, 8, 9, 10]) == [1, 2, 3, 5, 5, 6])
  }

  /// A row that sees nothing of a picture ranks by ties: refused when it is seen.
  @Test func windowsThatDoNotReachThePictureAreRefused() throws {
    let model = TinyModels.model(try #require(TinyModels.names.first { TinyModels.type(of: $0) == "gemma3" }))
    let image = TinyModels.noise(for: model, seed: 1, grid: (0, 0))
    let far = try TinyModels.prompt(model, [image]) + [Int](repeating: 6, count: 20)
    #expect {
      _ = try TinyModels.logits(model, [image], ids: far, [FastV(layer: 2, keep: .ratio(0.5))])
    } throws: { "\($0)".contains("sees 11 rows") && "\($0)".contains("entering layer 3") }
    _ = try TinyModels.logits(model, [image], ids: far, [FastV(layer: 3, keep: .ratio(0.5))])
  }
}
