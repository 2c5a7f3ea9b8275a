/// `post_processor` of a tokenizer file, for one text: the special tokens around it.
struct PostProcessor: Sendable {
  private(set) var before: [Int32] = [], after: [Int32] = []

  init(before: [Int32], after: [Int32]) {
    self.before = before
    self.after = after
  }

  init(_ part: TokenizerPart?) throws(TokenizerError) {
    guard let part else { return }
    switch try part.string("type") {
    case "ByteLevel": break  // only changes offsets
    case "Sequence":
      for step in try part.parts("processors") {
        let outer = try PostProcessor(step)
        (before, after) = (outer.before + before, after + outer.after)
      }
    case "TemplateProcessing":
      let tokens = part.json["special_tokens"] ?? [:]
      var texts = 0
      for item in try part.parts("single") {
        if let name = item.json.value(at: "SpecialToken.id")?.string {
          let ids = tokens[name]?["ids"]?.ints?.compactMap { $0 >= 0 ? Int32(exactly: $0) : nil } ?? []
          guard !ids.isEmpty, ids.count == tokens[name]?["ids"]?.array?.count else {
            throw part.refused("special_tokens", "ids of `\(shortened(name))`")
          }
          if texts == 0 { before += ids } else { after += ids }
        } else if item.json.value(at: "Sequence.id")?.string == "A" {
          texts += 1
        } else {
          throw item.refused("SpecialToken", "SpecialToken or Sequence A")
        }
      }
      guard texts == 1 else { throw part.refused("single", "the text once") }
    default: throw part.refused("type", "one of Sequence, TemplateProcessing, ByteLevel")
    }
  }
}
