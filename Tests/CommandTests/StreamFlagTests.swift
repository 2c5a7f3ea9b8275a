import Foundation
import Testing
import VTok

/// A flag beside `--stream` does what it says, or is refused: none is taken and forgotten.
@Suite struct StreamFlagTests {
  /// What a stream heeds. A flag that is in no list must be refused; whoever adds one decides here.
  static let heeded: [(command: String, flags: Set<String>)] = [
    (
      "prune",
      [
        "--model", "--mmproj", "--processor", "--precision", "--method", "--keep-ratio", "--keep-tokens",
        "--target-gmacs",
        "--target-tokens", "--target-ms", "--null", "--output", "--seed", "--max-pixels", "--max-memory",
        "--raw-orientation", "--alpha", "--dtype", "--timings", "--threads", "--quiet", "--verbose", "--prompt",
        "--template",
        "--companion", "--config",
      ]
    ),
    (
      "generate",
      [
        "--model", "--mmproj", "--processor", "--precision", "--method", "--keep-ratio", "--keep-tokens", "--prompt",
        "--system", "--template", "--companion", "--kv", "--seed", "--max-tokens", "--temperature", "--top-p",
        "--max-pixels",
        "--max-memory", "--raw-orientation", "--alpha", "--threads", "--quiet", "--verbose", "--config",
      ]
    ),
  ]
  /// One of these is a value that any flag takes.
  static let values = ["1", "0.5", "cat.jpg", "overlay.png", "npy", "csv", "1/2", "1@divprune", "text"]

  @Test(arguments: heeded) func isHeededOrRefused(_ stream: (command: String, flags: Set<String>)) throws {
    let model = stream.command == "prune" ? "vtok-tiny" : repository + "/Benchmarks/models/vqa-small"
    let about = try JSON(parsing: Array(vtok("--experimental-dump-help").out.utf8))
    let commands = about["command"]?["subcommands"]?.array ?? []
    let arguments = try #require(commands.first { $0["commandName"]?.string == stream.command }?["arguments"]?.array)
    var known: Set<String> = []
    for argument in arguments where argument["kind"]?.string != "positional" {
      let long = argument["names"]?.array?.first { $0["kind"]?.string == "long" }?["name"]?.string
      let flag = "--" + (try #require(long))
      known.insert(flag)
      if ["--stream", "--help", "--version"].contains(flag) || stream.flags.contains(flag) { continue }
      let tried = argument["kind"]?.string == "flag" ? [[flag]] : Self.values.map { [flag, $0] }
      let isRefused = try tried.contains { words in
        let done = try vtok([stream.command, "--stream", "--model", model, "--method", "divprune"] + words)
        return done.status == 2 && done.out.isEmpty && done.error.contains("stream")
      }
      #expect(isRefused, "\(stream.command) --stream takes \(flag)")
    }
    #expect(stream.flags.isSubset(of: known))
  }
}
