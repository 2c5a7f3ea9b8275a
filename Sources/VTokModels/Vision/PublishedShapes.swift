import VTokCore

extension Shape {
  /// Published models whose cost can be asked for by name, without any file.
  public static let published: [(name: String, shape: Shape)] =
    towers.map { ($0.name, Shape(tower: $0.tower)) }
    + PublishedConfigs.all.map { ($0.name, try! Shape(config: $0.config)) }  // our own text, tested

  private static let towers: [(name: String, tower: Shape.Tower)] = [
    ("deit-t", vit(.tiny)), ("deit-s", vit(.small)), ("deit-b", vit(.base)),
    ("deit-t-distilled", vit(.tiny, prefix: 2)), ("deit-s-distilled", vit(.small, prefix: 2)),
    ("deit-b-distilled", vit(.base, prefix: 2)),
    ("vit-s-augreg", vit(.small)), ("vit-b-augreg", vit(.base)), ("vit-l-augreg", vit(.large)),
    ("vit-b-augreg-384", vit(.base, side: 384)), ("vit-l-augreg-384", vit(.large, side: 384)),
    ("vit-b-mae", vit(.base)), ("vit-l-mae", vit(.large)), ("vit-h-mae", vit(.huge, patch: 14)),
    ("vit-b-swag-384", vit(.base, side: 384)), ("vit-l-swag-512", vit(.large, side: 512)),
    ("vit-h-swag-518", vit(.huge, patch: 14, side: 518)),
    ("clip-b-32", vit(.base, patch: 32, classes: 0)), ("clip-b-16", vit(.base, classes: 0)),
    ("clip-l-14", vit(.large, patch: 14, classes: 0)), ("clip-l-14-336", vit(.large, patch: 14, side: 336, classes: 0)),
    ("dinov2-s", vit(.small, patch: 14, classes: 0)), ("dinov2-b", vit(.base, patch: 14, classes: 0)),
    ("dinov2-l", vit(.large, patch: 14, classes: 0)), ("dinov2-s-518", vit(.small, patch: 14, side: 518, classes: 0)),
    ("siglip-b-16", siglip(.base, patch: 16, side: 224)), ("siglip-l-16-384", siglip(.large, patch: 16, side: 384)),
    ("siglip-so400m-14-384", siglip(.so400m, patch: 14, side: 384)),
  ]

  /// The published model of that name.
  public static func published(_ name: String) -> Shape? { published.first { $0.name == name }?.shape }

  private struct Size {
    let blocks: Int, width: Int, heads: Int, ffn: Int
    static let tiny = Size(blocks: 12, width: 192, heads: 3, ffn: 768)
    static let small = Size(blocks: 12, width: 384, heads: 6, ffn: 1536)
    static let base = Size(blocks: 12, width: 768, heads: 12, ffn: 3072)
    static let large = Size(blocks: 24, width: 1024, heads: 16, ffn: 4096)
    static let huge = Size(blocks: 32, width: 1280, heads: 16, ffn: 5120)
    static let so400m = Size(blocks: 27, width: 1152, heads: 16, ffn: 4304)
  }

  private static func vit(_ size: Size, patch: Int = 16, side: Int = 224, prefix: Int = 1, classes: Int = 1000)
    -> Shape.Tower
  {
    Shape.Tower(
      blocks: size.blocks, width: size.width, heads: size.heads, ffn: size.ffn, prefix: prefix, hasClassifier: true,
      rows: side / patch, columns: side / patch, patch: patch, headMACs: prefix * size.width * classes)
  }

  private static func siglip(_ size: Size, patch: Int, side: Int) -> Shape.Tower {
    let head = AttentionPool.macs(width: size.width, ffn: size.ffn)
    return Shape.Tower(
      blocks: size.blocks, width: size.width, heads: size.heads, ffn: size.ffn, prefix: 0, hasClassifier: false,
      rows: side / patch, columns: side / patch, patch: patch, headMACs: head.constant,
      headMACsPerToken: head.perToken)
  }
}
