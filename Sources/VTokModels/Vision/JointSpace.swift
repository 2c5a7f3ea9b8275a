import VTokTensor

/// The space of CLIP's contrastive training: features of the tower through the tower's last norm and the projection, which
/// a vision-language model leaves out.
public struct JointSpace: Sendable {
  let norm: LayerNorm
  let projection: Linear

  public init(norm: LayerNorm, projection: Linear) {
    self.norm = norm
    self.projection = projection
  }

  /// Of the whole CLIP that the tower comes from; nil if it is of another kind.
  public init?(_ clip: CLIP) {
    guard case .normedToken(let norm) = clip.vision.head else { return nil }
    self.init(norm: norm, projection: clip.visualProjection)
  }

  /// x `[n, width]`, result `[n, projection]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { projection(norm(x)) }
}
