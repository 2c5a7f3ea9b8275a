import VTokCore

/// What runs of the same pixels have in common. A dense run fills it; every other run begins where its methods first look or
/// act, with the tokens and the attention that the dense one had there. What comes before is the same to the bit, so a
/// table of many methods computes it once. Traces and costs are those of whole runs, times are not.
public final class SharedBlocks {
  /// A run's beginning.
  struct Start {
    /// A half of a block, or the features.
    let site: Site
    let tiles: [TokenSequence]
    /// Attention of the block.
    let tapped: [WeightBlocks.Tapped]

    /// Whether a run that begins here has the half of a block that ends at a site behind it.
    func isAfter(_ block: Int, _ half: Site.Half) -> Bool {
      guard case .block(let index, let own) = site else { return true }
      return block < index || (block == index && (half == .middle || own == .end))
    }
  }

  /// What runs that leave a block in its middle or at its end want to see of it.
  private let requests: [Int: [Request]]
  private let departures: Set<Site>
  private var starts: [Site: Start] = [:]

  /// - Parameter compositions: of the runs that may begin from here. Those that shrink the image see other pixels.
  public init(for compositions: [Composition]) {
    var requests: [Int: [Request]] = [:]
    // What a method changes before block 0 shares nothing.
    let sharing = compositions.filter { $0.shrink == nil && !$0.methods.isEmpty && $0.departure != .patches }
    for composition in sharing {
      guard case .block(let index, _) = composition.departure else { continue }
      requests[index, default: []] += composition.requests(inBlock: index)
    }
    self.requests = requests
    departures = Set(sharing.map(\.departure))
  }

  var isEmpty: Bool { starts.isEmpty }

  /// Whether some run needs all that the block gives, or what comes after it.
  func needs(block: Int) -> Bool {
    departures.contains { if case .block(let index, _) = $0 { index >= block } else { true } }
  }

  func requests(inBlock index: Int) -> [Request] { requests[index] ?? [] }

  /// nil before a dense run has passed there, and for methods that see other pixels or were not announced. Blocks after
  /// the features never run.
  func start(for composition: Composition) -> Start? {
    guard composition.shrink == nil, departures.contains(composition.departure) else { return nil }
    return starts[composition.departure] ?? starts[.features]
  }

  func keep(_ tiles: [TokenSequence], _ tapped: [WeightBlocks.Tapped], at site: Site) {
    guard departures.contains(site) || site == .features else { return }
    starts[site] = Start(site: site, tiles: tiles, tapped: tapped)
  }
}
