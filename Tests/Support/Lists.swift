import VTok

/// Methods that fit a model and of whose plan more holds, each with the options that it needs there.
/// - Parameters:
///   - options: what a method needs beside its name; the others get `standard`.
///   - wanted: of the plan.
package func specs(
  for shape: Shape, options: [String: String] = [:], standard: String = "keep=0.5", where wanted: (Plan) -> Bool
) -> [String] {
  Methods.names.map { "\($0):\(options[$0] ?? standard)" }.filter { spec in
    guard let methods = try? MethodSpec(spec).make(budget: nil, read: { _ in relevanceNet }),
      let composition = try? Composition(methods, for: shape)
    else { return false }
    return composition.plans.allSatisfy { !$0.act.isEmpty && wanted($0) }
  }
}

/// Whether a method fits a model with half of the tokens, and takes a budget.
package func isBudgeted(_ name: String, for shape: Shape, where wanted: (Plan) -> Bool = { _ in true }) -> Bool {
  guard let spec = try? MethodSpec(name), spec.usesJobBudget, let methods = try? spec.make(budget: .ratio(0.5)),
    let composition = try? Composition(methods, for: shape)
  else { return false }
  return composition.plans.allSatisfy(wanted)
}

extension Plan {
  /// Whether all that it looks at and acts on lies in the blocks of the tower.
  package var staysInBlocks: Bool { sites.allSatisfy { if case .block = $0 { true } else { false } } }
  /// Whether it acts between tower and language model, and nowhere else.
  package var actsBeforePrompt: Bool { act.isSubset(of: [.features, .pack]) }
  /// Whether all that it looks at and acts on lies in the language model and its caches.
  package var staysInLanguageModel: Bool {
    sites.allSatisfy { site in
      switch site {
      case .layer, .cache: true
      default: false
      }
    }
  }
  /// Whether it cuts the prompt once, and looks at no attention for that.
  package var cutsWithoutAttention: Bool {
    staysInLanguageModel && act.count == 1
      && record.values.allSatisfy { $0.attention == .none && $0.probe == .none && !$0.branches }
  }
  private var sites: Set<Site> { act.union(record.keys) }
}
