import VTokCore
import VTokWeights

/// What a run costs beside the dense one, as people and programs read it: a row per layer, the stages from picture to
/// answer, and the figures that papers print, each with its label.
public struct CostTable: Sendable {
  public let trace: Trace, denseTrace: Trace
  public let cost: Cost, dense: Cost
  private let shape: Shape

  public init(_ trace: Trace, dense: Trace, shape: Shape) {
    self.trace = trace
    denseTrace = dense
    self.shape = shape
    cost = Cost(of: trace, shape: shape)
    self.dense = Cost(of: dense, shape: shape)
  }

  // MARK: Tokens

  /// Tokens that methods choose from, and those that are left: patches that leave a tower, or image tokens that enter
  /// and leave a language model.
  public var tokensIn: Int { prefill(denseTrace)?.first?.visual ?? denseTrace.patches }
  public var tokensOut: Int {
    prefill(trace)?.last.map { $0.visual + $0.bypassing }
      ?? trace.towerOutput.reduce(0) { $0 + $1 - shape.tower!.prefix }
  }
  /// Mean number of tokens entering a block, prefix rows included, or of image tokens entering a language layer.
  public var meanTokens: Double {
    cost.language == nil ? cost.meanTokens : Convention.linear.value(of: trace, shape: shape)
  }

  private func prefill(_ trace: Trace) -> ArraySlice<Trace.Layer>? {
    trace.language.isEmpty ? nil : shape.decoder.map { trace.steps(of: $0.layers)[0] }
  }

  // MARK: Layers

  public var columns: [String] {
    let tokens = cost.language == nil ? ["tokens"] : ["tokens", "image tokens"]
    let costs = ["attention GMACs", "MLP GMACs", "other GMACs", "GMACs", "GFLOPs", "share of dense", "selection GMACs"]
    return ["layer"] + tokens + ["MLP tokens"] + costs + (cost.language == nil ? [] : ["KV MB (16 bit)"])
  }

  /// A row per layer, and the sum of all up to the first new token.
  /// - Parameter folding: neighbours alike share one row, with the tokens of each and the cost of all.
  public func rows(folding: Bool = false) -> [[String]] {
    var rows = [row("embedding", other: cost.patchEmbedding)]
    rows += layers("block", cost.layers, folding: folding)
    rows.append(row("head", other: cost.head))
    if let language = cost.language {
      if cost.question > 0 { rows.append(row("question", other: cost.question)) }
      rows.append(row("connector", other: cost.connector))
      rows += layers("layer", language.prefill, prefill(trace), folding: folding)
      rows.append(row("LM head", other: language.head))
    }
    let all = cost.layers + (cost.language?.prefill ?? [])
    let other = cost.patchEmbedding + cost.head + cost.question + cost.connector + (cost.language?.head ?? 0)
    rows.append(
      row(
        "total", attention: all.reduce(0) { $0 + $1.attention }, mlp: all.reduce(0) { $0 + $1.mlp },
        other: all.reduce(other) { $0 + $1.probes }, selection: cost.selection,
        entries: cost.language?.prefillEntries.reduce(0, +)))
    return rows
  }

  private func layers(
    _ name: String, _ costs: [Cost.Layer], _ passed: ArraySlice<Trace.Layer>? = nil, folding: Bool
  ) -> [[String]] {
    let seen = passed.map(Array.init) ?? []
    func isLike(_ a: Int, _ b: Int) -> Bool {
      costs[a] == costs[b] && (seen.isEmpty || (seen[a].visual, seen[a].cached) == (seen[b].visual, seen[b].cached))
    }
    var rows: [[String]] = []
    var start = 0
    while start < costs.count {
      let end = folding ? (start + 1..<costs.count).first { !isLike(start, $0) } ?? costs.count : start + 1
      let (layer, times) = (costs[start], end - start)
      rows.append(
        row(
          times == 1 ? "\(name) \(start)" : "\(name) \(start)-\(end - 1)", tokens: layer.tokens,
          visual: seen.isEmpty ? nil : seen[start].visual, mlpTokens: layer.mlpTokens,
          attention: times * layer.attention, mlp: times * layer.mlp, other: times * layer.probes,
          entries: seen.isEmpty ? nil : times * seen[start].cached))
      start = end
    }
    return rows
  }

