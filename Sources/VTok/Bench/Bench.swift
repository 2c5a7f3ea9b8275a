import Foundation
import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokTensor

/// Many ways to reduce one model's tokens on the same images.
///
/// All of them run on an image before the next one is opened, the dense model first: every comparison is paired, and
/// times of one row and another come from the same seconds of the machine. Blocks before a method's first look are those of
/// the dense run: they are not computed again, and count in every row with the time they took.
public struct Bench: Sendable {
  public typealias Contender = VTok.Contender<Pipeline>

  /// What one run on one image gave.
  public struct Outcome: Sendable {
    /// Class of the largest logit, and whether it and one of the five largest is the label; nil without labels or head.
    public var top: Int?
    public var isRight: Bool?, isInTop5: Bool?
    /// Against the dense model on the same image.
    public var agrees: Bool?
    public var divergence: Double?, cosine = 1.0
    public var tokensIn = 0, tokensOut = 0, meanTokens = 0.0
    public var gmacs = 0.0, denseGmacs = 0.0, selectionGmacs = 0.0
    /// Milliseconds: by the clock, and of this thread's processor.
    public var tower = 0.0, selection = 0.0, towerCPU = 0.0, selectionCPU = 0.0
  }

  /// One image with the outcomes of all contenders and seeds.
  public struct ImageResult: Sendable {
    public let index: Int
    /// Milliseconds.
    public var decode = 0.0, preprocess = 0.0
    /// `[contender][seed]`
    public var outcomes: [[Outcome]] = []
    public var failure: String?
  }

  public let model: LoadedModel
  public let data: LabelledImages
  /// The dense model first.
  public let contenders: [Contender]
  public let threads: Int
  public let decode: DecodeOptions
  public let seed: UInt64

  public init(
    _ model: LoadedModel, data: LabelledImages, contenders: [Contender], threads: Int = 1,
    decode: DecodeOptions = .init(), seed: UInt64 = 0
  ) throws {
    (self.model, self.data, self.threads, self.decode, self.seed) = (model, data, threads, decode, seed)
    let dense = Contender(method: "dense", asked: .nothing, subject: try Pipeline(model, method: nil))
    self.contenders = [dense] + contenders
  }

  /// Runs everything; results by image, in the data's order. Cancelled images are left out.
  public func run(
    limit: Int? = nil, progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [ImageResult] {
    let count = min(limit ?? data.count, data.count)
    if count > 0 { _ = try result(0) }  // warms up: pages, caches, BLAS
    return try inOrder(count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let result = try result(index)
      return (result, result.failure == nil)
    }
  }

  private func result(_ index: Int) throws -> ImageResult {
    var result = ImageResult(index: index)
    let clock = ContinuousClock()
    var mark = clock.now
    let image: Image
    do {
      image = try data.image(index, options: decode)
    } catch {
      result.failure = error.description
      return result
    }
    result.decode = mark.duration(to: clock.now) / .milliseconds(1)
    mark = clock.now
    let usual = contenders[0].subject.prepare(image)
    result.preprocess = mark.duration(to: clock.now) / .milliseconds(1)
    let label = data.items[index].label
    var dense: PrunedImage?
    let shared = SharedBlocks()
    for contender in contenders {
      var outcomes: [Outcome] = []
      let pipeline = contender.subject
      for own in contender.seeds {
        let prepared = pipeline.composition.patches == nil ? usual : pipeline.prepare(image)
        let keeping = shared.keeping
        let start = threadSeconds()
        let pruned = try pipeline.run(prepared, seed: mixedSeed(seed &+ own, data.items[index].name), shared: shared)
        // Keeping blocks for others is no part of a run; blocks that others have run are.
        let cpu = threadSeconds() - start - (shared.keeping - keeping) + pruned.trace.sharedSeconds
        let reference = dense ?? pruned
        dense = reference
        outcomes.append(outcome(of: pruned, label: label, dense: reference, cpu: 1000 * cpu))
      }
      result.outcomes.append(outcomes)
    }
    return result
  }

  private func outcome(of pruned: PrunedImage, label: Int?, dense: PrunedImage, cpu: Double) -> Outcome {
    var outcome = Outcome()
    if let logits = pruned.logits, let denseLogits = dense.logits {
      let best = topK(logits, min(5, logits.count))
      outcome.top = best[0]
      outcome.isRight = label.map { $0 == best[0] }
      outcome.isInTop5 = label.map { best.contains($0) }
      outcome.agrees = best[0] == argmax(denseLogits)
      outcome.divergence = Statistics.divergence(of: logits, from: denseLogits)
    }
    outcome.cosine = Statistics.cosine(pruned.pooled, dense.pooled)
    (outcome.tokensIn, outcome.tokensOut) = (pruned.rows * pruned.columns, pruned.keep.count)
    outcome.meanTokens = pruned.cost.meanTokens
    (outcome.gmacs, outcome.denseGmacs) = (pruned.cost.gmacs, pruned.dense.gmacs)
    outcome.selectionGmacs = Double(pruned.cost.selection) * 1e-9
    outcome.tower = pruned.trace.towerSeconds * 1000
    outcome.selection = pruned.trace.selectionSeconds * 1000
    // One clock runs over both; it is dealt out as the wall clock saw them.
    let share = outcome.selection / max(outcome.selection + outcome.tower, 1e-9)
    (outcome.towerCPU, outcome.selectionCPU) = (cpu * (1 - share), cpu * share)
    return outcome
  }

  /// Most memory this process ever held, in MB (2^20 bytes).
  public static var peakMemory: Double {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
  }
}
