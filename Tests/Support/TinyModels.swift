import Foundation
import VTok

/// The tiny vision-language models of the golden cases, with random weights: of every `model_type` there is the last.
package enum TinyModels {
  package static let folder = goldenCases + "lvlm/"
  package static let names: [String] = {
    let all = try! FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      .filter { FileManager.default.fileExists(atPath: folder + $0 + "/config.json") }
    return all.reduce(into: [:]) { $0[type(of: $1)] = $1 }.values.sorted()
  }()
  private static let models = Dictionary(
    uniqueKeysWithValues: names.map { ($0, try! MultimodalModel.load(Checkpoint(directory: folder + $0))) })

  package static func model(_ name: String) -> MultimodalModel { models[name]! }

  /// What the configuration of a model calls it.
  package static func type(of name: String) -> String {
    let config = FileManager.default.contents(atPath: folder + name + "/config.json")!
    return Families.type(in: try! JSON(parsing: [UInt8](config)))!
  }

  /// An image of noise as the processor of a model would prepare it.
  /// - Parameter grid: tiles, or the merged cells of Qwen.
  package static func noise(
    for model: MultimodalModel, seed: UInt64, grid: (rows: Int, columns: Int) = (2, 2), original: Size = Size(90)
  ) -> PreparedImage {
    var generator = SeededGenerator(seed: seed)
    func pixels(_ shape: [Int]) -> Tensor {
      Tensor((0..<shape.reduce(1, *)).map { _ in generator.normal() }, shape: shape)
    }
    let tower = model.shape.tower!
    let tile = [3, tower.rows * tower.patch, tower.columns * tower.patch]
    switch model.shape.layout?.tiling {
    case nil, .one: return PreparedImage(tiles: [pixels(tile)], original: original)
    case .cut:
      return PreparedImage(
        tiles: (0...grid.rows * grid.columns).map { _ in pixels(tile) }, rows: grid.rows, columns: grid.columns,
        original: original)
    case .native:
      let area = 3 * tower.frames * tower.patch * tower.patch
      return PreparedImage(
        tiles: [pixels([grid.rows * grid.columns * tower.fuse, area])], rows: 2 * grid.rows, columns: 2 * grid.columns,
        original: original)
    }
  }

  /// A prompt with every span of every image as one placeholder.
  package static func prompt(_ model: MultimodalModel, _ images: [PreparedImage]) throws -> [Int] {
    try [5, 9] + images.flatMap { try model.spans(of: $0).map { _ in model.placeholder } + [11, 4] }
  }

  /// Logits of every row that leaves the last layer.
  package static func logits(
    _ model: MultimodalModel, _ images: [PreparedImage], ids: [Int]? = nil, _ methods: [any Compressor] = [],
    threads: Int = 1
  ) throws -> (logits: Tensor, tokens: TokenSequence, run: Run) {
    var run = Run(try Composition(methods, for: model.shape))
    let ids = try ids ?? prompt(model, images)
    let decoding = try model.prefill(ids, images, run: &run, threads: threads)
    let tokens = decoding.tokens
    return (model.language.logits(model.language.normed(tokens.x), threads: threads), tokens, run)
  }
}
