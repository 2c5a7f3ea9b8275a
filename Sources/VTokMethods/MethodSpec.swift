import VTokCore
import VTokFiles
import VTokLibC

/// Methods by name: one with its options, or several joined with `+` that run together.
public struct MethodSpec: Sendable, Equatable, CustomStringConvertible {
  public struct Part: Sendable, Equatable {
    public let name: String
    public let options: [String: String]
  }
  /// As typed.
  public let description: String
  public let parts: [Part]

  /// Parses `NAME[:key=value,...][+NAME...]`; names and options are checked by `make`.
  public init(_ text: String) throws(MethodError) {
    description = text
    var parts: [Part] = []
    for piece in text.split(separator: "+", omittingEmptySubsequences: false) {
      let halves = piece.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      var options: [String: String] = [:]
      if halves.count == 2 {
        for item in halves[1].split(separator: ",", omittingEmptySubsequences: false) {
          let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
          guard pair.count == 2, !pair[0].isEmpty, !pair[1].isEmpty, options[String(pair[0])] == nil else {
            throw .malformed(text, part: String(item))
          }
          options[String(pair[0])] = String(pair[1])
        }
      }
      guard !halves[0].isEmpty else { throw .malformed(text, part: String(piece)) }
      parts.append(Part(name: String(halves[0]), options: options))
    }
    self.parts = parts
  }

  /// Whether any part is ruled by the job's budget rather than by an amount of its own.
  public var usesJobBudget: Bool { !ruled.isEmpty }
  /// The methods that the job's budget rules.
  var ruled: [any Compressor.Type] { ruledParts.map(\.method) }
  /// Whether every part that the job's budget rules has a published amount, which holds when no budget was typed.
  public var hasPublishedAmount: Bool { ruledParts.allSatisfy(\.options.hasPublishedAmount) }

  /// Whether a job's budget rules the method: where none was given, one with a published amount keeps to that.
  public func isRuled(whereGiven: Bool) -> Bool { usesJobBudget && (whereGiven || !hasPublishedAmount) }

  /// What a method keeps that has neither a budget nor an amount of its own.
  public static let usualBudget = Budget.ratio(0.5)

  /// Every part with its method and that method's options; parts of unknown names are left to `make`.
  private var known: [(part: Part, method: any Compressor.Type, options: Options)] {
    parts.compactMap { part in
      Methods.all.first { $0.name == part.name }.map { (part, $0, Methods.options(of: $0)) }
    }
  }
  private var ruledParts: [(part: Part, method: any Compressor.Type, options: Options)] {
    known.filter { $0.options.isRuled(with: $0.part.options.keys) }
  }

  /// Paths of the files that options name.
  public var files: [String] {
    known.flatMap { part, _, options in options.entries.filter(\.isFile).compactMap { part.options[$0.key] } }
  }

  /// The same method with its only cut at the end of another block; nil for several methods, for one that has no such
  /// option, and where the option was given.
  public func cutting(atBlock block: Int) -> MethodSpec? { cutting(.cut, "\(block)") }

  /// The same method with its only cut on entering a layer of the language model; nil as above.
  public func cutting(atLayer layer: Int) -> MethodSpec? { cutting(.layers, "\(layer)") }

  private func cutting(_ role: Options.Role, _ place: String) -> MethodSpec? {
    guard parts.count == 1, let method = known.first,
      let key = method.options.entries.first(where: { $0.role == role })?.key, parts[0].options[key] == nil
    else { return nil }
    return MethodSpec(
      description: "\(description)\(parts[0].options.isEmpty ? ":" : ",")\(key)=\(place)",
      parts: [Part(name: parts[0].name, options: parts[0].options.merging([key: place]) { $1 })])
  }

  private init(description: String, parts: [Part]) {
    self.description = description
    self.parts = parts
  }

  /// A method of this library with options.
  init(_ method: any Compressor.Type, _ options: [String: String] = [:]) {
    let typed = options.map { "\($0)=\($1)" }.sorted().joined(separator: ",")
    self.init(
      description: method.name + (typed.isEmpty ? "" : ":" + typed), parts: [Part(name: method.name, options: options)])
  }

  /// One of this library's methods as it is.
  public init(named name: String) { self.init(description: name, parts: [Part(name: name, options: [:])]) }

  /// Names without options, joined with `+`.
  public var names: String { parts.map(\.name).joined(separator: "+") }

  /// The methods, ready to be composed.
  /// - Parameters:
  ///   - budget: the job's budget; methods with an amount of their own ignore it. Several that leave visual tokens share a
  ///     ratio, so that together they reach it.
  ///   - read: opens files that options name.
  public func make(
    budget: Budget?, read: @escaping @Sendable (String) throws -> OptionFile = OptionFile.refuse
  ) throws(MethodError) -> [any Compressor] {
    let sharing = Double(ruled.count { $0.counted == .tokens })
    var shared = budget
    if case .ratio(let ratio) = budget, sharing > 1 { shared = .ratio(pow(ratio, 1 / sharing)) }
    var made: [any Compressor] = []
    for part in parts {
      let type = try Methods.named(part.name)
      let own = type.counted == .tokens ? shared : budget
      var options = Options(method: part.name, part.options, budget: own, read: read)
      do {
        made.append(try type.init(&options))
        try options.finish()
      } catch {
        throw .option(error)
      }
    }
    return made
  }
}
