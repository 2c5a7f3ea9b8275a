import Foundation
import Testing
import VTok

/// Predicted memory, and `--max-memory`.
@Suite struct MemoryTests {
  /// What a run takes is within a sixth of what was predicted, on a model of 115 million weights with a vocabulary of Qwen's size.
  @Test func predictionsAreNearMeasuredPeaks() throws {
    try inTemporaryFolder { folder in
      let model = folder + "/model"
      let made = try shell(
        "python3 \(quoted(repository + "/Benchmarks/random_models.py")) qwen3-vl small \(quoted(model))", in: folder)
      #expect(made.status == 0, "\(made.error)")
      let picture = folder + "/picture.png"
      try WholeFile.write(Image(width: 448, height: 320, colour: [90, 120, 20]).pngData(), to: picture)
      for precision in ["f32", "int8"] {
        let done = try vtok(
          "generate", "--model", model, "--image", picture, "--prompt", "what is it?", "--max-tokens", "2", "--threads",
          "2",
          "--precision", precision, "--format", "json", "--max-memory", "4GB")
        let row = try #require(JSON(parsing: done.out)[0], "\(done.error)")
        let measured = try #require(row["peak_memory_mb"]?.double)
        let predicted = try #require(row.value(at: "memory.predicted_mb")?.double)
        #expect(
          abs(predicted / measured - 1) < 1.0 / 6, "\(precision): \(predicted) MB predicted, \(measured) measured")
        #expect(row.value(at: "memory.read_at")?[0]?.ints == [448, 320])
        let named = try vtok(
          "flops", "--model", model, "--image-size", "448x320", "--text-tokens", "20", "--new-tokens", "2",
          "--precision",
          precision, "--threads", "2", "--format", "json")
        let told = try #require(JSON(parsing: named.out).value(at: "memory.peak_mb")?.double)
        #expect(abs(told / predicted - 1) < 0.05)
      }
    }
  }

  /// A picture of which as much is read as fits, and a model that fits with none.
  @Test func picturesAreReadSmaller() throws {
    try inTemporaryFolder { folder in
      let model = try TinyModel.make("qwen2vl-tiny-a", in: folder)
      try write(
        #"{"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 1000000}"#,
        model + "/preprocessor_config.json")
      let picture = folder + "/picture.png"
      try WholeFile.write(Image(width: 600, height: 400, colour: [90, 120, 20]).pngData(), to: picture)
      let base = ["generate", "--model", model, "--image", picture, "--prompt", "what?", "--max-tokens", "2"]
      func row(_ more: String...) throws -> (JSON, String) {
        let done = try vtok(base + ["--format", "json", "--threads", "1"] + more)
        return (try #require(JSON(parsing: done.out)[0], "\(done.error)"), done.error)
      }
      let (limited, said) = try row("--max-memory", "30MB")
      let size = try #require(limited.value(at: "memory.read_at")?[0]?.ints)
      #expect(said.contains("--max-memory") && said.contains("600x400 at \(size[0])x\(size[1])"), "\(said)")
      #expect(size[0] < 600 && size[0] > 60 && abs(size[0] * 2 - size[1] * 3) <= 4)
      #expect(try #require(limited.value(at: "memory.predicted_mb")?.double) <= 30)
      // The answer is that to the smaller picture.
      let small = try Image.decode(contentsOf: picture).image.shrunk(to: Size(width: size[0], height: size[1]))
      try WholeFile.write(small.pngData(), to: picture)
      let alone = try row().0
      #expect(alone["ids"] == limited["ids"] && alone["tokens"] == limited["tokens"])

      let refused = try vtok(base + ["--max-memory", "20MB"])
      #expect(refused.status == 2 && refused.isOneError && refused.out.isEmpty, "\(refused.error)")
      #expect(refused.error.contains("smallest pictures, expected at most 20 MB"), "\(refused.error)")
    }
  }

  @Test(arguments: ["6", "GB", "-1GB", "0MB", "6 TB", "1e400GB", "nanGB"]) func nonsenseIsRefused(_ size: String) throws
  {
    let done = try vtok("prune", pictures, "-o", "out", "--max-memory=\(size)")
    #expect(done.status == 2 && done.isOneError && done.error.contains("--max-memory"), "\(done.error)")
  }

  /// Of a job the limit is part, and so is what pictures are read with.
  @Test func jobsSayIt() throws {
    try inTemporaryFolder { folder in
      let done = try vtok("prune", pictures, "-o", folder + "/out", "--max-memory", "500MB", "--quiet")
      #expect(done.status == 0, "\(done.error)")
      let job = try String(contentsOfFile: folder + "/out/job.yaml", encoding: .utf8)
      #expect(job.contains("max-memory: \"524288000B\""), "\(job)")
      let again = try vtok("prune", "--config", folder + "/out/job.yaml", "-o", folder + "/out", "--quiet")
      #expect(again.status == 0, "\(again.error)")
      let refused = try vtok("prune", pictures, "-o", folder + "/other", "--max-memory", "8MB")
      #expect(refused.status == 2 && refused.error.contains("expected at most 8 MB"), "\(refused.error)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/other/manifest.jsonl"))
    }
  }
}
