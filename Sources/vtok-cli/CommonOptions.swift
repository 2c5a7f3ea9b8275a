import ArgumentParser
import Foundation
import VTok

/// The flags that say with what to reduce: model, methods, budgets.
struct ReductionOptions: ParsableArguments {
  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "Model directory as downloaded, a text model in GGUF with --mmproj, or an embedded name (default: VTOK_MODEL of the "
        + "environment, else vtok-tiny, which has no language model).", valueName: "DIR|FILE.gguf|NAME"),
    completion: .file())
  var givenModel: String?

  @Option(
    help: ArgumentHelp(
      "Beside a --model that is a text model in GGUF: the file with its tower and projector.", valueName: "FILE.gguf"),
    completion: .file(extensions: ["gguf"]))
  var mmproj: String?

  @OptionGroup var preparation: ProcessorFlag

  /// The model that was named, by flag or environment.
  var namedModel: String? { givenModel ?? ProcessInfo.processInfo.environment["VTOK_MODEL"] }
  var model: String { namedModel ?? "vtok-tiny" }

  /// Its files.
  func checkpoint(_ precision: Precision?) throws -> Checkpoint {
    try LoadedModel.checkpoint(model, mmproj: mmproj, processor: preparation.processor, precision: precision)
  }

  /// It as a tower.
  func tower(_ precision: Precision?) throws -> LoadedModel {
    try LoadedModel.load(model, precision: precision ?? .f32, processor: preparation.processor)
  }

  @Option(
    name: .customLong("method"),
    help: ArgumentHelp(
      "Method with options; repeat it for a sweep, join with + to run together.",
      valueName: "NAME[:key=value,...]"), completion: .methods)
  var methods: [String] = []

  @Option(
    name: .customLong("keep-ratio"),
    help: ArgumentHelp(
      "Share of the dense model's visual tokens to keep of every image, in (0, 1]; a method without a budget keeps half.",
      valueName: "R[,R...]"))
  var keepRatios: [String] = []

  @Option(
    name: .customLong("keep-tokens"),
    help: ArgumentHelp("Number of visual tokens to keep of every image.", valueName: "N[,N...]"))
  var keepCounts: [String] = []

  @Option(
    help: ArgumentHelp("Keep as many tokens as so many GMACs an image allow.", valueName: "G"),
    transform: number(above: 0))
  var targetGmacs: Double?

  @Option(
    help: ArgumentHelp("Keep as many as a mean of so many tokens entering a block allows.", valueName: "N"),
    transform: number(above: 0))
  var targetTokens: Double?

  @Option(
    help: ArgumentHelp("Keep as many as so many milliseconds an image allow, on one thread here.", valueName: "T"),
    transform: number(above: 0))
  var targetMs: Double?

  @Option(help: ArgumentHelp("Seed of everything random (default: 0).", valueName: "N"), transform: whole(seedRange))
  var seed: UInt64 = 0

  /// What was given, one item after the other; nil: nothing.
  var keepRatio: [String]? { keepRatios.isEmpty ? nil : keepRatios.items }
  var keepTokens: [String]? { keepCounts.isEmpty ? nil : keepCounts.items }

  mutating func validate() throws { methods = methods.methodItems }

  /// The methods asked for; ToMe where none was.
  var wantedMethods: [String] { methods.isEmpty ? [ToMe.name] : methods }

  /// The flags that say how much to keep or to spend, with what was given.
  private var amounts: [(flag: String, value: String?)] {
    [
      ("--keep-ratio", keepRatio?.joined(separator: ",")), ("--keep-tokens", keepTokens?.joined(separator: ",")),
      ("--target-gmacs", targetGmacs.map { "\($0)" }),
      ("--target-tokens", targetTokens.map { "\($0)" }), ("--target-ms", targetMs.map { "\($0)" }),
    ]
  }

  /// Whether anything was said about methods or amounts.
  var isGiven: Bool { !methods.isEmpty || amounts.contains { $0.value != nil } }

  /// The one flag of those that was given; nil when none was.
  func amountFlag() throws -> String? {
    let given = amounts.filter { $0.value != nil }
    guard given.count <= 1 else {
      throw UsageError(
        "\(given[0].flag) and \(given[1].flag)", found: "both (\(given[0].flag) \(given[0].value!))",
        expected: "one of them", fix: "Remove one.")
    }
    return given.first?.flag
  }

  /// What a run may cost; nil without such a flag.
  func target() throws -> Target? {
    let target =
      targetGmacs.map { Target.gmacs($0) } ?? targetTokens.map { .meanTokens($0) }
      ?? targetMs.map { .milliseconds($0) }
    guard let target, try amountFlag() != nil else { return nil }
    return target
  }

  /// The budgets asked for; nil when none was.
  func budgets() throws -> [Budget]? {
    if let keepRatio {
      return try keepRatio.map { text in
        guard let ratio = Double(text), ratio > 0, ratio <= 1 else {
          throw UsageError(
            "--keep-ratio", found: "'\(text)'", expected: "a number above 0 and at most 1",
            fix: "For a number of tokens use --keep-tokens.")
        }
        return .ratio(ratio)
      }
    }
    return try keepTokens?.map { text in
      guard let tokens = Int(text), Budget.tokenRange.contains(tokens) else {
        throw UsageError(
          "--keep-tokens", found: "'\(text)'", expected: "a whole number in 1...\(Budget.tokenRange.upperBound)",
          fix: "For a share use --keep-ratio.")
      }
      return .tokens(tokens)
    }
  }

  /// One method with one budget.
  struct Combination: Sendable {
    let spec: MethodSpec
    let budget: Budget
    /// Whether the budget rules the method; else it has an amount of its own.
    let ruled: Bool
    /// Of its folder and table row in a sweep: the short name, or all that was typed.
    let name: String
    /// What the budget was solved for, and what it reaches.
    var solved: (target: Target, reached: Double)?
    /// With amounts that differ between pictures, whose mean the budget is.
    var mean: MeanBudget?

    /// `<method>@<budget>`, or `<method>@own` for one with an amount of its own: the name of its folder in a sweep.
    var label: String {
      "\(name.replacing("/", with: "-"))@\(mean == nil ? "" : "mean-")\(ruled ? budget.text : "own")"
    }
    /// What tables and rows say was asked for.
    var asked: Asked { mean.map { .mean($0.mean) } ?? (ruled ? .budget(budget) : .own) }
  }

  /// All methods with all budgets; a method with an amount of its own comes once.
  /// - Parameter solves: whether budgets will be solved for something that other flags ask.
  func combinations(solves: Bool = false) throws -> [Combination] {
    let specs = try wantedMethods.map { try MethodSpec($0) }
    for spec in specs { for part in spec.parts { _ = try Methods.named(part.name) } }
    for spec in specs { _ = try spec.make(budget: nil, read: OptionFile.read) }
    let flag = try amountFlag()
    let asked = try budgets()
    let isTyped = try solves || asked != nil || target() != nil
    let ruled = specs.map { $0.isRuled(whereGiven: isTyped) }
    if let flag, !ruled.contains(true) {
      throw UsageError(
        flag, found: "only methods with an amount of their own", expected: "a method that takes a budget",
        fix: "Remove the flag, or the amount from --method.")
    }
    let budgets = asked ?? [MethodSpec.usualBudget]
    let names = specs.map(\.names)
    return zip(specs, ruled).flatMap { spec, ruled in
      (ruled ? budgets : [budgets[0]]).map { budget in
        // The short name, unless two methods of the sweep share it.
        let name = names.count { $0 == spec.names } > 1 ? spec.description : spec.names
        return Combination(spec: spec, budget: budget, ruled: ruled, name: name)
      }
    }
  }

  /// With a target in place of a budget: the combinations with the budget that meets it, solved by `solve` and said on
  /// stderr.
  func solved(
    _ combinations: [Combination], quiet: Bool, by solve: (Target, MethodSpec) throws -> TargetSolver.Solution
  ) throws -> [Combination] {
    guard let target = try target() else { return combinations }
    return try combinations.map { combination in
      guard combination.ruled else { return combination }
      let solution = try solve(target, combination.spec)
      if !quiet {
        VTokCommand.say(
          "\(combination.spec): --keep-tokens \(solution.budget.text) for \(target.text(solution.reached)) of "
            + target.description)
      }
      return Combination(
        spec: combination.spec, budget: solution.budget, ruled: true, name: combination.name,
        solved: (target, solution.reached))
    }
  }
}

