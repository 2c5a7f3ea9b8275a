extension TimmArguments {
  /// BEiT and BEiT v2: no positions but a bias on every pair of rows. (timm 1.0.31, `models/beit.py`; Bao et al. 2021, arXiv
  /// 2106.08254; Peng et al. 2022, arXiv 2208.06366.)
  static let beit: [([String], TimmArguments)] = [
    (["beit_base_patch16_224", "beitv2_base_patch16_224"], related(768, 12, 12, side: 224)),
    (["beit_base_patch16_384"], related(768, 12, 12, side: 384)),
    (["beit_large_patch16_224", "beitv2_large_patch16_224"], related(1024, 24, 16, side: 224)),
    (["beit_large_patch16_384"], related(1024, 24, 16, side: 384)),
    (["beit_large_patch16_512"], related(1024, 24, 16, side: 512)),
  ]

  private static func related(_ width: Int, _ depth: Int, _ heads: Int, side: Int) -> TimmArguments {
    vit(width, depth, heads) {
      ($0.code, $0.hasPositions, $0.isRelative) = (.beit, false, true)
      ($0.hasLayerScale, $0.pool, $0.side) = (true, .avg, side)
    }
  }
}
