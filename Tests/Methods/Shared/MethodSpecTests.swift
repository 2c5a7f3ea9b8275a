import Testing
import VTok

/// What stands after `--method`.
@Suite struct MethodSpecTests {
  @Test func methodsAreParsed() throws {
    let spec = try MethodSpec("tome:r=8,trend=-1+divprune:keep=0.5")
    #expect(spec.parts.map(\.name) == ["tome", "divprune"])
    #expect(spec.parts[0].options == ["r": "8", "trend": "-1"])
    #expect(try spec.make(budget: nil).count == 2)
    for text in ["", "tome:", "tome:r", "tome:r=", "tome:=8", "tome:r=1,r=2", "+tome", "tome+"] {
      #expect(throws: MethodError.self, "\(text)") { try MethodSpec(text) }
    }
  }

  @Test func slipsAreRecognised() {
    #expect(closest(to: "divprun", in: Methods.names) == "divprune")
    #expect(closest(to: "TOME", in: Methods.names) == "tome")
    #expect(closest(to: "zebra", in: Methods.names) == nil)
  }

  /// A budget of the job rules what has no amount of its own, and nothing else.
  @Test(arguments: [
    ("tome:r=4", "tome"), ("visionzip:dominant=9,contextual=2", "visionzip"), ("h2o:heavy=4,recent=8", "h2o"),
    ("dart:tokens=9", "dart:layer=1"), ("dart:reduction=0.5", "dart"), ("cdpruner:per-tile=9", "cdpruner"),
    ("evit:rate=0.5", "evit"),
  ]) func ownAmountsAreNotRuled(own: String, ruled: String) throws {
    #expect(try !MethodSpec(own).usesJobBudget && MethodSpec(ruled).usesJobBudget)
    #expect(throws: MethodError.self) { try MethodSpec(own + ",keep=0.5").make(budget: nil) }
  }
}
