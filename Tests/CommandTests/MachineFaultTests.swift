import Foundation
import Testing
import VTok

#if canImport(Glibc)
  import Glibc
#endif

/// A line of shell, as a user types it. `$VTOK` is the command.
func sh(_ script: [UInt8], in folder: String) throws -> Finished {
  try Data(script).write(to: URL(fileURLWithPath: folder + "/script.sh"))
  for name in ["sh-out", "sh-error"] {
    _ = FileManager.default.createFile(atPath: folder + "/" + name, contents: nil)
  }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = [folder + "/script.sh"]
  process.currentDirectoryURL = URL(fileURLWithPath: folder)
  process.environment = ProcessInfo.processInfo.environment.merging(["VTOK": command]) { $1 }
  process.standardOutput = FileHandle(forWritingAtPath: folder + "/sh-out")
  process.standardError = FileHandle(forWritingAtPath: folder + "/sh-error")
  try process.run()
  process.waitUntilExit()
  func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)), as: UTF8.self)
  }
  return Finished(status: process.terminationStatus, out: try text("sh-out"), error: try text("sh-error"))
}
func sh(_ script: String, in folder: String) throws -> Finished { try sh(Array(script.utf8), in: folder) }

/// Errors of the machine end a run, say why, and leave nothing behind that a later run would believe.
@Suite struct MachineFaultTests {
  func withInputs(_ count: Int = 12, _ body: (String) throws -> Void) throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/in", withIntermediateDirectories: true)
      try manyPictures(count, in: folder + "/in")
      let fresh = try vtok("prune", folder + "/in", "--shard-size", "4", "--overlay", "-o", folder + "/fresh")
      #expect(fresh.status == 0)
      try body(folder)
    }
  }

  /// The run that failed goes on, and ends as if nothing had been.
  func goesOn(_ folder: String) throws {
    let done = try sh("exec $VTOK prune \(folder)/in --shard-size 4 --overlay -o out", in: folder)
    #expect(done.status == 0, "\(done.error)")
    #expect(
      differences(
        files(folder + "/out", leavingOut: ["job.yaml"]), files(folder + "/fresh", leavingOut: ["job.yaml"])) == [])
  }

  @Test func fewFileHandles() throws {
    try withInputs { folder in
      var refused = 0
      for handles in 4...24 {
        let done = try sh(
          "ulimit -n \(handles); exec $VTOK prune \(folder)/in --shard-size 4 --overlay --threads 2 -o out", in: folder)
        if done.error.contains("Too many open files") {
          refused += 1
          #expect(done.status == 1, "\(handles): \(done.error)")
        }
        #expect(done.status != 3, "\(handles): \(done.error)")
        let manifest = try? String(contentsOfFile: folder + "/out/manifest.jsonl", encoding: .utf8)
        #expect(manifest?.contains("failed") != true, "\(handles)")
        if done.status == 0 { break }
      }
      #expect(refused > 0)
      try goesOn(folder)
    }
  }

  @Test func fewFileHandlesElsewhere() throws {
    try withInputs { folder in
      let commands = [
        "tokenize in --tokens 4 -o p --force --threads 2", "bench --data in --timing-samples 2 --threads 2",
        "calibrate --data in --distil --target-ratio 0.6 --steps 2 --batch 4 --threads 2 -o rates.json --force",
      ]
      for arguments in commands {
        for handles in 4...16 {
          let done = try sh("ulimit -n \(handles); exec $VTOK \(arguments)", in: folder)
          #expect(done.status != 3, "\(arguments), \(handles): \(done.error)")
          if done.status == 0 { break }
        }
      }
    }
  }

  @Test func filesOfLimitedSize() throws {
    try withInputs { folder in
      let done = try sh(
        "ulimit -f 100; exec $VTOK prune \(folder)/in --shard-size 4 --overlay -o out", in: folder)
      #expect(done.status == 1 && done.error.contains("File too large"), "\(done.status) \(done.error)")
      #expect(done.error.split(separator: "\n").count == 1, "\(done.error)")
      try goesOn(folder)
    }
  }

  @Test func aFullDisk() throws {
    try withInputs { folder in
      try FileManager.default.createDirectory(atPath: folder + "/out", withIntermediateDirectories: true)
      guard try sh("mount -t tmpfs -o size=600k none out", in: folder).status == 0 else { return }  // not root
      defer { _ = try? sh("umount out", in: folder) }
      let done = try sh("exec $VTOK prune \(folder)/in --shard-size 4 --overlay -o out", in: folder)
      #expect(done.status == 1 && done.error.contains("No space left on device"), "\(done.status) \(done.error)")
      #expect(done.error.contains("out/") && !done.error.contains("Domain"), "\(done.error)")
      #expect(try sh("mount -o remount,size=100m out", in: folder).status == 0)
      try goesOn(folder)
    }
  }

  @Test func outputsAreCheckedBeforeTheWork() throws {
    try inTemporaryFolder { folder in
      let cat = pictures + "/cat.jpg"
      try Data("x".utf8).write(to: URL(fileURLWithPath: folder + "/file"))
      try FileManager.default.createDirectory(atPath: folder + "/folder.png", withIntermediateDirectories: true)
      func refused(_ arguments: [String], _ words: String) throws {
        let done = try vtok(arguments)
        #expect(done.status == 2 && done.error.contains(words), "\(arguments): \(done.status) \(done.error)")
        #expect(done.error.split(separator: "\n").count == 1 && done.out.isEmpty)
      }
      for path in ["/file", "/file/below"] {
        try refused(["prune", cat, "-o", folder + path], "a file")
        try refused(["bench", "--data", pictures, "--report", folder + path], "a file")
        try refused(["detokenize", folder + "/none", "-o", folder + path], "a file")
      }
      let filed: [[String]] = [
        ["tokenize", cat, "-o"], ["show", cat, "-o"], ["bench", "--data", pictures, "-o"],
        ["calibrate", "--data", pictures, "--distil", "--target-ratio", "0.5", "-o"],
      ]
      for arguments in filed {
        try refused(arguments + [folder + "/folder.png"], "a folder")
        try refused(arguments + [folder + "/file/below.png"], "is a file")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["file", "folder.png"])
      #expect(try vtok("show", cat, "-o", folder + "/new/deep/map.png").status == 0, "folders on the way are made")
    }
  }

  @Test func tokensAreNotWrittenOver() throws {
    try inTemporaryFolder { folder in
      let arguments = ["tokenize", pictures + "/cat.jpg", "--tokens", "4", "-o", folder + "/p"]
      #expect(try vtok(arguments).status == 0)
      let refused = try vtok(arguments)
      #expect(refused.status == 2 && refused.error.contains("--force"), "\(refused.error)")
      #expect(try vtok(arguments + ["--force"]).status == 0)
      let back = ["detokenize", folder + "/p", "-o", folder + "/back"]
      #expect(try vtok(back).status == 0)
      let again = try vtok(back)
      #expect(again.status == 2 && again.error.contains("--force"), "\(again.error)")
      #expect(try vtok(back + ["--force"]).status == 0)
    }
  }

  @Test func oneProcessInAFolder() throws {
    try withInputs(40) { folder in
      let script = """
        $VTOK prune in --method tome --shard-size 4 --overlay --threads 1 -o out & first=$!
        while [ ! -s out/.lock ] || [ ! -d out/.partial ]; do sleep 0.01; done
        kill -STOP $first
        $VTOK prune in --method tome --shard-size 4 --overlay -o out; second=$?
        echo $first $second >> codes
        kill -9 $first
        wait $first
        exec $VTOK prune in --method tome --shard-size 4 --overlay -o out
        """
      let done = try sh(script, in: folder)
      let codes = try String(contentsOfFile: folder + "/codes", encoding: .utf8).split(whereSeparator: \.isWhitespace)
      #expect(done.status == 0 && codes[1] == "2", "\(done.error)")
      #expect(done.error.contains("process \(codes[0]) is writing there"), "\(done.error)")
      #expect(
        differences(
          files(folder + "/out", leavingOut: ["job.yaml"]), files(folder + "/fresh", leavingOut: ["job.yaml"])) == [])
    }
  }
}

