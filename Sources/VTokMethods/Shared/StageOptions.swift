import VTokCore

/// What a method that cuts in stages keeps of the visual tokens that it received at the first one.
public enum StageAmount: Sendable, Equatable {
  /// One share per stage.
  case ratios([Double])
  /// Left by the last stage; the others keep equal shares in between.
  case budget(Budget)

  /// Visual tokens left by every stage, of the prompt as the first one receives it.
  func counts(after stages: Int, _ view: borrowing View) -> [Int] {
    let tokens = view.sequences[0]
    let count = view.visual(tokens).count
    switch self {
    case .ratios(let ratios): return ratios.map { Int(Double(count) * $0) }  // truncated, as published
    case .budget(let budget):
      return Schedule.geometric(from: count, to: view.kept(budget, of: tokens), steps: stages)
    }
  }
}

extension Options {
  /// Layers counted from 0, ascending from 1 on; the default when not given.
  mutating func layers(_ key: String, default layers: [Int], _ about: String) throws(OptionError) -> [Int] {
    try self.layers(key, about + " (default: \(layers.map(String.init).joined(separator: "/")))") ?? layers
  }

  /// Layers counted from 0, ascending from 1 on; nil when not given.
  mutating func layers(_ key: String, _ about: String) throws(OptionError) -> [Int]? {
    let expected = "whole numbers from 1 on, ascending"
    return try list(key, expected, as: .layers, about).map { list throws(OptionError) in
      try ascending(key, list, expected)
    }
  }

  /// The same, or a word: no numbers then.
  mutating func layers(
    _ key: String, or word: String, _ about: String
  ) throws(OptionError) -> (numbers: [Int]?, isWord: Bool)? {
    let expected = "whole numbers from 1 on, ascending, or \(word)"
    guard has(key, word) else {
      return try list(key, expected, as: .layers, about).map { list throws(OptionError) in
        (try ascending(key, list, expected), false)
      }
    }
    _ = text(key, expected, as: .layers, about)
    return (nil, true)
  }

  private func ascending(_ key: String, _ list: [Double], _ expected: String) throws(OptionError) -> [Int] {
    if zip([0] + list, list).contains(where: { $0 >= $1 || $1 != $1.rounded() || $1 > 1000 }) {
      throw invalid(key, "\(list)", expected)
    }
    return list.map { Int($0) }
  }

  /// `ratios`, or a budget for the last stage; else the published shares if there are as many, or halves of halves.
  mutating func amount(ofStages count: Int, published: [Double]) throws(OptionError) -> StageAmount {
    let expected = "one share in 0...1 per stage, none above the one before"
    if let ratios = try list("ratios", expected, as: .amount, "share of all visual tokens that every stage keeps") {
      if ratios.count != count || zip([1] + ratios, ratios).contains(where: { $0 < $1 || $1 < 0 }) {
        throw invalid("ratios", "\(ratios)", expected)
      }
      return .ratios(ratios)
    }
    if let budget = try budget("visual tokens kept by the last stage; the others in equal steps", published: true) {
      return .budget(budget)
    }
    let halves = (1...count).reduce(into: []) { ratios, _ in ratios.append((ratios.last ?? 1.0) / 2) }
    return .ratios(count == published.count ? published : halves)
  }
}
