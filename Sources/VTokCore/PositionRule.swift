/// What happens to positions when a sequence is cut, and which position a decoded token gets.
public struct PositionRule: Sendable, Equatable {
  /// `renumbered` = 0..<count; `slots`: of a cache, row j stands at position j after every visit, and its key is turned
  /// there. Under M-RoPE it is always `original`, and the result says so.
  public enum Cut: Sendable { case original, renumbered, slots }
  /// One past the largest position that entered layer 0; that layer's own count; no cache at all.
  public enum Decode: Sendable { case next, cacheLength, afresh }
  public var cut: Cut, decode: Decode
  public init(cut: Cut, decode: Decode) {
    self.cut = cut
    self.decode = decode
  }
}
