import VTokEval

/// One row of a table: a method with a budget, run by a subject that has both. `random` comes with several seeds,
/// everything else with one.
public struct Contender<Subject: Sendable>: BenchEntry {
  public let method: String
  public let asked: Asked
  public let subject: Subject
  public let seeds: [UInt64]

  public init(method: String, asked: Asked, subject: Subject, seeds: [UInt64] = [0]) {
    self.method = method
    self.asked = asked
    self.subject = subject
    self.seeds = seeds
  }

  /// With its number of seeds, as tables name it.
  var label: String { method + (seeds.count > 1 ? " x\(seeds.count)" : "") }
}
