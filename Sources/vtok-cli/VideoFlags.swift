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

  @OptionGroup var rate: FrameRateFlag

  static let families = MultimodalModel.videoFamilies.joined(separator: ", ")

  var isGiven: Bool { video != nil || asVideo }

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
    guard isGiven else { return try rate.refuse(expected: "--video or --as-video") }
    if let other = others.first(where: \.isGiven)?.flag {
      throw UsageError(
        other, found: "it beside a video", expected: "one question about one video", fix: "Remove one of them.")
    }
  }
}

/// How many frames of a video there are a second.
struct FrameRateFlag: ParsableArguments {
  @Option(
    help: ArgumentHelp("Frames a second of the video (default: 2).", valueName: "R"), transform: number(0.01...1000))
  var fps: Double?

  var value: Double { fps ?? 2 }

  /// Refuses it where there is no video.
  func refuse(expected: String) throws {
    if fps == nil { return }
    throw UsageError("--fps", found: "it without a video", expected: expected, fix: "Remove it.")
  }
}

/// Videos as inputs of a job.
struct VideoInputFlags: ParsableArguments {
  @Option(
    name: .customLong("video"), parsing: .singleValue,
    help: ArgumentHelp(
      "A video as one input: a folder of pictures of one size with numbers in their names, for models that take videos "
        + "(\(VideoFlags.families)); repeat it for several.", valueName: "DIR"), completion: .directory)
  var videos: [String] = []

  @Option(
    help: ArgumentHelp("Take videos from a list, a folder a line; - reads stdin.", valueName: "FILE|-"),
    completion: .file())
  var videosFrom: String?

  @OptionGroup var rate: FrameRateFlag

  mutating func validate() throws { videos = videos.fileItems }

  /// The flag that brings videos; nil: there are none.
  var flag: String? { videos.isEmpty ? videosFrom.map { _ in "--videos-from" } : "--video" }

  /// Refuses what is said of videos where there are none, and what goes with none.
  /// - Parameter others: flags that were given.
  func check(without others: [(flag: String, isGiven: Bool)]) throws {
    guard let flag else { return try rate.refuse(expected: "--video or --videos-from") }
    if let other = others.first(where: \.isGiven)?.flag {
      throw UsageError(
        other, found: "it beside \(flag)", expected: "a job of pictures for it", fix: "Remove one of them.")
    }
  }

  /// Those named, then those listed.
  /// - Throws: for one that was named and is no video; rows tell of others.
  func inputs() throws -> [InputFile] {
    let named = try videos.map { try InputFile(video: $0) }
    guard let videosFrom else { return named }
    let bytes =
      videosFrom == "-"
      ? try FileBytes.read(descriptor: 0, path: "standard input") : try FlagFile.bytes(videosFrom, "--videos-from")
    let listed = try InputFile.videos(listed: bytes)
    guard !listed.isEmpty else {
      throw UsageError(
        "--videos-from '\(videosFrom)'", found: "no paths", expected: "a folder of frames a line", fix: "Fill the list."
      )
    }
    return named + listed
  }

  /// Refuses a model that takes no videos, before its weights are read.
  /// - Parameter model: nil: a tower alone.
  func check(_ model: ModelOutline?) throws {
    guard let flag, model?.takesVideos != true else { return }
    throw UsageError(
      flag, found: "a model that is not run on videos here", expected: "a model of \(VideoFlags.families)",
      fix: "Give the frames as images.")
  }
}
