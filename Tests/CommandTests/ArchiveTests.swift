import Foundation
import Testing
import VTok

/// Tar archives of pictures as inputs, and tokens as arrays of NumPy and shards of WebDataset.
@Suite struct ArchiveTests {
  static let names = ["cat.jpg", "ship.jpg", "spheres.jpg"]

  /// What GNU tar makes of files in a folder.
  private func tar(_ arguments: [String], in folder: String) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["tar", "-C", folder] + arguments
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  /// A folder with the pictures, and beside it `shards/00000.tar` with them and their texts.
  private func makeShard(in folder: String, named names: [String] = Self.names) throws {
    try Folder.make(folder + "/files")
    try Folder.make(folder + "/shards")
    for name in names {
      try FileManager.default.copyItem(
        atPath: "\(pictures)/\(name)", toPath: "\(folder)/files/\(name)")
      try WholeFile.write("{}", to: "\(folder)/files/\(name).json")
    }
    try tar(["-cf", folder + "/shards/00000.tar", "."], in: folder + "/files")
  }

  private func rows(_ folder: String) throws -> [JSON] {
    let text = try String(contentsOfFile: folder + "/manifest.jsonl", encoding: .utf8)
    return try text.split(separator: "\n").map { try JSON(parsing: String($0)) }
  }

  // MARK: In

