import CVTokKernels
import VTokCore
import VTokTensor

/// EMS: once the prompt is read, every head keeps important cache entries, merges those like one of them into it, and drops
/// the others.
///
/// The idea is of Li et al., "EMS: Adaptive Evict-then-Merge Strategy for Head-wise KV Cache Compression Based on
/// Global-Local Importance" (arXiv 2412.08521), which has no code; what the paper leaves open is ours.
public struct EMS: Compressor {
  public static let name = "ems"
  public static let summary =
    "keep important entries, merge those like them, drop the rest (the idea of EMS, arXiv 2412.08521, own rule)"
  public static let counted = Counted.entries
  public static let remarks = [
    "There is no official code. Ours: it runs once, behind the prompt; global attention is divided by the rows that see an "
      + "entry; the two scores are joined by their maximum; the window is no centre; a group's heads are averaged.",
    "As published, two entries whose keys and values both are opposite count as alike.",
    "Merged keys are directions, their lengths averaged apart (keys=linear: averaged as values are).",
    "All defaults but the budget are ours.",
  ]

  public enum Combine: String, Sendable, CaseIterable { case max, sum }
  public enum Keys: String, Sendable, CaseIterable { case renormalised, linear }

  let budget: Budget
  let window: Int
  let mass: Double, tau: Float
  let combine: Combine
  let keys: Keys

  public init(_ options: inout Options) throws(OptionError) {
    window = try options.take(
      "window", default: 32, in: 1...100_000, "last entries, which stay and give the local score")
    mass = try options.take("mass", default: 0.95, in: 0...1, "share of a head's scores that its live entries have")
    tau = Float(try options.take("tau", default: 0.6, in: -1...1, "likeness from which on an entry is merged"))
    combine = try options.take("combine", default: Combine.max, "how the global and the local score become one")
    keys = try options.take("keys", default: Keys.renormalised, "how keys are merged")
    budget = try options.budget("cache entries kept, of the prompt", published: true) ?? .tokens(256)
  }

  public func plan(for model: Shape) throws(CompressionError) -> Plan {
    if case .tokens(let tokens) = budget { try check(tokens) }
    let request = Request(attention: .all, besideAttention: .window(window), summed: true, inPrefill: true)
    return try model.caches(for: Self.name, request)
  }

  private func check(_ kept: Int) throws(CompressionError) {
    guard kept <= window else { return }
    throw .unreachable(
      method: Self.name, asked: "\(kept) cache entries", reachable: "more than the window of \(window)",
      fix: "Ask for more, or for a smaller window.")
  }

  public mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
    -> [Reduction]?
  {
    let cache = view.sequences[0]
    let kept = budget.tokens(of: cache.count, .towardZero)
    guard view.step == 0, cache.count > kept else { return nil }
    try check(kept)
    let heads = try view.shape.decoder(for: Self.name).kvHeads
    let recording = view.recording(site)
    let (global, local) = (recording.attention!.grouped(heads), recording.besideAttention!.grouped(heads))
    return (0..<heads).map { head in
      let scores = joined(global[head], local[head])
      let classes = classes(scores, CacheHead(cache, head, of: heads), centres: kept - window, notes: &notes)
      notes.keep("class\(head)", classOfEntry(classes, cache.count))
      return reduction(classes, scores, CacheHead(cache, head, of: heads), cache.count)
    }
  }

  /// Scores of the entries before the window.
  private func joined(_ global: [Float], _ local: [Float]) -> [Float] {
    let count = global.count
    let local = local.dropLast(window)
    let fair = global.dropLast(window).enumerated().map { $1 / Float(count - $0) }
    let scale = local.reduce(0, +) / fair.reduce(0, +)
    return zip(local, fair).map { combine == .max ? max($0, $1 * scale) : $0 + $1 * scale }
  }

  /// Centres in order of the cache, each followed by what joins it.
  private func classes(_ scores: [Float], _ head: CacheHead, centres: Int, notes: inout Notes) -> [[Int]] {
    let order = notes.top(scores, scores.count)
    if centres < order.count { notes.book(margin: scores[order[centres - 1]] - scores[order[centres]]) }
    let limit = mass * scores.reduce(0) { $0 + Double($1) }
    var (sum, live) = (0.0, 1)
    for place in order {
      sum += Double(scores[place])
      if sum >= limit { break }
      live += 1
    }
    var classes = order[..<centres].sorted().map { [$0] }
    let merging = Array(order[centres..<max(centres, min(live, order.count))])
    guard !merging.isEmpty else { return classes }
    let middle = classes.map { $0[0] }
    let byKey = notes.cosines(head.keys.gathered(merging), head.keys.gathered(middle))
    let byValue = notes.cosines(head.values.gathered(merging), head.values.gathered(middle))
    for (index, entry) in merging.enumerated() {
      let likeness = zip(byKey.row(index), byValue.row(index)).map { $0 * $1 }
      let best = notes.first(likeness)
      if !notes.below([likeness[best]], tau)[0] { classes[best].append(entry) }
    }
    return classes
  }

  /// Row of every entry in the new cache, -1 for none.
  private func classOfEntry(_ classes: [[Int]], _ count: Int) -> [Float] {
    var found = [Float](repeating: -1, count: count)
    for (row, members) in classes.enumerated() { for member in members { found[member] = Float(row) } }
    for slot in 0..<window { found[count - window + slot] = Float(classes.count + slot) }
    return found
  }

  /// Classes averaged by score, then the window.
  private func reduction(_ classes: [[Int]], _ scores: [Float], _ head: CacheHead, _ count: Int) -> Reduction {
    var (rows, forKeys, forValues): ([[Int32]], [Float], [Float]) = ([], [], [])
    for members in classes {
      let sum = members.reduce(Float(0)) { $0 + scores[$1] }
      let shares = members.count == 1 ? [1] : members.map { scores[$0] / sum }
      rows.append(members.map { Int32($0) })
      forValues += shares
      forKeys += members.count == 1 || keys == .linear ? shares : directed(shares, members, head.keys)
    }
    let latest = count - window..<count
    return Reduction(
      rows: rows + latest.map { [Int32($0)] }, of: count,
      blend: .entries(
        keys: forKeys + [Float](repeating: 1, count: window), values: forValues + [Float](repeating: 1, count: window)))
  }

  /// Weights with which keys make their mean direction, as long as they are on average.
  private func directed(_ shares: [Float], _ members: [Int], _ keys: Tensor) -> [Float] {
    func length(_ row: [Float]) -> Float { vtok_exact_dot(row, row, row.count).squareRoot() }
    let lengths = members.map { max(length(Array(keys.row($0))), .leastNormalMagnitude) }
    var direction = [Float](repeating: 0, count: keys.width)
    for (index, member) in members.enumerated() {
      for (column, value) in keys.row(member).enumerated() {
        direction[column] += shares[index] * value / lengths[index]
      }
    }
    let mean = zip(shares, lengths).reduce(Float(0)) { $0 + $1.0 * $1.1 }
    let scale = mean / max(length(direction), .leastNormalMagnitude)
    return zip(shares, lengths).map { scale * $0 / $1 }
  }
}
