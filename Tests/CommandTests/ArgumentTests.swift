import Foundation
import Testing
import VTok

/// Options that are given twice, in lists, or with values far out of all ranges: for every option of every command, as the
/// parsers list them.
@Suite struct ArgumentTests {
  /// For each command the least that it runs with, in a folder of `prepare`.
  static let least: [String: [String]] = [
    "prune": ["cat.png", "-o", "out"],
    "generate": [
      "--model", repository + "/Benchmarks/models/vqa-small", "--image", "cat.png", "--prompt", "what?", "--max-tokens",
      "2",
    ],
    "show": ["cat.png", "-o", "map.png"],
    "bench": ["--data", "list.txt", "--timing-samples", "0", "--seeds", "1"],
    "search": [
      "--data", "list.txt", "--target-gmacs", "0.5", "--method", "tome", "--levels", "1", "--force", "-o", "found",
    ],
    "flops": [],
    "calibrate": [
      "--data", "list.txt", "--target-ratio", "0.6", "--steps", "1", "--batch", "1", "-o", "rates.json",
    ],
    "import": ["pope", "pope.jsonl", "--force", "-o", "questions.jsonl"],
    "tokenize": ["cat.png", "--tokens", "4", "-o", "new.vtokens"],
    "detokenize": ["cat.vtokens", "-o", "out"],
    "similar": ["seed.vtokens", "cat.png", "--tokenizer", seed],
    "methods": [], "models": [], "inspect": ["vtok-tiny"], "doctor": [],
  ]

