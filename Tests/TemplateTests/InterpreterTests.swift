import Foundation
import Testing
import VTokModels
import VTokTemplate
import VTokWeights

func render(_ text: String, _ values: TemplateValue = [:]) throws(TemplateError) -> String {
  try Template(text).render(values, now: LocalTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5))
}

/// The error of a template; nil: it has none.
func error(_ text: String, _ values: TemplateValue = [:], limits: Template.Limits = .init()) -> TemplateError? {
  do throws(TemplateError) {
    _ = try Template(text).render(values, limits: limits)
    return nil
  } catch {
    return error
  }
}

@Suite struct InterpreterTests {
  /// What jinja2 makes of some 2,500 small templates: texts to the byte, and errors where it has errors.
  @Test func agreesWithJinja2() throws {
    let path = (#filePath as NSString).deletingLastPathComponent + "/jinja-table.json"
    let table = try JSON(parsing: [UInt8](try #require(FileManager.default.contents(atPath: path))))
    let values = TemplateValue(try #require(table["values"]))
    let rows = try #require(table["rows"]?.array)
    #expect(rows.count > 2000)
    for row in rows {
      let template = row["template"]!.string!
      let found = try? render(template, values)
      let same = found.map { Array($0.utf8) } == row["text"]?.string.map { Array($0.utf8) }
      #expect(same, "\(template): \(found ?? "an error"), expected \(row["text"]?.string ?? "an error")")
    }
  }

  /// What Jinja has and this does not is said by its name and line, not passed over.
  @Test(arguments: [
    ("{% include 'a' %}", "`include`"), ("{% block a %}{% endblock %}", "`block`"), ("{% do x %}", "`do`"),
    ("{% for a in [] recursive %}{% endfor %}", "`recursive`"), ("{{ 'a'|wordwrap }}", "filter `wordwrap`"),
    ("{{ 'a'|xyz }}", "filter `xyz`"), ("{{ 1 is xyz }}", "test `xyz`"), ("{{ 'a'.encode() }}", "`encode`"),
    ("{{ (1).real }}", "`real`"), ("{{ [namespace()] }}", "`Namespace`"), ("{{ self }}", "`self`"),
    ("{{ '\\N{DASH}' }}", "by its name"), ("{{ ['a']|map('xyz')|list }}", "filter `xyz`"),
  ]) func namesWhatIsNotBuilt(template: String, name: String) throws {
    let found = try #require(error("a\n\n{% if true %}\n" + template + "{% endif %}"))
    #expect(found.kind == .unsupported && found.line == 4 && "\(found)".contains(name), "\(found)")
    #expect("\(found)".hasPrefix("line 4: "))
  }

  /// In a branch that is not come to it does no harm.
  @Test func runsAroundWhatIsNotBuilt() throws {
    #expect(try render("{% if false %}{{ 'a'|wordwrap }}{% endif %}b") == "b")
  }

  @Test(arguments: [
    ("{{ raise_exception('No system!') }}", TemplateError.Kind.raised, "No system!"),
    ("{{ x.y }}", .undefined, "'x' is undefined"), ("{{ 1 + 'a' }}", .value, "'int' and 'str'"),
    ("{% if %}", .syntax, "an expression"), ("{{ f(1) }}", .undefined, "'f' is undefined"),
    ("{% if true %}", .syntax, "`{% endif %}`"), ("{% for a in 5 %}{% endfor %}", .value, "not iterable"),
  ]) func saysWhatIsWrong(template: String, kind: TemplateError.Kind, says: String) throws {
    let found = try #require(error("\n" + template))
    #expect(found.kind == kind && found.line == 2 && "\(found)".contains(says), "\(found)")
  }

  @Test func keepsTextsApartThatLookAlike() throws {
    // Composed and decomposed accents, and line ends of two characters, are what their code points are.
    #expect(
      try render(#"{{ 'e\u0301' == '\u00e9' }}{{ 'e\u0301'|length }}{{ 'a\r\nb'.split('\n')|length }}"#) == "False22")
  }

  @Test func tellsTheTimeOfTheMachine() throws {
    let year = try #require(Int(try Template("{{ strftime_now('%Y') }}").render([:])))
    #expect((2025...2200).contains(year))
  }

  @Test func keepsTheOrderOfObjects() throws {
    let values: TemplateValue = ["d": .object((0..<40).reversed().map { ("k\($0)", .integer($0)) })]
    #expect(try render("{{ d|tojson }}", values).hasPrefix(#"{"k39": 39, "k38": 38"#))
  }
}
