import Foundation
import Testing
import VTok

#if canImport(Glibc)
  import Glibc
#endif

/// The repository's own folder, found from the source file.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path
let pictures = repository + "/Images"
let malformed = repository + "/Tests/ImageTests/Malformed"

/// A small tokenizer whose tokens have a feature.
let seed = repository + "/Tests/Golden/Cases/seed/tiny-a"

/// The command that was built together with these tests: it lies beside the test runner.
let command: String = {
  let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
  let arguments = [runner, CommandLine.arguments[0]]
  let folders = arguments.map { ($0 as NSString).deletingLastPathComponent } + [repository + "/.build/release"]
  return folders.map { $0 + "/vtok" }.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "vtok"
}()

struct Finished {
  let status: Int32
  let out: String, error: String
}

/// Runs `vtok` to its end; `killedWhen` is asked again and again and, once true, the process is killed with SIGKILL.
func vtok(
  _ arguments: String..., environment: [String: String] = [:], input: String? = nil,
  killedWhen: (() -> Bool)? = nil
) throws -> Finished {
  try vtok(arguments, environment: environment, input: input, killedWhen: killedWhen)
}

func vtok(
  _ arguments: [String], environment: [String: String] = [:], input: String? = nil, killedWhen: (() -> Bool)? = nil
) throws -> Finished {
  try inTemporaryFolder { folder in
    // Files, not pipes: nobody has to empty them while the command runs.
    let (out, error) = (folder + "/out", folder + "/error")
    for path in [out, error] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput = FileHandle(forWritingAtPath: out)
    process.standardError = FileHandle(forWritingAtPath: error)
    let given = folder + "/input"
    _ = FileManager.default.createFile(atPath: given, contents: Data((input ?? "").utf8))
    process.standardInput = FileHandle(forReadingAtPath: given)
    try process.run()
    if let killedWhen {
      while process.isRunning, !killedWhen() { usleep(500) }
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
    process.waitUntilExit()
    return Finished(
      status: process.terminationStatus, out: try String(contentsOfFile: out, encoding: .utf8),
      error: try String(contentsOfFile: error, encoding: .utf8))
  }
}

/// A fresh folder that is removed after `body`.
func inTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vtok-command-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

/// Every file below `folder` with its bytes, by relative path. `job.yaml` is left out where jobs are meant to differ.
func files(_ folder: String, leavingOut left: Set<String> = []) -> [String: Data] {
  var found: [String: Data] = [:]
  for name in FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? [] {
    let path = folder + "/" + name
    if left.contains((name as NSString).lastPathComponent) { continue }
    if let data = FileManager.default.contents(atPath: path) { found[name] = data }
  }
  return found
}

/// Names of files that only one of two folders has, or that differ.
func differences(_ one: [String: Data], _ other: [String: Data]) -> [String] {
  Set(one.keys).union(other.keys).filter { one[$0] != other[$0] }.sorted()
}

/// `count` small pictures, numbered, from the repository's own.
func manyPictures(_ count: Int, in folder: String) throws {
  let names = ["cat.jpg", "ship.jpg", "chart.png", "airplane-alpha.png", "solids-grey.jpg"]
  for index in 0..<count {
    let name = names[index % names.count]
    let digits = String(1000 + index)
    try FileManager.default.copyItem(atPath: pictures + "/" + name, toPath: "\(folder)/\(digits)-\(name)")
  }
}

/// The manifest of a job, line by line.
func manifest(_ folder: String) throws -> [[String: Any]] {
  let text = try String(contentsOfFile: folder + "/manifest.jsonl", encoding: .utf8)
  return try text.split(separator: "\n").map {
    try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
  }
}

/// Runs a line of sh, in which `vtok` is the command, in a folder of its own; what hangs is killed and ends with 137. A
/// status above 128 is a signal.
func shell(_ line: String, in folder: String? = nil, seconds: Int = 30) throws -> Finished {
  guard let folder else { return try inTemporaryFolder { try shell(line, in: $0, seconds: seconds) } }
  let (out, error) = (folder + "/.out", folder + "/.error")
  for path in [out, error] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
  process.arguments = ["-s", "KILL", "\(seconds)", "sh", "-c", "vtok() { \"$VTOK\" \"$@\"; }\n" + line]
  process.currentDirectoryURL = URL(fileURLWithPath: folder)
  process.environment = ProcessInfo.processInfo.environment.merging(["VTOK": command]) { $1 }
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = FileHandle(forWritingAtPath: out)
  process.standardError = FileHandle(forWritingAtPath: error)
  try process.run()
  process.waitUntilExit()
  func text(_ path: String) -> String {
    String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
  }
  let status = process.terminationStatus
  return Finished(
    status: process.terminationReason == .uncaughtSignal ? 128 + status : status, out: text(out), error: text(error))
}

/// For `shell`: one word whatever is in it.
func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }

extension Finished {
  /// An error as all of them are: one line, and an exit code that says whose it is.
  var isOneError: Bool {
    (1...2).contains(status) && error.hasPrefix("vtok: error: ") && error.split(separator: "\n").count == 1
  }
}

/// Every command with its options, as the parsers describe themselves.
struct Described {
  struct Option { let flag: String, isList: Bool }
  let command: String
  let options: [Option]

  static func all() throws -> [Described] {
    let about = try JSON(parsing: Array(vtok("--experimental-dump-help").out.utf8))
    return (about["command"]?["subcommands"]?.array ?? []).filter { $0["commandName"]?.string != "help" }.map {
      command in
      // One that others are below is what it does without naming one.
      let standard = command["defaultSubcommand"]?.string
      let own = command["subcommands"]?.array?.first { $0["commandName"]?.string == standard } ?? command
      let arguments = own["arguments"]?.array ?? []
      let options = arguments.filter { $0["kind"]?.string == "option" }.map { option in
        let long = option["names"]!.array!.first { $0["kind"]!.string == "long" }!
        return Option(flag: "--" + long["name"]!.string!, isList: option["isRepeating"]!.bool!)
      }
      return Described(command: command["commandName"]!.string!, options: options)
    }
  }
}