/// What a job writes is never its input.
@Suite struct OwnOutputTests {
  @Test func theOutputInsideTheInput() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/in", withIntermediateDirectories: true)
      try manyPictures(3, in: folder + "/in")
      let script = """
        cd in
        $VTOK prune . --overlay -o out && $VTOK prune . --overlay -o out
        ln -s out/overlays link; ln -s out/overlays/1000-cat.jpg.png one.png
        $VTOK prune . --overlay -o out && $VTOK prune ./*.jpg ./*.png ./out --overlay -o ../in/out
        """
      let done = try sh(script, in: folder)
      #expect(done.status == 0 && done.error.contains("2 inputs are left out"), "\(done.error)")
      #expect(done.out.split(separator: "\n").count { $0 == "inputs: 3 done before" } == 2, "\(done.out)\(done.error)")
      let names = try manifest(folder + "/in/out").map { $0["file"] as? String }
      #expect(names == ["./1000-cat.jpg", "./1001-ship.jpg", "./1002-chart.png"])
      let listed = try sh(
        "cd in; find . -name '*.png' -o -name '*.jpg' | $VTOK prune --files-from - --overlay -o out", in: folder)
      #expect(listed.status == 0 && listed.error.contains("left out"), "\(listed.error)")
      #expect(try manifest(folder + "/in/out").count == 3)
      let tokens = try sh(
        "cd in; $VTOK tokenize . --tokens 2 -o t.png && $VTOK tokenize . --tokens 2 -o t.png --force", in: folder)
      #expect(tokens.status == 0 && !tokens.out.contains("| t.png"), "\(tokens.out)\(tokens.error)")
    }
  }

  @Test func theOutputIsTheInput() throws {
    try inTemporaryFolder { folder in
      try manyPictures(2, in: folder)
      let done = try vtok("prune", folder, "-o", folder)
      #expect(done.status == 2 && done.error.contains("Use another -o"), "\(done.error)")
    }
  }
}