  private func row(
    _ name: String, tokens: Int? = nil, visual: Int? = nil, mlpTokens: Int? = nil, attention: Int = 0, mlp: Int = 0,
    other: Int = 0, selection: Int? = nil, entries: Int? = nil
  ) -> [String] {
    func count(_ value: Int?) -> String { value.map(String.init) ?? "-" }
    let macs = attention + mlp + other
    let counts = cost.language == nil ? [count(tokens)] : [count(tokens), count(visual)]
    let memory = entries.flatMap { entries in cost.language.map { fixed(megabytes($0, entries), 2) } } ?? "-"
    return [name] + counts + [count(mlpTokens)] + [attention, mlp, other, macs, 2 * macs].map { giga($0) }
      + [fixed(Double(macs) / Double(dense.macs), 4), selection.map { giga($0) } ?? "-"]
      + (cost.language == nil ? [] : [memory])
  }

  private func giga(_ macs: Int) -> String { fixed(Double(macs) * 1e-9, 4) }
  private func megabytes(_ language: LanguageCost, _ entries: Int) -> Double { Double(language.bytes(entries)) * 1e-6 }

  // MARK: Stages

  /// One stage on the way from picture to answer, with what methods spend on selecting at it.
  public struct Stage: Sendable {
    public let name: String
    public let input: Int?, output: Int?
    public let macs: Int, selection: Int
  }

  /// Tower, connector, packing, prefill, caches, decoding, in this order, each with the visits of methods that belong to
  /// it. Decoding comes after the first new token, so its share is of all before it.
  public var stages: [Stage] {
    func visits(_ place: String, _ match: (Site) -> Bool) -> [Stage] {
      var names: [String] = []
      for act in trace.acts where match(act.site) && !names.contains(act.method) { names.append(act.method) }
      return names.map { name in
        let acts = trace.acts.filter { $0.method == name && match($0.site) }
        return Stage(
          name: "\(name) \(place)", input: acts[0].input, output: acts.last!.output, macs: 0,
          selection: acts.reduce(0) { $0 + $1.notes.macs })
      }
    }
    var stages = [
      Stage(
        name: "tower, \(trace.tower.count) blocks", input: trace.tower.first?.rows.reduce(0, +),
        output: trace.towerOutput.reduce(0, +), macs: cost.tower, selection: 0)
    ]
    stages += visits("in the tower") { $0.isInBlocks }
    stages += visits("behind the tower") { $0 == .features }
    guard let language = cost.language, let prefill = prefill(trace) else { return stages }
    if let rows = trace.question.first?.rows[0] {
      stages.append(
        Stage(
          name: "question, \(trace.question.count) layers", input: rows, output: 1, macs: cost.question, selection: 0))
    }
    stages.append(
      Stage(
        name: "connector", input: trace.towerOutput.reduce(0, +), output: trace.connected, macs: cost.connector,
        selection: 0))
    stages += visits("packing") { $0 == .pack }
    stages += visits("before layer 0") { $0 == .layer(0) }
    stages += visits("in the language model") { if case .layer(let index) = $0 { index > 0 } else { false } }
    stages.append(
      Stage(
        name: "prefill, \(prefill.count) layers", input: prefill.first!.rows.reduce(0, +),
        output: prefill.last!.rows.reduce(0, +), macs: language.first - language.head, selection: 0))
    stages.append(Stage(name: "LM head", input: 1, output: nil, macs: language.head, selection: 0))
    let caches = visits("on the KV cache") { if case .cache = $0 { true } else { false } }
    stages += caches.map { visit in
      let entries = prefill.reduce(0) { $0 + $1.keys.reduce(0, +) }
      return Stage(
        name: visit.name, input: entries, output: language.prefillEntries.reduce(0, +), macs: 0,
        selection: visit.selection)
    }
    if !language.decode.isEmpty {
      let count = language.decode.count
      stages.append(
        Stage(
          name: "decoding, \(count) step\(count == 1 ? "" : "s")", input: count, output: count,
          macs: language.decode.reduce(0, +), selection: 0)
      )
    }
    return stages
  }

  public static let stageColumns = [
    "stage", "tokens in", "tokens out", "GMACs", "GFLOPs", "share of dense", "selection GMACs",
  ]
  public var stageRows: [[String]] {
    stages.map { stage in
      func count(_ value: Int?) -> String { value.map(String.init) ?? "-" }
      return [stage.name, count(stage.input), count(stage.output), giga(stage.macs), giga(2 * stage.macs)]
        + [fixed(Double(stage.macs) / Double(dense.macs), 4), stage.selection == 0 ? "-" : giga(stage.selection)]
    }
  }

  // MARK: Figures

