import VTokTensor

/// Methods that run together on one model, checked: list order, indices relative to the view, ratios of what each
/// receives. Made once per job, before weights load.
public struct Composition: Sendable {
  public let methods: [any Compressor], plans: [Plan], shape: Shape

  /// Dense: no method.
  public static func dense(_ shape: Shape) -> Composition { Composition(methods: [], plans: [], shape: shape) }

  private init(methods: [any Compressor], plans: [Plan], shape: Shape) {
    self.methods = methods
    self.plans = plans
    self.shape = shape
  }

  /// - Throws: `CompressionError` when a method does not fit the model or two methods do not fit each other.
  public init(_ methods: [any Compressor], for shape: Shape) throws(CompressionError) {
    var plans: [Plan] = []
    for method in methods { plans.append(try method.plan(for: shape)) }
    self.init(methods: methods, plans: plans, shape: shape)
    for (method, plan) in zip(methods, plans) { try Composition.check(plan, of: method, for: shape) }
    for second in methods.indices {
      for first in 0..<second {
        if name(first) == name(second), let block = Composition.sharedBlock(plans[first], plans[second]) {
          throw .conflict(
            name(first), name(second),
            reason: "one method would act twice in block \(block), where one larger amount does the same")
        }
        if let reason = Composition.conflict(plans[first], plans[second]) {
          throw .conflict(name(first), name(second), reason: reason)
        }
      }
    }
  }

  /// Whether a method draws lots.
  public var isStochastic: Bool { methods.contains { $0.isStochastic } }
  /// Tower attention adds log(mass) per key.
  public var massBias: Bool { plans.contains { $0.massBias == true } }
  /// Whether a method acts in the blocks of the tower, which then run on fewer tokens.
  public var actsInTower: Bool { plans.contains { $0.act.contains(where: \.isInBlocks) } }
  /// Whether tiles come to the model's own packing with tokens missing, so that it cuts the padding of what is left.
  public var losesPadding: Bool {
    let packs = plans.contains { $0.act.contains(.pack) }
    return shape.layout?.hasNewline == true && !packs && (actsInTower || plans.contains { $0.act.contains(.features) })
  }
  /// Where a run leaves the dense one: the first site of a vision block at which a method looks or acts, `.features` when
  /// none does.
  public var departure: Site {
    let sites = plans.flatMap { $0.act.union($0.record.keys) }
    return sites.filter(\.isInBlocks).min() ?? .features
  }

  /// What methods want recorded in a vision block.
  public func requests(inBlock index: Int) -> [Request] {
    plans.flatMap { plan in [Site.Half.middle, .end].compactMap { plan.record[.block(index, $0)] } }
  }

  /// Attention of the language model adds log(mass) per key.
  public var decoderMassBias: Bool { plans.contains(where: \.decoderMassBias) }
  /// Whether a method asks for rows of the question's words.
  public var readsWords: Bool { plans.contains(where: \.readsWords) }

  /// Whether a method looks or acts at a site.
  public func touches(_ site: Site) -> Bool { plans.contains { $0.act.contains(site) || $0.record[site] != nil } }

  /// Images are shrunk until their tokens fit.
  public var shrink: Budget? { plans.compactMap(\.shrink).first }
  /// The method that shrinks them, if there is one.
  public var shrinks: String? { plans.firstIndex { $0.shrink != nil }.map(name) }
  /// The last rule in the list governs decoding. Renumbering the three axes of M-RoPE is defined nowhere: positions stay
  /// as they are there, see `keepsPositions`.
  public var positions: PositionRule? {
    guard var rule = plans.last(where: { $0.positions != nil })?.positions else { return nil }
    if hasAxes {
      rule.cut = .original
      if rule.decode == .cacheLength { rule.decode = .next }
    }
    return rule
  }
  /// Whether M-RoPE overrules a method that would number positions anew; results must say so.
  public var keepsPositions: Bool {
    hasAxes && plans.contains { $0.positions.map { $0.cut != .original || $0.decode == .cacheLength } ?? false }
  }
  private var hasAxes: Bool { shape.decoder?.sections.isEmpty == false }
  func renumbers(_ method: Int) -> Bool { !hasAxes && plans[method].positions?.cut == .renumbered }

