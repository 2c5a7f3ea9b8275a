import Foundation
import VTok
import Yams

/// `--config job.yaml`: the flags of a command as a file. Keys are flag names without dashes in front; lists repeat a
/// flag; `inputs` are the arguments. What stands under `run` describes the run that wrote the file and is passed over.
enum JobFile {
  /// Flags that say the same in other words: one of them on the command line silences the others in the file.
  private static let budgets: Set = [
    "keep-ratio", "keep-tokens", "keep-mean", "target-gmacs", "target-ms", "target-tokens", "mac-ratio",
  ]
  /// A job file is a page; more is another kind of file.
  private static let mostBytes = 1 << 20

  /// The arguments with the job file's flags put in where the command line is silent.
  static func expand(_ arguments: [String]) throws -> [String] {
    guard let grammar = Grammar(of: arguments) else { return arguments }
    let command = Array(arguments.prefix(grammar.words))
    let line = grammar.read(arguments.dropFirst(grammar.words))
    try grammar.refuseRepeated(line)
    guard let config = grammar.entry("--config"), let path = line.given.first(where: { $0.entry == config })?.value
    else { return arguments }
    let given = Set(line.given.map(\.entry))
    let hasBudget = budgets.contains { name in grammar.entry("--" + name).map(given.contains) ?? false }
    var flags: [String] = []
    var inputs: [String] = []
    for (key, value) in try read(path) where key != "run" && !isNothing(value) {
      func refuse(_ found: String, _ expected: String) -> UsageError {
        UsageError("'\(key)' in '\(path)'", found: found, expected: expected, fix: "Correct the file.")
      }
      // Passing over "false" would turn images that the file wants as they are stored.
      if key == "apply-exif" {
        throw UsageError(
          "--config '\(path)'", found: "apply-exif: \(value.scalar?.string ?? "a list")",
          expected: "raw-orientation or nothing",
          fix: "Images are turned upright by default now; for those of before, write 'raw-orientation: true' and "
            + "'alpha: drop'.")
      }
      guard let values = (value.sequence.map(Array.init) ?? [value]).map({ $0.scalar?.string }) as? [String] else {
        throw refuse("a table", "a value or a list of values")
      }
      if key == "inputs" {
        inputs = values
        continue
      }
      let name = "--" + key
      guard let place = grammar.entry(name), place != config else {
        throw refuse(
          "a key that 'vtok \(command.joined(separator: " "))' has no flag for",
          "its flags without dashes, such as 'keep-ratio'")
      }
      if given.contains(place) || budgets.contains(key) && hasBudget { continue }
      let entry = grammar.entries[place]
      if !entry.takesValue {
        guard let flag = value.bool else { throw refuse("'\(values.joined(separator: ", "))'", "true or false") }
        if flag { flags.append(name) }
        continue
      }
      if !entry.isList, values.count > 1 { throw Grammar.repeated("'\(key)' in '\(path)'", values) }
      flags += values.map { "\(name)=\($0)" }
    }
    let rest = arguments.dropFirst(grammar.words)
    return command + flags + rest + (line.inputs.isEmpty && !inputs.isEmpty ? ["--"] + inputs : [])
  }

  private static func isNothing(_ node: Node) -> Bool { node.scalar?.style == .plain && node.null != nil }

  /// The keys of a file with their values, as written.
  private static func read(_ path: String) throws -> [(String, Node)] {
    func refuse(_ found: String, _ expected: String) -> UsageError {
      UsageError(
        "--config '\(path)'", found: found, expected: expected,
        fix: "See job.yaml in an output folder of 'vtok prune' for the form.")
    }
    let data: [UInt8]
    do throws(SystemError) { data = try FileBytes.read(path, limit: mostBytes) } catch {
      if error.isOfMachine, error.code != EFBIG { throw error }
      throw error.code == EFBIG
        ? refuse("more than 1 MB", "a YAML job file")
        : refuse(error.code == ENOENT ? "no such file" : "a file that cannot be read", "a YAML job file")
    }
    guard !data.isEmpty, let text = String(validating: data, as: UTF8.self) else {
      throw refuse(data.isEmpty ? "an empty file" : "no text", "a YAML job file")
    }
    let node: Node?
    do {
      node = try Yams.compose(yaml: text)
    } catch {
      throw refuse("\(error)".split(whereSeparator: \.isNewline).joined(separator: " "), "YAML")
    }
    guard let table = node?.mapping, let keys = table.map({ $0.key.string }) as? [String] else {
      throw refuse("no table of flags", "lines such as 'keep-ratio: 0.25'")
    }
    return zip(keys, table.map { $0.value }).sorted { $0.0 < $1.0 }
  }

