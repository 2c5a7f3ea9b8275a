import Foundation
import TestSupport
import Testing
import VTok

/// Methods that are values: of the library, or of one's own.
@Suite struct OwnMethodTests {
  /// A method that no list names: every second patch after the tower, from one drawn by the seed on where it draws lots.
  struct EverySecond: Compressor {
    static let name = "every-second"
    static let summary = "keep every second patch"
    var drawsLots = false
    var isStochastic: Bool { drawsLots }

    init(drawsLots: Bool = false) { self.drawsLots = drawsLots }
    init(_ options: inout Options) throws(OptionError) {
      drawsLots = try options.take("lots", default: false, "whether the first patch is drawn")
    }

    func plan(for model: Shape) throws(CompressionError) -> Plan { Plan(act: [.features]) }

    mutating func reduce(_ view: borrowing View, at site: Site, notes: inout Notes) throws(CompressionError)
      -> [Reduction]?
    {
      let first = drawsLots ? Int(view.seed % 2) : 0
      return view.sequences.map { tokens in
        let keepsOthers = view.standard == nil
        return .keep(
          tokens.kind.indices.filter { tokens.kind[$0] == .patch ? $0 % 2 == first : keepsOthers }, of: tokens.count)
      }
    }
  }

  private static let model = try! LoadedModel.load("vtok-tiny")

  @Test func valuesRunAsNamesDo() throws {
    let image = try Image.decode(contentsOf: pictures + "/cat.jpg").image
    let named = try Pipeline(Self.model, method: MethodSpec("evit"), keep: .ratio(0.25))
    let value = try Pipeline(Self.model, methods: [EViT(keep: .ratio(0.25))], keep: .ratio(0.25))
    let (a, b) = (try named(image), try value(image))
    #expect(a.tokens.values == b.tokens.values)
    #expect(a.keep == b.keep)
    #expect(a.outcome == b.outcome)
    #expect(named.method == value.method)
    #expect(named.asked == value.asked)
    #expect(named.budget == value.budget)
    let own = try Pipeline(Self.model, methods: [EverySecond()], title: "second: even")
    #expect(own.method == "second: even" && own.asked == .own && own.budget == nil)
    #expect(try own(image).outcome.asked == nil && own(image).keep.count == 128)
    let dense = try Pipeline(Self.model, methods: [])
    #expect(dense.method == "dense" && dense.asked == .nothing)
  }

