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

  /// That of the family that a `config.json` names; nil for a model that is no vision-language model.
  public init?(of config: JSON) {
    guard let family = MultimodalFamily.of(config) else { return nil }
    self = family.text
  }

  /// The text with its marks, one an image, written out: a placeholder for every visual token.
  /// - Parameter images: in the text's order: tiles that the image was cut into, and tokens of every visual span.
  /// - Throws: `ModelError.input` if there are more or fewer marks than images.
  public func writtenOut(_ text: String, images: [(rows: Int, columns: Int, spans: [Int])]) throws(ModelError) -> String
  {
    try check(text, images: images.count)
    var rest = text
    var out = ""
    for image in images {
      let (before, after) = rest.splitOnce(mark)
      let spans = image.spans.map { String(repeating: placeholder, count: $0) }
      out += before + write(image.rows, image.columns, spans)
      rest = after
    }
    return out + rest
  }

  /// Refuses a text that does not hold as many marks as there are images.
  public func check(_ text: String, images: Int) throws(ModelError) {
    let found = text.count(of: mark)
    guard found == images else {
      throw .input(
        what: "prompt", found: "'\(mark)' \(found) times for \(images) images",
        expected: "one for every image",
        fix:
          "Leave it out of the prompt: the template places the images; or check the template and the number of images.")
    }
  }
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