  /// A number that papers or our own tables print, never without its label.
  public struct Figure: Sendable {
    public let name: String, label: String
    public let value: Double, dense: Double
    public var ratio: Double { value / dense }
  }

  /// Of a language model: the convention that reproduces most published tables, our own in full, the cache, decoding,
  /// then the conventions of single papers.
  public var figures: [Figure] {
    guard let language = cost.language, let full = dense.language else { return [] }
    func paper(_ convention: Convention) -> Figure {
      Figure(
        name: convention.rawValue, label: convention.label, value: convention.value(of: trace, shape: shape),
        dense: convention.value(of: denseTrace, shape: shape))
    }
    func memory(_ name: String, _ label: String, _ entries: (LanguageCost) -> Int) -> Figure {
      Figure(
        name: name, label: "KV cache MB (16 bit) \(label)", value: megabytes(language, entries(language)),
        dense: megabytes(full, entries(full)))
    }
    var figures = [
      paper(.mac3Image),
      Figure(
        name: "full", label: "GFLOPs in full (2 x MAC: tower, selection, connector, prefill of all tokens, LM head)",
        value: 2e-9 * Double(cost.macs + cost.selection), dense: 2e-9 * Double(dense.macs)),
      memory("kv-prefill", "after the prefill") { $0.prefillEntries.reduce(0, +) },
      memory("kv-peak", "at most") { $0.peakEntries },
    ]
    if language.stateBytes > 0 {
      figures.append(
        Figure(
          name: "state", label: "states of gated delta nets MB (32 bit), whatever the prompt",
          value: Double(language.stateBytes) * 1e-6, dense: Double(full.stateBytes) * 1e-6))
    }
    if let last = language.decode.last, let fullLast = full.decode.last {
      figures.append(memory("kv-end", "after \(language.decode.count + 1) new tokens") { $0.finalEntries.reduce(0, +) })
      figures.append(
        Figure(
          name: "decode", label: "GFLOPs of the last decoding step (2 x MAC)", value: 2e-9 * Double(last),
          dense: 2e-9 * Double(fullLast)))
    }
    return figures + Convention.allCases.filter { $0 != .mac3Image }.map(paper)
  }

  public static let figureColumns = ["figure", "this run", "dense", "share of dense"]
  public var figureRows: [[String]] {
    figures.map { [$0.label, fixed($0.value, 3), fixed($0.dense, 3), fixed($0.ratio, 4)] }
  }

  // MARK: Data

  /// Members of a `vtok-flops/1` object.
  public var json: [(String, JSON)] {
    func layer(_ layer: Cost.Layer) -> [(String, JSON)] {
      [
        ("tokens", JSON(layer.tokens)), ("mlp_tokens", JSON(layer.mlpTokens)),
        ("attention_macs", JSON(layer.attention)), ("mlp_macs", JSON(layer.mlp)), ("probe_macs", JSON(layer.probes)),
      ]
    }
    var members: [(String, JSON)] = [
      ("embedding_macs", JSON(cost.patchEmbedding)),
      ("layers", .array(cost.layers.map { .object(JSONObject(layer($0))) })), ("head_macs", JSON(cost.head)),
    ]
    if let language = cost.language, let prefill = prefill(trace) {
      let layers = zip(language.prefill, prefill).map { cost, passed in
        JSON.object(
          JSONObject(
            layer(cost) + [("image_tokens", JSON(passed.visual)), ("cache_entries", JSON(passed.cached))]))
      }
      members += [
        ("question_macs", JSON(cost.question)), ("connector_macs", JSON(cost.connector)),
        ("language_layers", .array(layers)),
        ("lm_head_macs", JSON(language.head)), ("decode_macs", JSON(language.decode)),
        ("cache_bytes_per_entry", JSON(language.bytes(1))), ("peak_cache_entries", JSON(language.peakEntries)),
        (
          "figures",
          .array(
            figures.map {
              [
                "name": JSON($0.name), "label": JSON($0.label), "value": JSON($0.value), "dense": JSON($0.dense),
                "ratio": JSON($0.ratio),
              ]
            })
        ),
      ]
    }
    members.append(
      (
        "stages",
        .array(
          stages.map {
            [
              "name": JSON($0.name), "tokens_in": $0.input.map { JSON($0) } ?? .null,
              "tokens_out": $0.output.map { JSON($0) } ?? .null, "macs": JSON($0.macs),
              "selection_macs": JSON($0.selection),
            ]
          })
      ))
    return members
  }
}
