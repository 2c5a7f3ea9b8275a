import VTokCore
import VTokTensor

/// What the rows before a question leave behind in a language model, so that many questions about one picture are read
/// without reading the picture again.
///
/// Nothing looks ahead beyond a picture: keys, values, states and hidden states of those rows do not depend on what follows. They are found again
/// by their contents, so whatever a method made of the picture, prompts that begin alike share. From the layer on where a
/// method changes the rows with regard to the question nothing is shared. Numbers are the same to the bit.
public final class SharedPrefixes {
  /// Least recently used first.
  private var known: [SharedPrefix] = []
  private let limit: Int

  /// - Parameter megabytes: keep at most so much, in units of 2^20 bytes; the prefix in use is kept in any case.
  public init(megabytes: Int = 512) { limit = megabytes << 20 }

  /// The prefix of a prompt entering layer 0, and the rows behind it; nil where nothing can be shared: no picture, a single
  /// row before or behind its end (that is summed in another order), attention in a method's own form, which may differ
  /// between runs, a window of rows that begins before the question, or layers with a window (their sums begin where a pass does).
  func prefix(of tokens: TokenSequence, _ run: Run, _ model: LanguageModel) -> (SharedPrefix, TokenSequence)? {
    let shape = model.shape
    let hasWindows = (0..<shape.layers).contains { if case .window = shape.mixer(of: $0) { true } else { false } }
    if hasWindows || shape.seesWholeImages { return nil }
    let start = run.images.textStart
    let count = tokens.id.firstIndex { $0 >= start } ?? tokens.count
    guard count > 1, tokens.count - count > 1, tokens.id[count...].allSatisfy({ $0 >= start }), !hasOwnForm(run),
      !looksBack(beyond: tokens.count - count, run), !run.composition.decoderMassBias
    else { return nil }
    let rest = tokens.rows(count..<tokens.count)
    // One that ends sooner, behind fewer pictures, is another prefix.
    if let index = known.firstIndex(where: { $0.count == count && $0.kv == model.kv && $0.begins(tokens) }) {
      known.append(known.remove(at: index))
    } else {
      known.append(SharedPrefix(tokens.rows(0..<count), model.kv))
      while known.count > 1, known.reduce(0, { $0 + $1.bytes }) > limit { known.removeFirst() }
    }
    return (known.last!, rest)
  }

  private func looksBack(beyond rows: Int, _ run: Run) -> Bool {
    run.composition.plans.contains { plan in
      plan.record.values.contains { request in
        [request.attention, request.besideAttention, request.probe].contains {
          if case .window(let count) = $0 { count > rows } else { false }
        }
      }
    }
  }

  private func hasOwnForm(_ run: Run) -> Bool {
    run.composition.plans.contains { plan in
      plan.record.values.contains { request in
        if case .own = request.values { true } else { false }
      }
    }
  }
}

/// The rows before a question, layer by layer as far as somebody needed them.
final class SharedPrefix {
  /// One layer that these rows have passed.
  struct Layer {
    /// Leaving the layer.
    let rows: TokenSequence
    let past: LayerPast
    /// Attention rows added up, `[heads, keys]`, in the forms asked for so far.
    var sums: [Attention.Tap: Tensor] = [:]
    var branches: [Branch] = []
  }

  private let first: TokenSequence
  let kv: CachePrecision
  private var layers: [Layer] = []

  init(_ rows: TokenSequence, _ kv: CachePrecision) { (first, self.kv) = (rows, kv) }

  var count: Int { first.count }
  var ids: [Int32] { first.id }
  var bytes: Int { layers.reduce(0) { $0 + 4 * $1.rows.x.values.count + $1.past.bytes } }

  private func rows(entering layer: Int) -> TokenSequence { layer == 0 ? first : layers[layer - 1].rows }

  /// Whether a prompt entering layer 0 begins with these rows.
  func begins(_ tokens: TokenSequence) -> Bool { tokens.count > count && tokens.begins(with: first) }

  /// All rows, those of `rest` behind the prefix.
  func joined(with rest: TokenSequence, entering layer: Int) -> TokenSequence {
    var whole = rows(entering: layer)
    whole.append(rest)
    return whole
  }

  /// The rows behind the prefix; nil if a method has changed it.
  func rest(of whole: TokenSequence, entering layer: Int) -> TokenSequence? {
    whole.count > count + 1 && whole.begins(with: rows(entering: layer)) ? whole.rows(count..<whole.count) : nil
  }

  /// These rows through a layer, once.
  /// - Parameters:
  ///   - taps: forms of attention that the run wants; of those over all rows the sums are kept.
  ///   - run: runs the layer on the rows entering it and no past.
  func layer(
    _ index: Int, _ taps: [Attention.Tap], branches: Bool,
    _ run: (inout TokenSequence, inout LayerPast, Attention.Taps) -> DecoderLayer.Recorded
  ) -> Layer {
    let sums = taps.filter { $0.rows == .all }
    if index < layers.count, sums.allSatisfy({ layers[index].sums[$0] != nil }),
      !branches || !layers[index].branches.isEmpty
    {
      return layers[index]
    }
    var rows = rows(entering: index)
    var past = LayerPast()
    var wanted = Attention.Taps()
    wanted.wanted = sums.map { ($0, Array(0..<count)) }
    let recorded = run(&rows, &past, wanted)
    if index == layers.count { layers.append(Layer(rows: rows, past: past)) }
    layers[index].sums.merge(recorded.attention.mapValues { $0[0] }) { $1 }
    if branches { layers[index].branches = recorded.branches }
    return layers[index]
  }
}
