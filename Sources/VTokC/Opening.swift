import CVTokAPI
import VTok

/// `vtok_options`, read and checked.
struct Opening {
  let model: String
  let mmproj: String?, processor: String?, companion: String?
  let method: MethodSpec?
  let budget: Budget?
  let precision: Precision?
  let template: String?, question: String?
  let decode: DecodeOptions

  init(_ given: UnsafePointer<vtok_options>?) throws {
    let options = try readable(given, "options", empty: vtok_options())
    model = path(options.model) ?? LoadedModel.embedded[0]
    mmproj = path(options.mmproj)
    processor = path(options.processor)
    companion = path(options.companion)
    template = try text(options.chat_template, "chat_template")
    question = try text(options.question, "question")
    precision = try text(options.precision, "precision").map { try Precision(named: $0) }
    method = try text(options.method, "method").map { try MethodSpec($0) }
    let asked = try Budget(ratio: options.keep_ratio, tokens: options.keep_tokens)
    budget = try Self.budget(asked, of: method)
    guard options.max_pixels >= 0 else {
      throw ArgumentError("max_pixels", found: "\(options.max_pixels)", expected: "0 or more", fix: "Correct it.")
    }
    decode = DecodeOptions(
      maxPixels: options.max_pixels == 0 ? DecodeOptions().maxPixels : Int(options.max_pixels),
      rawOrientation: options.raw_orientation != 0, alpha: options.drop_alpha != 0 ? .drop : .white)
  }

  /// What the command gives a method: the budget asked for, half of the tokens without one, none where it has an amount of
  /// its own.
  static func budget(_ asked: Budget?, of method: MethodSpec?) throws -> Budget? {
    guard let method else {
      guard asked == nil else {
        throw ArgumentError(
          "method", found: "none beside a budget", expected: "a method to spend it", fix: "Name one.")
      }
      return nil
    }
    _ = try method.make(budget: nil, read: OptionFile.read)
    if method.isRuled(whereGiven: asked != nil) { return asked ?? MethodSpec.usualBudget }
    guard asked == nil else {
      throw ArgumentError(
        "budget", found: "one beside '\(method)', which has an amount of its own",
        expected: "a method that takes a budget", fix: "Remove the budget, or the amount from the method.")
    }
    return nil
  }

  func checkpoint() throws -> Checkpoint {
    try LoadedModel.checkpoint(model, mmproj: mmproj, processor: processor, precision: precision)
  }

  func generator(_ checkpoint: Checkpoint) throws -> Generator {
    try Generator(checkpoint, method: method, keep: budget, template: template, companion: companion)
  }

  /// The model with its method; of a vision-language model what is before the language model.
  func reducer() throws -> any ImageReducer {
    let checkpoint = try checkpoint()
    guard MultimodalModel.matches(checkpoint.config) else {
      if let name = [("question", question), ("chat_template", template), ("companion", companion)].first(where: {
        $0.1 != nil
      })?.0 {
        throw ArgumentError(
          name, found: "a model without text", expected: "a vision-language model", fix: "Leave it out.")
      }
      let model = try LoadedModel.load(model, precision: precision ?? .f32, processor: processor)
      return try Pipeline(model, method: method, keep: budget)
    }
    return try VisualReducer(generator(checkpoint), question: question)
  }
}

extension Precision {
  init(named name: String) throws(ArgumentError) {
    guard let value = Precision(rawValue: name) else {
      throw ArgumentError(
        "precision", found: "'\(name)'", expected: Precision.allCases.map(\.rawValue).joined(separator: ", "),
        fix: "Name one of them.")
    }
    self = value
  }
}

extension Budget {
  /// One of the two, or neither where both are 0.
  init?(ratio: Double, tokens: Int64) throws(ArgumentError) {
    guard ratio == 0 || tokens == 0 else {
      throw ArgumentError(
        "keep_ratio and keep_tokens", found: "both", expected: "one of them", fix: "Remove one.")
    }
    if ratio != 0 {
      self = try Self(ratio: ratio)
    } else if tokens != 0 {
      self = try Self(tokens: Int(tokens))
    } else {
      return nil
    }
  }

  init(ratio: Double) throws(ArgumentError) {
    guard ratio > 0, ratio <= 1 else {
      throw ArgumentError(
        "keep_ratio", found: "\(ratio)", expected: "a number above 0 and at most 1",
        fix: "For a number of tokens use keep_tokens.")
    }
    self = .ratio(ratio)
  }

  init(tokens: Int) throws(ArgumentError) {
    guard Self.tokenRange.contains(tokens) else {
      throw ArgumentError(
        "keep_tokens", found: "\(tokens)", expected: "a whole number in 1...\(Self.tokenRange.upperBound)",
        fix: "For a share use keep_ratio.")
    }
    self = .tokens(tokens)
  }
}

/// `0` stands for the usual one.
func number(_ value: Int, _ what: String, in range: ClosedRange<Int>, usual: Int) throws(ArgumentError) -> Int {
  if value == 0 { return usual }
  guard range.contains(value) else {
    throw ArgumentError(
      what, found: "\(value)", expected: "a whole number in \(range.lowerBound)...\(range.upperBound)",
      fix: "Correct it.")
  }
  return value
}
