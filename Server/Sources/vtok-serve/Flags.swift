import ArgumentParser
import Foundation
import VTok
import VTokServe

/// What is served.
struct ModelFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Directory of a vision-language model or a tower as downloaded, a text model in GGUF with --mmproj, or 'vtok-tiny'.",
      valueName: "DIR|FILE.gguf|NAME"))
  var model: String

  @Option(help: ArgumentHelp("Beside a model in GGUF: the file with tower and projector.", valueName: "FILE.gguf"))
  var mmproj: String?

  @Option(
    help: ArgumentHelp(
      "Method of requests that name none, several joined with + (default: the dense model).",
      valueName: "NAME[:key=value,...]"))
  var method: String?

  @Option(help: ArgumentHelp("Share of the visual tokens to keep of every image, in (0, 1].", valueName: "R"))
  var keepRatio: Double?

  @Option(help: ArgumentHelp("Number of visual tokens to keep of every image.", valueName: "N"))
  var keepTokens: Int?

  @Option(
    help: ArgumentHelp("Prompt template: a name, Jinja, or a text with {prompt} and {images}.", valueName: "TEXT"))
  var template: String?

  @Option(help: ArgumentHelp("The CLIP that the tower comes from, for methods that need it.", valueName: "DIR"))
  var companion: String?

  @Option(
    help: ArgumentHelp("Arithmetic: \(Precision.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "NAME"))
  var precision: String?

  @Option(help: ArgumentHelp("What requests call the model (default: the last part of its path).", valueName: "NAME"))
  var name: String?

  @Option(help: ArgumentHelp("Threads of an answer (default: all processors).", valueName: "N"))
  var threads: Int?

  func validate() throws {
    if keepRatio != nil, keepTokens != nil {
      throw ValidationError("--keep-ratio and --keep-tokens: keep one of them.")
    }
    if let keepRatio, !(keepRatio > 0 && keepRatio <= 1) {
      throw ValidationError("--keep-ratio \(keepRatio): expected a number above 0 and at most 1.")
    }
    if let keepTokens, !Budget.tokenRange.contains(keepTokens) {
      throw ValidationError(
        "--keep-tokens \(keepTokens): expected a whole number in 1...\(Budget.tokenRange.upperBound).")
    }
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected a whole number in 1...1024.")
    }
    if let precision, Precision(rawValue: precision) == nil {
      throw ValidationError(
        "--precision '\(precision)': expected \(Precision.allCases.map(\.rawValue).joined(separator: ", ")).")
    }
  }

  func choice() throws -> MethodChoice {
    let budget = keepRatio.map { Budget.ratio($0) } ?? keepTokens.map { .tokens($0) }
    return try MethodChoice(method.map { try MethodSpec($0) }, asked: budget)
  }

  func load() throws -> Engine.Model {
    let precision = precision.flatMap(Precision.init(rawValue:))
    let checkpoint = try LoadedModel.checkpoint(model, mmproj: mmproj, precision: precision)
    guard MultimodalModel.matches(checkpoint.config) else {
      return .tower(try LoadedModel.load(model, precision: precision ?? .f32))
    }
    return .language(try Generator(checkpoint, method: nil, template: template, companion: companion))
  }
}