/// The file that says how images are prepared for a model.
struct ProcessorFlag: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Says how images are prepared, in place of the model's own files: a preprocessor_config.json, a processor_config.json, "
        + "or a timm config.json.", valueName: "FILE.json"), completion: .file(extensions: ["json"]))
  var processor: String?
}

/// Flags of every command that computes.
struct RunOptions: ParsableArguments {
  static let threadRange = 1...1024

  @Option(
    help: ArgumentHelp("Threads; images run side by side (default: all cores).", valueName: "N"),
    transform: whole(threadRange))
  var threads: Int?

  @Option(
    help: ArgumentHelp("A job file with flags as keys; flags on the command line win.", valueName: "FILE.yaml"),
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Flag(help: "No progress, no warnings.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "Say more on stderr.")
  var verbose = false

  func threadCount() throws -> Int {
    let environment = ProcessInfo.processInfo.environment["VTOK_THREADS"]
    if let threads { return threads }
    guard let environment else { return min(ProcessInfo.processInfo.activeProcessorCount, Self.threadRange.upperBound) }
    do { return try whole(Self.threadRange)(environment) } catch {
      throw UsageError(
        "VTOK_THREADS", found: "'\(environment)'", expected: "a whole number in 1...1024", fix: "Unset or correct it.")
    }
  }
}

/// How images are read.
struct DecodeFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Largest image read, in pixels; checked before memory is taken (default: 100000000).", valueName: "N"),
    transform: whole(1...1_000_000_000_000))
  var maxPixels = 100_000_000

