import GoldenRunner
import TestSupport
import Testing
import VTok

@Suite struct GenericExplainTests {
  @Test(arguments: Goldens.of(GenericExplain.self)) func likeTheGolden(_ golden: GoldenCase) throws {
    try golden.check()
  }

  // MARK: Options

  @Test func options() throws {
    try expectOptions(of: GenericExplain.self, "keep weights")
  }

  @Test(arguments: [
    "generic-explain", "generic-explain:keep=0.5",
  ]) func optionsAreChecked(_ spec: String) { expectMistake(spec) }

  /// Damaged nets: what is wrong is said by name.
  @Test func netsAreChecked() throws {
    func message(_ change: (inout [String: Tensor]) -> Void) -> String {
      var tensors = LanguageStage.net.tensors
      change(&tensors)
      let file = OptionFile(tensors: tensors)
      do {
        _ = try MethodSpec("generic-explain:weights=net").make(budget: nil) { _ in file }
        return "fine"
      } catch { return "\(error)" }
    }
    #expect(message { _ in } == "fine")
    #expect(message { $0["output.weight"] = nil }.contains("no tensor 'output.weight'"))
    #expect(message { $0["layers.0.depthwise.weight"] = nil }.contains("layers.0.depthwise.weight"))
    #expect(message { $0["layers.0.depthwise.weight"] = Tensor([1, 1], shape: [1, 1, 2]) }.contains("[1, 1, 3]"))
    #expect(message { $0["layers.0.pointwise.weight"] = Tensor([1, 1], shape: [1, 2, 1]) }.contains("[1, 1, 1]"))
    #expect(message { $0["layers.0.pointwise.bias"] = Tensor([1], shape: [1]) }.contains("expected [4]"))
    #expect(message { $0["output.weight"] = Tensor([1], shape: [1]) }.contains("3 axes"))
  }

  // MARK: What it keeps

  /// The tokens that the net picks in its recipe: the same attention goes in, the same scores come out.
  @Test func explainabilityKeepsWhatItsRecipeKept() throws {
    let path = smallModels + "vqa-small-explainability/explainability.safetensors"
    let generator = try Generator(
      Checkpoint(directory: smallModels + "vqa-small"), method: MethodSpec("generic-explain:weights=\(path)"),
      keep: .tokens(16))
    let rows = try String(contentsOfFile: smallModels + "vqa-small-explainability/reference.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    for (index, row) in rows.enumerated() {
      let image = try Image.decode(contentsOf: smallModels + "vqa-small/reference/\(index).png").image
      let prompt = try generator.prepare(#require(row["question"]?.string), about: [image])
      var run = Run(generator.composition)
      let decoding = try generator.model.prefill(prompt.ids, prompt.images, run: &run)
      #expect(decoding.tokens.origin.patches.map { Int($0) } == row["kept"]?.ints, "\(row.text())")
    }
  }

  // MARK: Refusals

  @Test func servesEveryFamily() throws { try expectRefusals(of: GenericExplain.self) }
}
