import Foundation
import Testing
import VTok

/// Published costs of language models on compressed images, computed again from shapes and schedules of tokens, each in
/// the convention of its paper.
@Suite struct LanguageTableTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let json: JSON
    let decoder: Shape.Decoder
    var testDescription: String { "\(json["model"]!.string!) \(json["method"]!.string!) \(json["source"]!.string!)" }
    init(_ json: JSON) { (self.json, decoder) = (json, Shape.published(json["shape"]!.string!)!.decoder!) }

    /// What a user would type for the row; nil if a picture has other counts, or if the paper counts parts of tokens.
    var spec: String? {
      guard let tokens = json["image_tokens"]?.int, tokens <= 576, let cuts = json["cuts"]?.array?.map({ $0.doubles! }),
        cuts.allSatisfy({ ($0[1] * Double(tokens)).truncatingRemainder(dividingBy: 1) == 0 })
      else { return nil }
      func list(_ values: [String]) -> String { values.joined(separator: "/") }
      let layers = cuts.map { Int($0[0]) }
      let stages = "layers=\(list(layers.map(String.init))),ratios=\(list(cuts.map { "\($0[1])" }))"
      let parts = json["method"]!.string!.split(separator: "+").map { name in
        switch name {
        case "VisionZip": "visionzip:keep=\(tokens)"
        case "FastV": "fastv:layer=\(layers[0]),keep=\(cuts[0][1])"
        case "PDrop": "pyramiddrop:\(stages)"
        case "none": ""
        default: "transprune:\(stages),accumulate=\(list((layers[0]...layers[2]).map(String.init)))"
        }
      }
      return parts == [""] ? nil : parts.joined(separator: "+")
    }
  }
  static func table(_ name: String) -> JSON {
    try! JSON(
      parsing: [UInt8](
        FileManager.default.contents(
          atPath: (#filePath as NSString).deletingLastPathComponent + "/PaperTables/\(name).json")!))
  }
  static let input = table("lvlm-input")
  static let inside = table("lvlm-llm")["rows"]!.array!.map { Row($0) }
  static func rows(_ calculator: String) -> [Row] {
    input["rows"]!.array!.filter { $0["calculator"]!.string! == calculator }.map { Row($0) }
  }
  static func rows(in conventions: String...) -> [Row] {
    inside.filter { conventions.contains($0.json["convention"]!.string!) }
  }

  @Test func everyReproducedRowIsHere() {
    #expect(Self.rows("divprune_tflops").count + Self.rows("llm_viewer_prefill").count == 31)
    #expect(Self.rows(in: "mac3-img", "mac2-612", "linear", "mac2-all", "mean ratio, image tokens").count == 39)
  }

  // MARK: One count per data set, then the mean (DivPrune's program)

  /// What its program does: K layers in full, the others on what is left of the image tokens.
  private func divPrune(_ row: Row, layers: Int, kept: Double, text: [Int]? = nil) -> (
    tflops: Double, percent: Double
  ) {
    let isVideo = row.json["model"]!.string!.contains("Video")
    let texts = text ?? Self.input[isVideo ? "text_tokens_video" : "text_tokens_image"]!.ints!
    let visual =
      row.json["shape"]!.string!.hasPrefix("llava-next") && !isVideo
      ? Self.input["visual_tokens_llava16"]!.ints!
      : texts.map { _ in Self.input[isVideo ? "visual_tokens_video" : "visual_tokens_llava15"]!.int! }
    let figures = zip(texts, visual).map { text, visual in
      let left = visual - Int((Double(visual) * (1 - kept)).rounded(.toNearestOrEven))
      let (all, rest) = (Convention.Tokens(visual: visual, text: text), Convention.Tokens(visual: left, text: text))
      let schedule = (0..<row.decoder.layers).map { $0 < layers ? all : rest }
      let dense = Convention.mac2All.value(of: schedule.map { _ in all }, decoder: row.decoder)
      let reduced = Convention.mac2All.value(of: schedule, decoder: row.decoder)
      return (reduced, 100 * reduced / dense)
    }
    return (
      figures.reduce(0) { $0 + $1.0 } / Double(texts.count), figures.reduce(0) { $0 + $1.1 } / Double(texts.count)
    )
  }

  @Test(arguments: rows("divprune_tflops")) func divPrune(_ row: Row) throws {
    let setting = row.json["calc_setting"]!
    let (tflops, percent) = divPrune(
      row, layers: setting["K"]!.int!, kept: setting["visual_ratio_kept"]!.double!, text: setting["text_tokens"]?.ints)
    if let published = row.json["published_tflops"]?.double { expectPrinted(tflops, published) }
    expectPrinted(percent, row.json["published_ratio_percent"]!.double!)
    #expect(abs(tflops - row.json["calc_tflops"]!.double!) < 1e-6)
    #expect(abs(percent - row.json["calc_ratio_percent"]!.double!) < 1e-5)
  }

  @Test(arguments: rows(in: "mac2-all")) func divPruneProgram(_ row: Row) throws {
    expectPrinted(divPrune(row, layers: 0, kept: 0.098).percent, row.json["published"]!.double!)
  }

  // MARK: One picture of a known number of tokens

  @Test(arguments: rows("llm_viewer_prefill")) func globalCom2(_ row: Row) throws {
    let tokens = Int((row.json["retention"]!.double! * Self.input["visual_tokens_globalcom2"]!.double!).rounded())
    let schedule = [Convention.Tokens](repeating: .init(visual: tokens), count: row.decoder.layers)
    let tflops = Convention.viewer.value(of: schedule, decoder: row.decoder)
    let published = row.json["published_tflops"]!.double!
    #expect(abs(tflops - published) <= max(0.05, 0.002 * published))
    #expect(abs(tflops - row.json["calc_tflops"]!.double!) < 6e-4)
    let (trace, shape) = try prefill([Int](repeating: tokens, count: row.decoder.layers), row)
    let language = try #require(Cost(of: trace, shape: shape).language)
    expectPrinted(Double(language.bytes(language.prefillEntries.reduce(0, +))) * 1e-6, row.json["calc_kv_MB"]!.double!)
  }

  @Test(arguments: rows(in: "mac3-img", "mac2-612", "linear")) func progressive(_ row: Row) throws {
    let dense = row.json["image_tokens"]!.double!
    let cuts = row.json["cuts"]!.array!.map { $0.doubles! }
    let counts = (0..<row.decoder.layers).map { layer in
      dense * (cuts.last { $0[0] <= Double(layer) }?[1] ?? 1)
    }
    let convention = try #require(Convention(rawValue: row.json["convention"]!.string!))
    var figure = convention.value(of: counts.map { .init(visual: $0) }, decoder: row.decoder)
    if convention == .linear { figure *= 100 / dense }
    expectPrinted(figure, row.json["published"]!.double!, digits: convention == .mac3Image ? 2 : 1)
    #expect(abs(figure - row.json["calculated"]!.double!) < 6e-5)
    // A run says the same as its schedule, where that is of whole tokens.
    let whole = counts.map { Int($0) }
    guard whole.map(Double.init) == counts else { return }
    let (trace, shape) = try prefill(whole, row, text: 40)
    let ran = convention.value(of: trace, shape: shape) * (convention == .linear ? 100 / dense : 1)
    #expect(abs(ran - figure) < 1e-9 * figure)
  }

  /// The methods' own schedules cost the same as the papers', where the picture has as many tokens as theirs.
  @Test(arguments: rows(in: "mac3-img", "mac2-612", "linear").filter { $0.spec != nil }) func ownMethods(_ row: Row)
    throws
  {
    let model = try #require(ModelOutline.published(row.json["shape"]!.string!))
    let prompt = Rehearsal.Prompt(picture: Size(672), text: 20, newTokens: 1)
    let (methods, dense) = (try MethodSpec(row.spec!).make(budget: nil), row.json["image_tokens"]!.double!)
    let convention = try #require(Convention(rawValue: row.json["convention"]!.string!))
    let trace = try Rehearsal.trace(methods, of: model, prompt: prompt)
    let figure = convention.value(of: trace, shape: model.shape) * (convention == .linear ? 100 / dense : 1)
    #expect(abs(figure - row.json["calculated"]!.double!) < 6e-5)
  }

  @Test func ownMethodsAreMany() { #expect(Self.inside.count { $0.spec != nil } == 23) }

  /// DivPrune itself, on prompts with as many text tokens as its program counts.
  @Test func ownDivPrune() throws {
    let model = try #require(ModelOutline.published("llava-1.5-7b"))
    let figures = try Self.input["text_tokens_image"]!.ints!.map { text in
      let prompt = Rehearsal.Prompt(text: text, newTokens: 1)
      return try [[], [DivPrune(keep: .ratio(0.098))]].map { methods in
        Convention.mac2All.value(of: try Rehearsal.trace(methods, of: model, prompt: prompt), shape: model.shape)
      }
    }
    let count = Double(figures.count)
    #expect(fixed(figures.reduce(0) { $0 + $1[0] } / count, 3) == "3.228")
    #expect(fixed(figures.reduce(0) { $0 + $1[1] } / count, 3) == "0.512")
    #expect(fixed(figures.reduce(0) { $0 + 100 * $1[1] / $1[0] } / count, 2) == "15.63")
  }

  /// Mixture of depths: layer i keeps a share of the image tokens' keys and values.
  @Test(arguments: rows(in: "mean ratio, image tokens")) func mixtureOfDepths(_ row: Row) throws {
    let tokens = 1_000_000  // so many that cutting to whole tokens does not show
    let kept = (0..<row.decoder.layers).map { layer in
      let ratio = cos(Double.pi * Double(layer) / 31) / 2 + 0.5
      return ratio > 0.85 ? tokens : Int(Double(tokens) * max(ratio, 0.15))
    }
    let shares = try [kept, kept.map { _ in tokens }].map { counts in
      let (trace, shape) = try prefill(counts, row)
      let language = try #require(Cost(of: trace, shape: shape).language)
      return Double(language.bytes(language.prefillEntries.reduce(0, +)))
    }
    // Exactly between two printed digits.
    let percent = 100 * shares[0] / shares[1]
    #expect(abs(percent - row.json["calculated"]!.double!) < 1e-4)
    #expect(abs(percent - row.json["published"]!.double!) < 0.0501)
  }

  /// A run that lets so many image tokens enter every layer.
  private func prefill(_ visual: [Int], _ row: Row, text: Int = 0) throws -> (Trace, Shape) {
    let shape = try #require(Shape.published(row.json["shape"]!.string!))
    var run = Run(.dense(shape))
    let span = Int32(text)..<Int32(text + visual[0])
    run.images = [
      ImageLayout(tileRows: 1, tileColumns: 1, side: 24, thumbnail: nil, width: 336, height: 336, spans: [span])
    ]
    for count in visual {
      var layer = Trace.Layer(rows: [count + text])
      layer.cached = count + text
      run.passLayer(layer, ids: (0..<Int32(count + text)).map { $0 })
    }
    return (run.trace, shape)
  }

  /// Equal to the printed digits; some tables cut instead of rounding.
  private func expectPrinted(
    _ value: Double, _ published: Double, digits: Int? = nil, location: SourceLocation = #_sourceLocation
  ) {
    let digits = digits ?? "\(published)".split(separator: ".").last!.count
    let unit = pow(10, Double(digits))
    let printed = fixed(published, digits)
    #expect(
      fixed(value, digits) == printed || fixed((value * unit).rounded(.down) / unit, digits) == printed,
      sourceLocation: location)
  }
}