  /// A budget that a method was said to be made with and did not keep is told.
  @Test func budgetsOfValuesAreCompared() throws {
    let image = try Image.decode(contentsOf: pictures + "/cat.jpg").image
    let outcome = try Pipeline(Self.model, methods: [EverySecond()], keep: .ratio(0.25))(image).outcome
    #expect(outcome.asked == 64 && outcome.reached == 128 && outcome.reason != nil)
    #expect(throws: CompressionError.self) {
      try Pipeline(Self.model, methods: [EverySecond()], keep: .tokens(100_000))
    }
  }

  /// Rows of one's own methods say of them what rows of named methods say: name, budget, seeds, provenance, line of the plot.
  @Test func aBenchOfValues() throws {
    let data = try LabelledImages(pictures, classes: nil)
    let methods: [any Compressor] = [EverySecond(), EverySecond(drawsLots: true)]
    let bench = try ImageBench(Self.model, methods: methods, keep: .ratio(0.5), data: data)
    #expect(
      bench.task.entries.map(\.method) == [
        "dense", "every-second", "every-second", "random:at=features", "downsample",
      ])
    #expect(bench.task.entries.map(\.seeds.count) == [1, 1, 5, 5, 1])
    #expect(bench.task.entries.dropFirst().allSatisfy { $0.asked == .budget(.ratio(0.5)) })
    let results = try bench.run(limit: 2)
    let report = BenchReport(results, Provenance(model: "vtok-tiny"))
    let rows = report.table.rows.map(\.json)
    #expect(rows[1].value(at: "method") == "every-second" && rows[1].value(at: "run.method") == "every-second")
    #expect(rows[1].value(at: "tokens.out")?.double == 128 && rows[1].value(at: "budget.reached")?.double == 0.5)
    #expect(report.table.rows[2].cells[0] == "every-second x5")
    #expect(try report.html(gallery: 0).contains("every-second"))
  }

  @Test func aTargetForValues() throws {
    let dense = Cost(denseWith: 256, shape: Self.model.vision.shape).gmacs
    let named = try Self.model.solve(.gmacs(0.7 * dense), MethodSpec("evit"))
    let value = try Self.model.solve(.gmacs(0.7 * dense), title: "mine") { [EViT(keep: $0)] }
    #expect(named == value)
  }

  @Test func questionsAboutImages() throws {
    let generator = try Generator(Checkpoint(directory: smallModels + "vqa-small"), methods: [EverySecond()])
    let image = try Image.decode(contentsOf: smallModels + "vqa-small/reference/0.png").image
    let answer = try generator("what color is the shape?", about: [image], limit: 2)
    #expect(answer.table.tokensIn == 2 * answer.table.tokensOut && generator.method == "every-second")
    let named = try generator.with(MethodSpec("divprune"), keep: .tokens(16))
    let value = try generator.with(methods: [DivPrune(keep: .tokens(16))], keep: .tokens(16))
    #expect(
      try named("what color is the shape?", about: [image], limit: 2).ids
        == value("what color is the shape?", about: [image], limit: 2).ids)
    #expect(named.asked == value.asked)
  }

  @Test func aBenchOfQuestions() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("own-method-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      atPath: smallModels + "vqa-small/reference/0.png", toPath: folder.path + "/0.png")
    let question: JSON = [
      "image": "0.png", "question": "what color is the shape?", "answers": ["red"], "metric": "exact",
    ]
    try Data((question.text() + "\n").utf8).write(to: folder.appendingPathComponent("questions.jsonl"))
    let generator = try Generator(model: smallModels + "vqa-small")
    let data = try QuestionFile(folder.path + "/questions.jsonl")
    let bench = try QuestionBench(generator, methods: [EverySecond()], keep: .ratio(0.5), data: data)
    let rows = try bench.run().rows
    #expect(rows.map(\.entry.method).prefix(3) == ["dense", "every-second", "random"])
    #expect(rows[1].mean(.tokensOut) * 2 == rows[0].mean(.tokensOut))
    #expect(rows[1].outcome?.asked == rows[1].outcome?.reached)
  }

  // MARK: Files that options name

  @Test func optionFilesAreRead() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("own-method-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.path + "/rates.json"
    let counts = (0..<6).map { 257 - 16 * $0 }  // one a block, class token included
    let rates: JSON = ["schema": "vtok-rates/1", "prune": JSON(counts), "merge": JSON(counts)]
    try Data(rates.text().utf8).write(to: URL(fileURLWithPath: path))
    let image = try Image.decode(contentsOf: pictures + "/cat.jpg").image
    let pipeline = try Pipeline(Self.model, method: MethodSpec("diffrate:rates=\(path)"))
    #expect(try pipeline(image).keep.count == 176 && pipeline.asked == .own)
    #expect(try MethodSpec("tome+diffrate:rates=\(path)").files == [path])
    for wrong in ["/no/such.json", folder.path, pictures + "/cat.jpg"] {
      #expect { try Pipeline(Self.model, method: MethodSpec("diffrate:rates=\(wrong)")) } throws: { error in
        guard case MethodError.option(.file("diffrate", "rates", _)) = error else { return false }
        return true
      }
    }
    #expect(throws: MethodError.self) { try MethodSpec("diffrate:rates=\(path)").make(budget: nil) }
  }

  // MARK: What methods declare

  @Test func whoDrawsLots() throws {
    let drawing = [
      "prunesid", "random", "random:at=features", "deep-random", "keyformer", "token-corr:sample=seeded",
      "sparsevlm:noise=seeded",
    ]
    for text in Methods.names.filter({ $0 != "generic-explain" }) + drawing {
      let made = try MethodSpec(text).make(budget: .ratio(0.5))
      #expect(made.contains(where: \.isStochastic) == drawing.contains(text), "\(text)")
    }
  }

  /// An option that is declared as an amount sets it: with it no budget rules, and `keep` beside it is refused.
  @Test(arguments: Methods.names) func amountsAreDeclared(_ name: String) throws {
    let options = Methods.options(of: try Methods.named(name))
    #expect(options.takesBudget == (try MethodSpec(name).usesJobBudget))
    for entry in options.entries where entry.role == .amount || entry.role == .budget {
      #expect(try !MethodSpec("\(name):\(entry.key)=1").usesJobBudget, "\(entry.key)")
    }
    for entry in options.entries where entry.role == .setting && !entry.isFile {
      #expect(try MethodSpec("\(name):\(entry.key)=1").usesJobBudget == options.takesBudget, "\(entry.key)")
    }
  }

  @Test func cutsAreMoved() throws {
    #expect(try MethodSpec("random").cutting(atBlock: 0) == MethodSpec("random:block=0"))
    #expect(
      try MethodSpec("cls-attention:keep=0.5").cutting(atBlock: 2) == MethodSpec("cls-attention:keep=0.5,block=2"))
    for text in ["tome", "random:block=3", "random+tome", "nothing"] {
      #expect(try MethodSpec(text).cutting(atBlock: 0) == nil, "\(text)")
    }
  }
}