  /// The first method whose work before the language model depends on the question, if there is one.
  public var readsQuestion: String? { plans.indices.first { plans[$0].readsQuestion }.map(name) }
  /// The first method that looks or acts inside the language model or on its caches, if there is one.
  public var entersLanguageModel: String? {
    func isInside(_ site: Site) -> Bool {
      switch site {
      case .patches, .block, .features, .pack: false
      case .layer(let index): index > 0
      case .cache: true
      }
    }
    return plans.indices.first { index in
      plans[index].act.contains(where: isInside)
        || plans[index].record.keys.contains { isInside($0) || $0 == .layer(0) }
    }.map(name)
  }

  /// The first method that compares patches and question in the space of a companion CLIP, if there is one.
  public var joint: String? {
    plans.indices.first { plans[$0].record.values.contains(where: \.joint) }.map(name)
  }

  public func name(_ index: Int) -> String { type(of: methods[index]).name }

  /// A method may act in blocks behind the features, which never run; but what it reads elsewhere must have been recorded,
  /// and something of it must happen.
  private static func checkDepth(_ plan: Plan, of name: String, for tower: Shape.Tower) throws(CompressionError) {
    func runs(_ site: Site) -> Bool { if case .block(let index, _) = site { index < tower.depth } else { true } }
    let isBlind = plan.record.keys.contains { !runs($0) && !plan.act.contains($0) }
    guard isBlind || (!plan.act.isEmpty && !plan.act.contains(where: runs)) else { return }
    throw .unsupported(
      method: name, found: "a block that never runs, because features are those of block \(tower.featureBlock)",
      expected: "blocks 0 to \(tower.featureBlock)", fix: "Choose an earlier block.")
  }

  /// Sites must exist in the model, and connectors that fuse groups of patches need them all.
  private static func check(_ plan: Plan, of method: any Compressor, for shape: Shape) throws(CompressionError) {
    let name = type(of: method).name
    for (site, request) in plan.record.sorted(by: { $0.key < $1.key }) {
      try checkLanguage(request, at: site, of: name, for: shape)
      if request.pixels, site != .patches || shape.layout?.tiling != .native {
        throw .unsupported(
          method: name, found: "a recording of pixels at \(site)",
          expected: "images on grids of their own, before the first block", fix: CompressionError.anotherMethod)
      }
      guard site.isInBlocks else { continue }
      let rows: Set<Rows> = [.none, .classifier, .all]
      let plain = request.values == .probabilities || request.values == .logits
      guard rows.contains(request.attention), rows.contains(request.probe), request.besideAttention == .none, plain,
        !request.branches, !request.joint, !request.finalNorm, !request.projections
      else {
        throw .unsupported(
          method: name, found: "a recording of text rows, branches or cache noise at \(site)",
          expected: "class-token or all rows of a vision block", fix: CompressionError.anotherMethod)
      }
    }
    for site in plan.act.union(plan.record.keys).sorted() {
      if let missing = missing(site, in: shape) {
        throw .unsupported(
          method: name, found: missing, expected: "a model with the site \(site)",
          fix: CompressionError.anotherMethod)
      }
      if case .cache(let index) = site { try checkCache(index, of: name, for: shape) }
      if let tower = shape.tower, tower.fuse > 1 { try checkGroups(plan, at: site, of: name, for: tower) }
    }
    if let tower = shape.tower { try checkDepth(plan, of: name, for: tower) }
  }

