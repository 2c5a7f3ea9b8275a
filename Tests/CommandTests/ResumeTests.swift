import Foundation
import Testing
import VTok

#if canImport(Glibc)
  import Glibc
#endif

/// A rerun leaves what a fresh run over the present inputs would, whatever happened in between.
@Suite struct ResumeTests {
  /// A job with its inputs in a folder of its own.
  struct Place {
    let folder: String
    var input: String { folder + "/in" }
    var output: String { folder + "/out" }
    let flags = ["--method", "random", "--keep-tokens", "8", "--shard-size", "5", "--overlay", "--threads", "2"]

    func run(_ more: [String] = [], output: String? = nil, killedWhen: (() -> Bool)? = nil) throws -> Finished {
      try vtok(["prune", input] + flags + ["-o", output ?? self.output] + more, killedWhen: killedWhen)
    }

    /// The inputs that a rerun says what became of them.
    func rerun() throws -> (status: Int32, inputs: [String: Int]) {
      let done = try run(["--format", "jsonl"])
      let json = try #require(
        JSONSerialization.jsonObject(with: Data(done.out.utf8)) as? [String: Any], "\(done.error)")
      var inputs: [String: Int] = [:]
      for (key, value) in json["inputs"] as? [String: Any] ?? [:] where key != "rerun" {
        if let value = value as? Int, value > 0 { inputs[key] = value }
      }
      return (done.status, inputs)
    }

