import ArgumentParser
import VTok

extension Precision: ExpressibleByArgument {}

/// The arithmetic of a model.
struct PrecisionFlag: ParsableArguments {
  @Option(
    name: .customLong("precision"),
    help: ArgumentHelp(
      "Arithmetic of the products with weights: f32, bf16, int8, int4 (language models; their towers take int8), or file (as a "
        + "GGUF file holds them; its default). Norms and what methods look at stay float32.", valueName: "NAME"))
  var value: Precision?
}

extension CachePrecision: ExpressibleByArgument {}

/// The caches of a language model.
struct CacheFlag: ParsableArguments {
  @Option(
    name: .customLong("kv"),
    help: ArgumentHelp(
      "How the caches of the language model hold keys and values: f32 (default), bf16, or int8 (a scale for every key and value of "
        + "a head). Rounded when they are stored. States of gated delta nets (Qwen3.5) stay float32.", valueName: "NAME"
    ))
  var given: CachePrecision?

  var value: CachePrecision { given ?? .f32 }

  /// For what reads no prompt.
  func refuse(_ found: String) throws {
    guard given != nil else { return }
    throw UsageError(
      "--kv", found: "\(found), which keeps no keys and values", expected: "a vision-language model",
      fix: "Remove the flag.")
  }
}

/// The arithmetics that a table compares.
struct PrecisionSweep: ParsableArguments {
  @Option(
    name: .customLong("precision"),
    help: ArgumentHelp(
      "Arithmetic of the products with weights: f32, bf16, int8, int4 (language models), or file (as a GGUF file holds them; its "
        + "default). Several make every row once with each; all are compared with the dense row of f32, or of the first.",
      valueName: "NAME[,NAME...]"))
  var names: [String] = []

  /// float32 first; nil alone: the model's default.
  func values() throws -> [Precision?] {
    var values: [Precision] = []
    for name in names.items {
      guard let value = Precision(rawValue: name) else {
        throw UsageError(
          "--precision", found: "'\(name)'", expected: Precision.allCases.map(\.rawValue).joined(separator: ", "),
          fix: "For example f32,bf16,int8.")
      }
      guard !values.contains(value) else {
        throw UsageError("--precision", found: "\(name) twice", expected: "each once", fix: "Remove one.")
      }
      values.append(value)
    }
    return values.isEmpty ? [nil] : values.filter { $0 == .f32 } + values.filter { $0 != .f32 }
  }
}
