import Foundation
import Testing
import VTok

/// `vtok tokenize`, `vtok detokenize`, `vtok bench --tokenizers`, and the file between them.
@Suite struct TokenizeTests {
  private func rows(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map {
      try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  private func image(_ path: String) throws -> Image { try Image.decode(contentsOf: path).image }
  private func psnr(_ a: Image, _ b: Image) -> Double { PictureQuality.psnr(PictureQuality.meanSquaredError(a, b)) }

  @Test func picturesComeBack() throws {
    try inTemporaryFolder { folder in
      let file = folder + "/p.vtokens"
      let done = try vtok("tokenize", pictures, "--tokens", "64", "-o", file, "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let rows = try rows(done.out)
      let back = try vtok("detokenize", file, "-o", folder + "/out")
      #expect(back.status == 0, "\(back.error)")
      for row in rows {
        let name = try #require(row["file"] as? String)
        #expect(row["schema"] as? String == "vtok-tokens/1" && row["tokens"] as? Int == 64)
        #expect(row["bytes"] as? Int == 80 && row["bits"] as? Double == 640)
        let (before, after) = (try image(pictures + "/" + name), try image("\(folder)/out/\(name).png"))
        #expect(before.size == after.size && psnr(before, after) > 11, "\(name)")
      }
      let read = try TokenFile(path: file)
      #expect(read.tokenizer == "klt" && read.codebookSize == 1024 && read.sha256.count == 64)
      #expect(read.pictures.map(\.name) == rows.map { $0["file"] as? String })
      #expect(!FileManager.default.fileExists(atPath: file + ".part"))
      // The same bytes whatever the number of threads.
      #expect(try vtok("tokenize", pictures, "--tokens", "64", "--threads", "1", "-o", folder + "/q").status == 0)
      #expect(FileManager.default.contents(atPath: folder + "/q") == FileManager.default.contents(atPath: file))
    }
  }

  @Test func aQualityIsReachedWithTheFewestTokens() throws {
    try inTemporaryFolder { folder in
      let done = try vtok(
        "tokenize", pictures + "/cat.jpg", pictures + "/ship.jpg", pictures + "/page.png", "--psnr", "19", "--tokens",
        "300", "-o", folder + "/p", "--format", "jsonl")
      #expect(done.status == 0, "\(done.error)")
      let klt = try LoadedTokenizer.load("klt").painter
      var counts: [Int] = []
      for row in try rows(done.out) {
        let count = try #require(row["tokens"] as? Int)
        counts.append(count)
        let reached = try #require(row["psnr"] as? Double)
        guard reached >= 19 else {
          #expect(count == 300 && done.error.contains("do not reach"))
          continue
        }
        let original = try image(try #require(row["file"] as? String))
        let tokens = try klt.encode(original, tokens: count)
        #expect(try abs(psnr(original, klt.decode(tokens)) - reached) < 1e-9)
        if count > 1 { #expect(try psnr(original, klt.decode(tokens.prefix(count - 1))) < 19) }
      }
      #expect(Set(counts).count == 3, "as many as every picture needs: \(counts)")
      #expect(try TokenFile(path: folder + "/p").pictures.map(\.tokens.ids.count) == counts)
    }
  }

  @Test func aModelSaysHowManyTokensAreEnough() throws {
    try inTemporaryFolder { folder in
      var totals: [Int] = []
      for most in [0.3, 0.1] {
        let done = try vtok(
          "tokenize", pictures + "/cat.jpg", pictures + "/ship.jpg", "--feature-distance", "\(most)", "-o",
          folder + "/p",
          "--format", "jsonl", "--force")
        #expect(done.status == 0, "\(done.error)")
        let judge = try Pipeline(model: "vtok-tiny")
        let klt = try LoadedTokenizer.load("klt").painter
        var total = 0
        for row in try rows(done.out) {
          let count = try #require(row["tokens"] as? Int)
          let distance = try #require(row["feature_distance"] as? Double)
          let original = try image(try #require(row["file"] as? String))
          func distanced(_ count: Int) throws -> Double {
            let made = try klt.decode(klt.encode(original, tokens: count))
            return try 1 - Statistics.cosine(judge(made).pooled, judge(original).pooled)
          }
          let again = try distanced(count)
          #expect(distance <= most && abs(again - distance) < 1e-9)
          if count > 1 { #expect(try distanced(count - 1) > most) }
          total += count
        }
        totals.append(total)
      }
      #expect(totals[0] < totals[1])
    }
  }

  @Test func badFilesAreRowsAndGoodOnesAreKept() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/in", withIntermediateDirectories: true)
      for (name, from) in [("a.jpg", pictures + "/cat.jpg"), ("b.png", malformed + "/png-trunc-idat.png")] {
        try FileManager.default.copyItem(atPath: from, toPath: folder + "/in/" + name)
      }
      try Data("no picture".utf8).write(to: URL(fileURLWithPath: folder + "/in/c.jpg"))
      let done = try vtok("tokenize", folder + "/in", "--tokens", "4", "-o", folder + "/p", "--format", "jsonl")
      #expect(done.status == 3 && done.error.contains("b.png") && done.error.contains("c.jpg"))
      let rows = try rows(done.out)
      #expect(rows.map { $0["status"] as? String } == ["ok", "failed", "failed"])
      #expect(
        rows.map { ($0["error"] as? [String: Any])?["kind"] as? String } == [nil, "corrupt", "unsupported-format"])
      #expect(try TokenFile(path: folder + "/p").pictures.map(\.name) == ["a.jpg"])
    }
  }

  @Test func mistakesAreNamed() throws {
    try inTemporaryFolder { folder in
      let cat = pictures + "/cat.jpg"
      let output = ["-o", folder + "/p"]
      let mistakes: [([String], Int32, String)] = [
        (["tokenize"] + output, 2, "expected a folder or image files"),
        (["tokenize", folder + "/none"] + output, 2, "no such file"),
        (["tokenize", cat, "--tokens", "0"] + output, 2, "a whole number in 1..."),
        (["tokenize", cat, "--tokens", "5", "--max-bits", "99"] + output, 2, "expected one of them"),
        (["tokenize", cat, "--max-bits", "9"] + output, 2, "expected room for 1 to 4096"),
        (["tokenize", cat, "--psnr", "nan"] + output, 2, "a number in 0...1000"),
        (["tokenize", cat, "--tokenizer", folder] + output, 1, "no weights"),
        (["detokenize", cat] + output, 1, "expected a file of image tokens"),
        (["detokenize", folder + "/none"] + output, 1, "found nothing"),
        (["bench", "--data", pictures, "--tokenizers", "klt", "--method", "tome"], 2, "either tokenizers or methods"),
        (["bench", "--data", pictures, "--side", "64"], 2, "--tokenizers beside it"),
        (["bench", "--data", pictures, "--tokenizers", "klt", "--token-counts", "1,x"], 2, "numbers above 0"),
        (["bench", "--data", pictures, "--tokenizers", "klt", "--token-counts", "9999"], 1, "none of its lengths"),
        (["bench", "--data", pictures, "--tokenizers", "klt", "--also", folder], 2, "no such file"),
        (["tokenize", cat, "--psnr", "20", "--feature-distance", "1"] + output, 2, "expected one of them"),
        (["tokenize", cat, "--feature-distance", "3"] + output, 2, "expected a number in 0...2"),
        (["tokenize", cat, "--model", "vtok-tiny"] + output, 2, "--feature-distance beside it"),
      ]
      for (arguments, status, part) in mistakes {
        let done = try vtok(arguments)
        #expect(done.status == status && done.error.contains(part), "\(arguments): \(done.status) \(done.error)")
        #expect(done.error.split(separator: "\n").count == 1, "\(done.error)")
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "/p"))
      let bits = try vtok(["tokenize", cat, "--max-bits", "99", "--format", "jsonl"] + output)
      #expect(try rows(bits.out)[0]["tokens"] as? Int == 9)
    }
  }

  // MARK: The file

  private func file(_ pictures: [TokenFile.Picture]) throws -> TokenFile {
    TokenFile(try LoadedTokenizer.load("klt"), pictures: pictures)
  }

  private func read(_ bytes: [UInt8]) throws(TokenFileError) -> TokenFile {
    let file = bytes.withUnsafeBytes { MappedFile(copying: $0, name: "test") }
    return try file.withBytes { raw throws(TokenFileError) in try TokenFile(raw, name: "test") }
  }

  private func error(_ bytes: [UInt8]) -> TokenFileError? {
    do throws(TokenFileError) {
      _ = try read(bytes)
      return nil
    } catch {
      return error
    }
  }

  /// The same bytes with the checksum they ought to have.
  private func signed(_ bytes: [UInt8]) -> [UInt8] {
    let body = Array(bytes.dropLast(4))
    return body + body.withUnsafeBytes { withUnsafeBytes(of: crc32($0).littleEndian, Array.init) }
  }

  @Test func everyLengthIsPackedAndUnpacked() throws {
    var random = SeededGenerator(seed: 1)
    let some = (0..<40).map { count in
      TokenFile.Picture(
        name: "ä/\(count).jpg",
        tokens: ImageTokens(
          ids: (0..<count).map { _ in Int(random.next() % 1024) },
          size: Size(width: 1 + count, height: 1 + 37 * count)))
    }
    let whole = try file(some)
    #expect(try read(whole.encoded()) == whole)
    #expect(try read(file([]).encoded()).pictures.isEmpty)
    #expect(TokenFile.bits(codebookSize: 1024) == 10 && TokenFile.bits(codebookSize: 1025) == 11)
    #expect(TokenFile.bits(codebookSize: 64_000) == 16 && TokenFile.bits(codebookSize: 2) == 1)
    #expect(TokenFile.bytes(tokens: 3, codebookSize: 4096) == 5)
  }

  @Test func damagedFilesAreErrors() throws {
    let tokens = ImageTokens(ids: [1, 2, 3, 1023, 0], size: Size(width: 7, height: 9))
    let whole = try file([.init(name: "a", tokens: tokens), .init(name: "b", tokens: tokens.prefix(1))]).encoded()
    #expect(error(whole) == nil)
    for count in 0..<whole.count {
      let cut = Array(whole[..<count])
      #expect(error(cut) != nil, "\(count) bytes")
      if count >= 12 { _ = error(signed(cut)) }  // whatever it is, no crash
    }
    for at in whole.indices {
      for bit in 0..<8 {
        var flipped = whole
        flipped[at] ^= 1 << UInt8(bit)
        let found = error(flipped)
        switch at {
        case ..<7: #expect(found == .notTokens("test"))
        case 7: #expect(found == .version("test", found: Int(flipped[7])))
        default:
          if case .damaged = found {} else { Issue.record("byte \(at), bit \(bit): \(String(describing: found))") }
        }
        _ = error(signed(flipped))
      }
    }
    #expect(error(signed(whole + [0, 0, 0, 0])) != nil, "bytes of no picture")
  }

  @Test func hostileFilesAreErrors() throws {
    let tokens = ImageTokens(ids: [1, 2, 3], size: Size(width: 7, height: 9))
    let whole = try file([.init(name: "a", tokens: tokens)]).encoded()
    // 8 magic, 4 name, 32 checksum; then sizes of codebook and list, name, width, height, count, 4 bytes of tokens.
    let codebook = 44
    let list = 48
    let width = 55
    let count = 59
    func changed(_ at: Int, _ bytes: [UInt8]) -> String {
      var copy = whole
      copy.replaceSubrange(at..<at + bytes.count, with: bytes)
      return error(signed(copy)).map { "\($0)" } ?? "nothing"
    }
    #expect(changed(codebook, [0, 0, 0, 0]).contains("0 different tokens"))
    #expect(changed(codebook, [255, 255, 255, 255]).contains("an end within a record"))
    #expect(changed(codebook, [3, 0, 0, 0]) != "nothing")
    #expect(changed(list, [255, 255, 255, 255]).contains("an end within a record"))
    #expect(changed(list, [0, 0, 0, 0]).contains("bytes of no picture"))
    #expect(changed(width, [0, 0]).contains("a picture of 0x9"))
    #expect(changed(width, [255, 255, 255, 255]).contains("a picture of 65535x65535"))
    #expect(changed(count, [255, 255, 255, 255]).contains("an end within a record"))
    #expect(changed(count + 7, [1]).contains("does not have"), "bits behind the last token")
  }

  @Test func namesStayBelowTheFolder() throws {
    try inTemporaryFolder { folder in
      let tokens = ImageTokens(ids: [5], size: Size(4))
      try file([.init(name: "../../../evil", tokens: tokens), .init(name: "/etc/x/../y", tokens: tokens)])
        .write(to: folder + "/p")
      #expect(try vtok("detokenize", folder + "/p", "-o", folder + "/a/out").status == 0)
      #expect(Set(files(folder + "/a").keys) == ["out/evil.png", "out/etc/x/y.png"])
    }
  }

  @Test func anotherTokenizerIsRefused() throws {
    try inTemporaryFolder { folder in
      let cat = pictures + "/cat.jpg"
      #expect(try vtok("tokenize", cat, "--tokens", "2", "-o", folder + "/p").status == 0)
      var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/p")))
      bytes[20] ^= 1  // of the weights' checksum
      try Data(signed(bytes)).write(to: URL(fileURLWithPath: folder + "/p"))
      let other = try vtok("detokenize", folder + "/p", "-o", folder + "/out")
      #expect(other.status == 1 && other.error.contains("written by 'klt' with weights"))
      bytes[9] = UInt8(ascii: "x")  // of the name
      try Data(signed(bytes)).write(to: URL(fileURLWithPath: folder + "/p"))
      let unknown = try vtok("detokenize", folder + "/p", "-o", folder + "/out")
      #expect(unknown.status == 2 && unknown.error.contains("Add --tokenizer DIR"))
    }
  }

  /// The weights of One-D-Piece come as pickles: none of these may run, crash or be taken for a model.
  @Test func hostileWeightsAreErrors() throws {
    try inTemporaryFolder { folder in
      let whole = [UInt8](
        try Data(contentsOf: URL(fileURLWithPath: repository + "/Tests/WeightsTests/PyTorch/zip.pth")))
      let evil = Array("\u{80}\u{2}cposix\nsystem\nX".utf8)
      let files: [([UInt8], String)] = [
        ([], "pytorch_model.bin"), ([0, 1, 2, 3], "pytorch_model.bin"), (Array(whole.dropLast(40)), "archive"),
        (Array(whole.prefix(whole.count / 2)), "pytorch_model.bin"),
        ([0x80, 2] + evil.dropFirst(3), "pytorch_model.bin"),
        (whole, "no model family fits"), ([UInt8](repeating: 0xFF, count: 4096), "pytorch_model.bin"),
      ]
      for (index, (bytes, part)) in files.enumerated() {
        try Data(bytes).write(to: URL(fileURLWithPath: folder + "/pytorch_model.bin"))
        let done = try vtok("tokenize", pictures + "/cat.jpg", "--tokenizer", folder, "-o", folder + "/p")
        #expect(done.status == 1 && done.error.contains(part), "\(index): \(done.status) \(done.error)")
        #expect(done.error.split(separator: "\n").count == 1 && !FileManager.default.fileExists(atPath: folder + "/p"))
      }
    }
  }

  // MARK: Bench

  @Test func ratesAndDistortionsAreRows() throws {
    try inTemporaryFolder { folder in
      let flags = ["bench", "--data", pictures, "--tokenizers", "klt", "--token-counts", "1,64,1024", "--limit", "3"]
      let report = folder + "/report"
      let done = try vtok(
        flags + ["--side", "128", "--format", "json", "--report", report, "--sheet", pictures + "/cat.jpg"])
      #expect(done.status == 0, "\(done.error)")
      let rows = try #require(JSONSerialization.jsonObject(with: Data(done.out.utf8)) as? [[String: Any]])
      #expect(
        rows.map { $0["coder"] as? String } == Array(repeating: "klt", count: 3) + Array(repeating: "jpeg", count: 18))
      func psnr(_ row: [String: Any]) -> Double { (row["psnr"] as? [String: Any])?["of_mean_mse"] as? Double ?? 0 }
      #expect(rows.prefix(3).map { $0["bytes"] as? Double } == [2, 80, 1280])
      #expect(psnr(rows[0]) < psnr(rows[1]) && psnr(rows[1]) < psnr(rows[2]))
      for row in rows {
        #expect(row["schema"] as? String == "vtok-bench-tokenizers/1" && row["images"] as? Int == 3)
        #expect((row["ssim"] as? Double ?? 2) <= 1 && row["top1_agreement"] is Double && row["pooled_cosine"] is Double)
        #expect(((row["ms"] as? [String: Any])?["decode"] as? Double ?? 0) > 0)
      }
      for name in ["psnr.svg", "ssim.svg", "agreement.svg"] {
        let svg = try String(contentsOfFile: report + "/" + name, encoding: .utf8)
        #expect(svg.hasPrefix("<svg xmlns") && svg.hasSuffix("</svg>\n") && !svg.contains("nan"))
        #expect(svg.components(separatedBy: "<circle").count - 1 == 21)
      }
      #expect(try image(report + "/sheet.png").size == Size(width: 4 * 128 + 3 * 6, height: 128))
      // What another program made is judged with the rest.
      let names = ["airplane-alpha.png", "automobile-palette.png", "cat.jpg"]
      func coders(_ names: [String], bytes: Int = 70) throws {
        let list = names.map { "\"\($0)\": {\"bytes\": \(bytes), \"encode_ms\": 1.5, \"decode_ms\": 0.5}" }
        let entry = "\"coder\": \"grey\", \"setting\": \"128\", \"scale\": 1, \"folder\": \"g\""
        let text = "[{\(entry), \"pictures\": {\(list.joined(separator: ", "))}}]"
        try WholeFile.write(text, to: folder + "/coders.json")
      }
      try FileManager.default.createDirectory(atPath: folder + "/g", withIntermediateDirectories: true)
      for name in names {
        let grey = Image(width: 128, height: 128, colour: [128, 128, 128])
        try WholeFile.write(grey.pngData(), to: "\(folder)/g/\(name).png")
      }
      try coders(names)
      let also = try vtok(flags + ["--side", "128", "--format", "json", "--also", folder])
      #expect(also.status == 0, "\(also.error)")
      let joined = try #require(JSONSerialization.jsonObject(with: Data(also.out.utf8)) as? [[String: Any]])
      let grey = try #require(joined.last)
      #expect(joined.count == 22 && grey["coder"] as? String == "grey" && grey["bits"] as? Double == 560)
      #expect((grey["ms"] as? [String: Any])?["encode"] as? Double == 1.5 && psnr(grey) > 5 && psnr(grey) < 20)
      let equal = joined.map { ($0["psnr_at_equal_bytes"] as? [String: Any])?["grey"] as? Double }
      #expect(equal == [nil, nil, nil] + [Double?](repeating: nil, count: 19), "one setting is no curve")
      for (names, part) in [([], "nothing about"), (names + ["x"], "128x128")] {
        try coders(names)
        let refused = try vtok(flags + ["--side", part == "128x128" ? "64" : "128", "--also", folder])
        #expect(refused.status == 2 && refused.error.contains(part), "\(refused.error)")
      }
      try coders(names, bytes: 0)
      #expect(try vtok(flags + ["--also", folder]).error.contains("without bytes"))
    }
  }
}