  @Test func anArchiveIsAFolder() throws {
    try inTemporaryFolder { folder in
      try makeShard(in: folder)
      let plain = try vtok("prune", folder + "/files", "-o", folder + "/a")
      let packed = try vtok("prune", folder + "/shards", "-o", folder + "/b", "--overlay")
      #expect(plain.status == 0 && packed.status == 0, "\(packed.error)")
      #expect(
        try rows(folder + "/b").map { $0["file"]?.string } == Self.names.map { "00000.tar/" + $0 })
      #expect(
        try FileBytes.read(folder + "/a/tokens-00000.safetensors")
          == FileBytes.read(folder + "/b/tokens-00000.safetensors"))
      #expect(try FileInfo.ifThere(folder + "/b/overlays/00000.tar/cat.jpg.png") != nil)
      let listed = try vtok(
        ["prune", "--files-from", "-", "-o", folder + "/c"], input: folder + "/shards/00000.tar\n")
      #expect(listed.status == 0, "\(listed.error)")
      #expect(
        try rows(folder + "/c").map { $0["file"]?.string }
          == Self.names.map { "\(folder)/shards/00000.tar/\($0)" })
      let tokenized = try vtok(
        "tokenize", folder + "/shards", "--tokens", "8", "-o", folder + "/p.vtokens", "--tokenizer",
        "klt")
      #expect(tokenized.status == 0, "\(tokenized.error)")
      #expect(try LabelledImages(folder + "/shards/00000.tar", classes: nil).count == 3)
    }
  }

  @Test func aJobFollowsItsArchives() throws {
    try inTemporaryFolder { folder in
      try makeShard(in: folder)
      func run() throws -> String {
        try vtok("prune", folder + "/shards", "-o", folder + "/out").out
      }
      _ = try run()
      #expect(try run().contains("inputs: 3 done before"))
      // Another archive with one other picture in it.
      try FileManager.default.removeItem(atPath: folder + "/files/ship.jpg")
      try FileManager.default.copyItem(
        atPath: pictures + "/automobile-palette.png", toPath: folder + "/files/ship.jpg")
      try tar(["-cf", folder + "/shards/00000.tar", "."], in: folder + "/files")
      let text = try run()
      #expect(text.contains("1 changed, computed again"), "\(text)")
      _ = try vtok("prune", folder + "/shards", "-o", folder + "/anew")
      #expect(
        try FileBytes.read(folder + "/out/tokens-00000.safetensors")
          == FileBytes.read(folder + "/anew/tokens-00000.safetensors"))
    }
  }

  @Test func whatIsWrongWithAnArchiveIsARow() throws {
    try inTemporaryFolder { folder in
      try makeShard(in: folder)
      let whole = try FileBytes.read(folder + "/shards/00000.tar")
      try WholeFile.write(Array(whole[..<(whole.count / 2)]), to: folder + "/shards/00001.tar")
      try WholeFile.write("no archive at all", to: folder + "/shards/00002.tar")
      var damaged = whole
      damaged[100] ^= 1
      try WholeFile.write(damaged, to: folder + "/shards/00003.tar")
      let done = try vtok("prune", folder + "/shards", "-o", folder + "/out")
      #expect(done.status == 3)
      let failures = try rows(folder + "/out").filter { $0["status"]?.string == "failed" }
      #expect(failures.map { $0["file"]?.string } == ["00001.tar", "00002.tar", "00003.tar"])
      let texts = failures.compactMap { $0.value(at: "error.message")?.string }
      for (text, part) in zip(
        texts, ["it is cut", "it is cut within a header at byte 0", "no header at byte 0"])
      {
        #expect(text.contains(part), "\(text)")
      }
      #expect(failures[0].value(at: "error.kind")?.string == "corrupt")
      // Nothing to do is a mistake.
      try Folder.make(folder + "/empty")
      try tar(["-cf", folder + "/empty.tar", "."], in: folder + "/empty")
      let none = try vtok("prune", folder + "/empty.tar", "-o", folder + "/none")
      #expect(none.status == 2 && none.error.contains("no image files"), "\(none.error)")
    }
  }

  @Test func compressedArchivesDoNotVanish() throws {
    try inTemporaryFolder { folder in
      try Folder.make(folder + "/shards")
      try WholeFile.write([31, 139, 8, 0], to: folder + "/shards/00000.tar.gz")
      let done = try vtok("prune", folder + "/shards", "-o", folder + "/out")
      #expect(done.status == 3)
      let failures = try rows(folder + "/out").compactMap { $0.value(at: "error.message")?.string }
      #expect(failures.count == 1 && failures[0].contains("gzip"), "\(failures)")
    }
  }

  @Test(arguments: ["ustar", "gnu", "pax", "v7"])
  func namesOfEveryForm(_ form: String) throws {
    try inTemporaryFolder { folder in
      var names = ["a.jpg", "ü.png", String(repeating: "deep/", count: 15) + "b.jpg"]
      if form != "ustar", form != "v7" {
        names.append(String(repeating: "long", count: 50) + ".jpg")
      }
      for name in names {
        try Folder.makeAbove(folder + "/in/" + name)
        try WholeFile.write(name, to: folder + "/in/" + name)
      }
      try tar(["--format=" + form, "-cf", folder + "/all.tar"] + names, in: folder + "/in")
      var reader = try TarReader(path: folder + "/all.tar")
      let bytes = try FileBytes.read(folder + "/all.tar")
      for name in names {
        let entry = try #require(try reader.next())
        #expect(entry.name == name)
        #expect(bytes[entry.offset..<entry.offset + entry.size].elementsEqual(Array(name.utf8)))
      }
      #expect(try reader.next() == nil)
    }
  }

  /// Whatever bytes a stranger sends, what is found lies in the file, and the reader comes to its end.
  @Test func damagedArchivesAreReadToTheirEnd() throws {
    try inTemporaryFolder { folder in
      for name in ["a.jpg", String(repeating: "long", count: 50) + ".jpg", "b.txt"] {
        try Folder.makeAbove(folder + "/in/" + name)
        try WholeFile.write(name, to: folder + "/in/" + name)
      }
      var generator = SeededGenerator(seed: 5)
      var (found, faults) = (0, 0)
      for form in ["gnu", "pax"] {
        try tar(["--format=" + form, "-cf", folder + "/whole.tar", "."], in: folder + "/in")
        let whole = try FileBytes.read(folder + "/whole.tar")
        for _ in 0..<300 {
          var bytes = whole
          for _ in 0..<3 {
            bytes[Int(generator.next() % 6000)] = UInt8(truncatingIfNeeded: generator.next())
          }
          if generator.next() % 4 == 0 {
            bytes.removeLast(Int(generator.next() % UInt64(bytes.count)))
          }
          // With right sums, or nothing behind them is reached.
          let headers = stride(from: 0, to: bytes.count - 511, by: 512).filter { whole[$0 + 257] == UInt8(ascii: "u") }
          for start in headers {
            bytes.replaceSubrange(start + 148..<start + 156, with: Array("        ".utf8))
            let sum = String(bytes[start..<start + 512].reduce(0) { $0 + Int($1) }, radix: 8)
            bytes.replaceSubrange(start + 148..<start + 148 + sum.utf8.count, with: sum.utf8)
          }
          try WholeFile.write(bytes, to: folder + "/damaged.tar")
          var reader = try TarReader(path: folder + "/damaged.tar")
          do {
            while let entry = try reader.next() {
              #expect(entry.offset + entry.size <= bytes.count)
              found += 1
            }
          } catch is TarReader.Fault { faults += 1 }
        }
      }
      #expect(found > 300 && faults > 50, "\(found) files, \(faults) faults")
    }
  }

  // MARK: Out

  /// Shape and values of an array of NumPy.
  private func array(_ path: String, _ type: String) throws -> (
    shape: [Int], bytes: ArraySlice<UInt8>
  ) {
    let bytes = try FileBytes.read(path)
    #expect(bytes.starts(with: [0x93] + Array("NUMPY".utf8) + [1, 0]))
    let end = 10 + Int(bytes[8]) + 256 * Int(bytes[9])
    #expect(end % 64 == 0 && bytes[end - 1] == 10)
    let text = String(decoding: bytes[10..<end], as: UTF8.self)
    #expect(text.contains("'descr': '\(type)', 'fortran_order': False"))
    let shape = try #require(text.firstMatch(of: #/'shape': \(([^)]*)\)/#)?.1)
    return (
      shape.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) },
      bytes[end...]
    )
  }

  private func numbers(_ path: String) throws -> [Int64] {
    Array(try array(path, "<i8").bytes).withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }
  }

  @Test(arguments: [("f32", "<f4"), ("f16", "<f2")])
  func exportsHoldWhatTokenFilesHold(_ dtype: String, _ type: String) throws {
    try inTemporaryFolder { folder in
      try makeShard(in: folder)
      try WholeFile.write("no image", to: folder + "/files/broken.png")
      let (out, flags) = (
        folder + "/out", ["--dtype", dtype, "--export", "npy", "--export", "webdataset"]
      )
      let done = try vtok(["prune", folder + "/files", "-o", out] + flags)
      #expect(done.status == 3, "\(done.error)")
      let file = try Safetensors(path: out + "/tokens-00000.safetensors")
      func stored(_ name: String) throws -> [UInt8] {
        let entry = try #require(file.entry(name))
        return file.file.withBytes { Array($0[entry.range]) }
      }
      let index = try numbers(out + "/tokens-00000.index.npy")
      #expect(index == [1, 2, 3])
      let counts = try rows(out).compactMap { $0.value(at: "tokens.out")?.int }
      let tokens = try array(out + "/tokens-00000.npy", type)
      #expect(tokens.shape == [counts.reduce(0, +), 192])
      #expect(try Array(tokens.bytes) == index.flatMap { try stored("\($0).tokens") })
      #expect(
        try numbers(out + "/tokens-00000.offsets.npy").map { Int($0) }
          == counts.reduce(into: [0]) { $0.append($0.last! + $1) })
      #expect(try array(out + "/tokens-00000.pooled.npy", "<f4").shape == [3, 192])
      #expect(
        try Array(array(out + "/tokens-00000.keep.npy", "<i8").bytes)
          == index.flatMap { try stored("\($0).keep") })

      var reader = try TarReader(path: out + "/tokens-00000.tar")
      let bytes = try FileBytes.read(out + "/tokens-00000.tar")
      var names: [String] = []
      while let entry = try reader.next() {
        names.append(entry.name)
        let content = bytes[entry.offset..<entry.offset + entry.size]
        if entry.name == "000000002.json" {
          #expect(try JSON(parsing: Array(content))["file"]?.string == "ship.jpg")
        } else if entry.name == "000000002.tokens.npy" {
          #expect(try content.suffix(stored("2.tokens").count).elementsEqual(stored("2.tokens")))
        }
      }
      #expect(
        names.count == 3 * 7 && names[0] == "000000001.json" && names[1] == "000000001.keep.npy")
    }
  }

  @Test func exportsFollowTheJob() throws {
    try inTemporaryFolder { folder in
      try makeShard(in: folder)
      let run = ["prune", folder + "/files", "-o", folder + "/out", "--shard-size", "2"]
      let export = ["--export", "webdataset", "--export", "npy"]
      func exported() throws -> [String] {
        try Folder.names(folder + "/out").filter { $0.hasSuffix(".npy") || $0.hasSuffix(".tar") }
          .sorted()
      }
      _ = try vtok(run)
      #expect(try exported() == [])
      _ = try vtok(run + export)
      let all = try exported()
      #expect(all.count == 12)
      // A run without them leaves them, as long as they are right; those of a shard that changed go.
      _ = try vtok(run)
      #expect(try exported() == all)
      try FileManager.default.removeItem(atPath: folder + "/files/spheres.jpg")
      _ = try vtok(run)
      #expect(try exported() == all.filter { $0.hasPrefix("tokens-00000") })
      try WholeFile.write(FileBytes.read(pictures + "/spheres.jpg"), to: folder + "/files/ship.jpg")
      _ = try vtok(run + export)
      let other = ["prune", folder + "/files", "-o", folder + "/anew", "--shard-size", "2"]
      _ = try vtok(other + export)
      for name in try exported() {
        #expect(
          try FileBytes.read("\(folder)/out/\(name)") == FileBytes.read("\(folder)/anew/\(name)"),
          "\(name)")
      }
      // Parts that are merged give the same.
      for part in 0..<2 {
        _ = try vtok(["prune", folder + "/files", "-o", folder + "/parts", "--shard", "\(part)/2"])
      }
      let merged = try vtok(["prune", "--merge", folder + "/parts", "--shard-size", "2"] + export)
      #expect(merged.status == 0, "\(merged.error)")
      for name in try exported() {
        #expect(
          try FileBytes.read("\(folder)/out/\(name)") == FileBytes.read("\(folder)/parts/\(name)"),
          "\(name)")
      }
      _ = try vtok(run + ["--force"])
      #expect(try exported() == [])
    }
  }
}
