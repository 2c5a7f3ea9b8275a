import VTokCore
import VTokEval
import VTokPipeline

/// One row of a table: methods with a budget, run by a subject that has both. Methods that draw lots come with several
/// seeds, all others with one.
public struct Contender<Subject: MethodRunner>: BenchEntry {
  public let method: String
  public let asked: Asked
  public let subject: Subject
  public let seeds: [UInt64]
  /// One for every item, where their amounts differ.
  private var byItem: [Subject]?

  /// What runs on an item.
  public func subject(on item: Int) -> Subject { byItem?[item] ?? subject }

  /// A row whose amount differs between items under a mean of all.
  /// - Parameters:
  ///   - shares: of the visual tokens, one for every item.
  ///   - mean: what was asked for.
  ///   - make: the model with methods and a budget; called once for every share.
  public init(mean: Double, shares: [Double], seeds: Int = 5, make: (Budget) throws -> Subject) rethrows {
    let made = try Dictionary(uniqueKeysWithValues: Set(shares).map { ($0, try make(.ratio($0))) })
    self.init(try make(.ratio(mean)), asked: .mean(mean), seeds: seeds)
    byItem = shares.map { made[$0]! }
  }

  /// A row that says of its subject what that says of itself.
  /// - Parameters:
  ///   - asked: nil: the subject's budget, or an amount of its own.
  ///   - seeds: runs of methods that draw lots, each with other tokens; the row is their mean.
  public init(_ subject: Subject, asked: Asked? = nil, seeds: Int = 5) {
    self.init(
      method: subject.method, asked: asked ?? subject.asked, subject: subject,
      seeds: subject.composition.isStochastic ? Array(0..<UInt64(seeds)) : [0])
  }

  public init(method: String, asked: Asked, subject: Subject, seeds: [UInt64] = [0]) {
    self.method = method
    self.asked = asked
    self.subject = subject
    self.seeds = seeds
  }

  /// With its number of seeds, as tables name it.
  var label: String { method + (seeds.count > 1 ? " x\(seeds.count)" : "") }
  /// Without options and budget, as plots name it; a model that has no methods goes by the name of its row.
  var line: String { subject.composition.methods.isEmpty ? method : subject.methods.line }
}
