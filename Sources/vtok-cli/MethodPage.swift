import VTok

/// What the code knows of a method, as people read it. `vtok methods NAME` prints it, and the method's page in
/// `docs/methods` holds it between marks (`MethodPageTests`).
struct MethodPage {
  /// Title, summary and source; then options with defaults, what a budget means, where it acts, where it differs from
  /// paper and code.
  let text: String

  /// Models whose sites the page names: a tower alone, images of one tile, of several, and positions of three axes.
  private static let models = ["deit-s", "llava-1.5-7b", "llava-next-7b", "qwen2.5-vl-7b"]

  init(_ method: any Compressor.Type) {
    let head = "# \(method.name)\n\n\(Self.sentence(method.summary))\n" + Self.paper(in: method.summary)
    var parts = [head, Self.options(of: method), "## Where it acts\n\n\(Self.sites(of: method))"]
    if !method.remarks.isEmpty {
      parts.append(
        "## Where it differs from paper or official code\n\n" + method.remarks.map { "- \($0)\n" }.joined())
    }
    text = parts.joined(separator: "\n")
  }

  private static func sentence(_ summary: String) -> String {
    summary.prefix(1).uppercased() + summary.dropFirst() + "."
  }

  /// The address of the paper that a summary names as `arXiv 2210.09461`.
  private static func paper(in summary: String) -> String {
    let words = summary.split { $0 == " " || $0 == ")" || $0 == "," || $0 == ";" }
    guard let place = words.firstIndex(of: "arXiv"), place + 1 < words.count else { return "" }
    return "Paper: <https://arxiv.org/abs/\(words[place + 1])>\n"
  }

  private static func options(of method: any Compressor.Type) -> String {
    let options = Methods.options(of: method)
    var table = Table(["option", "default", "expected", "meaning"])
    for entry in options.entries {
      table.add([entry.key, entry.shownDefault, entry.expected, entry.about], .null)
    }
    var text = "## Options\n\n\(table.text(.md))\n"
    text += "Use: `--method \(method.name)\(options.entries.first.map { ":\($0.key)=..." } ?? "")`."
    guard options.takesBudget else { return text + " It takes no budget.\n" }
    text += " It takes `--keep-ratio`, `--keep-tokens` or a `--target-...`.\n\n\(method.counted.definition)\n"
    if let rule = method.rounding { text += "It may leave another number: \(rule).\n" }
    return text
  }

  private static func sites(of method: any Compressor.Type) -> String {
    let made = Methods.listed(method).method
    var table = Table(["model", "sites, with default options"])
    for name in models {
      guard let shape = Shape.published(name) else { continue }
      do throws(CompressionError) {
        _ = try Composition([made], for: shape)
        table.add([name, try made.plan(for: shape).places], .null)
      } catch {
        table.add([name, "refused: \(error.found)"], .null)
      }
    }
    return table.text(.md)
  }
}

extension Options.Entry {
  /// The default as the command says it, whose flags give the job's budget.
  var shownDefault: String {
    role == .budget ? "--keep-ratio or --keep-tokens" : `default`.isEmpty ? "-" : `default`
  }
}

extension CompressionError {
  /// What does not fit, without the way out of it.
  fileprivate var found: String {
    if case .unsupported(_, let found, let expected, _) = self { return "\(found), expected \(expected)" }
    return description
  }
}

extension Plan {
  /// Where the method looks or acts, in the order in which a run comes by.
  fileprivate var places: String {
    var parts: [String] = shrink == nil ? [] : ["before the tower: the image shrinks"]
    func add(_ name: String, _ pick: (Site) -> Int?) {
      let numbers = act.compactMap(pick).sorted()
      if !numbers.isEmpty { parts.append("\(name) \(ranged(numbers))") }
    }
    if act.contains(.patches) { parts.append("before block 0") }
    add("between attention and MLP of block") { if case .block(let block, .middle) = $0 { block } else { nil } }
    add("after block") { if case .block(let block, .end) = $0 { block } else { nil } }
    if act.contains(.features) { parts.append("after the tower") }
    if act.contains(.pack) { parts.append("where tiles are packed for the language model") }
    add("entering language layer") { if case .layer(let layer) = $0 { layer } else { nil } }
    add("cache of language layer") { if case .cache(let layer) = $0 { layer } else { nil } }
    return parts.joined(separator: "; ")
  }

  /// `0 to 11`, or `3, 7, 11` where numbers are missing between.
  private func ranged(_ numbers: [Int]) -> String {
    if numbers.count > 2, numbers.last! - numbers[0] == numbers.count - 1 { return "\(numbers[0]) to \(numbers.last!)" }
    return numbers.map(String.init).joined(separator: ", ")
  }
}
