import Foundation
import Testing
import VTokWeights

/// A few bytes may stand for many objects, but not without end.
@Suite struct ReadBudgetTests {
  /// Texts of values that are as dear as JSON can be, each a little larger than a budget.
  @Test(arguments: [
    ("[", "0,", "0]"), ("[", "[],", "[]]"), ("[", "{},", "{}]"), ("[", #"{"a":0},"#, "0]"), ("[", #""","#, "0]"),
    ("[", #""sixteen letters!","#, "0]"), ("[", "1e5,", "0]"), ("[", "[[[[]]]],", "0]"), ("[", "null,", "0]"),
  ]) func values(_ open: String, _ unit: String, _ close: String) throws {
    let small = open + String(repeating: unit, count: 1000) + close
    _ = try JSON(parsing: small, budget: .settings)
    let large = open + String(repeating: unit, count: 2_200_000) + close
    let error = #expect(throws: JSONError.self) { try JSON(parsing: large, budget: .settings) }
    #expect(error?.place == .limit)
  }

  @Test func keys() {
    let text = "{" + (0..<700_000).map { "\"\($0)\":0," }.joined() + "\"x\":0}"
    let error = #expect(throws: JSONError.self) { try JSON(parsing: text, budget: .settings) }
    #expect(error?.place == .limit && error?.description.contains("a configuration") == true)
  }

  /// By their length, before anything is read: what stands in them does not matter.
  @Test(arguments: [
    ("config.json", ReadBudget.settings), ("preprocessor_config.json", .settings), ("tokenizer.json", .vocabulary),
    ("vocab.json", .vocabulary), ("model.safetensors.index.json", .tensorList),
  ]) func files(_ name: String, _ budget: ReadBudget) throws {
    try withFolder { folder in
      let path = folder + "/" + name
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
      #expect(truncate(path, budget.text + 1) == 0)
      let error = weightError { _ = try JSON(contentsOf: path) }
      #expect(error?.kind == .budget && error?.file == path && error?.expected.contains("\(budget.text)") == true)
      #expect(truncate(path, 100) == 0)
      #expect(weightError { _ = try JSON(contentsOf: path) }?.kind == .malformedJSON)
    }
  }

  @Test func headers() {
    let text = #"{"__metadata__":["# + String(repeating: "0,", count: 5_000_000) + "0]}"
    #expect(weightError { _ = try opened(safetensors(text, data: 0)) }?.kind == .budget)
  }

  /// The largest tokenizers that are published, and headers of more tensors than any model has, pass.
  @Test func whatModelsHavePasses() throws {
    let vocabulary = (0..<262_144).map { "\"token number \($0)\":\($0)" }.joined(separator: ",")
    let merges = (0..<515_000).map { "[\"tok\($0)\",\"en\"]" }.joined(separator: ",")
    let tokenizer = try JSON(
      parsing: #"{"model":{"vocab":{\#(vocabulary)},"merges":[\#(merges)]}}"#, budget: .vocabulary)
    #expect(tokenizer.value(at: "model.vocab")?.object?.count == 262_144)
    let tensors = (0..<60_000).map {
      #""model.layers.\#($0).mlp.experts.up_proj.weight":{"dtype":"F32","shape":[1],"data_offsets":[\#(4 * $0),\#(4 * $0 + 4)]}"#
    }
    #expect(try opened(safetensors("{\(tensors.joined(separator: ","))}", data: 240_000)).entries.count == 60_000)
  }

  @Test func literals() {
    let text = "[" + String(repeating: "0,", count: 3_000_000) + "0]"
    let error = #expect(throws: PythonLiteralError.self) { try JSON(pythonLiteral: text) }
    #expect(error?.reason.contains("more values") == true)
  }
}