/// Where it listens, and to whom.
struct ListeningFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Address to listen on (default: this machine only).", valueName: "HOST"))
  var host = "127.0.0.1"

  @Option(help: ArgumentHelp("Port; 0 takes a free one, which the log names.", valueName: "N"))
  var port = 8080

  @Option(
    help: ArgumentHelp(
      "Key that requests must send as 'Authorization: Bearer KEY' (default: VTOK_API_KEY of the environment, where other "
        + "users of the machine do not see it; else none).", valueName: "KEY"))
  var apiKey: String?

  @Option(help: ArgumentHelp("Seconds after which a silent connection is closed.", valueName: "N"))
  var idleSeconds = 60

  @Option(help: ArgumentHelp("Seconds that answers get to end in after SIGTERM.", valueName: "N"))
  var drainSeconds = 60

  @Flag(name: .shortAndLong, help: "Say more on stderr.")
  var verbose = false

  var key: String? { apiKey ?? ProcessInfo.processInfo.environment["VTOK_API_KEY"] }

  func validate() throws {
    guard (0...65535).contains(port) else {
      throw ValidationError("--port \(port): expected a whole number in 0...65535.")
    }
    if key?.isEmpty == true { throw ValidationError("--api-key: an empty text, expected a key.") }
    for (flag, value) in [("--idle-seconds", idleSeconds), ("--drain-seconds", drainSeconds)] {
      guard (1...86400).contains(value) else {
        throw ValidationError("\(flag) \(value): expected a whole number in 1...86400.")
      }
    }
  }
}

/// What requests may ask for.
struct LimitFlags: ParsableArguments {
  private static let standard = Limits()

  @Option(help: ArgumentHelp("Bytes of a body at most.", valueName: "N"))
  var maxBody = standard.body

  @Option(help: ArgumentHelp("Images of a request at most.", valueName: "N"))
  var maxImages = standard.images

  @Option(
    name: .customLong("allow-url"),
    help: ArgumentHelp(
      "A host whose images are fetched, with its port where it is not the usual one; may be given several times (default: "
        + "none). Its redirects to others are not followed.", valueName: "HOST[:PORT]"))
  var hosts: [String] = []

  @Option(help: ArgumentHelp("Pixels of an image at most.", valueName: "N"))
  var maxPixels = standard.pixels

  @Option(
    help: ArgumentHelp("Tokens of a prompt at most (default: what the model was trained with).", valueName: "N"))
  var maxPromptTokens: Int?

  @Option(help: ArgumentHelp("New tokens of an answer, where a request does not say.", valueName: "N"))
  var newTokens = standard.newTokens

  @Option(help: ArgumentHelp("New tokens that a request may ask for.", valueName: "N"))
  var maxTokens = standard.mostNewTokens

  @Option(help: ArgumentHelp("Requests that may wait behind the one that is answered.", valueName: "N"))
  var queue = standard.queue

  @Option(help: ArgumentHelp("Connections at a time.", valueName: "N"))
  var connections = 256

  @Option(
    name: .customLong("cache-mb"),
    help: ArgumentHelp("Memory for what questions about the same images share, in units of 2^20 bytes.", valueName: "N")
  )
  var cacheMegabytes = 512

  var limits: Limits {
    var limits = Limits()
    limits.body = maxBody
    limits.images = maxImages
    limits.hosts = Set(hosts.map { $0.lowercased() })
    limits.pixels = maxPixels
    limits.promptTokens = maxPromptTokens
    limits.newTokens = min(newTokens, maxTokens)
    limits.mostNewTokens = maxTokens
    limits.queue = queue
    return limits
  }

  func validate() throws {
    for host in hosts where host.isEmpty || host.contains(where: { "/@?# ".contains($0) }) {
      throw ValidationError("--allow-url '\(host)': expected a host such as images.example.org, or host:port.")
    }
    for (flag, value, range) in [
      ("--max-body", maxBody, 1...ReadBudget.data.text), ("--max-images", maxImages, 1...1000),
      ("--max-pixels", maxPixels, 1...1_000_000_000), ("--max-prompt-tokens", maxPromptTokens ?? 1, 1...10_000_000),
      ("--new-tokens", newTokens, 1...1_000_000), ("--max-tokens", maxTokens, 1...1_000_000),
      ("--queue", queue, 0...100_000), ("--connections", connections, 1...100_000),
      ("--cache-mb", cacheMegabytes, 0...1_000_000),
    ] {
      guard range.contains(value) else {
        throw ValidationError(
          "\(flag) \(value): expected a whole number in \(range.lowerBound)...\(range.upperBound).")
      }
    }
  }
}
