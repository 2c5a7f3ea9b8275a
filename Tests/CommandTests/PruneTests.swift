import Foundation
import Testing
import VTok

/// `vtok prune` as a user runs it: the files it leaves, and that nothing but the job decides their bytes.
@Suite struct PruneTests {
  @Test func writesWhatTheSynopsisPromises() throws {
    try inTemporaryFolder { folder in
      let done = try vtok("prune", pictures, "--keep-ratio", "0.25", "--overlay", "-o", folder + "/out")
      #expect(done.status == 0, "\(done.error)")
      #expect(done.out.contains("| tome   | 25%"), "\(done.out)")
      let lines = try manifest(folder + "/out")
      let names = try FileManager.default.contentsOfDirectory(atPath: pictures)
        .filter { $0.hasSuffix(".png") || $0.hasSuffix(".jpg") }.sorted()
      #expect(lines.map { $0["file"] as? String } == names)
      let tokens = try Safetensors(path: folder + "/out/tokens-00000.safetensors")
      for (index, line) in lines.enumerated() {
        #expect(line["schema"] as? String == "vtok-manifest/1" && line["status"] as? String == "ok")
        #expect(line["index"] as? Int == index)
        #expect(line["ms"] == nil, "times would make two runs differ")
        #expect(try tokens.tensor("\(index).tokens").shape == [64, 192])
        #expect(try tokens.tensor("\(index).pooled").shape == [192])
        let keep = try tokens.integers("\(index).keep")
        #expect(Set(keep).count == 64 && keep.allSatisfy { (0..<256).contains($0) })
        let offsets = try tokens.integers("\(index).origin.offsets")
        let patches = try tokens.integers("\(index).origin.patches")
        #expect(offsets.count == 65 && offsets.last.map(Int.init) == patches.count)
        #expect(patches.sorted() == (0..<256).map { Int64($0) }, "merging loses no patch")
        let weights = try tokens.tensor("\(index).origin.weights").values
        for row in 0..<64 {
          let sum = weights[Int(offsets[row])..<Int(offsets[row + 1])].reduce(0, +)
          #expect(abs(sum - 1) < 1e-5, "a mean has weights that add up to one")
          #expect(patches[Int(offsets[row])] == keep[row], "the anchor comes first")
        }
        let overlay = try Image.decode(contentsOf: "\(folder)/out/overlays/\(names[index]).png").image
        #expect(overlay.width > 0)
      }
      #expect(FileManager.default.fileExists(atPath: folder + "/out/.done/00000"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out/.partial"))
    }
  }

  @Test func threadsDoNotChangeABit() throws {
    try inTemporaryFolder { folder in
      for threads in ["1", "2", "5"] {
        let done = try vtok(
          "prune", pictures, "--method", "tome", "--method", "divprune", "--method", "cls-attention", "--method",
          "random", "--method", "downsample", "--keep-ratio", "0.3", "--overlay", "--threads", threads, "-o",
          "\(folder)/\(threads)")
        #expect(done.status == 0, "\(done.error)")
      }
      let one = files(folder + "/1")
      #expect(one.count > 60)
      #expect(differences(one, files(folder + "/2")).isEmpty)
      #expect(differences(one, files(folder + "/5")).isEmpty)
    }
  }

