import TestSupport
import Testing
import VTok

/// What the suites of several methods check in the same way.

// MARK: Options

/// Keys and defaults of a method are those of `text` (`layer=2 mode=kv keep`: no value, no default). A default that is
/// written out is taken, and a value outside the range that the option names is refused.
func expectOptions(
  of method: any Compressor.Type, _ text: String, location: SourceLocation = #_sourceLocation
) throws {
  let entries = Methods.options(of: method).entries
  let found = entries.map { $0.key == "keep" || $0.default.isEmpty ? $0.key : "\($0.key)=\($0.default)" }
  #expect(found.joined(separator: " ") == text, sourceLocation: location)
  for entry in entries {
    if entry.key != "keep", !entry.default.isEmpty {
      #expect(throws: Never.self, sourceLocation: location) {
        try made("\(method.name):\(entry.key)=\(entry.default)")
      }
    }
    for value in outside(entry.expected) {
      let spec = "\(method.name):\(entry.key)=\(value)"
      #expect(throws: MethodError.self, "\(spec)", sourceLocation: location) { try made(spec) }
    }
  }
}

/// A method with what it cannot do without.
private func made(_ spec: String) throws -> [any Compressor] {
  let needed = spec.hasPrefix(GenericExplain.name) && !spec.contains("weights=") ? ",weights=net" : ""
  return try MethodSpec(spec + needed).make(budget: nil) { _ in LanguageStage.net }
}

/// Values that an option does not take, by what it says it expects.
private func outside(_ expected: String) -> [String] {
  if let range = expected.firstMatch(of: #/number in (-?[\d.]+?)\.\.\.(-?[\d.]+)/#) {
    let (low, high) = (Double(range.1)!, Double(range.2)!)
    return ["\(Int(low) - 1)", "\(Int(high) + 1)", "many", "nan"]
      + (expected.hasPrefix("a whole") ? ["\(low + 0.5)"] : [])
  }
  if expected.hasPrefix("one of ") || expected == "on or off" { return ["none-of-these"] }
  if expected.hasPrefix("a ratio in 0...1") { return ["0", "-1", "1.5", "nan", "half"] }
  if expected.contains("whole number") || expected.contains("share") { return ["many", "nan", "-1", "1//2"] }
  return []  // a word or a file of its own
}

/// A mistake in the options of a method is an error.
func expectMistake(_ spec: String, location: SourceLocation = #_sourceLocation) {
  #expect(throws: MethodError.self, "\(spec)", sourceLocation: location) { try MethodSpec(spec).make(budget: nil) }
}

/// A model that methods cannot serve is refused before weights load.
func expectRefusal(_ spec: String, for shape: Shape, location: SourceLocation = #_sourceLocation) throws {
  let methods = try MethodSpec(spec).make(budget: .ratio(0.5))
  #expect(throws: CompressionError.self, "\(spec)", sourceLocation: location) {
    try Composition(methods, for: shape)
  }
}

/// What any method may say of a model, where it is so.
private let facts: [(String, @Sendable (Shape) -> Bool)] = [
  ("a connector that fuses", { ($0.tower?.fuse ?? 1) > 1 }), ("a connector that joins", { ($0.tower?.fuse ?? 1) > 1 }),
  ("cached ones", { $0.decoder.map { $0.heads != $0.kvHeads } == true }),
  ("a gated delta net", { $0.decoder?.deltaNet != nil }), ("expected a layer in", { ($0.decoder?.layers ?? 9) < 3 }),
  ("features of the last block", { $0.tower.map { $0.featureBlock >= $0.blocks - 1 } == true }),
  ("patches row by row", { $0.layout?.comesInCells == false }),
]

/// Of the tiny models a method refuses those that it must, and says why. It serves all others.
/// - Parameter reasons: part of the message, and of which models; the first that holds counts.
func expectRefusals(
  of method: any Compressor.Type, _ reasons: (String, (Shape) -> Bool)...,
  location: SourceLocation = #_sourceLocation
) throws {
  let spec = TinyModels.spec(of: method.name)
  let methods = try MethodSpec(spec).make(budget: nil) { _ in relevanceNet }
  for name in TinyModels.names {
    let shape = TinyModels.model(name).shape
    let reason = reasons.first { $0.1(shape) }?.0
    do {
      _ = try Composition(methods, for: shape)
      #expect(reason == nil, "\(spec) serves \(name)", sourceLocation: location)
    } catch {
      let isSaid =
        reason.map { "\(error)".contains($0) } == true || facts.contains { "\(error)".contains($0) && $1(shape) }
      #expect(isSaid, "\(name): \(error)", sourceLocation: location)
    }
  }
}

// MARK: Amounts

/// Of 196 patches.
let towerBudgets = [1, 2, 20, 97, 150, 195, 196]

/// A budget is reached to the token, and block by block there are never more.
func expectBudget(_ name: String, _ keep: Int, location: SourceLocation = #_sourceLocation) throws {
  let run = try TowerStage().run(name, budget: .tokens(keep))
  #expect(run.patches.last == keep, sourceLocation: location)
  #expect(zip(run.patches, run.patches.dropFirst()).allSatisfy { $0 >= $1 }, sourceLocation: location)
}

/// Layers, ratios and a budget of a method that cuts in stages.
func expectStages(of name: String, seed: UInt64, location: SourceLocation = #_sourceLocation) throws {
  let stage = LanguageStage(seed: seed)
  let n = stage.visual
  let run = try stage.run("\(name):layers=2/4")
  #expect(
    run.visual == [n, n] + [Int](repeating: n / 2, count: 2) + [Int](repeating: n / 4, count: 2),
    sourceLocation: location)
  let given = try stage.run("\(name):layers=1/3,ratios=0.7/0.1").visual
  #expect(
    given == [n] + [Int](repeating: Int(Double(n) * 0.7), count: 2)
      + [Int](repeating: Int(Double(n) * 0.1), count: 3), sourceLocation: location)
  let budgeted = try stage.run("\(name):layers=2/4,keep=7").visual
  #expect(
    budgeted.last == 7 && zip(budgeted, budgeted.dropFirst()).allSatisfy { $0 >= $1 }, sourceLocation: location)
}

/// Where all tokens are equal, the first five stay.
func expectTheFirstOfEqualTokens(_ spec: String, location: SourceLocation = #_sourceLocation) throws {
  let stage = LanguageStage(seed: 2, isConstant: true)
  let image = Int32(stage.span.lowerBound)
  let tokens = try stage.run(spec).entering.last!
  #expect(
    tokens.rows(.patch).map { tokens.id[$0] } == (image..<image + 5).map { $0 }, "\(spec)", sourceLocation: location)
}
