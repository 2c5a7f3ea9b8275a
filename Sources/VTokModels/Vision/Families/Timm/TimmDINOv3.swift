extension TimmArguments {
  /// DINOv3: registers, positions turned into queries and keys, pooled by the mean of its normed patches, although the
  /// original takes the class token. (timm 1.0.31, `models/eva.py`; Siméoni et al. 2025, arXiv 2508.10104.)
  static let dinov3: [([String], TimmArguments)] = [
    (["vit_tiny_patch16_dinov3_qkvb"], turned(192, 12, 3, isBiased: true)),
    (["vit_small_patch16_dinov3"], turned(384, 12, 6)), (["vit_base_patch16_dinov3"], turned(768, 12, 12)),
    (["vit_large_patch16_dinov3"], turned(1024, 24, 16)),
    (["vit_small_patch16_dinov3_qkvb"], turned(384, 12, 6, isBiased: true)),
    (["vit_base_patch16_dinov3_qkvb"], turned(768, 12, 12, isBiased: true)),
    (["vit_large_patch16_dinov3_qkvb"], turned(1024, 24, 16, isBiased: true)),
    (["vit_small_plus_patch16_dinov3"], turned(384, 12, 6, align: 8)),
    (["vit_small_plus_patch16_dinov3_qkvb"], turned(384, 12, 6, isBiased: true, align: 8)),
    (["vit_huge_plus_patch16_dinov3"], turned(1280, 32, 20, align: 8)),
    (["vit_huge_plus_patch16_dinov3_qkvb"], turned(1280, 32, 20, isBiased: true, align: 8)),
    (["vit_7b_patch16_dinov3"], turned(4096, 40, 32, align: 64, ratio: 2)),
  ]

  /// - Parameter align: the hidden width of a gated MLP is a multiple of it; nil: the MLP is plain.
  private static func turned(
    _ width: Int, _ depth: Int, _ heads: Int, isBiased: Bool = false, align: Int? = nil, ratio: Double = 4
  ) -> TimmArguments {
    vit(width, depth, heads) {
      ($0.code, $0.rotary, $0.hasPositions) = (.eva, .dinov3, false)
      ($0.registers, $0.hasLayerScale, $0.hasBiases, $0.epsilon) = (4, true, isBiased, 1e-5)
      ($0.pool, $0.normsPool, $0.side) = (.avg, false, 256)
      if let align { ($0.isGated, $0.align, $0.ratio) = (true, align, ratio) }
    }
  }
}
