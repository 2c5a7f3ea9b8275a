import Testing
import VTok

/// The tower under methods: what they are shown is what the tower computes, for any number of threads.
@Suite struct PipelineTests {
  static let model = try! LoadedModel.load("vtok-tiny")
  /// What a tower alone can run.
  static let methods = Methods.names.filter { name in
    guard let made = try? MethodSpec(name).make(budget: .ratio(0.5)) else { return false }
    return (try? Composition(made, for: model.vision.shape)) != nil
  }
  /// Those of them that take a budget.
  static let budgeted = methods.filter { (try? MethodSpec($0).usesJobBudget) == true }
  static let photo = try! Image.decode(contentsOf: pictures + "/cat.jpg").image

  /// Records what a test wants to see and changes nothing.
  struct Watcher: Compressor {
    static let name = "watcher"
    static let summary = "for tests"
    let record: [Site: Request], act: Site
    init(_ record: [Site: Request], act: Site) { (self.record, self.act) = (record, act) }
    init(_ options: inout Options) throws(OptionError) { self.init([:], act: .features) }
    func plan(for model: Shape) throws(CompressionError) -> Plan { Plan(record: record, act: [act]) }
    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    {
      for (place, request) in record {
        let recording = view.recording(place)
        if request.attention != .none { notes.keep("\(place).attention", recording.attention!.values) }
        if request.probe != .none { notes.keep("\(place).probe", recording.probe!.values) }
        if request.keys { notes.keep("\(place).keys", recording.keys!.values) }
      }
      return nil
    }
  }

  func watched(_ record: [Site: Request], threads: Int = 1) throws -> [String: [Float]] {
    let composition = try Composition([Watcher(record, act: .features)], for: Self.model.vision.shape)
    var run = Run(composition, keepingNotes: true)
    let dense = try Pipeline(Self.model, method: nil)
    _ = try Self.model.vision(dense.prepare(Self.photo).pixels, run: &run, threads: threads)
    return run.trace.acts[0].notes.kept
  }

  @Test(arguments: [Values.probabilities, .logits]) func aProbeIsTheNextBlocksAttention(values: Values) throws {
    for rows in [Rows.classifier, .all] {
      let found = try watched([
        .block(1, .end): Request(probe: rows, values: values),
        .block(2, .middle): Request(attention: rows, values: values),
      ])
      let (probe, attention) = (found["\(Site.block(1, .end)).probe"]!, found["\(Site.block(2, .middle)).attention"]!)
      #expect(probe.count == 3 * (rows == .all ? 257 : 1) * 257)
      #expect(distance(probe, attention) <= 1e-5)
      if values == .probabilities {
        let sum = attention[..<257].reduce(0, +)
        #expect(abs(sum - 1) < 1e-4)
      }
    }
  }

  @Test func summedAttentionIsTheSumOfRows() throws {
    let site = Site.block(3, .middle)
    let rows = try watched([site: Request(attention: .all)])["\(site).attention"]!
    let summed = try watched([site: Request(attention: .all, summed: true)])["\(site).attention"]!
    var sums = [Float](repeating: 0, count: 3 * 257)
    for head in 0..<3 {
      for row in 0..<257 {
        for key in 0..<257 { sums[head * 257 + key] += rows[(head * 257 + row) * 257 + key] }
      }
    }
    #expect(distance(sums, summed) <= 1e-4)
  }

  @Test func watchingChangesNothing() throws {
    let dense = try Pipeline(Self.model, method: nil)
    let plain = try dense(Self.photo)
    var run = Run(
      try Composition(
        [Watcher([.block(0, .end): Request(attention: .all, probe: .classifier, keys: true)], act: .features)],
        for: Self.model.vision.shape))
    let output = try Self.model.vision(dense.prepare(Self.photo).pixels, run: &run)
    #expect(output.logits == plain.logits)
  }

  @Test(arguments: methods) func threadsInsideOneImageSelectTheSame(method: String) throws {
    let pipeline = try Pipeline(Self.model, method: try MethodSpec(method), keep: .ratio(0.3))
    let one = try pipeline(Self.photo, seed: 7, threads: 1)
    for threads in [2, 3] {
      let more = try pipeline(Self.photo, seed: 7, threads: threads)
      #expect(more.keep == one.keep && more.origin == one.origin)
      #expect(more.tokens == one.tokens && more.logits == one.logits)
    }
  }

