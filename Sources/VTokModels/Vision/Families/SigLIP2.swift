import VTokCore
import VTokImage
import VTokTensor
import VTokWeights

/// SigLIP 2 of any resolution (NaFlex) as Hugging Face publishes it: SigLIP's blocks and head on as many whole patches as a
/// picture's own proportions give. SigLIP 2 of fixed resolution is published as `siglip`.
/// (transformers 5.24: `models/siglip2`; Tschannen et al. 2025, arXiv 2502.14786.)
///
/// Official code pads all images of a batch to one length and masks the padding. Here every image has its own length, which
/// gives the same rows.
enum SigLIP2 {
  static let family = VisionFamily(
    name: "siglip2", types: ["siglip2", "siglip2_vision_model"],
    summary: "Hugging Face SigLIP 2 of any resolution (NaFlex), whole or vision tower alone", marks: [],
    needless: SigLIP.family.needless,
    published: [
      published("siglip2-b-16-naflex", .base), published("siglip2-so400m-16-naflex", .so400m),
    ], shape: { config, _ in try shape(config.visionPart()) }, load: load)

  private static func published(_ name: String, _ size: TransformerSize) -> PublishedModel {
    PublishedModel(name, size.config(["model_type": "siglip2_vision_model"]))
  }

  /// The grid is that of the stored positions; a picture has its own.
  private static func shape(_ config: Config) throws -> Shape.Tower {
    let side = Int(Double(try config.int("num_patches", 256)).squareRoot())
    return try SigLIP.shape(config, rows: side, columns: side)
  }

  private static func load(_ checkpoint: Checkpoint) throws -> VisionModel {
    let config = try Config(json: checkpoint.config).visionPart()
    let view = SigLIP.vision(checkpoint)
    let shape = try shape(config)
    let (width, patch) = (shape.width, shape.patch)
    let grid = try PositionGrid.square(
      try view.tensor("embeddings.position_embedding.weight", [nil, width]), kernel: .spread,
      name: "embeddings.position_embedding.weight")
    // Patches lie in the file with their channels last; the tower's have them first.
    let stored = try view.tensor("embeddings.patch_embedding.weight", [width, 3 * patch * patch])
    let area = patch * patch
    let order = (0..<3 * area).map { $0 % area * 3 + $0 / area }
    let kernel = Tensor(shape: stored.shape) { out in
      for row in 0..<width {
        for (column, source) in order.enumerated() {
          out[row * order.count + column] = stored.values[row * order.count + source]
        }
      }
    }
    let embedding = VisionTower.Embedding(
      patch: patch,
      projection: Linear(
        weight: Weight(kernel).packed, bias: try view.vector("embeddings.patch_embedding.bias", [width])),
      prefix: [], positions: grid, norm: nil)
    let processor = try TowerProcessor.read(checkpoint.processorFile, standard: .siglip2, among: [.siglip2])
    if case .patches(let side, _)? = processor?.resize, side != patch {
      throw ModelError.configuration(
        file: try checkpoint.processorFile?.file ?? "", key: "patch_size", found: "\(side)",
        expected: "the \(patch) pixels of the model's patches")
    }
    return try SigLIP.model(
      view, config, shape.on(rows: grid.rows, columns: grid.columns), embedding, family: family.name,
      processor: processor)
  }
}