/// File names are bytes.
@Suite struct FileNameTests {
  private func write(_ name: [UInt8], in folder: String) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: pictures + "/cat.jpg"))
    let path = folder + "/" + FileName.text(name)
    try Folder.makeAbove(path)
    try WholeFile.write([UInt8](data), to: path)
  }

  @Test func namesThatAreNoText() throws {
    try inTemporaryFolder { folder in
      let names: [[UInt8]] = [
        Array("a".utf8) + [0xFF] + Array(".jpg".utf8), Array("a\\xff.jpg".utf8),
        [0xE9, 0x2F, 0xC3] + Array(".jpg".utf8),
        Array("new\nline.jpg".utf8), Array("\u{10FFFF}.jpg".utf8), Array("é.jpg".utf8),
      ]
      for name in names { try write(name, in: folder + "/in") }
      let done = try sh("exec $VTOK prune in --overlay -o out", in: folder)
      #expect(done.status == 0, "\(done.error)")
      let text = try String(contentsOfFile: folder + "/out/manifest.jsonl", encoding: .utf8)
      #expect(text.contains(#""file":"a\udcff.jpg""#) && text.contains(#""file":"a\\xff.jpg""#))
      #expect(text.contains(#""file":"\udce9/\udcc3.jpg""#))
      let listed = try text.split(separator: "\n").map {
        FileName.bytes(try #require(try JSON(parsing: Array($0.utf8))["file"]?.string))
      }
      #expect(listed == names.sorted { $0.lexicographicallyPrecedes($1) })
      for name in names {
        let info = try FileInfo.ifThere(folder + "/out/overlays/" + FileName.text(name) + ".png")
        #expect(info != nil, "\(name)")
      }
      // The same as arguments and as a list; the job's own file brings them back.
      let again = try sh("exec $VTOK prune --config out/job.yaml -o out", in: folder)
      #expect(again.status == 0 && again.out.contains("inputs: 6 done before\n"), "\(again.out)\(again.error)")
      let bytes = Array("exec $VTOK prune in/a".utf8) + [0xFF] + Array(".jpg -o one".utf8)
      #expect(try sh(bytes, in: folder).status == 0)
      let named = try sh("exec $VTOK prune --config one/job.yaml -o one", in: folder)
      #expect(named.status == 0 && named.out.contains("inputs: 1 done before\n"), "\(named.out)\(named.error)")
      let list = try sh(
        Array("printf 'in/a\\377.jpg\\nin/none\\376.jpg\\n' | $VTOK prune --files-from - -o list".utf8), in: folder)
      #expect(list.status == 3 && list.error.contains("in/none\\xfe.jpg"), "\(list.error)")
      // Tokens keep the names.
      #expect(try sh("$VTOK tokenize in --tokens 2 -o p && $VTOK detokenize p -o back", in: folder).status == 0)
      for name in names {
        let info = try FileInfo.ifThere(folder + "/back/" + FileName.text(name) + ".png")
        #expect(info != nil, "\(name)")
      }
    }
  }

  @Test func longNames() throws {
    try inTemporaryFolder { folder in
      let names = (0..<3).map { Array((String(repeating: "n", count: 249) + "\($0).jpg").utf8).suffix(250) }.map(
        Array.init)
      let accents = Array((String(repeating: "é", count: 123) + ".jpg").utf8)
      for name in names + [accents, Array((String(repeating: "m", count: 251) + ".jpg").utf8)] {
        try write(name, in: folder + "/in")
      }
      for _ in 0..<2 {
        let done = try sh("exec $VTOK prune in --overlay -o out", in: folder)
        #expect(done.status == 0, "\(done.error)")
      }
      let drawn = try FileManager.default.contentsOfDirectory(atPath: folder + "/out/overlays")
      #expect(drawn.count == 5 && drawn.allSatisfy { $0.hasSuffix(".png") && $0.utf8.count <= 255 })
      #expect(try sh("$VTOK tokenize in --tokens 2 -o p && $VTOK detokenize p -o back", in: folder).status == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/back").count == 5)
    }
  }
}