  @Flag(help: "Leave images as they are stored, not turned upright by their EXIF orientation.")
  var rawOrientation = false

  @Option(
    help: ArgumentHelp("Transparent images are laid on white, or their alpha is dropped.", valueName: "white|drop"))
  var alpha = AlphaRule.white

  func options() throws -> DecodeOptions {
    DecodeOptions(maxPixels: maxPixels, rawOrientation: rawOrientation, alpha: alpha)
  }
}

extension AlphaRule: ExpressibleByArgument {}

extension CompletionKind {
  /// The names of all methods, for shells.
  static var methods: CompletionKind { .list(Methods.all.map { $0.name }) }
}

extension Budget {
  /// As in folder names: `0.25` or `64`.
  var text: String {
    switch self {
    case .ratio(let ratio): "\(ratio)"
    case .tokens(let tokens): "\(tokens)"
    }
  }
  /// As in tables: `25%` or `64`.
  var label: String {
    switch self {
    case .ratio(let ratio): fixed(ratio * 100, ratio * 100 == (ratio * 100).rounded() ? 0 : 1) + "%"
    case .tokens(let tokens): "\(tokens)"
    }
  }
}

extension Table.Format: ExpressibleByArgument {}

/// A file that a flag names.
enum FlagFile {
  /// - Parameter what: names the flag in messages.
  static func bytes(_ path: String, _ what: String) throws -> [UInt8] {
    do throws(SystemError) { return try FileBytes.read(path) } catch {
      if error.isOfMachine { throw error }
      throw UsageError(
        "\(what) '\(printable(path))'",
        found: error.code == ENOENT ? "no such file" : "it cannot be read (\(error.reason))", expected: "a file",
        fix: "Check the path.")
    }
  }
}

/// Flags of vision-language models.
struct LanguageFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Prompt template by name (\(PromptTemplate.builtIn.joined(separator: ", "))), a Jinja file or text, or a text with "
        + "{prompt} and {images}, \\n for a new line (default: the checkpoint's chat template; without one, that which "
        + "models of its type are known by).", valueName: "NAME|FILE|TEXT"))
  var template: String?

  @Option(
    help: ArgumentHelp("The CLIP that the model's tower comes from, for methods that need it.", valueName: "DIR"))
  var companion: String?

  /// The template: its name, what its file holds, or its text with its new lines.
  func text() throws -> String? {
    guard let template, !PromptTemplate.builtIn.contains(template) else { return template }
    guard let info = try FileInfo.ifThere(template), info.kind != .folder else {
      if template.hasSuffix(".jinja") {
        throw UsageError("--template", found: "no file '\(template)'", expected: "a Jinja file", fix: "Check the path.")
      }
      return template.replacing("\\n", with: "\n")
    }
    guard let text = String(validating: try FlagFile.bytes(template, "--template"), as: UTF8.self) else {
      throw UsageError(
        "--template", found: "file '\(template)' that is no text in UTF-8 or cannot be read", expected: "a Jinja file",
        fix: "Check the file.")
    }
    return text
  }
  var given: [(flag: String, value: String?)] { [("--template", template), ("--companion", companion)] }
}

extension InputList {
  /// The files; what was left out is said on stderr.
  func files(quiet: Bool) -> [InputFile] {
    if leftOut > 0, !quiet {
      VTokCommand.warn(
        "\(leftOut) input\(leftOut == 1 ? " is" : "s are") left out: what a job writes is never its input")
    }
    return files
  }
}
