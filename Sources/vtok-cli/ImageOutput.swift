import VTok

/// An image that a command writes at the end, in the format that its name asks for. The name is judged before work starts.
struct ImageOutput {
  let path: String
  private let format: ImageFormat

  init(_ path: String, flag: String) throws {
    guard let format = ImageFormat(endingOf: path) else {
      let endings = ImageFormat.allCases.map { ".\($0.endings[0])" }
      throw UsageError(
        "\(flag) '\(path)'", found: "an ending that names no format", expected: endings.joined(separator: ", "),
        fix: "The ending says the format that is written, for example map.png.")
    }
    try OutputCheck.file(path, flag)
    self.path = path
    self.format = format
  }

  func write(_ image: Image) throws {
    do {
      try Folder.makeAbove(path)
      try WholeFile.write(image.data(as: format), to: path)
    } catch let error as ImageError {
      throw error.named(path)
    }
  }
}
