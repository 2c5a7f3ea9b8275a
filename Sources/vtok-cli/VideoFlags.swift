import ArgumentParser
import VTok

/// A video as frames.
struct VideoFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A video: a folder of pictures of one size with numbers in their names, for models that take videos "
        + "(\(VideoFlags.families)).", valueName: "DIR"))
  var video: String?

  @Flag(help: "Several --image are the frames of one video.")
  var asVideo = false

  @Option(
    help: ArgumentHelp("Frames a second of the video (default: 2).", valueName: "R"), transform: number(0.01...1000))
  var fps: Double?

  static let families = MultimodalModel.videoFamilies.joined(separator: ", ")

  var isGiven: Bool { video != nil || asVideo }
  var rate: Double { fps ?? 2 }

  /// Paths of the frames.
  /// - Parameter images: those given one by one.
  func paths(_ images: [String]) throws -> [String] {
    if let video, asVideo || !images.isEmpty {
      throw UsageError(
        "--video", found: "it beside \(asVideo ? "--as-video" : "--image")", expected: "one of them: '\(video)'",
        fix: "Remove one.")
    }
    return try video.map { try FrameFolder($0).frames } ?? images
  }

  /// Refuses what is said of a video where there is none, and what goes with none.
  /// - Parameter others: flags that were given.
  func check(without others: [(flag: String, isGiven: Bool)]) throws {
    guard isGiven else {
      if fps == nil { return }
      throw UsageError("--fps", found: "it without a video", expected: "--video or --as-video", fix: "Remove it.")
    }
    if let other = others.first(where: \.isGiven)?.flag {
      throw UsageError(
        other, found: "it beside a video", expected: "one question about one video", fix: "Remove one of them.")
    }
  }

  /// Refuses frames of several sizes.
  func check(_ pictures: [Image], _ paths: [String]) throws {
    guard let other = pictures.indices.first(where: { pictures[$0].size != pictures[0].size }) else { return }
    throw UsageError(
      "frame '\(paths[other])'", found: "\(pictures[other].size) pixels",
      expected: "\(pictures[0].size) as in the first frame", fix: "Cut all frames to one size.")
  }
}
