import VTokImage

extension ImageProcessor {
  /// The same processor for a smaller picture: every size of it scaled so that the prepared image has `target` pixels
  /// instead of `size`.
  func shrunk(from size: Size, to target: Size) -> ImageProcessor {
    var smaller = self
    if case .patches = resize { smaller.crop = nil }
    guard smaller.crop != nil, resize != ImageProcessor.Resize.none else {
      smaller.resize = .exact(width: target.width, height: target.height)
      return smaller
    }
    // A crop must stay inside the picture, so the larger of the two factors decides.
    let factor = max(Double(target.width) / Double(size.width), Double(target.height) / Double(size.height))
    func scaled(_ side: Int) -> Int { Int((Double(side) * factor).rounded(.up)) }
    switch resize {
    case .none, .patches: break
    case .shortestEdge(let edge): smaller.resize = .shortestEdge(scaled(edge))
    case .halvingToShortestEdge(let edge): smaller.resize = .halvingToShortestEdge(scaled(edge))
    case .exact(let width, let height): smaller.resize = .exact(width: scaled(width), height: scaled(height))
    case .covering(let width, let height): smaller.resize = .covering(width: scaled(width), height: scaled(height))
    }
    smaller.crop = target
    return smaller
  }
}
