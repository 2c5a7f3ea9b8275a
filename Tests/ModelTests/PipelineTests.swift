import TestSupport
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
  static let budgeted = methods.filter { isBudgeted($0, for: model.vision.shape) }
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

  /// Going on from what a dense run has left gives the bits and the cost of a run of one's own, and so does leaving out what
  /// the head does not read.
  @Test(arguments: budgeted) func sharedBlocksChangeNothing(method: String) throws {
    let dense = try Pipeline(Self.model, method: nil)
    let pipeline = try Pipeline(Self.model, method: try MethodSpec(method), keep: .ratio(0.3))
    let own = try pipeline(Self.photo, seed: 7)
    for headOnly in [false, true] {
      let shared = SharedBlocks(for: [pipeline.composition])
      let filled = try dense.run(dense.prepare(Self.photo), shared: shared, headOnly: headOnly)
      #expect(try filled.logits == dense(Self.photo).logits && filled.pooled == dense(Self.photo).pooled)
      for _ in 0..<2 {  // using it does not use it up
        let other = try pipeline.run(pipeline.prepare(Self.photo), seed: 7, shared: shared, headOnly: headOnly)
        #expect(other.logits == own.logits && other.pooled == own.pooled && other.origin == own.origin)
        #expect(headOnly || other.tokens == own.tokens)
        #expect(other.cost == own.cost)
      }
    }
  }

  /// Every head gives the same bits when tokens that it does not read are left alone.
  @Test(arguments: ConfigShapeTests.folders) func headsAlone(_ folder: String) throws {
    let model = try VisionModel.load(Checkpoint(directory: folder))
    let tower = model.shape.tower!
    var generator = SeededGenerator(seed: 3)
    let pixels = Tensor(shape: [3, tower.rows * tower.patch, tower.columns * tower.patch]) { out in
      for index in 0..<3 * tower.patches * tower.patch * tower.patch { out[index] = 2 * generator.uniform() - 1 }
    }
    for methods in [[], try MethodSpec("random:block=0,keep=0.5").make(budget: nil)] {
      let composition = try Composition(methods, for: model.shape)
      var (whole, alone) = (Run(composition, seed: 1), Run(composition, seed: 1))
      let expected = try model(pixels, run: &whole)
      let found = try model(pixels, run: &alone, headOnly: true)
      #expect(found.pooled == expected.pooled && found.logits == expected.logits && found.parts == expected.parts)
      #expect(Cost(of: alone.trace, shape: model.shape) == Cost(of: whole.trace, shape: model.shape))
      if case .token = model.head, found.tokens.count > 5 {
        let last = found.tokens.count - 1
        #expect(found.tokens.x.row(last) != expected.tokens.x.row(last), "it is left out")
      }
    }
  }

  /// A run goes on from where its methods first look or act, whatever picture it is given.
  @Test func sharedRunsBeginWhereTheyDepart() throws {
    func departure(_ method: String) throws -> Site {
      try Pipeline(Self.model, method: try MethodSpec(method)).composition.departure
    }
    #expect(try departure("random:block=2") == .block(2, .end) && departure("cls-attention:block=2") == .block(2, .end))
    #expect(try departure("tome") == .block(0, .middle) && departure("divprune") == .features)
    #expect(try departure("random:block=2+cls-attention:block=1") == .block(1, .end))

    let photo = try Pipeline(Self.model, method: nil).prepare(Self.photo)
    let dense = try Pipeline(Self.model, method: nil)
    let cut = try Pipeline(Self.model, method: try MethodSpec("random:block=2,keep=0.5"))
    let shared = SharedBlocks(for: [cut.composition])
    _ = try dense.run(photo, shared: shared)
    let other = dense.prepare(try Image.decode(contentsOf: pictures + "/ship.jpg").image)
    let onOther = try cut.run(other, seed: 1, shared: shared).logits
    #expect(try onOther == cut.run(photo, seed: 1).logits && onOther != cut.run(other, seed: 1).logits)
    // One that was not announced runs on its own.
    let stranger = try Pipeline(Self.model, method: try MethodSpec("random:block=1,keep=0.5"))
    #expect(try stranger.run(other, seed: 1, shared: shared).logits == stranger.run(other, seed: 1).logits)
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
