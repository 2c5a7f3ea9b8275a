import Foundation
import VTok

/// Seconds and memory of FlexTok: `tokenizer FOLDER [THREADS [TOKENS [STEPS]]]`, FOLDER as published or from
/// `flextok-random.py`. Times are the best of three runs. The peak of memory counts the mapped file, too.
@main struct Tokenizer {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard (2...5).contains(arguments.count) else { fatalError("usage: tokenizer FOLDER [THREADS [TOKENS [STEPS]]]") }
    let numbers = arguments.dropFirst(2).map { Int($0)! } + [1, 256, 25].dropFirst(arguments.count - 2)
    let (threads, tokens, steps) = (numbers[0], numbers[1], numbers[2])
    print("\(cpuLevel), \(Machine.blas), sgemm \(Int(Machine.sgemm(repeats: 8))) GFLOP/s a thread; \(threads) threads")

    var model: FlexTok!
    try report("load", runs: 1) { model = try FlexTok.load(Checkpoint(directory: arguments[1])) }
    let side = model.imageSize
    let pixels = Tensor(
      normalNoise(seed: 0, count: 3 * side.width * side.height), shape: [3, side.height, side.width])
    let latents = try model.latents(of: pixels, threads: threads)
    try report("autoencoder, encode") { _ = model.autoencoder.encode(pixels, threads: threads) }
    var ids: [Int] = []
    try report("all of encode, \(tokens) tokens") {
      ids = try model.encode(pixels: pixels, tokens: tokens, threads: threads)
    }
    for (name, guidance) in [("no guidance", Guidance.none), ("guidance", .adaptiveProjected(7.5))] {
      try report("a step of the flow, \(tokens) tokens, \(name)") {
        _ = try model.decodeLatents(ids, from: latents, steps: 1, guidance: guidance, threads: threads)
      }
    }
    try report("autoencoder, decode") { _ = model.decode(latents: latents, threads: threads) }
    for (name, guidance) in [("no guidance", Guidance.none), ("guidance", .adaptiveProjected(7.5))] {
      try report("all of decode, \(tokens) tokens, \(steps) steps, \(name)", runs: 1) {
        _ = try model.decode(ids, steps: steps, guidance: guidance, threads: threads)
      }
    }
  }

  static func report(_ what: String, runs: Int = 3, _ body: () throws -> Void) throws {
    let clock = ContinuousClock()
    var best = Double.infinity
    for _ in 0..<runs {
      let start = clock.now
      try body()
      best = min(best, start.duration(to: clock.now) / .seconds(1))
    }
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    func megabytes(_ key: String) -> Int {
      let line = status.split(separator: "\n").first { $0.hasPrefix(key) }
      return (line?.split(separator: " ").dropFirst().first).flatMap { Int($0) }.map { $0 / 1024 } ?? 0
    }
    let memory = "peak \(megabytes("VmHWM:")) MB, now \(megabytes("RssAnon:")) of its own"
    print(String(format: "%8.3f s  %@ (%@)", best, what as NSString, memory as NSString))
    fflush(nil)
  }
}
