import Foundation
import Testing
import VTok

/// What refusals advise: nothing that is not there, and nothing that is refused elsewhere.
@Suite struct HintTests {
  // MARK: What texts name

  private struct Text { let file: String, line: Int, text: String }

  /// The texts in quotes of all sources that say something to people: refusals, hints and help. Comments are none.
  private static let texts: [Text] = {
    let folder = repository + "/Sources"
    let names = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? []
    return names.filter { $0.hasSuffix(".swift") }.sorted().flatMap { name -> [Text] in
      let source = (try? String(contentsOfFile: folder + "/" + name, encoding: .utf8)) ?? ""
      return source.split(separator: "\n", omittingEmptySubsequences: false).enumerated().flatMap { number, line in
        let isComment = line.drop { $0 == " " }.hasPrefix("//")
        let parts = isComment ? [] : line.split(separator: "\"", omittingEmptySubsequences: false)
        return parts.enumerated().filter { $0.offset % 2 == 1 }.map {
          Text(file: name, line: number + 1, text: String($0.element))
        }
      }
    }
  }()

  private static func found(_ pattern: String, in text: String) -> [[String]] {
    let expression = try! NSRegularExpression(pattern: pattern)
    let whole = NSRange(text.startIndex..., in: text)
    return expression.matches(in: text, range: whole).map { match in
      (0..<match.numberOfRanges).map { index in
        Range(match.range(at: index), in: text).map { String(text[$0]) } ?? ""
      }
    }
  }

  @Test func thereAreTexts() {
    #expect(Self.texts.count > 3000)
    #expect(Self.texts.contains { $0.text.contains("'vtok methods'") })
  }

  /// `'vtok COMMAND ... --flag'`: the command is there and takes the flag.
  @Test func commandsAreThere() throws {
    let known = try Described.all()
    let switches = ["--overlay", "--help", "--stream", "--null", "--force", "--quick", "--quiet"]
    var count = 0
    for text in Self.texts {
      for match in Self.found("'vtok ([a-z]+)([^']*)'", in: text.text) {
        count += 1
        let command = known.first { $0.command == match[1] }
        #expect(command != nil, "\(text.file):\(text.line): \(text.text)")
        for flag in Self.found("--[a-z][a-z-]+", in: match[2]).map({ $0[0] }) {
          #expect(
            switches.contains(flag) || command?.options.contains { $0.flag == flag } == true,
            "\(text.file):\(text.line): \(flag)")
        }
      }
    }
    #expect(count > 10)
  }

  /// Flags that the command's texts name belong to some command.
  @Test func flagsAreThere() throws {
    let about = try JSON(parsing: Array(vtok("--experimental-dump-help").out.utf8))
    let help = try (about["command"]?["subcommands"]?.array ?? []).flatMap { command -> [String] in
      let name = command["commandName"]!.string!
      let below = (command["subcommands"]?.array ?? []).map { [name, $0["commandName"]!.string!] }
      return try ([[name]] + below).map { try vtok($0 + ["--help"]).out }
    }.joined()
    // Of other programs, and one that is gone and said to be.
    let others = ["--no-deps", "--experimental-dump-help"]
    var count = 0
    for text in Self.texts where text.file.hasPrefix("vtok-cli/") {
      for flag in Self.found("(?<![a-z-])--[a-z][a-z-]+", in: text.text).map({ $0[0] }) where !others.contains(flag) {
        count += 1
        #expect(help.contains(flag), "\(text.file):\(text.line): \(flag)")
      }
    }
    #expect(count > 100)
  }

  /// Libraries speak of values: they name no flag of the command.
  @Test func librariesNameNoFlags() {
    let own = ["vtok-cli/"]
    for text in Self.texts where !own.contains(where: text.file.hasPrefix) {
      let flags = Self.found("(?<![a-z-])--[a-z][a-z-]+", in: text.text).map { $0[0] }
      #expect(flags.isEmpty, "\(text.file):\(text.line): \(flags)")
    }
  }

  /// Files of this repository that a text names are in it.
  @Test func filesAreThere() {
    var count = 0
    for text in Self.texts {
      for match in Self.found(
        "(Benchmarks|docs|Tests|Examples|Images|Fuzz)/[A-Za-z0-9_./-]+", in: text.text)
      {
        count += 1
        let path = match[0].hasSuffix(".") ? String(match[0].dropLast()) : match[0]
        #expect(
          FileManager.default.fileExists(atPath: repository + "/" + path), "\(text.file):\(text.line): \(path)")
      }
    }
    #expect(count > 0)
  }

  // MARK: What refusals of methods advise

  /// A published model of every family that has one.
  private static let models: [String] = {
    var names: [String] = []
    for (name, shape) in Shape.published where !names.contains(where: { Shape.published($0) == shape }) {
      let family = name.split(separator: "-").first.map(String.init) ?? name
      if !names.contains(where: { $0.hasPrefix(family) && Shape.published($0)?.layout == shape.layout }) {
        names.append(name)
      }
    }
    return names
  }()

  @Test func thereAreModels() {
    #expect(Self.models.count > 12 && Self.models.contains { $0.hasPrefix("qwen3.5") })
  }

  /// The refusal of a spec on a model; nil: it is served.
  private static func refusal(_ spec: String, _ shape: Shape) -> (found: String, expected: String, fix: String)? {
    do {
      _ = try Methods.compose(MethodSpec(spec), budget: .ratio(0.5), for: shape)
      return nil
    } catch CompressionError.unsupported(_, let found, let expected, let fix) {
      return (found, expected, fix)
    } catch {
      return nil  // of other kinds: a file that an option must name
    }
  }

  /// Whatever a method is refused with, what is advised in its place is not refused for the same reason.
  @Test(arguments: models) func adviceHelps(_ model: String) throws {
    let shape = try #require(Shape.published(model))
    for name in Methods.names {
      guard let refused = Self.refusal(name, shape) else { continue }
      let fix = refused.fix
      func helps(_ options: [String]) -> Bool {
        options.contains { Self.refusal("\(name):\($0)", shape)?.found != refused.found }
      }
      if let other = Self.found("^Use ([a-z0-9-]+) with this model", in: fix).first?[1] {
        #expect(Self.refusal(other, shape) == nil && Methods.names.contains(other), "\(name) on \(model): \(fix)")
      } else if let layer = Self.found("entering layer ([0-9]+)", in: fix).first?[1] {
        #expect(helps(["layer=\(layer)", "layers=\(layer)"]), "\(name) on \(model): \(fix)")
        let automatic = ["layer=auto", "layers=auto"].contains { Self.refusal("\(name):\($0)", shape) == nil }
        #expect(automatic, "\(name) on \(model): \(fix)")
      } else if let layer = Self.found("a layer in ([0-9]+)\\.\\.\\.", in: refused.expected).first?[1] {
        #expect(helps(["layer=\(layer)", "layers=\(layer)"]), "\(name) on \(model): \(fix)")
      } else {
        let options = Self.found("([a-z-]+)=([a-z0-9.]+)", in: fix).map { $0[0] }.map {
          $0.hasSuffix(".") ? String($0.dropLast()) : $0
        }
        if !options.isEmpty {
          #expect(helps(options), "\(name) on \(model): \(fix)")
        } else {
          // Advice without a name that could be tried.
          #expect(Self.plain.contains { fix.contains($0) }, "\(name) on \(model): \(fix)")
        }
      }
    }
  }

  private static let plain = [
    "another model", "another layer", "earlier block", "another window", "fewer layers", "without registers",
    "without distillation", "another method", "schedule", "budget",
  ]
}
