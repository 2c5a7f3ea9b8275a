"""Makes jinja-table.json: templates, what they are rendered with, and what jinja2 makes of them.

    python3 jinja-table.py > jinja-table.json     # with jinja2 3.1

The environment is that of transformers for chat templates. Where jinja2 raises, `error` holds the name of its error: any
error of ours will do.
"""
import datetime
import json

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = datetime.datetime(2026, 1, 2, 3, 4, 5).strftime

VALUES = {
    "s": "Hello, World", "e": "", "u": "äé “x” 汉字 🙂", "p": "  pad\t\n", "n": None, "t": True, "f": False, "i": 7,
    "x": 2.5, "l": [3, 1, 2], "d": {"b": 1, "a": {"c": [1, "z"]}, "items": "own"}, "q": "it's \"quoted\"\n\\",
    "m": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "<think>hm</think>\n\nA cat.", "n": 2},
        {"role": "user", "content": "Sure?", "n": 1},
    ],
}

# Each line one template; \n stands for a new line.
EXPRESSIONS = r"""
s|s ~ 1 ~ none ~ true ~ 1.0|1 + 2 * 3 ** 2|2 ** 3 ** 2|-2 ** 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|-7.5 // 2|-7.5 % 2|1 / 2|4 / 2
1e16|1e15|123456789012345680.0|0.1 + 0.2|1e-5|0.0001|1.5e300 * 1e10|-0.0|1_000|0x1f|0b11|0o17|1e3|12.50
true and 1|false or ''|none or 'x'|not none|not 0|'' and 1|1 < 2 < 3|1 < 2 > 3|1 == 1.0|1 == true|'a' < 'b'|'a' == "a"|[1,2] < [1,3]
(1, 2) == (1, 2)|[1] == (1,)|{'a': 1} == {'a': 1.0}|none == false|'a' in 'abc'|'z' not in 'abc'|1 in [1,2]|'a' in {'a': 1}|'' in ''|3 in range(5)
missing|missing ~ 'x'|missing == missing2|missing|length|missing|list|missing|default('d')|missing.x|missing + 1|missing['a']|missing()|not missing
'x' in missing|missing in [1]|missing in 'x'|missing|trim|missing|upper|missing|int|missing|join(',')|missing|tojson|missing is defined|missing is string
d.b|d['b']|d.a.c[1]|d.zz|d.zz.y|d['zz']|d.items|d['items']|d.get('b')|d.get('zz', 5)|d.get('zz')|d.keys()|d.values()|d.items()
l[0]|l[-1]|l[5]|l[-4]|l[1:]|l[::-1]|l[:-1]|l[5:]|l[-2:]|l[::2]|l[2:0:-1]|s[0]|s[-1]|s[99]|s[1:4]|s[::-1]|s[:5]|u[3]|l['x']|l.x|s.x|n.x|i.x
(1,)|()|(1, 'a')|[]|{}|{'a': 'b', 1: [true, none, 1.0]}|[s, q]|q|[q]|[u]|['\x07', '\u200b', '\xad', "'"]|['"', "'\""]|{'k': (1, 2)}
'%s-%d' % ('a', 3)|'%5.2f|' % 3.14159|'%x' % 255|'%05d' % 42|'%-5s|' % 'a'|'%s' % d|'%(a)s' % {'a': 1}|'%d%%' % 5|'%s' % none|'%s %s' % 'a'|'%r' % 'a'
'{} {}'.format(1, 'b')|'{0}{1}{0}'.format('a', 'b')|'{x:>5}|'.format(x=1)|'{:.2f}'.format(3.14159)|'{:02d}'.format(5)|'{:,}'.format(1234567)|'{!r}'.format('a')|'{{}}'.format()|'{:^7}|'.format('ab')|'{:+d}'.format(3)
'{'.format()|'{}'.format()|'{:x}'.format(255)|'{:<4}|'.format('a')|'{:.1%}'.format(0.256)|'{:e}'.format(12345.678)|'{:05.1f}'.format(2.25)
'a' 'b' "c"|'a\tb\\n\'\x41\u00e9\U0001F642'|"\101\q"|'\
x'|1 if t else 2|1 if f|1 if f else 2 if t else 3|(1 if n is none else 0)|'a' if missing else 'b'
s + 1|1 + s|l + [4]|l + (1,)|s * 2|2 * 'ab'|[0] * 3|'x' * -1|'x' * 2.0|1 / 0|1 // 0|1 % 0|0 ** -1|2 ** -1|4 ** 0.5|[] + 1|{} + {}|none + 1|true + true|-true|+'a'|-'a'
1 < 'a'|none < 1|{} < {}|[1] < ['a']|'a' in 1|1 in 'a'|{[]: 1}|{(1, 2): 3}|range(3)|range(3)|list|range(1, 10, 3)|list|range(5, 0, -2)|list|range(0)|list|range(3)[1]|range(3)|length
s.upper()|s.lower()|s.title()|s.capitalize()|s.swapcase()|s.strip('Hd')|p.strip()|p.lstrip()|p.rstrip()|p.strip(' ')|s.split()|s.split(', ')|s.split('l')|s.split('l', 1)|s.rsplit('l', 1)|' a  b '.split()|' a b c '.split(none, 1)|' a b c '.rsplit(none, 1)|'a,b,'.split(',')|''.split(',')|''.split()
s.startswith('He')|s.startswith(('x', 'H'))|s.endswith('d')|s.endswith('x')|s.startswith('W', 7)|s.find('o')|s.find('zz')|s.rfind('o')|s.index('W')|s.index('zz')|s.count('l')|s.count('')|'aaa'.count('aa')|s.replace('l', 'L')|s.replace('l', 'L', 1)|'ab'.replace('', '-')|'aaa'.replace('aa', 'b')|s.join(['a', 'b'])|', '.join([1])|','.join('abc')|''.join([])
'abc'.isalpha()|'a1'.isalnum()|'12'.isdigit()|'1.2'.isdigit()|' '.isspace()|'Ab'.isupper()|'AB1'.isupper()|'ab'.islower()|'Ab Cd'.istitle()|'a'.center(5) ~ '|'|'ab'.center(5) ~ '|'|'a'.ljust(3, '.')|'a'.rjust(3)|'-5'.zfill(4)|'a=b=c'.partition('=')|'a=b=c'.rpartition('=')|'ab'.partition('x')|'a\nb\r\nc\n'.splitlines()|'a\nb'.splitlines(true)|'prefix-a'.removeprefix('prefix-')|'a.txt'.removesuffix('.txt')
"they're bill's".title()|'hello-world (x) {y'|title|'ß'.upper()|'ǆ'.title()|'İ'.lower()|'éa'.capitalize()|'HELLO'.casefold()
l.append(4)|l.index(1)|l.index(9)|l.count(3)|(1, 2, 1).count(1)|d.pop('b')|d.update({})|s.format|s.nope()|l.sort()|d.copy()
s|upper|s|lower|s|capitalize|s|title|s|trim('Hd')|p|trim|s|length|l|length|d|length|i|length|n|length|l|first|l|last|[]|first|[]|last|e|first|s|first|s|last|d|first
l|sort|l|sort(reverse=true)|['b', 'A', 'c']|sort|['b', 'A', 'c']|sort(case_sensitive=true)|[1, 'a']|sort|l|reverse|list|s|reverse|l|min|l|max|['b', 'A']|min|[]|min|l|sum|[0.5, 1]|sum|['a']|sum|l|join|l|join('-')|[none, true, 'a']|join(',')|l|join(d=', ')
d|dictsort|{'B': 1, 'a': 2}|dictsort|{'B': 1, 'a': 2}|dictsort(true)|{'b': 1, 'a': 2}|dictsort(by='value')|{'b': 1, 'a': 2}|dictsort(reverse=true)|d|items|list|n|items|d|list|s|list|i|list|'ab'|list|l|list
d|tojson|m|tojson|d|tojson(indent=2)|d|tojson(indent=4, sort_keys=true)|u|tojson|u|tojson(ensure_ascii=true)|'\x07\x7f</script>&\u2028'|tojson|d|tojson(separators=(',', ':'))|[]|tojson(indent=2)|{}|tojson|{1: 2, none: 3, true: 4, 1.5: 5}|tojson|(1, 2)|tojson|x|tojson|1e20|tojson|range(2)|tojson|n|tojson|t|tojson|s|tojson|d|tojson|d|tojson|length|d|tojson(indent='--')|[[]]|tojson(indent=1)|[1,[2]]|tojson(indent=0)
'42'|int|'42.7'|int|'abc'|int|'abc'|int(5)|'0x1A'|int(base=16)|'1A'|int(0, 16)|' 7 '|int|none|int|true|int|3.9|int|-3.9|int|'1e3'|int|'3.5'|float|'x'|float|'x'|float(1.5)|7|float|'inf'|float|'1_000'|int|[]|int|'0b11'|int(0, 2)|'.5'|float|'5.'|float|'٣'|int
3.7|round|3.2|round|2.5|round|3.5|round|42|round|3.14159|round(2)|2.675|round(2)|3.14159|round(2, 'floor')|3.14159|round(2, 'ceil')|3.2|round(method='ceil')|'a'|round|-5|abs|-5.5|abs|'a'|abs|x|string|t|string|d|string|1.0|string
s|default('x')|e|default('x')|e|default('x', true)|n|default('x')|n|d('x', true)|missing|d|missing|default(1, boolean=false)|0|default(5, true)
s|replace('l', 'L')|s|replace('l', 'L', 1)|i|replace('7', '8')|s|replace('', '.')|'<a&"\'>'|e|'<a>'|escape|'<a>'|safe|('<a>'|e) + '<b>'|'<b>' + ('<a>'|safe)|('<a>'|safe) ~ '<b>'|['<'|e]|('<a>'|e)|length|('<a>'|e)|upper|('<a>'|e)|tojson|('<'|e)|e|'<'|forceescape|('a'|safe) * 2|('<'|safe)|replace('<', '>')|('a'|safe) is string|('a'|safe) == 'a'
'a\nb\n\nc'|indent|'a\nb'|indent(2)|'a\nb'|indent(2, true)|'a\n\nb'|indent(2, blank=true)|'a\nb'|indent('>>')|'a b c'|wordcount|'ab'|center(6) ~ '|'|'hello world foo'|truncate(9)|'hello world foo'|truncate(9, true)|'hello'|truncate(3, true, '')|'hello world foo'|truncate(12, leeway=0)
l|map('string')|list|l|map('string')|join('+')|m|map(attribute='role')|list|m|map(attribute='n', default=0)|list|m|map(attribute='content.0.type')|list|['a ', ' b']|map('trim')|list|['a']|map('replace', 'a', 'b')|list|['a']|map|list|['a']|map('nope')|list|d|map('upper')|list
l|select('gt', 1)|list|l|select('odd')|list|l|reject('odd')|list|[0, 1, '', 'a']|select|list|[0, 1]|reject|list|m|selectattr('role', 'equalto', 'user')|list|length|m|selectattr('n')|map(attribute='n')|list|m|rejectattr('role', 'in', ['user', 'system'])|map(attribute='role')|list|m|selectattr('n', 'defined')|map(attribute='role')|list|m|selectattr('role', '==', 'system')|first|m|selectattr('role', 'nope')|list|m|selectattr()|list|(m|selectattr('role', 'equalto', 'zz'))|list|(m|selectattr('role', 'equalto', 'zz')) is iterable|(m|map(attribute='role')) is sequence|(l|map('string'))|first
['a', 'A', 'b']|unique|list|['a', 'A']|unique(true)|list|m|unique(attribute='role')|map(attribute='role')|list|[1, 1.0, true]|unique|list|range(7)|batch(3)|list|range(4)|batch(3, 'x')|list|m|sort(attribute='role')|map(attribute='role')|list|m|sort(attribute='role,n')|length|m|sum(attribute='n')|m|selectattr('n', 'defined')|sum(attribute='n')|m|selectattr('n', 'defined')|sum('n', 10)|m|selectattr('n', 'defined')|max(attribute='n')|d|attr('b')|s|attr('upper')
s|nope|s is nope|s is none|n is none|n is not none|missing is undefined|s is string|i is string|i is number|t is number|x is float|i is integer|t is integer|t is boolean|t is true|f is false|i is true|d is mapping|l is mapping|l is sequence|s is sequence|d is sequence|i is sequence|missing is sequence|l is iterable|i is iterable|s is iterable|n is iterable|range is callable|s is callable|3 is odd|4 is even|9 is divisibleby 3|9 is divisibleby(2)|'a' is odd|'ab' is lower|'AB' is upper|1 is eq 1|1 is ne 2|1 is lt 2|2 is gt(1)|1 is le 1|2 is ge 3|1 is in [1]|1 is not in [1]|'a' is equalto 'a'|n is sameas none|t is sameas true|i is sameas none|s is filter|'upper' is filter|'odd' is test|d.items is defined|d.nope is defined|d.a.c is defined
d.keys() | list|d.values()|list|length|d.items()|list|first|d.items() is sequence|d.keys() is iterable|dict(a=1, b=2)|dict({'x': 1}, y=2)|dict([('a', 1)])|namespace(a=1).a|namespace(a=1).b|namespace({'a': 2}).a|cycler('a', 'b').next()|strftime_now('%d %b %Y')|strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %y %p %I %%')|strftime_now('')|raise_exception('no')|range(10 ** 9)|range()|range('a')|range(1, 2, 0)|lipsum|loop|caller
s.upper().lower()[0:3]|upper ~ '!'|(s|upper).lower()|[1, 2][0] + {'a': 3}['a']|l|sort|first|{'a': [1, {'b': 2}]}.a[1].b|d['a']['c'][-1]|m[0].role|m[1]['content'][0]['type']|m[-1].content|m[0]['nope']|m[0].get('role', 'x')|m|length - 1|(m|length) - 1|m[1].content is string|m[0].content is string|not m[0].content is string|m[1:] | length|i is none or s|1.5.x|'a'.b.c
none|string|none ~ ''|none|upper|1 if none|none|length|[missing]|{'a': missing}|[missing]|join|(missing, 1)|missing[1:]|s[missing]|s[1:missing]|s['a':]|s[::0]|d[[1]]|d[none]|l[true]|l['0']|l.0|d.a.c.1|foo.bar is defined|d.b.x is defined|s|trim|length > 3|a if a is defined else 'no'|s if s is string else 'no'
1 is 1|s is|s|+|1 +|(1|[1|{1|{'a'}|'abc|a b|1 2|a.|a[|f(|f(a=1, 2)|a..b|@|$x|{{}}|a = 1|a := 1|**a|not|in|is none|if x|lambda: 1|a ? b|1 <> 2|"\u12"|0777|1.|.5|0x|'\N{DASH}'
true.x|True|False|None|TRUE|"a" is string and 1|x is not defined or x > 2|not (a and b)|a and b or not c|(l|length) == 3 and l[0] > l[1]|'b' ~ 1 + 2|1 + 2 ~ 'b'|'a' ~ 'b' * 2|- 1 | abs|-1|abs|(-1)|abs|not s|length|'x' if l|length > 2 else 'y'|l|join(', ')|upper|1 in [1] == true|2 in l and 3 in l
"""

