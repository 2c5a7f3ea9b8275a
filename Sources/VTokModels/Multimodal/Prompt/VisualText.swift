import VTokWeights

/// How images stand in the text of a family's prompts.
public struct VisualText: Sendable {
  /// The token that stands for one visual token.
  public let placeholder: String
  /// One image in a prompt before it is written out.
  public let image: String
  /// The same where it stands in a message that is one text, before what is said about it.
  let imageInText: String
  /// What of `image` is then written out.
  let mark: String
  /// - Parameters:
  ///   - rows, columns: tiles that the image was cut into.
  ///   - spans: of every visual span its placeholders.
  private let write: @Sendable (_ rows: Int, _ columns: Int, _ spans: [String]) -> String
  /// How videos stand in prompts; nil: none do.
  var video: VideoText?

  /// - Parameters:
  ///   - image, mark: nil: the placeholder.
  ///   - imageInText: nil: as `image`.
  init(
    placeholder: String, image: String? = nil, imageInText: String? = nil, mark: String? = nil,
    write: @escaping @Sendable (_ rows: Int, _ columns: Int, _ spans: [String]) -> String = { _, _, spans in
      spans.joined()
    }
  ) {
    self.placeholder = placeholder
    self.image = image ?? placeholder
    self.imageInText = imageInText ?? self.image
    self.mark = mark ?? placeholder
    self.write = write
  }

  /// Whether videos stand in prompts, and the token that stands for one visual token of theirs.
  package var takesVideos: Bool { video != nil }
  package var videoPlaceholder: String? { video?.placeholder }

  /// That of the family that a `config.json` names; nil for a model that is no vision-language model.
  public init?(of config: JSON) {
    guard let family = MultimodalFamily.of(config) else { return nil }
    self = family.text
  }

  /// A picture or a video that takes the place of its mark.
  public struct Visual: Sendable {
    /// Tiles that an image was cut into.
    let rows: Int, columns: Int
    /// Tokens of every visual span.
    let spans: [Int]
    /// Of a video: when its spans are shown; nil: an image.
    var seconds: [Double]?

    public init(rows: Int, columns: Int, spans: [Int], seconds: [Double]? = nil) {
      (self.rows, self.columns, self.spans, self.seconds) = (rows, columns, spans, seconds)
    }
  }

  /// The text with its marks, one an image or a video, written out: a placeholder for every visual token.
  /// - Parameter visuals: in the text's order.
  /// - Throws: `ModelError.input` if there are more or fewer marks than images or videos.
  public func writtenOut(_ text: String, _ visuals: [Visual]) throws(ModelError) -> String {
    let videos = visuals.count { $0.seconds != nil }
    try check(text, images: visuals.count - videos, videos: videos)
    var rest = text
    var out = ""
    for visual in visuals {
      if let seconds = visual.seconds, let video {
        let (before, after) = rest.splitOnce(video.placeholder)
        out += before + video.write(seconds, visual.spans.map { String(repeating: video.placeholder, count: $0) })
        rest = after
      } else {
        let (before, after) = rest.splitOnce(mark)
        let spans = visual.spans.map { String(repeating: placeholder, count: $0) }
        out += before + write(visual.rows, visual.columns, spans)
        rest = after
      }
    }
    return out + rest
  }

  /// The same for images alone: tiles that each was cut into, and tokens of every visual span.
  public func writtenOut(_ text: String, images: [(rows: Int, columns: Int, spans: [Int])]) throws(ModelError) -> String
  {
    try writtenOut(text, images.map { Visual(rows: $0.rows, columns: $0.columns, spans: $0.spans) })
  }

  /// Refuses a text that does not hold as many marks as there are images and videos.
  public func check(_ text: String, images: Int, videos: Int = 0) throws(ModelError) {
    try check(text, mark, images, "images")
    if let video { try check(text, video.placeholder, videos, "videos") }
  }

  private func check(_ text: String, _ mark: String, _ count: Int, _ what: String) throws(ModelError) {
    let found = text.count(of: mark)
    guard found == count else {
      throw .input(
        what: "prompt", found: "'\(mark)' \(found) times for \(count) \(what)",
        expected: "one for every \(what.dropLast())",
        fix:
          "Leave it out of the prompt: the template places the \(what); or check the template and the number of \(what)."
      )
    }
  }
}

/// How videos stand in the text of a family's prompts.
struct VideoText: Sendable {
  /// The token that stands for one visual token of a video, and what of `video` is written out.
  let placeholder: String
  /// One video in a prompt before it is written out.
  let video: String
  /// - Parameters:
  ///   - seconds: when every span is shown.
  ///   - spans: of every visual span its placeholders.
  let write: @Sendable (_ seconds: [Double], _ spans: [String]) -> String
}

// By bytes: a combining mark behind a field does not hide it.
extension String {
  /// What lies before and after the first `mark`; all and nothing without one.
  func splitOnce(_ mark: String) -> (String, String) {
    guard let range = utf8.firstRange(of: mark.utf8) else { return (self, "") }
    return (String(self[..<range.lowerBound]), String(self[range.upperBound...]))
  }

  func count(of mark: String) -> Int { utf8.ranges(of: mark.utf8).count }
}
