import Foundation
import Testing
import VTok

/// `vtok similar`, and what else becomes of tokenizers that describe images and do not paint them.
@Suite struct SimilarTests {
  private func rows(_ text: String) throws -> [JSON] {
    try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
  }

  @Test func imagesAreFoundByTheirTokens() throws {
    try inTemporaryFolder { folder in
      let file = folder + "/p.vtokens"
      let written = try vtok("tokenize", pictures, "--tokenizer", seed, "-o", file, "--format", "jsonl")
      #expect(written.status == 0, "\(written.error)")
      let count = try rows(written.out).count
      // 32 of 128 codes: 7 bits each.
      #expect(try rows(written.out).allSatisfy { $0["tokens"]?.int == 32 && $0["bytes"]?.int == 28 })
      let found = try vtok(
        "similar", file, pictures + "/cat.jpg", "--tokenizer", seed, "--top", "100", "--format", "jsonl")
      #expect(found.status == 0, "\(found.error)")
      let answers = try rows(found.out)
      #expect(answers.count == count && answers[0]["file"]?.string == "cat.jpg")
      #expect(answers.map { $0["rank"]?.int } == Array(1...count) && answers[0]["schema"]?.string == "vtok-similar/1")
      let cosines = answers.compactMap { $0["cosine"]?.double }
      #expect(abs(cosines[0] - 1) < 1e-6 && cosines == cosines.sorted(by: >))
      // Its own tokens say the same, and it is not its own answer.
      let named = try vtok(
        "similar", file, "--name", "cat.jpg", "--tokenizer", seed, "--top", "2", "--threads", "1", "--format", "jsonl")
      #expect(named.status == 0, "\(named.error)")
      #expect(try rows(named.out).map { $0["cosine"]?.double } == Array(cosines[1...2]))
      // The cosine of the library's features.
      let model = try LoadedTokenizer.load(seed).describer
      let tokens = try TokenFile(path: file).pictures
      let own = try model.feature(of: tokens.first { $0.name == "cat.jpg" }!.tokens)
      let second = try #require(tokens.first { $0.name == answers[1]["file"]?.string })
      #expect(try Statistics.cosine(own, model.feature(of: second.tokens)) == cosines[1])
    }
  }

  @Test func unreadableImagesAreRows() throws {
    try inTemporaryFolder { folder in
      let file = folder + "/p.vtokens"
      #expect(try vtok("tokenize", pictures + "/cat.jpg", "--tokenizer", seed, "-o", file).status == 0)
      let found = try vtok(
        "similar", file, malformed + "/png-trunc-idat.png", pictures + "/ship.jpg", "--tokenizer", seed, "--format",
        "jsonl")
      #expect(found.status == 3 && found.error.contains("png-trunc-idat.png"))
      #expect(try rows(found.out).map { $0["status"]?.string } == ["failed", "ok"])
    }
  }

  @Test func imagesInArchivesAreLookedFor() throws {
    try inTemporaryFolder { folder in
      let file = folder + "/p.vtokens"
      #expect(try vtok("tokenize", pictures, "--tokenizer", seed, "-o", file).status == 0)
      #expect(try shell("tar -cf q.tar -C \(quoted(pictures)) cat.jpg ship.jpg", in: folder).status == 0)
      let found = try vtok("similar", file, folder + "/q.tar", "--tokenizer", seed, "--top", "1", "--format", "jsonl")
      #expect(found.status == 0, "\(found.error)")
      #expect(try rows(found.out).map { $0["file"]?.string } == ["cat.jpg", "ship.jpg"])
    }
  }

  @Test func mistakesAreNamed() throws {
    try inTemporaryFolder { folder in
      let (cat, file, short) = (pictures + "/cat.jpg", folder + "/p.vtokens", folder + "/short.vtokens")
      let klt = folder + "/klt.vtokens"
      #expect(try vtok("tokenize", cat, "--tokenizer", seed, "-o", file).status == 0)
      #expect(try vtok("tokenize", cat, "--tokenizer", seed, "--tokens", "8", "-o", short).status == 0)
      #expect(try vtok("tokenize", cat, "--tokens", "8", "-o", klt).status == 0)
      let bench = ["bench", "--data", pictures, "--tokenizers", seed]
      let mistakes: [([String], Int32, String)] = [
        (["similar", file, "--tokenizer", seed], 2, "nothing to look for"),
        (["similar", file, "--name", "dog", "--tokenizer", seed], 2, "one of the 1 images"),
        (["similar", file, cat, "--tokenizer", "klt"], 1, "give no vector"),
        (["similar", klt, cat, "--tokenizer", seed], 1, "written by 'klt'"),
        (["similar", short, cat, "--tokenizer", seed], 1, "8 tokens, expected all 32"),
        (["tokenize", cat, "--tokenizer", seed, "--psnr", "20", "-o", folder + "/q"], 1, "become no pictures"),
        (["detokenize", file, "--tokenizer", seed, "-o", folder + "/out"], 1, "become no pictures"),
        (bench, 1, "become no pictures"),
      ]
      for (arguments, status, part) in mistakes {
        let done = try vtok(arguments)
        #expect(done.status == status && done.error.contains(part), "\(arguments): \(done.status) \(done.error)")
        #expect(done.error.split(separator: "\n").count == 1, "\(done.error)")
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "/q"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
    }
  }

  @Test func inspectSaysWhatTokensBecome() throws {
    let about = try vtok("inspect", seed)
    #expect(about.status == 0 && about.out.contains("seed, a") && about.out.contains("24 numbers"))
    #expect(about.out.contains("none: tokens are not turned back"))
    let bae = try vtok("inspect", repository + "/Tests/Golden/Cases/bae/tiny-a")
    #expect(bae.status == 0 && bae.out.contains("8.00 bits a token") && !bae.out.contains("not turned back"))
  }
}
