import Foundation
import VTok
import Yams

/// `--config job.yaml`: the flags of a command as a file. Keys are flag names without dashes in front; lists repeat a
/// flag; `inputs` are the arguments. What stands under `run` describes the run that wrote the file and is passed over.
enum JobFile {
  private static let budgets: Set = ["keep-ratio", "keep-tokens", "target-gmacs", "target-ms", "target-tokens"]

  /// The arguments with the job file's flags put in where the command line is silent.
  static func expand(_ arguments: [String]) throws -> [String] {
    guard let at = arguments.firstIndex(where: { $0 == "--config" || $0.hasPrefix("--config=") }),
      let command = arguments.first, !command.hasPrefix("-")
    else { return arguments }
    let inline = arguments[at].hasPrefix("--config=")
    guard inline || at + 1 < arguments.count else { return arguments }
    let path = inline ? String(arguments[at].dropFirst("--config=".count)) : arguments[at + 1]
    let given = Set(arguments.map { String($0.prefix { $0 != "=" }) })
    var flags: [String] = []
    var inputs: [String] = []
    for (key, value) in try read(path) {
      if key == "run" { continue }
      // Passing over "false" would turn images that the file wants as they are stored.
      if key == "apply-exif" {
        throw UsageError(
          "--config '\(path)'", found: "apply-exif: \(value)", expected: "raw-orientation or nothing",
          fix: "Images are turned upright by default now; for those of before, write 'raw-orientation: true' and "
            + "'alpha: drop'.")
      }
      let values = (value as? [Any]) ?? [value]
      if key == "inputs" {
        inputs = values.map { "\($0)" }
        continue
      }
      let isBudget = budgets.contains(key) && !budgets.isDisjoint(with: given.map { String($0.dropFirst(2)) })
      if given.contains("--\(key)") || isBudget || value is NSNull { continue }
      if let flag = value as? Bool {
        if flag { flags.append("--\(key)") }
      } else {
        for value in values { flags += ["--\(key)", "\(value)"] }
      }
    }
    var rest = Array(arguments.dropFirst())
    if !hasInputs(rest) { rest += inputs }
    return [command] + flags + rest
  }

  /// Whether an argument stands alone: not a flag and not the value of one.
  private static func hasInputs(_ arguments: [String]) -> Bool {
    let switches: Set = [
      "--overlay", "--force", "--quiet", "-v", "--verbose", "--timings", "--raw-orientation", "--help", "-h",
      "--distil",
    ]
    var isValue = false
    for argument in arguments {
      if argument == "--" { return true }
      if argument.hasPrefix("-"), argument != "-" {
        isValue = !switches.contains(argument) && !argument.contains("=")
      } else if isValue {
        isValue = false
      } else {
        return true
      }
    }
    return false
  }

  private static func read(_ path: String) throws -> [(String, Any)] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw UsageError("--config '\(path)'", found: "no such file", expected: "a YAML job file", fix: "Check the path.")
    }
    let loaded: Any?
    do {
      loaded = try Yams.load(yaml: String(decoding: data, as: UTF8.self))
    } catch {
      throw UsageError(
        "--config '\(path)'", found: "\(error)", expected: "YAML", fix: "See job.yaml in an output folder for the form."
      )
    }
    guard let table = loaded as? [String: Any] else {
      throw UsageError(
        "--config '\(path)'", found: "no table of flags", expected: "lines such as 'keep-ratio: 0.25'",
        fix: "See job.yaml in an output folder for the form.")
    }
    return table.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The text of a resolved configuration, in the order given. Values that read as something else than text are quoted.
  static func text(_ flags: [(String, JSON)], run: [(String, JSON)]) -> String {
    func line(_ key: String, _ value: JSON, _ indent: String) -> String {
      if case .array(let items) = value {
        return items.isEmpty
          ? "\(indent)\(key): []\n" : "\(indent)\(key):\n" + items.map { "\(indent)  - \($0.text())\n" }.joined()
      }
      return "\(indent)\(key): \(value.text())\n"  // a JSON scalar is a YAML scalar
    }
    return flags.map { line($0.0, $0.1, "") }.joined() + "run:\n" + run.map { line($0.0, $0.1, "  ") }.joined()
  }

  /// The lines that make a job what it is: not how its budget was found.
  static func identity(_ text: String) -> [Substring] {
    text.split(separator: "\n").filter { !$0.hasPrefix("  solved-for:") && !$0.hasPrefix("  reached:") }
  }

  /// The budget that a job file says was solved for `target`; nil without one.
  static func solution(in path: String, for target: Target) -> TargetSolver.Solution? {
    guard FileManager.default.fileExists(atPath: path), let table = try? Dictionary(uniqueKeysWithValues: read(path)),
      let run = table["run"] as? [String: Any], run["solved-for"] as? String == target.description,
      let tokens = table["keep-tokens"] as? Int, let reached = run["reached"] as? Double
    else { return nil }
    return TargetSolver.Solution(budget: .tokens(tokens), reached: reached)
  }
}
