import VTokCore
import VTokData
import VTokImage
import VTokPipeline

/// What an input of a job shows, decoded: a picture, or a video.
struct JobPicture {
  /// The picture, or the first frame, and the format of its file.
  let image: Image, format: ImageFormat
  let video: Video?

  /// - Throws: `ImageError` for the first file that cannot be decoded, and for frames that are no video.
  init(_ files: [ImageFile], of input: InputFile, _ settings: PruneJob.Settings) throws(ImageError) {
    let decoded = try files.map { file throws(ImageError) in try file.decoded(options: settings.decode) }
    (image, format) = (decoded[0].image, decoded[0].format)
    video =
      input.isVideo
      ? try Video(decoded.map(\.image), rate: settings.frameRate, names: files.map(\.path)) : nil
  }

  func reduced(by reducer: any ImageReducer, seed: UInt64) throws -> (result: PrunedImage, preprocess: Double) {
    try video.map { try reducer.reduce($0, seed: seed) } ?? reducer.reduce(image, seed: seed)
  }

  func denseTime(by reducer: any ImageReducer) throws -> Double {
    try video.map { try reducer.denseTime($0) } ?? reducer.denseTime(image)
  }
}
