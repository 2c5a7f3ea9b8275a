import Foundation
import VTok

/// The vtok side of `speed.py`: reads one request a line, `WHAT PRECISION SECONDS`, works so long on one thread, and answers with
/// images per second (median over the images of the request) and multiply-adds. `WHAT` is a method, with a share of its tokens
/// to keep behind an @, or `dense`.
@main struct Speed {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 2 else { fatalError("usage: speed MODEL-DIR") }
    var models: [Precision: LoadedModel] = [:]
    for precision in [Precision.f32, .bf16, .int8] {
      models[precision] = try LoadedModel.load(arguments[1], precision: precision)
    }
    let shape = models[.f32]!.vision.shape
    let tower = models[.f32]!.vision.tower.shape
    var generator = SeededGenerator(seed: 0)
    let (height, width) = (tower.rows * tower.patch, tower.columns * tower.patch)
    let pixels = Tensor((0..<3 * height * width).map { _ in generator.normal() }, shape: [3, height, width])
    let clock = ContinuousClock()
    print("ready \(cpuLevel) \(Machine.blas)")
    fflush(nil)
    while let line = readLine() {
      let words = line.split(separator: " ").map(String.init)
      guard words.count == 3, let model = Precision(rawValue: words[1]).flatMap({ models[$0] }),
        let seconds = Double(words[2])
      else { fatalError("request '\(line)'") }
      let parts = words[0].split(separator: "@").map(String.init)
      let keep = parts.count > 1 ? Double(parts[1]).map(Budget.ratio) : nil
      let composition =
        parts[0] == "dense" ? .dense(shape) : try Composition(MethodSpec(parts[0]).make(budget: keep), for: shape)
      var times: [Double] = []
      var macs = 0
      let start = clock.now
      repeat {
        var run = Run(composition)
        let mark = clock.now
        _ = try model.vision(pixels, run: &run)
        times.append(mark.duration(to: clock.now) / .seconds(1))
        macs = Cost(of: run.trace, shape: shape).macs
      } while start.duration(to: clock.now) < .seconds(seconds)
      print(1 / median(times), macs)
      fflush(nil)
    }
  }
}