    /// What differs from a fresh run.
    func faults() throws -> [String] {
      try? FileManager.default.removeItem(atPath: folder + "/fresh")
      _ = try run(output: folder + "/fresh")
      return differences(
        files(output, leavingOut: ["job.yaml"]), files(folder + "/fresh", leavingOut: ["job.yaml"]))
    }
  }

  func inPlace(_ count: Int = 13, _ body: (Place) throws -> Void) throws {
    try inTemporaryFolder { folder in
      let place = Place(folder: folder)
      try FileManager.default.createDirectory(atPath: place.input, withIntermediateDirectories: true)
      try manyPictures(count, in: place.input)
      #expect(try place.run().status == 0)
      try body(place)
    }
  }

  /// What can happen to inputs, and the counts that the summary then has.
  static let histories: [(name: String, counts: [String: Int], change: @Sendable (String) throws -> Void)] = [
    ("nothing", ["kept": 13], { _ in }),
    ("replaced", ["kept": 12, "changed": 1], { try copy("ship.jpg", to: $0 + "/1000-cat.jpg") }),
    ("touched", ["kept": 13], { utimes($0 + "/1003-airplane-alpha.png", nil) }),
    ("renamed", ["kept": 12, "added": 1, "gone": 1], { rename($0 + "/1002-chart.png", $0 + "/0-chart.png") }),
    ("added in front", ["kept": 13, "added": 1], { try copy("cat.jpg", to: $0 + "/0.jpg") }),
    (
      "added behind", ["kept": 13, "added": 2],
      {
        for name in ["x.jpg", "y.jpg"] { try copy("cat.jpg", to: "\($0)/\(name)") }
      }
    ),
    (
      "gone in front", ["kept": 10, "gone": 3],
      {
        for name in ["1000-cat.jpg", "1001-ship.jpg", "1002-chart.png"] { unlink("\($0)/\(name)") }
      }
    ),
    (
      "gone behind", ["kept": 9, "gone": 4],
      {
        for name in ["1009-solids-grey.jpg", "1010-cat.jpg", "1011-ship.jpg", "1012-chart.png"] {
          unlink("\($0)/\(name)")
        }
      }
    ),
    (
      "swapped, of one size and one time", ["kept": 11, "changed": 2],
      { folder in
        let names = ["1000-cat.jpg", "1001-ship.jpg"].map { folder + "/" + $0 }
        rename(names[0], folder + "/x")
        rename(names[1], names[0])
        rename(folder + "/x", names[1])
      }
    ),
    (
      "all at once", ["kept": 10, "changed": 1, "added": 2, "gone": 2],
      { folder in
        try copy("chart.png", to: folder + "/1004-solids-grey.jpg")
        try copy("cat.jpg", to: folder + "/0.jpg")
        rename(folder + "/1007-chart.png", folder + "/2-chart.png")
        unlink(folder + "/1012-chart.png")
      }
    ),
  ]

  private static func copy(_ name: String, to path: String) throws {
    unlink(path)
    try FileManager.default.copyItem(atPath: pictures + "/" + name, toPath: path)
  }

  @Test(arguments: histories.indices) func inputsChange(_ number: Int) throws {
    let history = Self.histories[number]
    try inPlace { place in
      if history.name.hasPrefix("swapped") {
        // Bytes behind the end of a JPEG are of no matter: both files get one size, and one time.
        let paths = ["1000-cat.jpg", "1001-ship.jpg"].map { place.input + "/" + $0 }
        let longest = try paths.map { try Data(contentsOf: URL(fileURLWithPath: $0)).count }.max()!
        for path in paths {
          var data = try Data(contentsOf: URL(fileURLWithPath: path))
          data += Data(count: longest - data.count)
          try data.write(to: URL(fileURLWithPath: path))
          var times = [timeval(tv_sec: 1_600_000_000, tv_usec: 0), timeval(tv_sec: 1_600_000_000, tv_usec: 0)]
          utimes(path, &times)
        }
        #expect(try place.run().status == 0)
      }
      try history.change(place.input)
      let (status, inputs) = try place.rerun()
      #expect(status == 0 && inputs == history.counts, "\(history.name): \(inputs)")
      #expect(try place.faults() == [], "\(history.name)")
      let again = try place.rerun()
      #expect(again.inputs == ["kept": inputs.values.reduce(0, +) - (inputs["gone"] ?? 0)], "\(history.name)")
    }
  }

  /// What can happen to the files of a job.
  static let damages: [(name: String, change: @Sendable (String) throws -> Void)] = [
    ("token file cut", { truncate($0 + "/tokens-00001.safetensors", 4000) }),
    ("token file empty", { truncate($0 + "/tokens-00001.safetensors", 0) }),
    ("token file gone", { unlink($0 + "/tokens-00001.safetensors") }),
    (
      "byte of a token file flipped",
      { folder in
        let path = folder + "/tokens-00002.safetensors"
        var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
        bytes[bytes.count - 9] ^= 1
        var times = [timeval(tv_sec: 1_600_000_000, tv_usec: 0), timeval(tv_sec: 1_600_000_000, tv_usec: 0)]
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        utimes(path, &times)
      }
    ),
    ("manifest gone", { unlink($0 + "/manifest.jsonl") }),
    ("manifest cut", { truncate($0 + "/manifest.jsonl", 1000) }),
    ("marker gone", { unlink($0 + "/.done/00000") }),
    ("marker cut", { truncate($0 + "/.done/00000", 700) }),
    (
      "markers mixed up",
      { folder in
        unlink(folder + "/.done/00001")
        try FileManager.default.copyItem(atPath: folder + "/.done/00000", toPath: folder + "/.done/00001")
      }
    ),
    (
      "overlay of another picture",
      { folder in
        try copy("cat.jpg", to: folder + "/overlays/1001-ship.jpg.png")
      }
    ),
    ("overlay gone", { unlink($0 + "/overlays/1001-ship.jpg.png") }),
    ("overlay of no input", { try copy("chart.png", to: $0 + "/overlays/old.png") }),
    (
      "halves of files",
      { folder in
        for name in ["tokens-00000.safetensors.part", "overlays/a.png.part", "tokens-00009.safetensors", ".done/00009"]
        {
          try Data("x".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
        }
      }
    ),
  ]

  @Test(arguments: damages.indices) func outputsAreDamaged(_ number: Int) throws {
    let damage = Self.damages[number]
    try inPlace { place in
      try damage.change(place.output)
      let done = try place.run()
      #expect(done.status == 0, "\(damage.name): \(done.error)")
      #expect(try place.faults() == [], "\(damage.name)")
    }
  }

  /// Killed while things move to other places, again and again, and the inputs changed once more.
  @Test func killedWhileRearranging() throws {
    try inPlace(40) { place in
      for round in 0..<6 {
        try Self.copy("cat.jpg", to: "\(place.input)/0-\(round).jpg")
        if round % 2 == 1 { unlink("\(place.input)/\(1000 + round)-ship.jpg") }
        _ = try place.run {
          (try? FileManager.default.contentsOfDirectory(atPath: place.output + "/.done").count) ?? 9 <= 2 + round
        }
      }
      #expect(try place.run().status == 0)
      #expect(try place.faults() == [])
    }
  }

  /// A model is its settings too: another mean of its images, or a file that is read before the one that was.
  @Test func otherSettingsOfAModelAreAnotherJob() throws {
    try inTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: InspectTests.cases + "vit-runtime/hf_vit_cls", toPath: model)
      func processor(_ mean: String) -> String {
        #"{"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "image_mean": [\#(mean)]}"#
      }
      func write(_ text: String, _ name: String) throws {
        try text.write(toFile: model + "/" + name, atomically: true, encoding: .utf8)
      }
      let (old, new) = ("preprocessor_config.json", "processor_config.json")
      let command = [
        "prune", pictures + "/cat.jpg", "--model", model, "--method", "tome", "--keep-ratio", "0.5", "-o",
        folder + "/out",
      ]
      try write(processor("0.5, 0.5, 0.5"), old)
      #expect(try vtok(command).status == 0)
      try write(processor("0.4, 0.5, 0.5"), old)
      let refused = try vtok(command)
      #expect(
        refused.status == 2 && refused.error.contains("another config.json or image processor"), "\(refused.error)")
      try write(processor("0.5, 0.5, 0.5"), old)
      #expect(try vtok(command).status == 0)
      try write(#"{"image_processor": \#(processor("0.4, 0.5, 0.5"))}"#, new)
      #expect(try vtok(command).status == 2)
    }
  }

  @Test func whatFailedIsTriedAgain() throws {
    try inPlace { place in
      try Data("no picture".utf8).write(to: URL(fileURLWithPath: place.input + "/1001-ship.jpg"))
      symlink(place.folder + "/later.jpg", place.input + "/1100.jpg")
      var (status, inputs) = try place.rerun()
      #expect(status == 3 && inputs == ["kept": 12, "changed": 1, "added": 1])
      #expect(try place.faults() == [])
      (status, inputs) = try place.rerun()
      #expect(status == 3 && inputs == ["kept": 12, "retried": 2], "\(inputs)")
      try Self.copy("ship.jpg", to: place.folder + "/later.jpg")
      (status, inputs) = try place.rerun()
      #expect(status == 3 && inputs == ["kept": 12, "retried": 2], "\(inputs)")
      try Self.copy("ship.jpg", to: place.input + "/1001-ship.jpg")
      (status, inputs) = try place.rerun()
      #expect(status == 0 && inputs == ["kept": 13, "retried": 1], "\(inputs)")
      #expect(try place.faults() == [])
    }
  }

  @Test func listsOfOtherPaths() throws {
    try inTemporaryFolder { folder in
      let names = ["cat.jpg", "ship.jpg", "chart.png", "solids-grey.jpg", "cat.jpg", "airplane-alpha.png"]
      let lists = [[0, 1], [2], [2, 1, 0], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [4, 0, 0, 1]]
      for (round, list) in lists.enumerated() {
        let text = list.map { pictures + "/" + names[$0] + "\n" }.joined()
        try text.write(toFile: folder + "/list", atomically: true, encoding: .utf8)
        for output in ["out", "fresh-\(round)"] {
          let done = try vtok(
            "prune", "--files-from", folder + "/list", "--shard-size", "2", "--overlay", "-o", folder + "/" + output)
          #expect(done.status == 0, "\(done.error)")
        }
        let (out, fresh) = (folder + "/out", "\(folder)/fresh-\(round)")
        #expect(differences(files(out, leavingOut: ["job.yaml"]), files(fresh, leavingOut: ["job.yaml"])) == [])
        #expect(try manifest(out).map { $0["file"] as? String } == list.map { pictures + "/" + names[$0] })
      }
    }
  }

  @Test func everyJobOfASweepAndEveryPart() throws {
    try inTemporaryFolder { folder in
      let input = folder + "/in"
      try FileManager.default.createDirectory(atPath: input, withIntermediateDirectories: true)
      try manyPictures(9, in: input)
      let flags = ["prune", input, "--method", "tome", "--method", "random", "--keep-ratio", "0.3,0.2"]
      func parts(_ output: String) throws {
        for part in ["0/2", "1/2"] {
          let done = try vtok("prune", input, "--shard-size", "2", "--shard", part, "-o", output)
          #expect(done.status == 0, "\(done.error)")
        }
        #expect(try vtok("prune", "--merge", output).status == 0)
      }
      #expect(try vtok(flags + ["-o", folder + "/sweep"]).status == 0)
      try parts(folder + "/parts")
      try Self.copy("chart.png", to: input + "/1003-airplane-alpha.png")
      unlink(input + "/1004-solids-grey.jpg")
      let done = try vtok(flags + ["-o", folder + "/sweep"])
      #expect(
        done.status == 0 && done.out.contains("inputs of tome@0.3: 7 done before; 1 changed, computed again; 1 gone"))
      #expect(try vtok(flags + ["-o", folder + "/fresh-sweep"]).status == 0)
      func all(_ name: String) -> [String: Data] { files(folder + "/" + name, leavingOut: ["job.yaml"]) }
      #expect(differences(all("sweep"), all("fresh-sweep")) == [])
      try parts(folder + "/parts")
      try parts(folder + "/fresh-parts")
      #expect(differences(all("parts"), all("fresh-parts")) == [])
      // The whole goes on from its parts.
      let whole = try vtok("prune", input, "--shard-size", "2", "-o", folder + "/parts")
      #expect(whole.status == 0 && whole.out.contains("inputs: 8 done before\n"), "\(whole.out)\(whole.error)")
    }
  }

  @Test func partsOfOtherInputsAreNotMerged() throws {
    try inPlace { place in
      let output = place.folder + "/parts"
      func run(_ part: Int) throws { #expect(try place.run(["--shard", "\(part)/2"], output: output).status == 0) }
      func merge() throws -> Finished { try vtok("prune", "--merge", output) }
      try run(0)
      #expect(try merge().status == 2, "a part is missing")
      try run(1)
      #expect(try merge().status == 0)
      utimes(place.input + "/1001-ship.jpg", nil)
      #expect(try merge().status == 0, "the same content")
      try Self.copy("cat.jpg", to: place.input + "/1001-ship.jpg")
      let changed = try merge()
      #expect(changed.status == 2 && changed.error.contains("'1001-ship.jpg' changed since part 1"), "\(changed.error)")
      try run(1)
      #expect(try merge().status == 0)
      try Self.copy("cat.jpg", to: place.input + "/0.jpg")
      #expect(try merge().status == 2, "an input that no part knows")
      try run(0)
      #expect(try merge().status == 2, "one part knows it")
      try run(1)
      #expect(try merge().status == 0)
      let part = output + "/shard-1-of-2"
      truncate(part + "/tokens-00000.safetensors", 100)
      let damaged = try merge()
      #expect(damaged.status == 2 && damaged.error.contains("part 1 of 2"), "\(damaged.error)")
      try run(1)
      unlink(part + "/manifest.jsonl")
      #expect(try merge().status == 2, "unfinished")
      try run(1)
      #expect(try merge().status == 0)
      #expect(
        try place.run(output: place.folder + "/whole").status == 0
          && differences(
            files(place.folder + "/whole", leavingOut: ["job.yaml"]),
            files(output, leavingOut: ["job.yaml"]).filter { !$0.key.hasPrefix("shard-") }) == []
      )
    }
  }

  @Test func partsDoNotWriteOverAnotherJob() throws {
    try inTemporaryFolder { folder in
      let (input, output) = (pictures + "/cat.jpg", folder + "/out")
      #expect(try vtok("prune", input, "--method", "divprune", "-o", output).status == 0)
      #expect(try vtok("prune", input, "--shard", "0/1", "-o", output).status == 0)
      let refused = try vtok("prune", "--merge", output)
      #expect(refused.status == 2 && refused.error.contains("divprune"), "\(refused.error)")
      #expect(try vtok("prune", "--merge", output, "--force").status == 0)
    }
  }

  /// What a method's file holds is part of the job.
  @Test func anotherFileOfAMethodIsAnotherJob() throws {
    try inTemporaryFolder { folder in
      func run(_ rates: String) throws -> Finished {
        unlink(folder + "/rates.json")
        try FileManager.default.copyItem(
          atPath: repository + "/Benchmarks/rates/vtok-tiny-\(rates).json", toPath: folder + "/rates.json")
        return try vtok(
          "prune", pictures + "/cat.jpg", "--method", "diffrate:rates=\(folder)/rates.json", "-o", folder + "/out")
      }
      #expect(try run("50").status == 0)
      #expect(try run("50").status == 0)
      let other = try run("75")
      #expect(other.status == 2 && other.error.contains("--force"), "\(other.error)")
    }
  }

  @Test func anotherJobIsRefused() throws {
    try inPlace { place in
      let before = files(place.output)
      for flags in [["--seed", "1"], ["--dtype", "f16"], ["--timings"], ["--max-pixels", "99999999"]] {
        let done = try place.run(flags)
        #expect(done.status == 2 && done.error.contains("--force"), "\(flags): \(done.error)")
      }
      #expect(differences(files(place.output), before) == [])
      unlink(place.output + "/job.yaml")
      let unknown = try place.run()
      #expect(unknown.status == 2 && unknown.error.contains("without a job.yaml"), "\(unknown.error)")
      #expect(try place.run(["--force"]).status == 0)
      #expect(try place.faults() == [])
    }
  }
}
