/// How images stand in the text of a family's prompts.
public enum VisualText: Sendable, Equatable {
  /// LLaVA: one placeholder per token of the image.
  case llava
  /// Idefics3: tiles by row and column, then the whole image, a placeholder per token of each.
  case idefics3
  /// Qwen-VL.
  case qwen

  /// By `model_type`; nil for a model that is none of these.
  public init?(modelType: String) {
    switch modelType {
    case "llava", "llava_llama", "llava_mistral", "llava_next", "pmod_llava_llama": self = .llava
    case "idefics3", "smolvlm": self = .idefics3
    case "qwen2_vl", "qwen2_5_vl": self = .qwen
    default: return nil
    }
  }

  /// The token that stands for one visual token.
  public var placeholder: String { self == .qwen ? "<|image_pad|>" : "<image>" }
  /// One image in a prompt before it is written out.
  public var image: String { self == .qwen ? "<|vision_start|><|image_pad|><|vision_end|>" : "<image>" }

  /// The same where it stands in a message that is one text, before what is said about it.
  var imageInText: String { self == .llava ? "<image>\n" : image }

  /// The text with its placeholders, one an image, written out: one for every visual token.
  /// - Parameter images: in the text's order: tiles that the image was cut into, and tokens of every visual span.
  /// - Throws: `ModelError.input` if there are more or fewer placeholders than images.
  public func writtenOut(_ text: String, images: [(rows: Int, columns: Int, spans: [Int])]) throws(ModelError) -> String
  {
    try check(text, images: images.count)
    var rest = text
    var out = ""
    for image in images {
      let (before, after) = rest.splitOnce(placeholder)
      out += before + writtenOut(image)
      rest = after
    }
    return out + rest
  }

  /// Refuses a text that does not hold as many placeholders as there are images.
  public func check(_ text: String, images: Int) throws(ModelError) {
    let found = text.count(of: placeholder)
    guard found == images else {
      throw .input(
        what: "prompt", found: "'\(placeholder)' \(found) times for \(images) images",
        expected: "one for every image",
        fix: "Leave it out of the prompt: the template places the images; or check --template and --image.")
    }
  }

  private func writtenOut(_ image: (rows: Int, columns: Int, spans: [Int])) -> String {
    func tokens(_ span: Int) -> String { String(repeating: placeholder, count: image.spans[span]) }
    guard self == .idefics3 else { return image.spans.indices.map(tokens).joined() }
    let mark = "<fake_token_around_image>"
    var text = ""
    for row in 0..<image.rows {
      for column in 0..<image.columns {
        text += "\(mark)<row_\(row + 1)_col_\(column + 1)>" + tokens(row * image.columns + column)
      }
      text += "\n"
    }
    return text + (image.rows > 0 ? "\n" : "") + "\(mark)<global-img>" + tokens(image.spans.count - 1) + mark
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
