import Foundation
import Testing
import VTok

/// `--raw-orientation`, `--alpha` and the endings of images that are written.
@Suite struct ImageFlagTests {
  private let kinds = repository + "/Tests/ImageTests/Kinds"

  private func image(_ folder: String) throws -> [String: Any] {
    let line = try #require(
      try String(contentsOfFile: folder + "/manifest.jsonl", encoding: .utf8).split(separator: "\n").first)
    let row = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    return try #require(row?["image"] as? [String: Any])
  }

  private func tokens(_ folder: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder + "/tokens-00000.safetensors"))
  }

  @Test func manifestAndOverlayAreUpright() throws {
    try inTemporaryFolder { folder in
      let cases: [(String, [String], [Int])] = [("upright", [], [9, 13]), ("raw", ["--raw-orientation"], [13, 9])]
      let input = folder + "/in"
      try FileManager.default.createDirectory(atPath: input, withIntermediateDirectories: false)
      try FileManager.default.copyItem(atPath: kinds + "/exif8.webp", toPath: input + "/a.webp")
      for (name, flags, size) in cases {
        let out = "\(folder)/\(name)"
        let done = try vtok(["prune", input, "--overlay", "-o", out] + flags)
        #expect(done.status == 0, "\(done.error)")
        let row = try image(out)
        #expect(row["width"] as? Int == size[0] && row["height"] as? Int == size[1])
        #expect(row["format"] as? String == "webp")
        let overlay = try Image.decode(contentsOf: out + "/overlays/a.webp.png").image
        #expect((overlay.width < overlay.height) == (size[0] < size[1]))
        let job = try String(contentsOfFile: out + "/job.yaml", encoding: .utf8)
        #expect(job.contains("raw-orientation: \(!flags.isEmpty)\n") && job.contains("alpha: \"white\"\n"))
        // The job file makes the same job again.
        let again = try vtok("prune", "--config", out + "/job.yaml", "-o", out + "-again")
        #expect(again.status == 0, "\(again.error)")
        #expect(try tokens(out + "-again") == tokens(out))
      }
      #expect(try tokens(folder + "/upright") != tokens(folder + "/raw"))
    }
  }

  /// Another rule is another job, and other tokens.
  @Test func alphaIsPartOfTheJob() throws {
    try inTemporaryFolder { folder in
      let path = kinds + "/rgba8.png"
      #expect(try vtok("prune", path, "-o", folder + "/white").status == 0)
      #expect(try vtok("prune", path, "--alpha", "drop", "-o", folder + "/drop").status == 0)
      #expect(try tokens(folder + "/white") != tokens(folder + "/drop"))
      let mixed = try vtok("prune", path, "--alpha", "drop", "-o", folder + "/white")
      #expect(mixed.status == 2 && mixed.error.contains("--force"), "\(mixed.error)")
    }
  }

  /// Images turned before were not by default: neither value of the old key can be passed over.
  @Test(arguments: [true, false]) func oldJobFilesAreRefused(value: Bool) throws {
    try inTemporaryFolder { folder in
      try "keep-tokens: 32\napply-exif: \(value)\n".write(
        toFile: folder + "/job.yaml", atomically: true, encoding: .utf8)
      let done = try vtok("prune", pictures + "/cat.jpg", "--config", folder + "/job.yaml", "-o", folder + "/out")
      #expect(done.status == 2 && done.error.contains("raw-orientation: true"), "\(done.error)")
      #expect(done.error.split(separator: "\n").count == 1)
    }
  }

  @Test func formatsThatAreNotReadAreRows() throws {
    try inTemporaryFolder { folder in
      let names = ["animated.webp", "lossy.webp", "peacock.progressive.scan000.jpeg"]
      let inputs = names.map { kinds + "/" + $0 } + [malformed + "/other.gif"]
      let done = try vtok(["prune"] + inputs + ["-o", folder + "/out"])
      #expect(done.status == 3)
      let lines = try String(contentsOfFile: folder + "/out/manifest.jsonl", encoding: .utf8).split(separator: "\n")
      var found: [String] = []
      for line in lines {
        let row = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        found.append((row?["error"] as? [String: Any])?["kind"] as? String ?? "none")
      }
      #expect(found == ["unsupported-format", "none", "corrupt", "unsupported-format"])
    }
  }

  /// What is written is what the ending says.
  @Test(arguments: [("map.png", ImageFormat.png), ("map.JPG", .jpeg), ("map.jpeg", .jpeg), ("map.webp", .webp)])
  func showWritesWhatTheEndingSays(name: String, format: ImageFormat) throws {
    try inTemporaryFolder { folder in
      let done = try vtok("show", kinds + "/exif6.png", "--method", "divprune", "-o", folder + "/" + name)
      #expect(done.status == 0, "\(done.error)")
      let map = try Image.decode(contentsOf: folder + "/" + name)
      #expect(map.format == format && map.image.width < map.image.height)
    }
  }
}
