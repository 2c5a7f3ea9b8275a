extension TimmArguments {
  /// Towers of SigLIP and SigLIP 2 of fixed resolution, pooled by a learned query or by the mean of their tokens ("gap").
  /// (timm 1.0.31, `models/vision_transformer.py`.) GELU is exact where timm's is, though the originals have its
  /// approximation.
  static let siglip: [([String], TimmArguments)] = [
    named("base_patch32", [256], vit(768, 12, 12, patch: 32), isExact: false),
    named("base_patch16", [224, 256, 384, 512], vit(768, 12, 12)),
    named("large_patch16", [256, 384], vit(1024, 24, 16)),
    named("large_patch16", [512], vit(1024, 24, 16), isExact: false),
    named("so400m_patch14", [224, 378, 384], so400m(14), meanSides: [224, 378, 384, 448, 896]),
    named("so400m_patch16", [256, 384, 512], so400m(16), isExact: false),
    named("giantopt_patch16", [256, 384], vit(1536, 40, 16), isExact: false),
  ].flatMap(\.self)

  private static func so400m(_ patch: Int) -> TimmArguments { vit(1152, 27, 16, patch: patch) { $0.ratio = 3.7362 } }

  /// Both poolings of a size.
  private static func named(
    _ name: String, _ sides: [Int], _ size: TimmArguments, isExact: Bool = true, meanSides: [Int]? = nil
  ) -> [([String], TimmArguments)] {
    var (pooled, mean) = (size, size)
    (pooled.hasClassToken, pooled.pool) = (false, .map)
    (mean.hasClassToken, mean.pool, mean.normsPool) = (false, .avg, false)
    if !isExact { (pooled.activation, mean.activation) = (.geluTanh, .geluTanh) }
    return [
      (sides.map { "vit_\(name)_siglip_\($0)" }, pooled),
      ((meanSides ?? sides).map { "vit_\(name)_siglip_gap_\($0)" }, mean),
    ]
  }
}
