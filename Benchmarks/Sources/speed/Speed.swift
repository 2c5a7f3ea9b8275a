import Foundation
import VTok

/// The vtok side of `speed.py`: reads one request a line, `WHAT SECONDS`, works so long on one thread, and answers with
/// one number. `sgemm` gives GFLOP/s, everything else images per second (median over the images of the request).
@main struct Speed {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 2 else { fatalError("usage: speed MODEL-DIR") }
    let model = try LoadedModel.load(arguments[1])
    let tower = model.vision.tower.shape
    var generator = SeededGenerator(seed: 0)
    let (height, width) = (tower.rows * tower.patch, tower.columns * tower.patch)
    let pixels = Tensor((0..<3 * height * width).map { _ in generator.normal() }, shape: [3, height, width])
    let dense = Composition.dense(model.vision.shape)
    let clock = ContinuousClock()
    print("ready \(cpuLevel) \(Machine.blas)")
    fflush(nil)
    while let line = readLine() {
      let words = line.split(separator: " ")
      guard words.count == 2, let seconds = Double(words[1]) else { fatalError("request '\(line)'") }
      if words[0] == "sgemm" {
        let start = clock.now
        var best = 0.0
        repeat { best = max(best, Machine.sgemm(repeats: 4)) } while start.duration(to: clock.now) < .seconds(seconds)
        print(best)
      } else if words[0] == "macs" {
        print(Cost(denseWith: tower.patches, shape: model.vision.shape).macs)
      } else {
        let composition =
          words[0] == "dense"
          ? dense : try Composition(MethodSpec(String(words[0])).make(budget: nil), for: model.vision.shape)
        var times: [Double] = []
        var macs = 0
        let start = clock.now
        repeat {
          var run = Run(composition)
          let mark = clock.now
          _ = try model.vision(pixels, run: &run)
          times.append(mark.duration(to: clock.now) / .seconds(1))
          macs = Cost(of: run.trace, shape: model.vision.shape).macs
        } while start.duration(to: clock.now) < .seconds(seconds)
        print(1 / median(times), macs)
      }
      fflush(nil)
    }
  }
}