  @Test(arguments: ["1", "2"]) func aKilledJobEndsWithTheSameBytes(threads: String) throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/in", withIntermediateDirectories: true)
      try manyPictures(60, in: folder + "/in")
      func run(_ output: String, killedWhen: (() -> Bool)? = nil) throws -> Finished {
        try vtok(
          "prune", folder + "/in", "--keep-tokens", "40", "--shard-size", "16", "--overlay", "--threads", threads, "-o",
          folder + "/" + output, killedWhen: killedWhen)
      }
      #expect(try run("whole").status == 0)
      // Killed again and again, each time a little later.
      var kills = 0
      for count in [3, 14, 15, 31, 50] {
        let killed = try run("killed") {
          (try? FileManager.default.contentsOfDirectory(atPath: folder + "/killed/overlays").count) ?? 0 >= count
        }
        if killed.status == SIGKILL { kills += 1 }
      }
      #expect(kills >= 2, "the job was too fast to be killed")
      let last = try run("killed")
      #expect(last.status == 0, "\(last.error)")
      #expect(differences(files(folder + "/killed"), files(folder + "/whole")).isEmpty)
      // A second call of a finished job changes nothing.
      #expect(try run("killed").status == 0)
      #expect(differences(files(folder + "/killed"), files(folder + "/whole")).isEmpty)
    }
  }

  @Test(arguments: [2, 3]) func partsAreTheWhole(parts: Int) throws {
    try inTemporaryFolder { folder in
      let flags = ["--method", "random", "--keep-ratio", "0.25", "--shard-size", "5"]
      func run(_ more: [String]) throws -> Finished {
        try vtok(["prune", pictures] + flags + more)
      }
      #expect(try run(["-o", folder + "/whole"]).status == 0)
      for part in 0..<parts {
        #expect(try run(["-o", folder + "/parts", "--shard", "\(part)/\(parts)"]).status == 0)
      }
      let merged = try vtok("prune", "--merge", folder + "/parts", "--shard-size", "5")
      #expect(merged.status == 0, "\(merged.error)")
      let whole = files(folder + "/whole", leavingOut: ["job.yaml"])
      let parted = files(folder + "/parts", leavingOut: ["job.yaml"]).filter { !$0.key.hasPrefix("shard-") }
      #expect(differences(whole, parted).isEmpty)
    }
  }

  @Test func badFilesAreRowsAndGoodOnesAreDone() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.copyItem(atPath: malformed, toPath: folder + "/in")
      try FileManager.default.copyItem(atPath: pictures, toPath: folder + "/in/good")
      let done = try vtok("prune", folder + "/in", "-o", folder + "/out")
      #expect(done.status == 3)
      struct Verdicts: Decodable {
        struct File: Decodable { let file: String, expect: String }
        let files: [File]
      }
      let verdicts = try JSONDecoder().decode(
        Verdicts.self, from: Data(contentsOf: URL(fileURLWithPath: malformed + "/manifest.json"))
      ).files
      let lines = try manifest(folder + "/out")
      let byName = Dictionary(uniqueKeysWithValues: lines.map { ($0["file"] as! String, $0) })
      for verdict in verdicts {
        let line = try #require(byName[verdict.file], "\(verdict.file) vanished")
        let status = line["status"] as? String
        switch verdict.expect {
        case "decode": #expect(status == "ok", "\(verdict.file)")
        case "reject":
          #expect(status == "failed", "\(verdict.file)")
          let error = line["error"] as? [String: Any]
          let kinds = ["unreadable", "unsupported-format", "corrupt", "too-large"]
          #expect(kinds.contains(error?["kind"] as? String ?? ""), "\(verdict.file)")
          let message = error?["message"] as? String ?? ""
          #expect(message.contains(verdict.file))
        default: break
        }
      }
      #expect(
        lines.filter { ($0["file"] as! String).hasPrefix("good/") }.allSatisfy { $0["status"] as? String == "ok" })
      let failed = lines.count { $0["status"] as? String == "failed" }
      #expect(done.error.split(separator: "\n").count { $0.hasPrefix("vtok: warning:") } == failed)
    }
  }

  @Test func anotherJobInTheFolderIsNotOverwritten() throws {
    try inTemporaryFolder { folder in
      let image = pictures + "/cat.jpg"
      #expect(try vtok("prune", image, "--keep-tokens", "32", "-o", folder + "/out").status == 0)
      let before = files(folder + "/out")
      let other = try vtok("prune", image, "--keep-tokens", "33", "-o", folder + "/out")
      #expect(other.status == 2 && other.error.contains("--force"), "\(other.error)")
      #expect(differences(files(folder + "/out"), before).isEmpty)
      #expect(try vtok("prune", image, "--keep-tokens", "33", "--force", "-o", folder + "/out").status == 0)
      #expect(files(folder + "/out") != before)
    }
  }

  @Test func aJobFileSaysTheSameAsFlags() throws {
    try inTemporaryFolder { folder in
      #expect(
        try vtok("prune", pictures, "--method", "tome:trend=-1", "--keep-tokens", "50", "-o", folder + "/flags").status
          == 0)
      let again = try vtok("prune", "--config", folder + "/flags/job.yaml", "-o", folder + "/config")
      #expect(again.status == 0, "\(again.error)")
      #expect(differences(files(folder + "/flags"), files(folder + "/config")).isEmpty)
      let other = try vtok(
        "prune", "--config", folder + "/flags/job.yaml", "--keep-tokens", "51", "-o", folder + "/flag-wins")
      #expect(other.status == 0, "\(other.error)")
      #expect(try Safetensors(path: folder + "/flag-wins/tokens-00000.safetensors").tensor("0.tokens").rows == 51)
    }
  }

  @Test func listsComeFromStandardInput() throws {
    try inTemporaryFolder { folder in
      let list = ["cat.jpg", "missing.jpg", "ship.jpg"].map { pictures + "/" + $0 + "\n" }.joined()
      let done = try vtok("prune", "--files-from", "-", "-o", folder + "/out", "--dtype", "f16", input: list)
      #expect(done.status == 3)
      let lines = try manifest(folder + "/out")
      #expect(lines.map { $0["status"] as? String } == ["ok", "failed", "ok"])
      #expect((lines[1]["error"] as? [String: Any])?["kind"] as? String == "unreadable")
      let tokens = try Safetensors(path: folder + "/out/tokens-00000.safetensors")
      #expect(tokens.entry("0.tokens")?.type == .f16 && tokens.entry("1.tokens") == nil)
    }
  }

  /// A method with an amount of its own is not called by a budget that does not rule it.
  @Test func foldersSayWhatRules() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "prune", pictures + "/cat.jpg", "-o", folder + "/out", "--method", "tome:r=13", "--method", "divprune",
        "--method", "zero-tprune:blocks=1/3,rate=0.8", "--keep-ratio", "0.25")
      #expect(done.status == 0, "\(done.error)")
      let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/out").sorted()
      #expect(names == ["divprune@0.25", "tome@own", "zero-tprune@own"])
      #expect(done.out.contains("| own    |") && done.out.contains("| 25%    | 256→64"), "\(done.out)")
      let budgets = try names.map { try manifest(folder + "/out/" + $0)[0]["budget"] as? [String: Any] }
      #expect(budgets[0]?["asked"] as? Double == 0.25 && budgets[0]?["reached_count"] as? Int == 64)
      #expect(budgets[1]?["kind"] as? String == "method" && budgets[1]?["asked"] is NSNull)
    }
  }

  @Test(arguments: ["json", "jsonl", "csv"]) func summariesForPrograms(format: String) throws {
    try inTemporaryFolder { folder in
      let done = try vtok("prune", pictures + "/cat.jpg", "-o", folder + "/out", "--format", format)
      #expect(done.status == 0)
      if format == "csv" {
        #expect(done.out.hasPrefix("method,budget,tokens,"))
      } else {
        let json = try JSONSerialization.jsonObject(with: Data(done.out.utf8))
        let row = (json as? [[String: Any]])?.first ?? json as? [String: Any]
        #expect(row?["method"] as? String == "tome" && row?["images"] as? Int == 1)
      }
    }
  }
}
