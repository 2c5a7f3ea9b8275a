/// What one run did: the only source of the cost ledger, the pictures and the reports.
public struct Trace: Sendable {
  /// One block or layer, over the sequences (tiles) that passed it.
  public struct Layer: Sendable, Equatable {
    /// Rows entering attention and rows entering the MLP, per sequence, or per window where attention stays inside windows.
    public var rows: [Int], mlpRows: [Int]
    /// Keys attended, per sequence (rows of the tower, cache length in a decoder).
    public var keys: [Int]
    /// Rows entering that lie in visual spans; 0 in a tower.
    public var visual = 0
    /// Rows that pass a layer by and are not among `rows` (mixture of depths).
    public var bypassing = 0
    /// Whether it formed no attention of its own, but used what was probed (MCTF).
    public var isCarried = false
    /// Attention rows formed of the next layer without running it.
    public var probes: [Probe] = []
    /// Cache entries per KV head after the step, methods included; 0 where no cache is kept.
    public var cached = 0
    public var seconds = 0.0

    public init(rows: [Int], mlpRows: [Int]? = nil, keys: [Int]? = nil) {
      self.rows = rows
      self.mlpRows = mlpRows ?? rows
      self.keys = keys ?? rows
    }
  }

  /// `rows` queries against `keys` keys, projected for the purpose.
  public struct Probe: Sendable, Equatable {
    public let rows: Int, keys: Int
    /// Whether the products of the two are formed too.
    public let isMixed: Bool
    public init(rows: Int, keys: Int, isMixed: Bool = true) {
      self.rows = rows
      self.keys = keys
      self.isMixed = isMixed
    }
  }

  /// One visit of one method.
  public struct Act: Sendable {
    public let method: String, site: Site
    /// Rows before and after, all sequences together; of a cache the entries of its longest head.
    public let input: Int, output: Int
    public let seconds: Double
    public let notes: Notes
    /// Provenance of every sequence after the visit; empty unless the run keeps notes.
    public let origins: [Origin]
  }

  /// Patches that entered the tower, all tiles together; 0 in language-only runs.
  public internal(set) var patches = 0
  public internal(set) var tower: [Layer] = []
  /// Rows that left the connector, all tiles together; 0 without one.
  public internal(set) var connected = 0
  /// Layers of the language model over the question alone, where a connector is conditioned on it; the head does not run.
  public internal(set) var question: [Layer] = []
  /// Layers of the language model, of the prefill and then of every decoding step.
  public internal(set) var language: [Layer] = []
  public internal(set) var acts: [Act] = []
  /// Seconds in the tower (embedding and blocks), acts not included, nor what another run computed for this one.
  public var towerSeconds = 0.0

  /// Seconds spent in methods.
  public var selectionSeconds: Double { acts.reduce(0) { $0 + $1.seconds } }
  /// Multiply-adds spent on selecting.
  public var selectionMACs: Int { acts.reduce(0) { $0 + $1.notes.macs } }
  /// Smallest margin of all cuts.
  public var margin: Float { acts.reduce(.infinity) { min($0, $1.notes.margin) } }
  /// Rows of every sequence that reached the end of the tower, prefix rows included.
  public internal(set) var towerOutput: [Int] = []

  public init() {}
}
