import Testing
import VTokCore
import VTokMethods

/// What stands behind `--method NAME:key=value`.
@Suite struct OptionsTests {
  enum Colour: String, CaseIterable { case red, blue }

  @Test func typedAndChecked() throws {
    var options = Options(method: "m", ["a": "2.5", "b": "7", "c": "off", "d": "blue", "e": "1/2/3.5"])
    #expect(try options.take("a", default: 1, in: 0...3, "") == 2.5)
    #expect(try options.take("b", default: nil, in: 0...9, "") == 7)
    #expect(try options.take("c", default: true, "") == false)
    #expect(try options.take("d", default: Colour.red, "") == .blue)
    #expect(try options.list("e", "numbers", "") == [1, 2, 3.5])
    #expect(throws: Never.self) { try options.finish() }
    #expect(options.entries.map(\.key) == ["a", "b", "c", "d", "e"])
  }

  @Test(arguments: [("a", "4"), ("a", "nan"), ("a", ""), ("b", "1.5"), ("c", "maybe"), ("d", "green"), ("e", "1//2")])
  func refused(key: String, value: String) {
    var options = Options(method: "m", [key: value])
    #expect(throws: OptionError.self) {
      switch key {
      case "a": _ = try options.take("a", default: 1, in: 0...3, "")
      case "b": _ = try options.take("b", default: nil, in: 0...9, "")
      case "c": _ = try options.take("c", default: true, "")
      case "d": _ = try options.take("d", default: Colour.red, "")
      default: _ = try options.list("e", "numbers", "")
      }
    }
  }

  @Test func whatNobodyTakesIsAMistake() {
    let options = Options(method: "m", ["kep": "1"])
    #expect(throws: OptionError.unknown(method: "m", option: "kep", known: [])) { try options.finish() }
  }

  @Test func budgets() throws {
    func budget(_ text: String?, job: Budget? = nil) throws -> (Budget?, usesJob: Bool) {
      var options = Options(method: "m", text.map { ["keep": $0] } ?? [:], budget: job)
      let budget = try options.budget("")
      return (budget, options.usesJobBudget)
    }
    #expect(try budget("0.25") == (.ratio(0.25), false))
    #expect(try budget("64", job: .ratio(0.1)) == (.tokens(64), false))
    #expect(try budget("1.0").0 == .ratio(1))
    #expect(try budget("1").0 == .tokens(1))
    #expect(try budget(nil, job: .tokens(9)) == (.tokens(9), true))
    #expect(throws: OptionError.self) { try budget("0") }
    #expect(throws: OptionError.self) { try budget("1.5") }
    #expect(Budget.ratio(0.5).tokens(of: 5) == 2, "half to even, as Python rounds")
    #expect(Budget.ratio(0.5).tokens(of: 7) == 4)
  }

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

  @Test func namesAreUniqueAndSummariesNameASource() {
    #expect(Set(Methods.names).count == Methods.all.count)
    for method in Methods.all { #expect(!method.summary.isEmpty && method.summary.count <= 120) }
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
