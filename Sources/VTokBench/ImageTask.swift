import VTokCore
import VTokData
import VTokEval
import VTokImage
import VTokMethods
import VTokModels
import VTokPipeline
import VTokTensor

/// Many ways to reduce one model's tokens on the same images: `Bench<ImageTask>`.
///
/// What cannot differ is computed once (what the tower does before a method first looks or acts), and what nobody reads not
/// at all (patch tokens after the last block, and the methods that act on them there, where the head is a class token's).
/// Logits are those of whole runs, to the bit. Times are measured with nothing shared.
public struct ImageTask: ReductionTask {
  public typealias Subject = Pipeline
  public typealias Entry = Contender<Pipeline>
  public static let name = "images"

  public let model: LoadedModel
  public let data: LabelledImages
  /// The dense model first; of every other precision its dense row before the rows that are compared with it.
  public let entries: [Contender<Pipeline>]
  public let decode: DecodeOptions
  public let seed: UInt64
  /// Every seed of a row sees a part of the images instead of all.
  public let splitsSeeds: Bool
  /// Whether a row that cannot do what was asked of it, which may show on any image, fails alone.
  public let keepsGoing: Bool

  public var count: Int { data.count }
  public var dataPath: String { data.path }
  public var modelName: String { model.name }

  /// - Parameter contenders: of this model, loaded with any precision.
  public init(
    _ model: LoadedModel, data: LabelledImages, contenders: [Contender<Pipeline>], decode: DecodeOptions = .init(),
    seed: UInt64 = 0, splitsSeeds: Bool = false, keepsGoing: Bool = false
  ) throws {
    self.model = model
    self.data = data
    self.decode = decode
    self.seed = seed
    self.splitsSeeds = splitsSeeds
    self.keepsGoing = keepsGoing
    entries = [Contender(try Pipeline(model, methods: []))] + contenders
  }

  /// One run on one image.
  public struct Run: BenchRun {
    public let image: PrunedImage
    /// Class of the model; nil without labels.
    public let label: Int?
    /// The dense run on the same image.
    public let dense: PrunedImage
    /// The five largest logits, best first, and those of the dense run; empty without a classifier.
    public let best: [Int], denseBest: [Int]
    public var outcome: BudgetOutcome? { image.outcome }

    /// - Parameter dense: nil: this is the dense run.
    init(_ image: PrunedImage, label: Int?, dense: Run? = nil) {
      self.image = image
      self.label = label
      self.dense = dense?.image ?? image
      best = image.logits.map { topK($0, min(5, $0.count)) } ?? []
      denseBest = dense?.best ?? best
    }
  }

  func seed(_ own: UInt64, of image: Int) -> UInt64 { mixedSeed(seed &+ own, data.items[image].name) }

  /// Which of so many parts an image belongs to.
  public func part(of image: Int, among count: Int) -> Int {
    Int(mixedSeed(~seed, data.items[image].name) % UInt64(count))
  }

  /// Whether a row gives the dense model's logits: it acts on tokens that its head does not read.
  private func isUnseen(_ entry: Entry) -> Bool {
    let composition = entry.subject.composition
    return !composition.methods.isEmpty && composition.shrink == nil && composition.departure == .features
      && model.vision.head.readsPrefixOnly
  }

  public func measure(_ item: Int, _ sample: BenchSample, into notes: inout ItemNotes<Self>) throws {
    let image = try data.image(item, options: decode)
    let usual = entries[0].subject.prepare(image)
    let costs = entries.indices.map { isUnseen(entries[$0]) ? sample.costs[$0] : nil }
    var shared: [Precision: SharedBlocks] = [:]
    for precision in Set(entries.map(\.subject.precision)) {
      let running = zip(entries, costs).filter { $0.subject.precision == precision && $1 == nil }
      shared[precision] = SharedBlocks(for: running.map { $0.0.subject(on: item).composition })
    }
    let label = data.items[item].label
    var dense: Run?
    var ownDense: [Precision: Run] = [:]
    for (row, entry) in entries.enumerated() {
      let turns = splitsSeeds ? [part(of: item, among: entry.seeds.count)] : Array(entry.seeds.indices)
      let pipeline = entry.subject(on: item)
      let prepared = pipeline.composition.shrink == nil ? usual : pipeline.prepare(image)
      for turn in turns {
        if let known = costs[row], let unchanged = ownDense[pipeline.precision] {
          notes.add(outputOf: unchanged, costs: known, row: row, seed: turn)
          continue
        }
        let reduced: PrunedImage
        do {
          reduced = try pipeline.run(
            prepared, seed: seed(entry.seeds[turn], of: item), shared: shared[pipeline.precision], headOnly: true)
        } catch let error as CompressionError where keepsGoing {
          notes.fail(row, "\(error)")
          continue
        }
        let run = Run(reduced, label: label, dense: dense)
        dense = dense ?? run
        if pipeline.composition.methods.isEmpty { ownDense[pipeline.precision] = run }
        notes.add(run, row: row, seed: turn)
      }
    }
  }
}

/// `ImageBench(ImageTask(model, data: images, contenders: [...]))`
public typealias ImageBench = Bench<ImageTask>
