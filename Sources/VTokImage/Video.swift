/// A video as frames of one size.
public struct Video: Sendable {
  public let frames: [Image]
  /// Frames a second.
  public let rate: Double

  /// - Parameter names: of the frames, for messages.
  /// - Throws: `ImageError` for frames of several sizes, or none.
  public init(_ frames: [Image], rate: Double, names: [String]) throws(ImageError) {
    guard let first = frames.first else { throw ImageError(.frames, "a video without frames; expected at least one") }
    if let other = frames.indices.first(where: { frames[$0].size != first.size }) {
      throw ImageError(
        .frames,
        "\(frames[other].size) pixels, expected \(first.size) as in the first frame; cut all frames to one size"
      ).named(names[other])
    }
    self.frames = frames
    self.rate = rate
  }
}
