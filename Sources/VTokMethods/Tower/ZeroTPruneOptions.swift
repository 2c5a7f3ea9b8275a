import VTokCore

// What users may say about zero-tprune: where and how much to cut, and how to rank.

extension ZeroTPrune.Ranking {
  init(_ options: inout Options) throws(OptionError) {
    self.init()
    start = try options.take("start", default: start, "start of the page rank: class token ahead, or all equal")
    partition = try options.take("partition", default: partition, "how the S-stage splits tokens by importance")
    metric = try options.take("metric", default: metric, "similarity of keys in the S-stage")
    let lowest = try options.take("vmin", default: 0.01, in: 0...1e6, "smallest score variance of a head that votes")
    let highest = try options.take("vmax", default: 0.7, in: 0...1e6, "largest score variance of a head that votes")
    guard lowest <= highest else { throw options.invalid("vmin", "\(lowest)", "at most vmax, \(highest)") }
    let filters = try options.take("vhf", default: true, "let only heads between vmin and vmax vote")
    variance = filters ? Float(lowest)...Float(highest) : nil
    rootMeanSquare = try options.take("eir", default: true, "root mean square over heads; off: plain mean")
    renormalise = try options.take("renormalise", default: true, "make rows votes again after the S-stage")
    let limit = try options.take("eps", default: 0.0, in: 0...1, "stop the page rank below this change; 0: never")
    epsilon = limit > 0 ? Float(limit) : nil
  }
}

extension ZeroTPrune.Amount {
  init(_ options: inout Options) throws(OptionError) {
    let names = ZeroTPrune.Preset.allCases.map(\.rawValue).joined(separator: ", ")
    let preset = options.text(
      "schedule", "one of \(names)", as: .amount,
      "a schedule of ours for DeiT-S (default: solved)")
    let blocks = try ZeroTPrune.whole(
      &options, "blocks", "prune after these blocks, from 0 (default: 0/2/5/8/10 of 12)")
    let similar = try ZeroTPrune.whole(
      &options, "similar", as: .amount,
      "tokens the S-stage removes, one number or one per block")
    let tokens = try ZeroTPrune.whole(&options, "tokens", as: .amount, "tokens the I-stage leaves, one per block")
    let rates = try options.list(
      "rate", "shares above 0, at most 1", as: .amount, "share the I-stage leaves, one number or one per block")
    let steps = try ZeroTPrune.whole(
      &options, "iterations", to: 1000,
      "page rank steps of shallow/middle/deep blocks (default: 50/10/1), or one per block")
    if let rates, !rates.allSatisfy({ $0 > 0 && $0 <= 1 }) {
      throw options.invalid("rate", "\(rates)", "shares above 0, at most 1")
    }
    if let tokens, tokens.contains(0) { throw options.invalid("tokens", "\(tokens)", "1 and above") }
    if let blocks, zip(blocks, blocks.dropFirst()).contains(where: { $0 >= $1 }) {
      throw options.invalid("blocks", "\(blocks)", "blocks in ascending order, each once")
    }
    if let preset {
      let others = [
        ("blocks", blocks != nil), ("similar", similar != nil), ("tokens", tokens != nil), ("rate", rates != nil),
        ("iterations", steps != nil),
      ]
      if let (key, _) = others.first(where: \.1) {
        throw options.invalid(key, "schedule too", "either schedule or \(key)")
      }
      guard let known = ZeroTPrune.Preset(rawValue: preset) else {
        throw options.invalid("schedule", preset, "one of \(names)")
      }
      self = .cuts(known.cuts, depth: ZeroTPrune.Preset.depth)
    } else if similar != nil || tokens != nil || rates != nil {
      self = try .given(options, blocks: blocks, similar: similar, tokens: tokens, rates: rates, steps: steps)
    } else {
      let iterations = try ZeroTPrune.Iterations(steps, options)
      let budget = try options.budget("tokens left after the last block") ?? .ratio(0.5)
      self = .budget(budget, blocks: blocks, iterations)
      return
    }
    if options.has("keep") { throw options.invalid("keep", "a schedule too", "either keep or a schedule") }
  }

