import VTokTensor

/// One request passing through a model: an image, or a prompt with its images. The model calls `requests`, `record` and
/// `act` at its sites; the run holds the methods' state, their recordings and the trace.
public struct Run: Sendable {
  public let composition: Composition
  /// Seed of this image, independent of job order.
  public let seed: UInt64
  public var images: [ImageLayout] = [], image: Int?
  /// The question in the space of the companion CLIP, for methods that compare it with patches. `[segments, width]`
  public var question: Tensor?
  /// The question as a connector conditioned on it takes it: `MultimodalModel.read(question:run:)`. `[1, width]`
  public package(set) var conditioning: Tensor?
  /// 0 = prefill, then one more for every token decoded.
  public package(set) var step = 0
  public private(set) var trace = Trace()

  private var methods: [any Compressor]
  private var recordings: [[Site: [Recording]]]
  /// Of every method that asks for words of the question.
  private var words: [Int: Tensor] = [:]
  private let keepsNotes: Bool, isRehearsal: Bool
  private var selectionBefore = 0.0  // seconds spent in methods when the tower was entered

  /// - Parameter rehearsing: sequences and recordings are noise, only counts matter.
  public init(_ composition: Composition, seed: UInt64 = 0, keepingNotes: Bool = false, rehearsing: Bool = false) {
    self.composition = composition
    self.seed = seed
    methods = composition.methods
    recordings = methods.map { _ in [:] }
    keepsNotes = keepingNotes
    isRehearsal = rehearsing
  }

  public var massBias: Bool { composition.massBias }

  /// Hands the question to methods that ask for rows of its words.
  /// - Parameter embed: rows of the embedding table of the tokens of some words, each cut into tokens by itself.
  public mutating func read(question: String, embed: (_ words: [String]) throws -> Tensor) rethrows {
    for index in methods.indices where composition.plans[index].readsWords {
      words[index] = try embed(methods[index].words(of: question, for: composition.shape))
    }
  }

  /// What the methods want recorded at `site`, with the method's index. Empty in a dense run.
  public func requests(_ site: Site) -> [(method: Int, request: Request)] {
    composition.plans.indices.compactMap { index in
      composition.plans[index].record[site].flatMap { $0.inPrefill && step > 0 ? nil : (index, $0) }
    }
  }

  public func acts(at site: Site) -> Bool { composition.plans.contains { $0.act.contains(site) } }

  /// - Parameter sequence: recordings of a site come in the order of its sequences.
  public mutating func record(_ recording: Recording, for method: Int, at site: Site, sequence: Int) {
    if sequence == 0 { recordings[method][site] = [] }
    precondition(recordings[method][site, default: []].count == sequence, "recordings at \(site) are out of order")
    recordings[method][site, default: []].append(recording)
  }

  /// Lets every method that acts at `site` reduce `sequences`, in list order. A cache whose KV heads (or query heads) get a
  /// reduction each splits into one sequence per head.
  /// - Parameters:
  ///   - standard: what the model does, one reduction per sequence, when no method returns anything.
  ///   - received: at `.cache`, entries this cache was ever given.
  /// - Returns: what every method that changed something returned, by its index.
  @discardableResult public mutating func act(
    at site: Site, on sequences: inout [TokenSequence], standard: [Reduction]? = nil, received: Int = 0
  ) throws(CompressionError) -> [Int: [Reduction]] {
    var made: [Int: [Reduction]] = [:]
    var isStandard = standard != nil
    for index in methods.indices where composition.plans[index].act.contains(site) {
      let renumbers = if case .layer = site { composition.renumbers(index) } else { false }
      let decoder = if case .cache = site { composition.shape.decoder } else { Shape.Decoder?.none }
      let parts: Set<Int> = decoder.map { [$0.kvHeads, $0.heads] } ?? []
      let before = sequences
      sequences = try visit(
        index, site, before, standard, received: received, counts: before.map(\.count), parts: parts
      ) { reductions in
        guard let reductions else { return before }
        isStandard = false
        made[index] = reductions
        let isWhole = reductions.count == before.count
        let whole = isWhole ? before : before[0].split(into: reductions.count, kvHeads: decoder!.kvHeads)
        return zip(whole, reductions).map { tokens, reduction in
          var tokens = tokens.reduced(reduction)
          if renumbers { tokens.renumber() }
          return tokens
        }
      }
    }
    if isStandard, let standard { sequences = zip(sequences, standard).map { $0.reduced($1) } }
    return made
  }

