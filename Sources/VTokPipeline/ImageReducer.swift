import VTokCore
import VTokImage

/// What a job runs on every image: a model with a method.
public protocol ImageReducer: Sendable {
  /// Of the model.
  var name: String { get }
  /// As typed.
  var method: String { get }
  /// Of the model's classes, where it has any.
  var labels: [String]? { get }
  /// - Returns: what the image became, and the milliseconds it took to prepare it.
  /// - Throws: `ImageError` for an image that the model's processor refuses, `CompressionError`.
  func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double)
  /// Milliseconds of the same model without any method on this image.
  func denseTime(_ image: Image) throws -> Double
  /// The same of a video, where the model takes videos.
  func reduce(_ video: Video, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double)
  func denseTime(_ video: Video) throws -> Double
}

extension ImageReducer {
  public func reduce(_ video: Video, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    throw Generator.takesNoVideos(name)
  }

  public func denseTime(_ video: Video) throws -> Double { throw Generator.takesNoVideos(name) }
}

extension Pipeline: ImageReducer {
  public var name: String { model.name }
  public var labels: [String]? { model.vision.labels }

  public func reduce(_ image: Image, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    let clock = ContinuousClock()
    let start = clock.now
    let prepared = prepare(image)
    let milliseconds = start.duration(to: clock.now) / .milliseconds(1)
    return (try run(prepared, seed: seed), milliseconds)
  }

  public func denseTime(_ image: Image) throws -> Double {
    let dense = try Pipeline(model, method: nil)
    return try dense.run(dense.prepare(image)).trace.towerSeconds * 1000
  }
}
