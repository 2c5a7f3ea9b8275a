import VTokPipeline
import VTokTensor
import VTokWeights

extension PrunedImage {
  /// What the first axis of a tensor counts.
  enum Extent { case tokens, image, other }

  static func extent(ofTensor name: String) -> Extent {
    if ["tokens", "keep"].contains(name) || name.hasPrefix("deepstack.") { return .tokens }
    return name == "pooled" ? .image : .other
  }

  /// What is kept of an image in files and streams, by name: `tokens` `[kept, width]`, `pooled` `[width]`, `keep` `[kept]`, the
  /// `origin` of every token as offsets, patches and weights, `spans` of a vision-language model, `deepstack.0`
  /// and so on `[kept, width]` of rows that its first layers add.
  package func tensors(halfPrecision: Bool) -> [(String, Safetensors.Value)] {
    func ints(_ values: [Int]) -> Safetensors.Value { .i64(values.map(Int64.init), shape: [values.count]) }
    func floats(_ values: [Float]) -> Safetensors.Value { .f32(Tensor(values, shape: [values.count])) }
    func rows(_ rows: Tensor) -> Safetensors.Value { halfPrecision ? .f16(rows) : .f32(rows) }
    var tensors: [(String, Safetensors.Value)] = [
      ("tokens", rows(tokens)), ("pooled", floats(pooled)), ("keep", ints(keep)),
      ("origin.offsets", ints(origin.offsets.map { Int($0) })),
      ("origin.patches", ints(origin.patches.map { Int($0) })),
      ("origin.weights", floats(origin.weights)),
    ]
    if let spans { tensors.append(("spans", ints(spans.map { Int($0) }))) }
    tensors += pending.enumerated().map { ("deepstack.\($0)", rows($1)) }
    return tensors
  }
}