  /// Packs the tiles of one image into its visual spans: as the method that acts at `.pack` says, else as the model does.
  /// - Parameters:
  ///   - tiles: connector output of every tile.
  ///   - newline: the row that stands behind them among the sources, where the model has one.
  ///   - standard: the model's own packing: one reduction per span, over the rows of all tiles and the newline.
  /// - Returns: one sequence per span.
  public mutating func pack(_ tiles: [TokenSequence], newline: TokenSequence? = nil, standard: [Reduction])
    throws(CompressionError) -> [TokenSequence]
  {
    var source = tiles[0]
    for tile in tiles.dropFirst() { source.append(tile) }
    let row = newline.map { _ in Int32(source.count) }
    if let newline { source.append(newline) }
    // At most one: the composition has checked it.
    guard let index = methods.indices.first(where: { composition.plans[$0].act.contains(.pack) }) else {
      return standard.map { source.reduced($0) }
    }
    let counts = standard.map { _ in source.count }
    return try visit(index, .pack, tiles, standard, newline: row, counts: counts) { reductions in
      (reductions ?? standard).map { source.reduced($0) }
    }
  }

  /// Asks one method, checks its answer, has it applied and writes the visit into the trace.
  /// - Parameters:
  ///   - counts: rows that every reduction must count.
  ///   - parts: how many heads a single cache may split into.
  private mutating func visit(
    _ index: Int, _ site: Site, _ sequences: [TokenSequence], _ standard: [Reduction]?, newline: Int32? = nil,
    received: Int = 0, counts: [Int], parts: Set<Int> = [], apply: ([Reduction]?) -> [TokenSequence]
  ) throws(CompressionError) -> [TokenSequence] {
    let name = composition.name(index)
    var notes = Notes(keeping: keepsNotes, rehearsing: isRehearsal)
    let clock = ContinuousClock()
    let start = clock.now
    let view = View(
      sequences: sequences, standard: standard, newline: newline, images: images, image: image,
      shape: composition.shape, step: step, received: received, question: question,
      words: words[index], seed: seed, recordings: recordings[index])
    let reductions = try methods[index].reduce(view, at: site, notes: &notes)
    if let reductions {
      let splits = counts.count == 1 && parts.contains(reductions.count)
      guard reductions.count == counts.count || splits else {
        throw .invalidReduction(
          method: name, site: site, reason: "\(reductions.count) reductions for \(counts.count) sequences")
      }
      for (position, reduction) in reductions.enumerated() {
        let count = counts[splits ? 0 : position]
        guard reduction.inputCount == count, reduction.count > 0 else {
          throw .invalidReduction(
            method: name, site: site,
            reason: "\(reduction.inputCount) rows in and \(reduction.count) out for a sequence of \(count)")
        }
        if case .layer = site, let lost = lostText(reduction, of: sequences[position]) {
          throw .invalidReduction(method: name, site: site, reason: "it drops text (row \(lost) of the prompt)")
        }
      }
    }
    let reduced = apply(reductions)
    let seconds = start.duration(to: clock.now) / .seconds(1)
    // A cache counts by its longest head: it may split into one sequence per head on the way.
    let isCache = if case .cache = site { true } else { false }
    func rows(_ all: [TokenSequence]) -> Int { all.reduce(0) { isCache ? max($0, $1.count) : $0 + $1.count } }
    trace.acts.append(
      Trace.Act(
        method: notes.variant.map { "\(name):\($0)" } ?? name, site: site, input: rows(sequences),
        output: rows(reduced), seconds: seconds, notes: notes,
        origins: keepsNotes ? reduced.map(\.origin) : []))
    return reduced
  }

  // MARK: What a model writes into the trace

  public mutating func enterTower(patches: Int) {
    trace.patches += patches
    selectionBefore = trace.selectionSeconds
  }
  public mutating func passBlock(_ layer: Trace.Layer) { trace.tower.append(layer) }
  /// - Parameters:
  ///   - rows: rows of every sequence that left the tower.
  ///   - seconds: the whole passage, methods included; what they took is subtracted.
  public mutating func leaveTower(rows: [Int], seconds: Double) {
    trace.towerOutput += rows
    if !isRehearsal { trace.towerSeconds += seconds - (trace.selectionSeconds - selectionBefore) }
  }
  /// - Parameter rows: tokens that left the connector.
  public mutating func passConnector(rows: Int) { trace.connected += rows }
  /// Layers that the question passed on its own, for a connector that is conditioned on it.
  package mutating func passQuestion(_ layers: [Trace.Layer]) { trace.question += layers }
  /// - Parameter ids: of the rows that enter the layer.
  public mutating func passLayer(_ layer: Trace.Layer, ids: [Int32]) {
    var layer = layer
    layer.visual = ids.count { images.contains(id: $0) }
    trace.language.append(layer)
  }
}
