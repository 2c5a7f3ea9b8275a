import Foundation
import VTokCore
import VTokEval
import VTokImage
import VTokMethods
import VTokTensor

/// Many ways to reduce one model's tokens on the same images.
///
/// All of them run on an image before the next one is opened, the dense model first: every comparison is paired. What
/// cannot differ is computed once (what the tower does before a method first looks or acts), and what nobody reads not at
/// all (patch tokens behind the last block, and the methods that act on them there, where the head is a class token's).
/// Logits are those of whole runs, to the bit. Times are not: they are measured on a sample of the images with nothing
/// shared, see `BenchTimes`.
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
    public var costs: BenchCosts
  }

  /// One image with the outcomes of all contenders and seeds.
  public struct ImageResult: Sendable {
    public let index: Int
    /// `[contender][seed]`; of split seeds the one whose turn it was.
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
  /// Every seed of a contender sees a part of the images instead of all.
  public let splitsSeeds: Bool

  public init(
    _ model: LoadedModel, data: LabelledImages, contenders: [Contender], threads: Int = 1,
    decode: DecodeOptions = .init(), seed: UInt64 = 0, splitsSeeds: Bool = false
  ) throws {
    (self.model, self.data, self.threads, self.decode, self.seed) = (model, data, threads, decode, seed)
    self.splitsSeeds = splitsSeeds
    let dense = Contender(method: "dense", asked: .nothing, subject: try Pipeline(model, method: nil))
    self.contenders = [dense] + contenders
  }

  /// Runs everything; results by image, in the data's order. Cancelled images are left out.
  /// - Parameter sample: where methods that the head does not see have been run already: their costs are those of the sample.
  public func run(
    limit: Int? = nil, sample: BenchSample? = nil,
    progress: @escaping @Sendable (Int, Int, Int) -> Void = { _, _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws -> [ImageResult] {
    let count = min(limit ?? data.count, data.count)
    return try inOrder(count, threads: threads, progress: progress, isCancelled: isCancelled) { index in
      let result = try result(index, sample)
      return (result, result.failure == nil)
    }
  }

  func seed(_ own: UInt64, of image: Int) -> UInt64 { mixedSeed(seed &+ own, data.items[image].name) }

  /// Which of so many parts an image belongs to.
  public func part(of image: Int, among count: Int) -> Int {
    Int(mixedSeed(~seed, data.items[image].name) % UInt64(count))
  }

  /// Whether a contender gives the dense model's logits: it acts on tokens that its head does not read.
  private func isUnseen(_ contender: Contender) -> Bool {
    let composition = contender.subject.composition
    return !composition.methods.isEmpty && composition.patches == nil && composition.departure == .features
      && model.vision.head.readsPrefixOnly
  }

  private func result(_ index: Int, _ sample: BenchSample?) throws -> ImageResult {
    var result = ImageResult(index: index)
    let image: Image
    do {
      image = try data.image(index, options: decode)
    } catch {
      result.failure = try error.ofPicture().description
      return result
    }
    let usual = contenders[0].subject.prepare(image)
    let costs = contenders.indices.map { isUnseen(contenders[$0]) ? sample?.costs[$0] : nil }
    let shared = SharedBlocks(for: zip(contenders, costs).filter { $1 == nil }.map(\.0.subject.composition))
    var dense: PrunedImage?
    for (contender, known) in zip(contenders, costs) {
      if let known {
        var outcome = result.outcomes[0][0]
        outcome.costs = known
        result.outcomes.append(Array(repeating: outcome, count: splitsSeeds ? 1 : contender.seeds.count))
        continue
      }
      let pipeline = contender.subject
      let prepared = pipeline.composition.patches == nil ? usual : pipeline.prepare(image)
      let seeds = contender.seeds
      let outcomes = try (splitsSeeds ? [seeds[part(of: index, among: seeds.count)]] : seeds).map { own in
        let pruned = try pipeline.run(prepared, seed: seed(own, of: index), shared: shared, headOnly: true)
        let reference = dense ?? pruned
        dense = reference
        return outcome(of: pruned, label: data.items[index].label, dense: reference)
      }
      result.outcomes.append(outcomes)
    }
    return result
  }

  private func outcome(of pruned: PrunedImage, label: Int?, dense: PrunedImage) -> Outcome {
    var outcome = Outcome(costs: BenchCosts(pruned))
    if let logits = pruned.logits, let denseLogits = dense.logits {
      let best = topK(logits, min(5, logits.count))
      outcome.top = best[0]
      outcome.isRight = label.map { $0 == best[0] }
      outcome.isInTop5 = label.map { best.contains($0) }
      outcome.agrees = best[0] == argmax(denseLogits)
      outcome.divergence = Statistics.divergence(of: logits, from: denseLogits)
    }
    outcome.cosine = Statistics.cosine(pruned.pooled, dense.pooled)
    return outcome
  }

  /// Most memory this process ever held, in MB (2^20 bytes).
  public static var peakMemory: Double {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
  }
}