  /// The text of a resolved configuration, in the order given. Values that read as something else than text are quoted.
  static func text(_ flags: [(String, JSON)], run: [(String, JSON)]) -> String {
    func line(_ key: String, _ value: JSON, _ indent: String) -> String {
      if case .array(let items) = value {
        return items.isEmpty
          ? "\(indent)\(key): []\n" : "\(indent)\(key):\n" + items.map { "\(indent)  - \(scalar($0))\n" }.joined()
      }
      return "\(indent)\(key): \(scalar(value))\n"
    }
    return flags.map { line($0.0, $0.1, "") }.joined() + "run:\n" + run.map { line($0.0, $0.1, "  ") }.joined()
  }

  /// A JSON scalar is a YAML scalar, but for the bytes of file names that are no text: YAML has no `\udcXX`, so they are
  /// there as the characters that stand for them, see `FileName`.
  private static func scalar(_ value: JSON) -> String {
    guard let text = value.string, case let bytes = FileName.bytes(text), bytes != Array(text.utf8) else {
      return value.text()
    }
    return "\""
      + text.unicodeScalars.map {
        $0.value > 0x10FF7F ? String($0) : String(JSON(String($0)).text().dropFirst().dropLast())
      }.joined() + "\""
  }

  /// The lines that make a job what it is: not its inputs, which may come and go, and not how its budget was found.
  /// - Parameter ofPart: nor which part of the inputs it has.
  static func identity(_ text: String, ofPart: Bool = false) -> [Substring] {
    let others = [
      "inputs:", "files-from:", "video:", "videos-from:", "  - ", "  images:", "  inputs_sha256:", "  solved-for:",
      "  reached:",
    ]
    return text.split(separator: "\n").filter { line in
      !others.contains { line.hasPrefix($0) } || ofPart && line.hasPrefix("  inputs_sha256:")
    }.filter { !ofPart || !$0.hasPrefix("shard:") }
  }

  /// The same of a whole as of its parts, whose token files may be cut at other sizes.
  static func identityOfWhole(_ text: String) -> [Substring] {
    identity(text).filter { !$0.hasPrefix("shard:") && !$0.hasPrefix("shard-size:") }
  }

  /// What makes one job another one, for people.
  static func difference(_ before: [Substring], _ now: [Substring]) -> String {
    guard let (old, new) = zip(before, now).first(where: { $0 != $1 }) else { return "other flags" }
    let parts = [
      "model_sha256": "other weights in the model's folder",
      "settings_sha256": "another config.json or image processor, or other files for text, in the model's folder",
      "companion_sha256": "other files in the companion's folder",
    ]
    return parts.first { new.hasPrefix("  \($0.key):") }?.value ?? "'\(old)' and now '\(new)'"
  }

  /// The job file of a whole, from that of a part.
  static func merged(_ text: String, images: Int, shardSize: Int) -> String {
    text.split(separator: "\n").map { line in
      if line.hasPrefix("shard:") { return "shard: null\n" }
      if line.hasPrefix("shard-size:") { return "shard-size: \(shardSize)\n" }
      return line.hasPrefix("  images:") ? "  images: \(images)\n" : line + "\n"
    }.joined()
  }

  /// What a job file says about its inputs, and its shard size.
  struct Inputs {
    let paths: [String], filesFrom: String?
    let videos: [String], videosFrom: String?
    let shardSize: Int?
  }

  static func inputs(_ path: String) throws -> Inputs {
    let table = Dictionary(uniqueKeysWithValues: try read(path))
    func list(_ key: String) -> [String] {
      table[key]?.sequence.map { $0.compactMap { $0.scalar?.string } } ?? []
    }
    func text(_ key: String) -> String? { table[key].flatMap { isNothing($0) ? nil : $0.scalar?.string } }
    return Inputs(
      paths: list("inputs"), filesFrom: text("files-from"), videos: list("video"), videosFrom: text("videos-from"),
      shardSize: table["shard-size"]?.int)
  }

  /// The budget that a job file says was solved for `target`; nil without one.
  static func solution(in path: String, for target: Target) -> TargetSolver.Solution? {
    guard (try? FileInfo(path)) != nil, let table = try? Dictionary(uniqueKeysWithValues: read(path)),
      let run = table["run"], run["solved-for"]?.string == target.description,
      let tokens = table["keep-tokens"]?.int, let reached = run["reached"]?.float
    else { return nil }
    return TargetSolver.Solution(budget: .tokens(tokens), reached: reached)
  }

  /// The threshold that a job file says was found for a mean budget; nil without one.
  static func mean(in path: String, for mean: Double) -> MeanBudget? {
    guard (try? FileInfo(path)) != nil, let table = try? Dictionary(uniqueKeysWithValues: read(path)),
      table["keep-mean"]?.float == mean, let run = table["run"], let threshold = run["mean-threshold"]?.float,
      let scale = run["mean-scale"]?.float
    else { return nil }
    return MeanBudget(mean: mean, threshold: threshold, scale: scale)
  }
}