  @Test(arguments: budgeted) func everyMethodKeepsItsBudget(method: String) throws {
    for budget in [Budget.ratio(0.5), .ratio(0.25), .tokens(100), .ratio(1)] {
      let result = try Pipeline(Self.model, method: try MethodSpec(method), keep: budget)(Self.photo)
      let wanted = budget.tokens(of: 256)
      if method == "downsample" {
        #expect(result.tokens.rows <= wanted && result.tokens.rows > wanted * 3 / 4)
      } else {
        #expect(result.tokens.rows == wanted)
      }
      #expect(result.keep.count == result.tokens.rows)
      #expect(Set(result.origin.patches).isSubset(of: Set(0..<256)))
      #expect(result.cost.macs <= result.dense.macs)
      #expect(result.tokens.values.allSatisfy(\.isFinite) && result.logits!.allSatisfy(\.isFinite))
    }
  }

  @Test(arguments: budgeted) func keepingAllIsTheDenseModel(method: String) throws {
    let dense = try Pipeline(Self.model, method: nil)(Self.photo)
    let all = try Pipeline(Self.model, method: try MethodSpec(method), keep: .ratio(1))(Self.photo)
    #expect(distance(all.logits!, dense.logits!) <= 1e-5)
  }

  /// Going on from the blocks of a dense run gives the bits and the cost of a run of one's own, and names the time it took over.
  @Test(arguments: budgeted) func sharedBlocksChangeNothing(method: String) throws {
    let dense = try Pipeline(Self.model, method: nil)
    let pipeline = try Pipeline(Self.model, method: try MethodSpec(method), keep: .ratio(0.3))
    let shared = SharedBlocks()
    let filled = try dense.run(dense.prepare(Self.photo), shared: shared)
    #expect(try filled.logits == dense(Self.photo).logits && filled.trace.sharedSeconds == 0)
    let own = try pipeline(Self.photo, seed: 7)
    for _ in 0..<2 {  // using them does not use them up
      let other = try pipeline.run(pipeline.prepare(Self.photo), seed: 7, shared: shared)
      #expect(other.tokens == own.tokens && other.logits == own.logits && other.origin == own.origin)
      #expect(other.cost == own.cost)
      let begins = pipeline.composition.untouchedBlocks ?? Self.model.vision.shape.tower!.blocks
      #expect(other.trace.sharedSeconds > 0 || begins == 0 || pipeline.composition.patches != nil)
    }
  }

  /// A method that only cuts behind a block has that block in common with the dense model, one that looks into it has not.
  @Test func blocksInCommon() throws {
    func common(_ method: String) throws -> Int? {
      try Pipeline(Self.model, method: try MethodSpec(method)).composition.untouchedBlocks
    }
    #expect(try common("random:block=2") == 3 && common("cls-attention:block=2") == 2 && common("tome") == 0)
    #expect(try common("divprune") == nil && common("random:block=2+cls-attention:block=1") == 1)
  }

  @Test func twoMethodsRunOneAfterTheOther() throws {
    let both = try Pipeline(Self.model, method: try MethodSpec("tome:keep=0.5+divprune:keep=0.5"))(Self.photo)
    #expect(both.tokens.rows == 64)
    #expect(both.trace.acts.last?.method == "divprune" && both.trace.acts.last?.input == 129)
  }

  @Test func costsOfATraceAreThoseOfItsRows() throws {
    let result = try Pipeline(Self.model, method: try MethodSpec("cls-attention:block=2,keep=64"))(Self.photo)
    let width = 192
    func block(_ rows: Int) -> Int { 12 * rows * width * width + 2 * rows * rows * width }
    let blocks = 3 * block(257) + 3 * block(65)
    #expect(result.cost.macs == 256 * 3 * 16 * width + blocks + 10 * width)
    #expect(result.dense.macs == 256 * 3 * 16 * width + 6 * block(257) + 10 * width)
    #expect(result.cost.layers.map(\.tokens) == [257, 257, 257, 65, 65, 65])
  }
}