  func prepare(_ folder: String) throws {
    let image = Image(width: 64, height: 64, colour: [200, 90, 30])
    try WholeFile.write(try image.pngData(), to: folder + "/cat.png")
    try write("cat.png\tcat\ncat.png\tcat\n", folder + "/list.txt")
    try write(#"{"image": "cat.png", "text": "Is there a cat?", "label": "yes"}"# + "\n", folder + "/pope.jsonl")
    _ = try shell("vtok tokenize cat.png --tokens 4 -o cat.vtokens", in: folder)
    _ = try shell(line(["tokenize", "cat.png", "--tokenizer", seed, "-o", "seed.vtokens"]), in: folder)
  }

  func line(_ words: [String]) -> String { "vtok " + words.map(quoted).joined(separator: " ") }

  @Test func everyCommandIsDriven() throws {
    #expect(Set(try Described.all().map(\.command)) == Set(Self.least.keys))
    try inTemporaryFolder { folder in
      try prepare(folder)
      for (command, arguments) in Self.least where command != "doctor" {
        let done = try shell(line([command] + arguments), in: folder)
        #expect(done.status == 0, "\(command): \(done.error)")
      }
    }
  }

  /// On the command line and in a job file.
  @Test func aSecondValueOfASingleOptionIsRefused() throws {
    try inTemporaryFolder { folder in
      for command in try Described.all() {
        for option in command.options where !option.isList {
          let twice = try shell(line([command.command, option.flag, "1", "\(option.flag)=2"]), in: folder)
          #expect(twice.status == 2 && twice.isOneError, "\(command.command) \(option.flag): \(twice.error)")
          #expect(twice.error.contains("2 values ('1', '2'), expected one"), "\(twice.error)")
        }
        guard command.options.contains(where: { $0.flag == "--config" }) else { continue }
        for option in command.options where !option.isList && option.flag != "--config" {
          try write("\(option.flag.dropFirst(2)): [1, 2]\n", folder + "/job.yaml")
          let twice = try shell(line([command.command, "--config", "job.yaml"]), in: folder)
          #expect(twice.error.contains("2 values ('1', '2'), expected one"), "\(option.flag): \(twice.error)")
          #expect(twice.status == 2 && twice.isOneError)
        }
      }
    }
  }

  /// The folders that a sweep makes.
  @Test(arguments: [
    "--method divprune --method tome --keep-tokens 32 --keep-tokens 64", "--method divprune,tome --keep-tokens 32,64",
    "--config lists.yaml", "--config commas.yaml", "--config lists.yaml --method divprune,tome",
  ]) func repetitionAndCommasMeanTheSame(_ flags: String) throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      try write("method: [divprune, tome]\nkeep-tokens: [32, 64]\nquiet: true\n", folder + "/lists.yaml")
      try write("method: divprune,tome\nkeep-tokens: 32,64\nquiet: true\n", folder + "/commas.yaml")
      let done = try shell("vtok prune cat.png -o out \(flags)", in: folder)
      #expect(done.status == 0, "\(done.error)")
      let made = try FileManager.default.contentsOfDirectory(atPath: folder + "/out").sorted()
      #expect(made.filter { $0.contains("@") } == ["divprune@32", "divprune@64", "tome@32", "tome@64"])
    }
  }

  @Test func commasInsideAMethodStayThere() throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      let done = try shell("vtok prune cat.png -o out --method tome:r=2,prop-attn=off,divprune:order=raw", in: folder)
      #expect(
        done.status == 0 && done.out.contains("tome:r=2,prop-attn=off ") && done.out.contains("divprune:order=raw "))
      try FileManager.default.copyItem(atPath: folder + "/cat.png", toPath: folder + "/a,b.png")
      try FileManager.default.copyItem(atPath: folder + "/cat.png", toPath: folder + "/c.png")
      let model = Self.least["generate"]![1]
      let three = try shell(
        "vtok generate --model \(quoted(model)) --prompt x --image a,b.png --image c.png,cat.png --format jsonl "
          + "--max-tokens 1", in: folder)
      #expect(three.out.contains(#"["a,b.png","c.png","cat.png"]"#), "\(three.out) \(three.error)")
    }
  }

  @Test(arguments: [
    ("no-such-flag: 1", "has no flag"), ("keep-ratio: {a: 1}", "a table"), ("overlay: 3", "true or false"),
    ("seed: 1\nseed: 2", "duplicate"), ("- 1", "no table of flags"), ("config: other.yaml", "has no flag"),
    ("a: [", "expected YAML"), ("", "an empty file"),
  ]) func jobFilesThatAreWrong(_ file: (text: String, says: String)) throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      try write(file.text, folder + "/job.yaml")
      let done = try shell("vtok prune cat.png -o out --config job.yaml", in: folder)
      #expect(done.status == 2 && done.isOneError && done.error.contains(file.says), "\(done.error)")
    }
  }

  /// Values that no range has, and some that all have. The option must be numeric: it refuses a letter.
  static let values = [
    "0", "-1", "1000000000000", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "nan", "inf", "",
    "1.5",
  ]

  @Test(arguments: least.keys.sorted()) func numbersEndInARunOrInOneError(_ command: String) throws {
    let described = try #require(try Described.all().first { $0.command == command })
    try inTemporaryFolder { folder in
      try prepare(folder)
      for option in described.options {
        // The option itself may stand in the least command, or what excludes it.
        let rivals = ["--target-gflops": "--target-ratio", "--epochs": "--steps", "--max-bits": "--tokens"]
        var words = [command] + Self.least[command]!
        for flag in [option.flag, rivals[option.flag]] {
          if let at = words.firstIndex(where: { $0 == flag }) { words.removeSubrange(at...at + 1) }
        }
        for value in ["x"] + Self.values {
          let done = try shell("rm -rf out rates.json*; " + line(words + ["\(option.flag)=\(value)"]), in: folder)
          #expect(
            done.status == 0 || done.isOneError, "\(command) \(option.flag)=\(value): \(done.status) \(done.error)")
          #expect(!done.error.contains("fault of the program") && !done.error.contains("out of memory"))
          if value == "x", done.status != 2 { break }
        }
      }
    }
  }

  /// Options of methods, and every method beside itself, rehearsed through a whole model.
  @Test(arguments: Methods.names) func optionsOfMethodsEndInARunOrInOneError(_ name: String) throws {
    let entries = Methods.options(of: try Methods.named(name)).entries
    let values = ["-1", "9223372036854775807", "nan", "1/1e300", "0/0", "99999", "1000000"]
    let lists = ["merge": "prune", "prune": "merge"]
    var specs = [name + "+" + name]
    for entry in entries {
      specs += values.map { value in
        "\(name):\(entry.key)=\(value)" + (lists[entry.key].map { ",\($0)=\(value)" } ?? "")
      }
    }
    for spec in specs {
      let model = repository + "/Benchmarks/models/vqa-small"
      let done = try shell(line(["flops", "--model", model, "--new-tokens", "3", "--method", spec]))
      #expect(done.status == 0 || done.isOneError, "\(spec): \(done.status) \(done.error)")
      #expect(!done.error.contains("fault of the program"), "\(spec)")
    }
  }

  /// Methods that act at one place of the tower, one after the other.
  @Test func methodsBesideEachOther() throws {
    try inTemporaryFolder { folder in
      try prepare(folder)
      let methods = ["tome:r=8", "diffrate", "evit", "zero-tprune", "cls-attention", "random"]
      for first in methods {
        for second in methods {
          let done = try shell("vtok show cat.png -o map.png --threads 1 --method \(first)+\(second)", in: folder)
          #expect(done.status == 0 || done.isOneError, "\(first)+\(second): \(done.error)")
          #expect(!done.error.contains("fault of the program"), "\(first)+\(second)")
        }
      }
    }
  }

  @Test(arguments: [
    ["--image-size", "65536x65536"], ["--text-tokens", "999999999"], ["--new-tokens", "999999999"],
  ]) func costsOfAbsurdSizesAreRefused(_ flags: [String]) throws {
    for model in ["deit-s", "llava-1.5-7b"] {
      let done = try vtok(["flops", "--model", model] + flags)
      #expect(done.status == 2 && done.isOneError && done.error.contains(flags[0]), "\(model): \(done.error)")
    }
  }
}
