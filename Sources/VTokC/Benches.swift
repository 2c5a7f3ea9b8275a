// Functions have the names of vtok.h, which the compiler holds them against.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CVTokAPI
import Synchronization
import VTok

/// The request of a bench, read and checked.
private struct BenchRequest {
  let data: String, model: String
  let mmproj: String?, processor: String?, template: String?, companion: String?
  let precision: Precision?
  let methods: [MethodSpec]
  let budgets: [Budget]?
  let limit: Int?, samples: Int?
  let seeds: Int, threads: Int, newTokens: Int
  let seed: UInt64

  private static let keys: Set = [
    "data", "model", "mmproj", "processor", "precision", "template", "companion", "methods", "keep_ratio",
    "keep_tokens", "limit", "timing_samples", "seeds", "seed", "threads", "max_tokens",
  ]

  init(_ request: JSON) throws {
    guard let members = request.object else {
      throw ArgumentError("request", found: request.brief, expected: "a JSON object", fix: "Correct it.")
    }
    if let other = members.first(where: { !Self.keys.contains($0.key) })?.key {
      throw ArgumentError(
        "request", found: "the key '\(other)'", expected: Self.keys.sorted().joined(separator: ", "), fix: "Remove it.")
    }
    func value<Value>(_ key: String, _ expected: String, _ read: (JSON) -> Value?) throws(ArgumentError) -> Value? {
      guard let given = request[key], !given.isNull else { return nil }
      guard let value = read(given) else {
        throw ArgumentError(key, found: given.brief, expected: expected, fix: "Correct it.")
      }
      return value
    }
    func text(_ key: String) throws -> String? { try value(key, "a text", \.string) }
    func number(_ key: String, from least: Int, to most: Int = 1_000_000) throws -> Int? {
      try value(key, "a whole number in \(least)...\(most)") { json in
        json.int.flatMap { (least...most).contains($0) ? $0 : nil }
      }
    }
    guard let data = try text("data") else {
      throw ArgumentError("data", found: "none", expected: "a path", fix: "Name pictures or a question file.")
    }
    self.data = data
    model = try text("model") ?? LoadedModel.embedded[0]
    (mmproj, processor) = (try text("mmproj"), try text("processor"))
    (template, companion) = (try text("template"), try text("companion"))
    precision = try text("precision").map { try Precision(named: $0) }
    methods = try (value("methods", "a list of texts", \.strings) ?? []).map { try MethodSpec($0) }
    let ratios = try value("keep_ratio", "a list of numbers", \.doubles)?.map { try Budget(ratio: $0) }
    let tokens = try value("keep_tokens", "a list of whole numbers", \.ints)?.map { try Budget(tokens: $0) }
    guard ratios == nil || tokens == nil else {
      throw ArgumentError("keep_ratio and keep_tokens", found: "both", expected: "one of them", fix: "Remove one.")
    }
    budgets = ratios ?? tokens
    (limit, samples) = (try number("limit", from: 1), try number("timing_samples", from: 0))
    seeds = try number("seeds", from: 1, to: 1000) ?? 5
    threads = try threadCount(number("threads", from: 1, to: 1024) ?? 0)
    newTokens = try number("max_tokens", from: 1) ?? 16
    seed = UInt64(try number("seed", from: 0, to: .max) ?? 0)
  }

  func run(_ progress: Listener) throws -> JSON {
    if QuestionFile.matches(data) {
      let checkpoint = try LoadedModel.checkpoint(model, mmproj: mmproj, processor: processor, precision: precision)
      let model = try Generator(checkpoint, method: nil, template: template, companion: companion)
      let rows = try QuestionTask.rows(methods, budgets: budgets, seeds: seeds) { try model.with($0, keep: $1) }
      let task = try QuestionTask(
        model, data: QuestionFile(data, limit: limit), contenders: rows, limit: newTokens, seed: seed)
      return try measure(
        QuestionBench(task, threads: threads), samples: samples ?? 16, limit: nil, progress,
        provenance(model.name, model.sha256, model.precision))
    }
    let model = try LoadedModel.load(model, precision: precision ?? .f32, processor: processor)
    let rows = try ImageTask.rows(methods, budgets: budgets, seeds: seeds) {
      try Pipeline(model, method: $0, keep: $1)
    }
    let task = try ImageTask(
      model, data: LabelledImages(data, classes: model.vision.labels), contenders: rows, seed: seed)
    return try measure(
      ImageBench(task, threads: threads), samples: samples ?? 100, limit: limit, progress,
      provenance(model.name, model.sha256, model.vision.precision))
  }

  private func provenance(_ name: String, _ sha256: String, _ precision: Precision) -> Provenance {
    Provenance(
      model: name, modelSHA256: sha256, seed: seed, threads: threads,
      more: [("precision", JSON(precision.rawValue))])
  }

  private func measure<Task: BenchTask>(
    _ bench: Bench<Task>, samples: Int, limit: Int?, _ progress: Listener, _ provenance: Provenance
  ) throws -> JSON {
    let sample =
      samples == 0
      ? nil
      : try bench.sample(samples, limit: limit, progress: progress.hear, isCancelled: { progress.isOver })
    let results = try bench.run(
      limit: limit, sample: sample, progress: progress.hear, isCancelled: { progress.isOver })
    guard !progress.isOver else {
      throw ArgumentError("bench", found: "a wish to stop", expected: "none", fix: "Run it again.")
    }
    guard !results.items.isEmpty else {
      throw ArgumentError(
        "data '\(data)'", found: "no picture that can be read" + (results.failures.first.map { ": \($0)" } ?? ""),
        expected: "pictures", fix: "Check them.")
    }
    let report = BenchReport(results, provenance)
    return [
      "title": JSON(report.title), "rows": try JSON(parsing: Array(report.table.text(.json).utf8)),
      "remarks": JSON(report.remarks), "failures": JSON(results.failures),
    ]
  }
}

/// Who hears of a bench's progress, and may end it.
private final class Listener: @unchecked Sendable {
  private let receive: vtok_progress?
  private let context: UnsafeMutableRawPointer?
  private let over = Atomic(false)

  init(_ receive: vtok_progress?, _ context: UnsafeMutableRawPointer?) {
    self.receive = receive
    self.context = context
  }

  var isOver: Bool { over.load(ordering: .relaxed) }

  @Sendable func hear(done: Int, total: Int, failed: Int) {
    guard let receive, !isOver else { return }
    if receive(Int64(done), Int64(total), Int64(failed), context) != 0 { over.store(true, ordering: .relaxed) }
  }
}

@c @implementation
public func vtok_bench(
  _ request: UnsafePointer<CChar>?, _ progress: vtok_progress?, _ context: UnsafeMutableRawPointer?
) -> UnsafeMutablePointer<CChar>? {
  attempt {
    guard let text = try text(request, "request") else {
      throw ArgumentError("request", found: "NULL", expected: "a JSON object", fix: "Give one.")
    }
    return copied(try BenchRequest(JSON(parsing: Array(text.utf8))).run(Listener(progress, context)).text())
  }
}

@c @implementation
public func vtok_text_free(_ text: UnsafeMutablePointer<CChar>?) { text?.deallocate() }
