import Testing
import VTokTemplate

/// Whatever a template says, it ends soon, in little memory, and with an error.
@Suite struct LimitTests {
  static func many(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

  static let nested = [
    "{{ " + many("(", 5000) + "1" + many(")", 5000) + " }}", "{{ " + many("[", 5000) + many("]", 5000) + " }}",
    "{{ " + many("-", 100_000) + "1 }}", "{{ " + many("not ", 100_000) + "1 }}", "{{ " + many("1+", 100_000) + "1 }}",
    "{{ x" + many("|upper", 10000) + " }}", "{{ x" + many(".a", 100_000) + " }}", "{{ x" + many("()", 100_000) + " }}",
    "{{ " + many("1 if 0 else ", 10000) + "1 }}", many("{% if 1 %}", 10000) + many("{% endif %}", 10000),
    "{% set " + many("(", 1000) + "a" + many(")", 1000) + " = 1 %}",
  ]

  static let numbers = [
    "{{ 10**10**10 }}", "{{ 2**63 }}", "{{ 9223372036854775807 + 1 }}", "{{ 99999999999999999999 }}",
    "{{ (-9223372036854775807 - 1) // -1 }}", "{{ (-9223372036854775807 - 1)|abs }}", "{{ ('9' * 30)|int }}",
    "{{ 1e30|int }}", "{{ range(10**18) }}", "{{ range(-2**62, 2**62) }}",
  ]

  static let sizes = [
    "{{ 'x' * 10**18 }}", "{{ [0] * 10**18 }}", "{{ 'a'.center(10**18) }}", "{{ 'a'.zfill(10**18) }}",
    "{{ '%1000000000d' % 1 }}", "{{ '{:>1000000000}'.format(1) }}", "{{ 'a'|indent(10**18) }}",
    "{{ [1]|tojson(indent=10**18) }}", "{{ [1]|batch(10**18, 1)|list }}", "{{ ('a' * 9000000).replace('', 'bb') }}",
    "{{ ('a,' * 3000000).split(',') }}", "{{ strftime_now('%Y' * 1000) }}",
    "{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
    "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
    "{% set n = namespace(a='x' * 1000000) %}{% for i in range(1000) %}{% set n.a = n.a + 'x' %}{% endfor %}",
  ]

  static let endless = [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% macro f(a=f()) %}{% endmacro %}{{ f() }}",
    "{% macro f(a) %}{{ f([a]) }}{% endmacro %}{{ f(1) }}",
    "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% set n = namespace(a=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}",
    "{% set n = namespace(a=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a == n.a }}",
    "{% set n = namespace(a=[]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|tojson }}",
    "{% set n = namespace(a=[]) %}{% for i in range(100000) %}{% set n.a = [n.a] %}{% endfor %}",
    "{% set n = namespace(a=[1]) %}{% for i in range(100000) %}{% set n.a = n.a|map('string') %}{% endfor %}",
    "{% set n = namespace(a=0) %}{% for i in range(100000) %}{% for x in [n.a] %}{% set n.a = loop %}{% endfor %}"
      + "{% endfor %}",
    "{% set n = namespace(a=0) %}{% for i in range(100000) %}{% set n.a = [n.a].index %}{% endfor %}",
  ]

  @Test(arguments: nested + numbers + sizes + endless) func endsWithALimit(template: String) {
    let found = error(template, ["x": "x"])
    #expect(found?.kind == .limit, "\(template.prefix(80)): \(found.map { "\($0)" } ?? "no error")")
  }

  /// Long chains of values that hold one another are released one by one.
  @Test(arguments: [
    "{% set n = namespace() %}{% for i in range(50000) %}{% set n.a = namespace(p=n.a) %}{% endfor %}",
    "{% set n = namespace(l=0) %}{% for i in range(50000) %}{% set p = n.l %}{% macro f() %}{{ p }}{% endmacro %}"
      + "{% set n.l = f %}{% endfor %}",
    "{% set n = namespace() %}{% set n.n = n %}{% macro f() %}{% endmacro %}{% set n.f = f %}",
  ]) func releasesChains(template: String) throws { #expect(try render(template).isEmpty) }

  @Test func countsWhatTheCallerAllows() {
    let few = Template.Limits(steps: 100, bytes: 1000, output: 500)
    #expect(error("{% for i in range(50) %}{{ i }}{% endfor %}", limits: few)?.kind == .limit)
    #expect(error("{{ 'x' * 501 }}", limits: few)?.kind == .limit)
    #expect(error("{{ 'x' * 499 }}", limits: few) == nil)
    #expect(error("{{ x }}", ["x": .string(Self.many("x", 501))], limits: few)?.kind == .limit)
  }

  /// Extreme arguments that are no mistake.
  @Test(arguments: [
    ("{{ 'abc'[10**18] }}", ""), ("{{ 'abc'[-9223372036854775807 - 1:9223372036854775807:9223372036854775807] }}", "a"),
    ("{{ [1, 2][::-9223372036854775807] }}", "[2]"), ("{{ range(0, 2**60, 2**60)|list }}", "[0]"),
    ("{{ '' * 10**18 }}", ""), ("{{ 'abc'.startswith('a', -9223372036854775807 - 1) }}", "True"),
    ("{{ 1.5|round(10**18) }}", "1.5"), ("{{ (-9223372036854775807 - 1) % -1 }}", "0"),
    ("{{ ('a' * 5000000 + 'b') in ('a' * 9000000) }}", "False"), ("{{ '%s' % 1e400 }}", "inf"),
  ]) func takesExtremes(template: String, text: String) throws { #expect(try render(template) == text) }
}