  /// What the model lacks for a site; nil: nothing.
  private static func missing(_ site: Site, in shape: Shape) -> String? {
    switch site {
    case .patches, .features: shape.tower == nil ? "no vision tower" : nil
    case .block(let index, _):
      shape.tower.map { $0.blocks }.map { index < $0 ? nil : "block \(index) of \($0)" } ?? "no vision tower"
    case .pack: shape.layout == nil ? "no connector" : nil
    case .layer(let index):
      shape.decoder.map { $0.layers }.map { index <= $0 ? nil : "layer \(index) of \($0)" } ?? "no language model"
    case .cache(let index):
      shape.decoder.map { $0.layers }.map { index < $0 ? nil : "cache \(index) of \($0)" } ?? "no language model"
    }
  }

  /// A connector that fuses patches takes whole groups of them.
  private static func checkGroups(
    _ plan: Plan, at site: Site, of name: String, for tower: Shape.Tower
  ) throws(CompressionError) {
    if site.isInBlocks, plan.record[site].map({ $0.probe != .none || $0.probeKeys }) == true {
      throw .unsupported(
        method: name, found: "a probe of a block with masked or rotary positions",
        expected: "a tower with learned ones", fix: CompressionError.anotherMethod)
    }
    guard plan.act.contains(site) else { return }
    switch site {
    case .block, .features:
      throw .unsupported(
        method: name, found: "a connector that fuses \(tower.fuse) patches into one token",
        expected: "whole groups up to the connector", fix: CompressionError.anotherMethod)
    case .patches:
      // Whole groups may leave before the first block; rows of windows are those of the whole grid.
      if tower.windows != nil {
        throw .unsupported(
          method: name, found: "attention inside windows", expected: "attention over the whole image",
          fix: CompressionError.anotherMethod)
      }
    case .pack, .layer, .cache: break
    }
  }

  /// Layers whose caches no method may cut, where one cuts those of others; results must say so.
  public var wholeCaches: Int {
    guard managesCache, let decoder = shape.decoder else { return 0 }
    return decoder.layers - decoder.cutCaches.count
  }

  /// Whether a method manages the KV cache, which it may do later than in the prefill.
  public var managesCache: Bool { plans.contains { $0.act.contains(where: Self.isCache) } }

  private static func isCache(_ site: Site) -> Bool { if case .cache = site { true } else { false } }

  /// The first block of the tower in which two methods act at the same place.
  private static func sharedBlock(_ a: Plan, _ b: Plan) -> Int? {
    a.act.intersection(b.act).compactMap { if case .block(let index, _) = $0 { index } else { nil } }.min()
  }

  /// Why two methods cannot run together; nil when they can.
  private static func conflict(_ a: Plan, _ b: Plan) -> String? {
    func acts(_ plan: Plan, where match: (Site) -> Bool) -> Bool { plan.act.contains(where: match) }
    let isLater: (Site) -> Bool = { if case .layer(let index) = $0 { index > 0 } else { false } }
    if a.massBias != nil, b.massBias != nil, a.massBias != b.massBias {
      return "one wants attention weighted by token mass and the other must not have it"
    }
    for site in [Site.features, .pack] where a.act.contains(site) && b.act.contains(site) {
      return "both act at \(site), which takes one method"
    }
    if a.shrink != nil, b.shrink != nil { return "both set the size of the image" }
    let isTower: (Site) -> Bool = {
      switch $0 {
      case .patches, .block, .features: true
      case .pack, .layer, .cache: false
      }
    }
    for (one, other) in [(a, b), (b, a)] where one.completeTiles && acts(other, where: isTower) {
      return "one packs complete tiles and the other thins them before"
    }
    if acts(a, where: isCache), acts(b, where: isCache) { return "both manage the KV cache" }
    if acts(a, where: isLater), acts(b, where: isLater), let first = a.positions, let second = b.positions,
      first != second
    {
      return "they number positions differently after a cut inside the language model"
    }
    for (one, other) in [(a, b), (b, a)] where one.positions?.decode == .afresh && acts(other, where: isCache) {
      return "one recomputes every step without the cache that the other manages"
    }
    return nil
  }
}
