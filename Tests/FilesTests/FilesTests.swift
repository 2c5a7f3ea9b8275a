import Testing
import VTokFiles
import VTokLibC

/// A fresh folder that is removed after `body`.
private func inFolder(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/vtok-files-XXXXXX".utf8CString)
  let path = try #require(mkdtemp(&template).map { String(cString: $0) })
  defer { try? Folder.remove(path) }
  try body(path)
}

private func touch(_ path: String, _ text: String = "x") {
  let file = withSystemPath(path) { open($0, O_WRONLY | O_CREAT | O_TRUNC, 0o644) }
  _ = text.utf8.withContiguousStorageIfAvailable { write(file, $0.baseAddress!, $0.count) }
  close(file)
}

@Suite struct OneLineTests {
  private struct Told: OneLineError { let message: String }

  /// An error is one line, whatever is told in it.
  @Test(arguments: [
    ("found 'a\u{7F}\u{0}b\nc\u{1B}[2J'", "found 'a\\u{7F}\\0b\\nc\\u{1B}[2J'"),
    ("a\u{85}b\u{2028}c", "a\\u{0085}b\\u{2028}c"), ("é ‘日本’ 👩‍👧", "é ‘日本’ 👩‍👧"), ("", ""),
    (FileName.text([0x61, 0xFF]) + " is missing", "a\\xff is missing"),
  ]) func escapes(message: String, says: String) {
    #expect("\(Told(message: message))" == says)
  }

  /// What is too long loses its middle: a word first, then the line. One character can be as long as a file.
  @Test func shortens() {
    let word = String(repeating: "x", count: 5000)
    #expect("\(Told(message: "found \(word) here"))" == "found \(word.prefix(400))…\(word.prefix(150)) here")
    let accents = "e" + String(repeating: "\u{301}", count: 100_000)
    for long in [
      String(repeating: "a \n", count: 50_000), accents, String(repeating: accents.prefix(1) + " ", count: 9),
    ] {
      let line = "\(Told(message: long))"
      #expect(line.unicodeScalars.count <= 2400 && line.unicodeScalars.contains("…") && !line.contains("\n"))
    }
  }
}

@Suite struct FileNameTests {
  /// Every name of bytes has a text of its own, and comes back from it.
  @Test func everyNameComesBack() {
    var names: [[UInt8]] =
      (1...255).map { [UInt8($0)] } + [[], [0xC3, 0xA9], [0xC3], [0xE2, 0x82], [0x61, 0xFF, 0x62]]
    for low in UInt8(0x80)...0xBF { for third in UInt8(0x80)...0xBF { names.append([0xF4, 0x8F, third, low]) } }
    names += [[0xF4, 0x8F, 0xBE], [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x90, 0xB6], Array("\\xff".utf8)]
    var seed: UInt64 = 7
    for _ in 0..<2000 {
      names.append(
        (0..<8).map { _ in
          seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          return UInt8(truncatingIfNeeded: seed >> 56)
        })
    }
    var texts: [String: [UInt8]] = [:]
    for name in names {
      let text = FileName.text(name)
      #expect(FileName.bytes(text) == name, "\(name)")
      #expect(texts[text].map { $0 == name } ?? true, "\(name) and \(texts[text] ?? []) are one text")
      texts[text] = name
    }
    #expect(FileName.text(Array("é".utf8)) == "é")
    #expect(printable(FileName.text([0x61, 0xFF, 0x0A])) == "a\\xff\\n")
  }

  @Test func foldersHaveAllTheirNames() throws {
    try inFolder { folder in
      let names = ["plain", FileName.text([0x62, 0xFF]), FileName.text([0x62, 0xFE])]
      for name in names { touch(folder + "/" + name) }
      let found = try Folder.names(folder)
      #expect(found.sorted() == names.sorted())
      for name in names {
        let text = try FileBytes.read(folder + "/" + name)
        #expect(text == Array("x".utf8))
      }
      let cut = try FileInfo.ifThere(folder + "/plain\0more")
      #expect(cut == nil, "a zero byte ends no path early")
    }
  }
}

@Suite struct SystemErrorTests {
  @Test func codesOfTheMachineAreTold() {
    for code in [EMFILE, ENFILE, ENOMEM, EIO, ENOSPC, EDQUOT, EROFS, ESTALE, EFBIG, ENOBUFS] {
      #expect(SystemError.isOfMachine(code), "\(SystemError.reason(code))")
    }
    for code in [ENOENT, EACCES, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR] {
      #expect(!SystemError.isOfMachine(code), "\(SystemError.reason(code))")
    }
    #expect("\(SystemError("read it", "/a b", code: EMFILE))".hasPrefix("/a b: cannot read it: Too many open files."))
  }
}

@Suite struct FolderTests {
  @Test func makesAndRemoves() throws {
    try inFolder { folder in
      try Folder.make(folder + "/a/b/c")
      try Folder.make(folder + "/a/b/c/")
      touch(folder + "/file")
      symlink(folder + "/file", folder + "/a/link")
      #expect(throws: SystemError.self) { try Folder.make(folder + "/file") }
      #expect(throws: SystemError.self) { try Folder.make(folder + "/file/below") }
      try Folder.remove(folder + "/a")
      let left = try Folder.names(folder)
      #expect(left == ["file"], "what a link points to stays")
      try Folder.remove(folder + "/a")
    }
  }

  @Test func oneHolderAtATime() throws {
    try inFolder { folder in
      var lock: FolderLock? = try FolderLock(folder: folder + "/out")
      let error = #expect(throws: LockError.self) { try FolderLock(folder: folder + "/out") }
      #expect(error?.holder == Int(getpid()) && "\(error!)".contains("process \(getpid())"))
      _ = lock
      lock = nil
      let left = try Folder.names(folder + "/out")
      #expect(left == [], "the lock's file goes with it")
      touch(folder + "/out/.lock", "1\n")  // of a process that was killed
      lock = try FolderLock(folder: folder + "/out")
      _ = lock
    }
  }

  @Test func outputsAreLookedAt() throws {
    try inFolder { folder in
      touch(folder + "/file")
      symlink(folder + "/nothing", folder + "/dangling")
      for path in [folder, folder + "/", folder + "/file/x", folder + "/file/x/y", "", folder + "/dangling/x"] {
        #expect(throws: OutputError.self, "\(path)") { try OutputCheck.file(path, "-o") }
      }
      for path in [folder + "/file", folder + "/file/x", "", folder + "/dangling"] {
        #expect(throws: OutputError.self, "\(path)") { try OutputCheck.folder(path, "-o") }
      }
      for path in [folder + "/file", folder + "/new", folder + "/new/deep/x", "/dev/null"] {
        try OutputCheck.file(path, "-o")
      }
      for path in [folder, folder + "/new/deep", "relative"] { try OutputCheck.folder(path, "-o") }
      #expect(throws: OutputError.self) { try OutputCheck.free(folder + "/file", "-o", force: false) }
      try OutputCheck.free(folder + "/file", "-o", force: true)
      let left = try Folder.names(folder)
      #expect(left.sorted() == ["dangling", "file"], "nothing is made")
    }
  }
}