  /// A schedule written out in options: lists as long as `blocks`, a single number for all.
  private static func given(
    _ options: Options, blocks: [Int]?, similar: [Int]?, tokens: [Int]?, rates: [Double]?, steps: [Int]?
  ) throws(OptionError) -> ZeroTPrune.Amount {
    guard let blocks else {
      throw options.invalid("blocks", "", "the blocks that 'similar', 'tokens' or 'rate' is for")
    }
    guard tokens == nil || rates == nil else { throw options.invalid("tokens", "rate too", "either tokens or rate") }
    func spread<Value>(_ list: [Value]?, _ key: String, _ fallback: Value) throws(OptionError) -> [Value] {
      guard let list else { return blocks.map { _ in fallback } }
      if list.count == 1 { return blocks.map { _ in list[0] } }
      guard list.count == blocks.count else {
        throw options.invalid(key, "\(list.count) numbers", "one, or \(blocks.count) as in blocks")
      }
      return list
    }
    let removed = try spread(similar, "similar", 0)
    let shares = try spread(rates, "rate", 1)
    let counts = try spread(tokens, "tokens", 0)
    let iterations = try spread(steps, "iterations", 0)
    return .cuts(
      blocks.indices.map { index in
        ZeroTPrune.Cut(
          block: blocks[index], iterations: iterations[index], similar: removed[index],
          keep: tokens == nil ? .rate(shares[index]) : .tokens(counts[index]))
      }, depth: nil)
  }

  /// Refuses a schedule that asks for more than is there.
  func check(patches: Int, depth: Int, share: (Budget) -> Budget) throws(CompressionError) {
    var left = patches
    for cut in try cuts(patches: patches, depth: depth, share: share) { left = try cut.check(patches: left) }
  }

  /// The cuts for a tower of `depth` blocks on `patches` patch tokens.
  /// - Parameter share: what of a budget a tile has.
  func cuts(patches: Int, depth: Int, share: (Budget) -> Budget) throws(CompressionError) -> [ZeroTPrune.Cut] {
    switch self {
    case .cuts(let cuts, _):
      return cuts.map { cut in
        if cut.iterations > 0 { return cut }
        let published = ZeroTPrune.Iterations.published.count(in: cut.block, of: depth)
        return ZeroTPrune.Cut(block: cut.block, iterations: published, similar: cut.similar, keep: cut.keep)
      }
    case .budget(let budget, let blocks, let iterations):
      return try ZeroTPrune.solved(
        for: share(budget), patches: patches, blocks: blocks ?? Schedule.cutBlocks(of: depth), depth: depth,
        iterations: iterations)
    }
  }
}

extension ZeroTPrune.Iterations {
  init(_ steps: [Int]?, _ options: Options) throws(OptionError) {
    switch steps?.count {
    case nil: self = .published
    case 1: self.init(shallow: steps![0], middle: steps![0], deep: steps![0])
    case 3: self.init(shallow: steps![0], middle: steps![1], deep: steps![2])
    default: throw options.invalid("iterations", "\(steps!.count) numbers", "one, or three: shallow/middle/deep")
    }
  }
}

extension ZeroTPrune {
  /// A list of whole numbers, 0 and above.
  fileprivate static func whole(
    _ options: inout Options, _ key: String, to most: Int = 1_000_000, as role: Options.Role = .setting,
    _ about: String
  ) throws(OptionError) -> [Int]? {
    guard let numbers = try options.list(key, "whole numbers as 0/2/5", as: role, about) else { return nil }
    guard numbers.allSatisfy({ (0...Double(most)).contains($0) && $0 == $0.rounded() }) else {
      throw options.invalid(key, "\(numbers)", "whole numbers in 0...\(most)")
    }
    return numbers.map { Int($0) }
  }
}
