import Foundation
import Testing

/// The scripts below `Benchmarks/` on a fresh clone: no data beside it, no Python packages, no network.
@Suite struct BenchmarkScriptTests {
  /// These make all that they need, packages included.
  static let makers: Set = ["speed.py"]

  static let scripts: [String] = {
    let folder = repository + "/Benchmarks"
    let found = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? []
    return found.filter { name in
      guard !name.hasPrefix("."), !name.hasPrefix("models/"), !name.hasPrefix("results/"),
        let text = try? String(contentsOfFile: folder + "/" + name, encoding: .utf8)
      else { return false }
      return name.hasSuffix(".sh") && text.hasPrefix("#!") || name.hasSuffix(".py") && text.contains("__main__")
    }.filter { !makers.contains($0) }.sorted()
  }()

  @Test func thereAreScripts() {
    #expect(Self.scripts.contains("vqa.sh") && Self.scripts.contains("training/vqa_small.py"))
  }

  @Test(arguments: scripts) func saysWhatItNeedsInOneLine(_ script: String) throws {
    try inTemporaryFolder { folder in
      // Without packages (-S), a compiler or make.
      let setUp = """
        mkdir -p bin clone/Benchmarks
        cp -r \(quoted(repository))/Benchmarks/*.sh \(quoted(repository))/Benchmarks/*.py \
          \(quoted(repository))/Benchmarks/training \(quoted(repository))/Benchmarks/tables clone/Benchmarks
        printf '#!/bin/sh\\nexec /usr/bin/python3 -S "$@"\\n' >bin/python3
        chmod +x bin/python3
        PATH=$PWD/bin:/usr/bin:/bin
        unset DATA MODEL QUESTIONS PYTHONPATH
        cd clone
        \(script.hasSuffix(".sh") ? "sh" : "python3") \(quoted("Benchmarks/" + script))
        """
      let done = try shell(setUp, in: folder)
      #expect(done.status == 2, "\(done.status) \(done.error)")
      #expect(done.out.isEmpty && done.error.split(separator: "\n").count == 1, "\(done.error)")
      #expect(done.error.contains((script as NSString).lastPathComponent) || script == "vqa.sh", "\(done.error)")
    }
  }

  /// Data in the layout of the public package.
  @Test func questionsComeFromTheLayoutOfThePackage() throws {
    try inTemporaryFolder { folder in
      let data = folder + "/data/test"
      try FileManager.default.createDirectory(atPath: data + "/images", withIntermediateDirectories: true)
      try write(#"[["what shape?", "circle", 0], ["is it red?", "no", 1]]"#, data + "/questions.json")
      for name in ["0", "1"] { try write("picture \(name)", data + "/images/\(name).png") }
      let script = quoted(repository + "/Benchmarks/training/vqa_questions.py")
      let done = try shell("python3 \(script) made --data data", in: folder)
      #expect(done.status == 0, "\(done.error)")
      #expect(try String(contentsOfFile: folder + "/made/test/1.png", encoding: .utf8) == "picture 1")
      let lines = try String(contentsOfFile: folder + "/made/test.jsonl", encoding: .utf8).split(separator: "\n")
      #expect(lines.count == 2 && lines[1].contains(#""group": "yes/no""#))
    }
  }
}
