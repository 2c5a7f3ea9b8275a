extension TimmArguments {
  /// EVA-02: learned positions, and positions turned into queries and keys; gated MLPs. (timm 1.0.31, `models/eva.py`; Fang
  /// et al. 2023, arXiv 2303.11331.) Its enormous model has blocks of another kind.
  static let eva02: [([String], TimmArguments)] = [
    (["eva02_tiny_patch14_224"], eva(192, 12, 3, side: 224)), (["eva02_tiny_patch14_336"], eva(192, 12, 3, side: 336)),
    (["eva02_small_patch14_224"], eva(384, 12, 6, side: 224)),
    (["eva02_small_patch14_336"], eva(384, 12, 6, side: 336)),
    (["eva02_base_patch14_224"], wide(768, 12, 12, side: 224)),
    (["eva02_base_patch14_448"], wide(768, 12, 12, side: 448)),
    (["eva02_large_patch14_224"], wide(1024, 24, 16, side: 224)),
    (["eva02_large_patch14_448"], wide(1024, 24, 16, side: 448)),
    (["eva02_base_patch16_clip_224"], clip(768, 12, 12, patch: 16, side: 224)),
    (["eva02_large_patch14_clip_224"], clip(1024, 24, 16, patch: 14, side: 224)),
    (["eva02_large_patch14_clip_336"], clip(1024, 24, 16, patch: 14, side: 336)),
  ]

  private static func eva(
    _ width: Int, _ depth: Int, _ heads: Int, patch: Int = 14, side: Int,
    _ change: (inout TimmArguments) -> Void = { _ in }
  ) -> TimmArguments {
    vit(width, depth, heads, patch: patch) {
      ($0.code, $0.rotary, $0.pool, $0.side) = (.eva, .cells, .avg, side)
      ($0.isGated, $0.ratio) = (true, 4 * 2 / 3)
      change(&$0)
    }
  }

  /// Queries, keys and values apart, a norm inside the MLP.
  private static func wide(
    _ width: Int, _ depth: Int, _ heads: Int, patch: Int = 14, side: Int,
    _ change: (inout TimmArguments) -> Void = { _ in }
  ) -> TimmArguments {
    eva(width, depth, heads, patch: patch, side: side) {
      ($0.normsHidden, $0.isFused) = (true, false)
      change(&$0)
    }
  }

  /// The same with a norm inside attention, pooled by the class token.
  private static func clip(_ width: Int, _ depth: Int, _ heads: Int, patch: Int, side: Int) -> TimmArguments {
    wide(width, depth, heads, patch: patch, side: side) { ($0.normsHeads, $0.pool) = (true, .token) }
  }
}
