import Testing
import VTokCore

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
      let typed = options.entries.filter { $0.role == .budget && text != nil }.map(\.key)
      return (budget, options.isRuled(with: typed))
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
}