STATEMENTS = r"""
{% if t %}a{% endif %}|||{% if f %}a{% elif i == 7 %}b{% else %}c{% endif %}|||{% if missing %}a{% else %}b{% endif %}|||{% if l %}\n  x\n{% endif %}\ny
{% for a in l %}{{ a }},{% endfor %}|||{% for a in [] %}x{% else %}none{% endfor %}|||{% for a in missing %}x{% else %}none{% endfor %}|||{% for a in n %}x{% endfor %}|||{% for a in i %}x{% endfor %}|||{% for c in 'abc' %}{{ c }}.{% endfor %}|||{% for k in d %}{{ k }} {% endfor %}|||{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}|||{% for k, v in d|dictsort %}{{ k }};{% endfor %}|||{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}|||{% for a, b in [(1, 2, 3)] %}{% endfor %}|||{% for a, b in [(1,)] %}{% endfor %}|||{% for (a, b), c in [((1, 2), 3)] %}{{ a + b + c }}{% endfor %}
{% for a in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}|||{% for a in l %}{{ loop.previtem }}-{{ loop.nextitem }} {% endfor %}|||{% for a in l %}{{ loop.cycle('x', 'y') }}{% endfor %}|||{% for a in [1, 1, 2] %}{{ loop.changed(a) }}{% endfor %}|||{% for a in l %}{% for b in l %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }} {% endfor %}|||{% for a in l %}{{ loop.nope }}{{ loop.nope is defined }}{% endfor %}|||{% for a in l %}{{ loop.nope.x }}{% endfor %}
{% for a in l if a > 1 %}{{ a }}{{ loop.index }}{{ loop.last }}{{ loop.length }} {% endfor %}|||{% for a in l if a > 9 %}x{% else %}none{% endfor %}|||{% for a in l if a %}{% if loop.first %}F{% endif %}{{ a }}{% if not loop.last %}, {% endif %}{% endfor %}|||{% for a in l|map('string') %}{{ a }}{{ loop.last }}{% endfor %}|||{% for a in l|select('odd') %}{{ a }}{{ loop.length }}{{ loop.revindex }} {% endfor %}
{% for a in l %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %}|||{% for a in l %}{% if a == 1 %}{% break %}{% endif %}{{ a }}{% else %}none{% endfor %}|||{% for a in l %}{% for b in l %}{% break %}{% endfor %}{{ a }}{% endfor %}|||{% set ns = namespace(done=false) %}{% for a in l if not ns.done %}{{ a }}{% set ns.done = true %}{% endfor %}|||{% set ns = namespace(done=false) %}{% for a in l if not ns.done %}{{ a }}{{ loop.last }}{% set ns.done = true %}{% endfor %}
{% set a = 1 %}{{ a }}|||{% set a, b = 1, 2 %}{{ a }}{{ b }}|||{% set a = 1, 2 %}{{ a }}|||{% set a = 1 %}{% for x in l %}{% set a = a + x %}{{ a }} {% endfor %}{{ a }}|||{% for x in l %}{% set z = x %}{% endfor %}{{ z }}|||{% for x in l %}{{ z }}{% set z = x %}{{ z }} {% endfor %}|||{% if t %}{% set z = 1 %}{% endif %}{{ z }}|||{% if f %}{% set s = 1 %}{% endif %}{{ s }}|||{% set s = s|upper %}{{ s }}|||{% for x in l %}{% if x == 1 %}{% set s = 'one' %}{% endif %}{{ s }} {% endfor %}|||{% set d.b = 2 %}|||{% set ns = namespace() %}{% set ns.a = 5 %}{{ ns.a }}{{ ns['a'] }}|||{% set nope.a = 1 %}|||{% set true = 1 %}
{% set ns = namespace(n=0, t='') %}{% for x in l %}{% set ns.n = ns.n + x %}{% set ns.t = ns.t ~ x %}{% endfor %}{{ ns.n }}{{ ns.t }}|||{% set a %}x{{ i }}{% endset %}{{ a }}{{ a is string }}|||{% set a | upper | trim %} x{{ i }} {% endset %}{{ a }}|||{% set a %}{% set b = 1 %}{% endset %}{{ b }}|||{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}|||{% with %}{% set q2 = 1 %}{{ q2 }}{% endwith %}{{ q2 }}|||{% filter upper %}a{{ s }}{% endfilter %}|||{% filter replace('a', 'b')|upper %}banana{% endfilter %}|||{% generation %}a{{ s }}{% endgeneration %}|||{% print 1, 2 %}|||{% raw %}{{ x }}{% if %}{% endraw %}|||{% raw -%}  a  {%- endraw %} b|||a {%- raw %} b{% endraw %}\nc
{% macro m1(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m1(1) }} {{ m1(1, 3) }} {{ m1(b=4, a=5) }} {{ m1() }}|||{% macro m1(a) %}{{ a }}{% endmacro %}{{ m1(1, 2) }}|||{% macro m1(a) %}{{ a }}{% endmacro %}{{ m1(c=2) }}|||{% macro m1(a) %}{{ a }}{% endmacro %}{{ m1(1, a=2) }}|||{% macro m1() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m1(1, 2, x=3) }}|||{% macro m1(a, b=a) %}{{ b }}{% endmacro %}{{ m1(7) }}|||{% macro m1(a=1, b) %}{% endmacro %}|||{% macro f1(k) %}{% if k > 0 %}{{ k }}{{ f1(k - 1) }}{% endif %}{% endmacro %}{{ f1(3) }}|||{% macro m1() %}{{ s }}{{ zz }}{% endmacro %}{% set zz = 4 %}{{ m1() }}|||{% for x in l %}{% macro m1() %}{{ x }}{% endmacro %}{{ m1() }}{% endfor %}|||{% macro m1() %}{% set s = 1 %}{% endmacro %}{{ m1() }}{{ s }}|||{% macro m1() %} x {% endmacro %}{{ m1()|trim ~ '!' }}|||{% macro m1(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m1(missing) }}{{ m1() }}|||{{ m1() }}{% macro m1() %}{% endmacro %}|||{% macro m1() %}a{% endmacro %}{{ m1 is callable }}{{ m1.name }}
{% macro m1() %}[{{ caller() }}]{% endmacro %}{% call m1() %}x{{ s }}{% endcall %}|||{% macro m1() %}[{{ caller(1) }}]{% endmacro %}{% call(a) m1() %}x{{ a }}{% endcall %}|||{% macro m1() %}a{% endmacro %}{% call m1() %}x{% endcall %}|||{% macro m1(x) %}{% for a in x %}{{ loop.index }}{{ m1(a) if a is sequence and a is not string }}{% endfor %}{% endmacro %}{{ m1([1, [2, 3]]) }}|||{% macro m1(a) %}{{ a }}{% endmacro %}{% set r = m1(1) %}{{ r }}{{ r is string }}|||{% macro m1(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m1(*[1, 2]) }}{{ m1(**{'a': 3, 'b': 4}) }}{{ m1(*[5], **{'b': 6}) }}
a\n{% if t %}\nb\n{% endif %}\nc|||a  {%- if t -%}  b  {%- endif -%}  c|||  {% if t %}  b  {% endif %}  c|||\n\n  {%+ if t +%}\n b{% endif %}|||a\n  {# c #}\nb|||a\n  {#- c -#}\n  b|||a {# c #} b|||{# a\nb #}x|||{{ s -}}   x|||x   {{- s }}|||{{- s -}}|||\n{{ s }}\n\n|||a\n|||a\n\n|||\n|||{% if t %}{{ s }}\n{% endif %}\n\nx|||{% for a in l %}\n  {{ a }}\n{% endfor %}|||{% for a in l -%}\n  {{ a }}\n{%- endfor %}|||\t{% set a = 1 %}\nx|||x\t{% set a = 1 %}\ny|||{% set a = 1 %}  {% set b = 2 %}\ny|||a\r\nb\rc|||{%- set a = 1 -%}\n\n x|||{{ '{{' }}{{ '%}' }}|||{{ {'a': {'b': 1}} }}|||{{ "}}" }}|||{#}|||{# open|||{% raw %}x|||{{ s|||{% if t|||{% if t %}|||{% endif %}|||{% for %}|||{% for a l %}{% endfor %}|||{% set %}|||{% set a %}|||{% nope %}|||{% %}|||{{ }}|||{% if t %}a{% else %}b{% else %}c{% endif %}|||{% if t %}a{% endfor %}|||{% macro %}{% endmacro %}|||{% include 'a' %}|||{% import 'a' as b %}|||{% extends 'a' %}|||{% do 1 %}|||{ {|||}} %}|||{%|||{{|||{
{% for m1 in m %}{% if m1['role'] == 'user' %}U:{% elif m1.role == 'system' %}S:{% else %}A:{% endif %}{% if m1.content is string %}{{ m1.content.split('</think>')[-1].lstrip('\\n') }}{% else %}{% for c in m1.content %}{% if c.type == 'image' %}<image>{% elif c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% endif %}{{ '\\n' }}{% endfor %}|||{% for x in m[::-1] %}{{ x.role }}{{ loop.index0 }} {% endfor %}|||{% set x = m[0]['content'] if m[0]['role'] == 'system' else '' %}{{ x }}|||{%- set ns = namespace(i=0) -%}{%- for x in m -%}{%- if (x['role'] == 'user') != (ns.i % 2 == 0) -%}{{ ns.i }}{%- endif -%}{%- set ns.i = ns.i + 1 -%}{%- endfor -%}|||{% for x in range(3) %}{{ x }}{% endfor %}|||{% set x = [1] + [2] %}{{ x }}|||{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}|||{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}|||{{ raise_exception('Roles must alternate') }}|||{% if 'a' in d and d['a'] is mapping %}{{ d['a'] | tojson }}{% endif %}|||{% set _ = l.append(1) %}|||{%if t%}a{%endif%}|||{%-if t-%}a{%-endif-%}|||{{s}}{{-s-}}|||{% if t: %}a{% endif %}|||{% for x in 1, 2 %}{{ x }}{% endfor %}|||{% set g = l|map('string') %}{{ g|list }}{{ g|list }}|||{{ undefined_fn('x') }}|||{% if nope.x is defined %}a{% endif %}|||{% if m[9] %}a{% else %}b{% endif %}|||{% if m[9].x %}a{% endif %}|||{% set x = {'a': 1, **{}} %}|||{{ loop }}|||{{ x.__class__ }}|||{{ x.__class__.__mro__ }}|||{{ ''.__class__.__base__ }}|||{{ d.__class__ }}|||{{ x._y is defined }}
"""


def templates():
    for line in EXPRESSIONS.strip("\n").replace("\\\n", "\\\\\n").split("\n"):
        # A bar parts templates, and filters from their values: all joins are tried.
        parts = line.split("|")
        for first in range(len(parts)):
            for count in (1, 2, 3):
                part = parts[first : first + count]
                if len(part) == count:
                    yield "{{ " + "|".join(part) + " }}"
    for line in STATEMENTS.strip("\n").split("\n"):
        for part in line.split("|||"):
            yield part.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\\n", "\\n")


def render(template):
    try:
        return {"text": environment.from_string(template).render(**VALUES)}
    except Exception as error:
        return {"error": type(error).__name__}


def main():
    rows = [{"template": template, **render(template)} for template in dict.fromkeys(templates())]
    # What Python writes with the address of an object is no result.
    rows = [row for row in rows if " at 0x" not in row.get("text", "")]
    print('{"values": ' + json.dumps(VALUES, ensure_ascii=False) + ',\n "rows": [')
    print(",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows))
    print("]}")


if __name__ == "__main__":
    main()
