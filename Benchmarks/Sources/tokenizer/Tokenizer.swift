import Foundation
import VTok

/// Seconds and memory of an image tokenizer as JSON: `tokenizer FOLDER [THREADS]`, FOLDER as published or from
/// `one-d-piece-random.py` or `flextok-random.py`. Stages are the best of three runs, after one that warms up. The peak of
/// memory counts the mapped file, too. `random-tokenizers.py` calls it.
@main struct Tokenizer {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard (2...3).contains(arguments.count), let threads = Int(arguments.count == 3 ? arguments[2] : "1") else {
      fatalError("usage: tokenizer FOLDER [THREADS]")
    }
    let sgemm = Machine.sgemm(repeats: 8)
    var loaded: LoadedTokenizer!
    let load = try seconds { loaded = try LoadedTokenizer.load(arguments[1]) }
    let tokenizer = try loaded.painter
    var stages: [(String, JSON)] = []
    func stage(_ name: String, runs: Int = 3, _ body: () throws -> Void) throws {
      try body()
      var best = Double.infinity
      for _ in 0..<runs { best = min(best, try seconds(body)) }
      stages.append((name, JSON(best)))
      FileHandle.standardError.write(Data(String(format: "%9.4f s  %@\n", best, name as NSString).utf8))
    }

    var image = Image(width: 320, height: 256, colour: [0, 0, 0])
    for (index, value) in normalNoise(seed: 0, count: image.rgb.count).enumerated() {
      image.rgb[index] = UInt8(min(max(128 + 40 * value, 0), 255))
    }
    let lengths = tokenizer.lengths(for: tokenizer.prepare(image).size)
    var all: ImageTokens!
    try stage("encode") { all = try tokenizer.encode(image, tokens: nil, threads: threads) }
    for count in [1, 32, 128, 256] where lengths.contains(count) {
      try stage("decode \(count) tokens", runs: 1) {
        _ = try tokenizer.decode(all.prefix(count), seed: 0, threads: threads)
      }
    }
    if let model = tokenizer as? OneDPiece {
      let cells = model.cells(all.ids, threads: threads)
      try stage("pixel decoder") { _ = model.painted(cells, threads: threads) }
    }
    if let model = tokenizer as? FlexTok {
      let pixels = model.processor(image)
      let latents = try model.latents(of: pixels, threads: threads)
      try stage("autoencoder, encode") { _ = model.autoencoder.encode(pixels, threads: threads) }
      try stage("autoencoder, decode") { _ = model.decode(latents: latents, threads: threads) }
      for (name, guidance) in [("without", Guidance.none), ("with", .adaptiveProjected(7.5))] {
        try stage("a step \(name) guidance") {
          _ = try model.decodeLatents(all.ids, from: latents, steps: 1, guidance: guidance, threads: threads)
        }
      }
    }
    let result: JSON = [
      "tokenizer": JSON(tokenizer.name), "threads": JSON(threads), "cpu_level": JSON(cpuLevel),
      "blas": JSON(Machine.blas), "sgemm_gflops": JSON(max(sgemm, Machine.sgemm(repeats: 8))), "load_s": JSON(load),
      "seconds": .object(JSONObject(stages)), "peak_memory_mb": JSON(Machine.peakMemory),
    ]
    print(result.text())
  }

  static func seconds(_ body: () throws -> Void) throws -> Double {
    let start = ContinuousClock().now
    try body()
    return start.duration(to: ContinuousClock().now) / .seconds(1)
  }
}
