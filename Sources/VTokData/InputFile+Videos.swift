import VTokFiles
import VTokImage

/// Videos among the inputs of a job: folders of frames.
extension InputFile {
  /// - Throws: `FrameFolder.Mistake` for a folder that is no video, `SystemError` of the machine.
  public init(video path: String) throws {
    self.init(path: path, name: path, place: .frames(try FrameFolder(path).frames))
  }

  /// Folders as a list gives them, one a line. Rows tell of those that are no video.
  /// - Throws: `SystemError` of the machine.
  public static func videos(listed bytes: [UInt8]) throws -> [InputFile] {
    try InputList.lines(bytes).map { path in
      do {
        return try InputFile(video: path)
      } catch let mistake as FrameFolder.Mistake {
        return InputFile(path: path, name: path, place: .fault(ImageError(.frames, mistake.message)))
      }
    }
  }

  public var isVideo: Bool { if case .frames = place { true } else { false } }

  /// The file that it is, or all frames in their order.
  /// - Throws: `ImageError` as `read`.
  public func readAll() throws(ImageError) -> [ImageFile] {
    guard case .frames(let frames) = place else { return [try read()] }
    var files: [ImageFile] = []
    for frame in frames { files.append(try ImageFile(path: frame)) }
    return files
  }
}
