#!/usr/bin/env python3
"""Makes tests/golden/worker_templates/engine.json: what Jinja renders, set up as transformers sets it up.

Usage: make_jinja_goldens.py

Blocks of TEMPLATES are separated by lines of four dashes. ERRORS are templates that must fail.
Made with transformers 5.23 and jinja2 3.1.6 on Python 3.11.
"""

import datetime
import hashlib
import json
import logging
import os

logging.disable(logging.CRITICAL)

import transformers.utils.chat_template_utils as chat_utils

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
NOW = datetime.datetime(2026, 3, 7, 9, 5, 3)

CONTEXT = {'s': 'Hello',
 'e': '',
 'n': 3,
 'f': 2.5,
 't': True,
 'none_v': None,
 'l': [3, 1, 2],
 'd': {'b': 1, 'a': 'x', 'C': None},
 'u': '  größe ẞ 日本 \n',
 'rows': [{'k': 'x', 'v': 1}, {'k': 'Y', 'v': 2}, {'k': 'x', 'v': 3}],
 'nested': {'a': {'b': [10, 20]}},
 'big': 9007199254740993,
 'q': 'it\'s "q" <&>'}

TEMPLATES = r"""
{{ s }}{{ n }}{{ f }}{{ t }}{{ none_v }}{{ missing }}|
----
{{ l }}{{ d }}{{ (1,) }}{{ (1,2) }}{{ [] }}{{ {} }}|{{ [1.0, 1e16, 1e-5, 0.1, 1e22, 123456789.125, -0.0] }}
----
{{ [q, u, "a\tb\\"] }}
----
{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 + 2 * 3 - 4 }} {{ -2 ** 2 }}
----
{{ "a" + "b" ~ 1 ~ none ~ true ~ 1.0 }} {{ "ab" * 3 }} {{ 2 * "x" }} {{ [1] + [2] }} {{ [1, 2] * 2 }} {{ (1,) + (2,) }}
----
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ "a" < "b" }} {{ [1,2] < [1,3] }} {{ none == missing }} {{ missing == missing2 }} {{ {"a":1} == {"a":1.0} }}
----
{{ "ell" in s }} {{ "x" not in s }} {{ 3 in l }} {{ "a" in d }} {{ 1 in (1,2) }} {{ "a" in missing }}
----
{{ not t }} {{ t and "y" }} {{ e or "z" }} {{ not e and 1 }} {{ 0 or none }}
----
{{ "yes" if n > 2 else "no" }} {{ "yes" if n > 5 }} {{ ("a" if false else "b") ~ "c" }}
----
{{ s[0] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }}{{ s[99] }}{{ s[-99:2] }}{{ u[3] }}{{ l[::-1] }}{{ l[:-1] }}{{ l[5:] }}{{ l[::2] }}{{ l[-1::-2] }}{{ l.0 }}{{ nested.a.b.1 }}{{ nested["a"]["b"][-2] }}
----
{{ d.a }}{{ d["b"] }}{{ d.C }}{{ d.zz }}{{ d.items() | list }}{{ d.keys() | list }}{{ d.values() | list }}{{ d.get("a") }}{{ d.get("zz") }}{{ d.get("zz", 5) }}{{ d.items() }}{{ d.keys() }}
----
{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.previtem }}/{{ loop.nextitem }};{% endfor %}
----
{% for x in l if x > 1 %}{{ x }}{{ loop.last }}{{ loop.length }},{% else %}none{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}
----
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
----
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d | items %}{{ loop.index }}{{ k }}{% endfor %}{% for c in "añ" %}[{{ c }}]{% endfor %}
----
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}
----
{% for x in l recursive %}{{ x }}{% if x == 3 %}({{ loop([7, 8]) }}){{ loop.depth }}{% endif %}{% endfor %}
----
{% for x in l %}{{ loop.cycle("a", "b") }}{{ loop.changed(x > 1) }}{% endfor %}
----
{% set ns = namespace(a=1, b="x") %}{% for x in l %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}
----
{% set v = 1 %}{% for x in l %}{{ v }}{% set v = v + 1 %}{{ v }}{% endfor %}{{ v }}
----
{% if n == 1 %}one{% elif n == 3 %}three{% else %}other{% endif %}{% if not missing %}nm{% endif %}{% if missing is defined %}D{% endif %}
----
{% set blk %}<{{ s }}>{% endset %}{{ blk }}{% set up | upper | replace("L", "1") %}<{{ s }}>{% endset %}{{ up }}
----
{% macro m(a, b=2, c=b) %}[{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(1) }}{{ m(1, 5) }}{{ m(a=9, c=1) }}{{ m(1, 2, 3, 4, x=5) }}{{ m() }}
----
{% macro w(t) %}<{{ t }}>{{ caller("in") }}</{{ t }}>{% endmacro %}{% call(x) w("b") %}{{ x }}{{ s }}{% endcall %}
----
{% macro rec(k) %}{{ k }}{% if k > 0 %}{{ rec(k - 1) }}{% endif %}{% endmacro %}{{ rec(3) }}{% macro late() %}{{ later }}{% endmacro %}{% set later = "L" %}{{ late() }}
----
{% filter upper %}abc{{ s }}{% endfilter %}{% with x = 1, y = 2 %}{{ x }}{{ y }}{% endwith %}{{ x }}
----
{% raw %}{{ raw }}{% if %}{% endraw %}{# comment {{ x }} #}|
----
a  {%- if true -%}  b  {%- endif -%}  c  {{- s -}}  d
   {% if true %}
  indented
   {% endif %}
   {%+ if true %}kept{% endif +%}
x
	{# c #}
y {#- d -#} z
----
{{ "  ab ".strip() }}|{{ "xxabxx".strip("x") }}|{{ "  ab ".lstrip() }}|{{ "  ab ".rstrip() }}|{{ u.strip() }}|{{ u | trim }}|{{ "abc".rstrip("cb") }}|{{ "" .strip("") }}
----
{{ "a,b,,c".split(",") }}{{ " a  b ".split() }}{{ "a,b,c".split(",", 1) }}{{ "a b  c d".split(None, 1) }}{{ "a,b,c".rsplit(",", 1) }}{{ " a b  c ".rsplit(None, 1) }}{{ "a\nb\r\nc".splitlines() }}{{ "a=b=c".partition("=") }}{{ "a=b=c".rpartition("=") }}{{ "".split(",") }}{{ "".split() }}
----
{{ s.startswith("He") }}{{ s.endswith(("x", "lo")) }}{{ s.startswith("l", 2) }}{{ s.find("l") }}{{ s.rfind("l") }}{{ s.find("zz") }}{{ s.index("e") }}{{ s.count("l") }}{{ u.find("日") }}{{ "aaa".count("aa") }}{{ "abc".count("") }}
----
{{ s.replace("l", "L") }}{{ s.replace("l", "L", 1) }}{{ "ab".replace("", "-") }}{{ s.upper() }}{{ s.lower() }}{{ "they're bill's".title() }}{{ "they're bill's x-y (z" | title }}{{ "hELLO wORLD".capitalize() }}{{ "ab".join(["1", "2"]) }}{{ "ab".zfill(5) }}{{ "-3".zfill(4) }}{{ "ab".center(7, "*") }}{{ "ab".ljust(4) }}|{{ "ab".rjust(4) }}{{ "prefix-x".removeprefix("prefix-") }}{{ "x.py".removesuffix(".py") }}
----
{{ "straße".upper() }}{{ "ΑΣ ΑΣΑ".lower() }}{{ "ǆ ﬁ".title() }}{{ "İ".lower() | length }}{{ "éa".capitalize() }}{{ "12".isdigit() }}{{ "a1".isalnum() }}{{ "é".isalpha() }}{{ " \n".isspace() }}{{ "AB".isupper() }}{{ "".isupper() }}{{ "aB".islower() }}
----
{{ "{} {1} {0}".format("a", "b") if false else "{0} {1} {x} {{}}".format("a", "b", x=1) }}{{ "{:>5}|{:<4}|{:^5}|{:05d}|{:.2f}|{:,}".format("a", "b", "c", 42, 1.5, 1234567) }}{{ "%s-%d-%5.2f-%%-%r-%05d" % ("a", 3, 1.5, "z", 42) }}{{ "%s" % l }}{{ "%(a)s" % d }}{{ "%s=%s" | format("k", 1) }}
----
{{ l | length }}{{ s | length }}{{ d | length }}{{ missing | length }}{{ u | length }}{{ l | count }}{{ l | first }}{{ l | last }}{{ [] | first }}{{ s | first }}{{ d | last }}
----
{{ l | join }}{{ l | join(", ") }}{{ rows | join("-", attribute="k") }}{{ [none, true, 1.5] | join("|") }}{{ missing | join(",") }}{{ "abc" | join(".") }}
----
{{ l | sort }}{{ l | sort(reverse=true) }}{{ rows | sort(attribute="k") }}{{ ["b", "A", "a"] | sort }}{{ ["b", "A", "a"] | sort(case_sensitive=true) }}{{ rows | sort(attribute="k,v", reverse=true) | map(attribute="v") | list }}{{ d | dictsort }}{{ {"b": 2, "A": 1} | dictsort(true) }}{{ {"b": 2, "a": 3} | dictsort(by="value", reverse=true) }}
----
{{ rows | map(attribute="v") | list }}{{ ["a", "b"] | map("upper") | list }}{{ rows | map(attribute="zz", default=0) | list }}{{ rows | selectattr("k", "equalto", "x") | map(attribute="v") | list }}{{ rows | rejectattr("k", "eq", "x") | list }}{{ l | select("gt", 1) | list }}{{ l | reject("odd") | list }}{{ [0, 1, "", "a"] | select | list }}{{ rows | selectattr("v") | list | length }}
----
{{ [1, 2, 2, 3] | unique | list }}{{ ["a", "A", "b"] | unique | list }}{{ l | sum }}{{ rows | sum(attribute="v") }}{{ [[1], [2]] | sum(start=[]) }}{{ l | max }}{{ l | min }}{{ ["b", "A"] | min }}{{ rows | max(attribute="v") }}{{ l | reverse | list }}{{ s | reverse }}{{ [1, 2, 3, 4, 5] | batch(2, "x") | list }}{{ [1, 2, 3, 4, 5] | slice(2) | list }}
----
{{ missing | default("d") }}{{ none_v | default("d") }}{{ e | default("d", true) }}{{ missing | d }}{{ d.zz | default(5) }}{{ "3" | int }}{{ "x" | int }}{{ "x" | int(7) }}{{ 3.9 | int }}{{ " 4.7 " | int }}{{ "3.5" | float }}{{ "x" | float(1.5) }}{{ 2.5 | round }}{{ 2.567 | round(2) }}{{ 2.1 | round(method="ceil") }}{{ -3 | abs }}{{ 3.7 | round | int }}{{ 5 | string }}{{ 5 | string | length }}
----
{{ d | tojson }}{{ q | tojson }}{{ u | tojson }}{{ [1, 1.0, true, none, "é"] | tojson }}{{ "é\u0001\x7f😀" | tojson(ensure_ascii=true) }}{{ d | tojson(indent=2) }}{{ {"b": [], "a": {}, "c": [1, {"x": 2}]} | tojson(indent=4, sort_keys=true) }}{{ [1, {"a": 2}] | tojson(separators=(",", ":")) }}{{ {"a": [1]} | tojson(indent="--") }}{{ {1: 2, true: 3, none: 4, 1.5: 5} | tojson }}{{ (1, 2) | tojson }}{{ big | tojson }}{{ d | tojson(false, 1) }}
----
{{ "a\nb\n\nc" | indent }}{{ "a\nb" | indent(2, true) }}{{ "a\n\nb" | indent(">", blank=true) }}{{ "hello world foo" | truncate(9) }}{{ "hello world foo" | truncate(9, true, "~", 0) }}{{ "ab" | center(6) }}|{{ "a b" | replace(" ", "_") }}{{ 15 | replace(1, 2) }}{{ "<a>" | escape }}{{ "<a>" | safe + "<b>" }}{{ ("<a>" | safe) ~ "<b>" }}{{ "<b>" + ("<a>" | safe) }}
----
{% macro m(a) %}{{ a }}{% endmacro %}{{ 1 is number }}{{ true is number }}{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ "a" is string }}{{ d is mapping }}{{ l is sequence }}{{ d is sequence }}{{ s is sequence }}{{ s is iterable }}{{ 5 is iterable }}{{ missing is iterable }}{{ missing is sequence }}{{ d.items() is sequence }}{{ none is none }}{{ none_v is not none }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ true is boolean }}{{ 3 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 1 is in [1] }}{{ 2 is not in [1] }}{{ 1 is eq 1 }}{{ 1 is ne 1 }}{{ 1 is lt 2 }}{{ "a" is lower }}{{ "A" is upper }}{{ m is callable }}{{ s is callable }}{{ missing is undefined }}{{ 1 is sameas 1 }}{{ range(3) is sequence }}
----
{{ range(3) | list }}{{ range(1, 7, 2) | list }}{{ range(3, 0, -1) | list }}{{ range(5)[2] }}{{ range(5)[1:3] | list }}{{ dict(a=1, b=2) }}{{ dict({"a": 1}, b=3) }}{{ dict([("x", 1)]) }}{{ {"a": 1, "a": 2} }}
----
{{ "con" "cat" }}{{ 'esc \' \x41\u00e9\n\\ \q' }}{{ "tab	x" }}{{ 1_000 }}{{ 1.5e3 }}{{ (1) }}{{ [1, 2,] }}{{ {"a": 1,} }}{{ -n }}{{ +n }}{{ --n }}{{ n | abs | string ~ "!" }}{{ -1 | abs }}{{ not n is odd }}{{ n is odd and t }}{{ [n][0] }}{{ {"x": {"y": 1}}.x.y }}{{ "abc"[1] | upper }}{{ (1 if t else 2) + 1 }}
----
{{ l is iterable and l is not string and l is not mapping }}{{ rows[0].k ~ rows[-1]["v"] }}{{ (rows | first).k }}{{ rows | map(attribute="k") | unique | join(",") }}{{ (l | select("gt", 5) | list) or "none" }}{% if l | select("gt", 5) %}truthy{% endif %}{{ d.items() | map("first") | list }}{{ d.items() | map(attribute=0) | list }}{{ nested | attr("items") is callable }}{{ d | attr("a") }}|
----
{% set x = namespace(found=false) %}{% for r in rows if not x.found %}{{ r.v }}{% set x.found = true %}{% endfor %}
----
{{ strftime_now("%d %b %Y %H:%M:%S %j %A %p %%") }}
----
{% for r in rows %}{% if loop.first %}{% set first = r.v %}{% endif %}{{ first }}{% endfor %}{{ first }}
----
{% if true %}{% set inner = "kept" %}{% endif %}{{ inner }}{% set s %}over{% endset %}{{ s }}{% for s in [1] %}{{ s }}{% endfor %}{{ s }}
----
{{- "x" -}}
   y
{%- set z = 1 %}

{{ z }}
{% for x in [1] -%}
   a
{%- endfor %}
end
"""

ERRORS = [
    '{{ missing.x }}',
    '{{ none_v + "a" }}',
    '{{ "a" + 1 }}',
    '{{ 1 + "a" }}',
    '{{ missing + "a" }}',
    '{{ l.append(1) }}',
    '{{ d.update({}) }}',
    '{{ s.__class__.x }}',
    '{{ missing() }}',
    '{{ s() }}',
    '{{ 1 / 0 }}',
    '{{ 1 % 0 }}',
    '{{ [] < 1 }}',
    '{{ "a" < 1 }}',
    '{{ 1 in 5 }}',
    '{{ 1 in "a" }}',
    '{% for x in 5 %}{% endfor %}',
    '{% for a, b in [1] %}{% endfor %}',
    '{% for a, b in [(1,2,3)] %}{% endfor %}',
    '{{ missing | tojson }}',
    '{{ range(3) | tojson }}',
    '{{ l | select | tojson }}',
    '{{ l | select | length }}',
    '{{ 5 | length }}',
    '{{ range(1000000) }}',
    '{{ raise_exception("no") }}',
    '{% set d.x = 1 %}',
    '{{ {[1]: 2} }}',
    '{{ [1] in d }}',
    '{{ "%d" % "a" }}',
    '{{ "%s %s" % "a" }}',
    '{{ "{}".format() }}',
    '{{ s.index("zz") }}',
    '{{ "a".split("") }}',
    '{{ "a".join([1]) }}',
    '{{ s.foo() }}',
    '{{ n.foo.bar }}',
    '{{ l[missing.x] }}',
    '{{ l | last.x }}',
    '{{ loop.index }}',
    '{% macro q(a) %}{% endmacro %}{{ q(1, 2) }}',
    '{% macro q(a) %}{% endmacro %}{{ q(b=1) }}',
    '{% macro q() %}x{% endmacro %}{% call q() %}{% endcall %}',
    '{{ [] | max | upper ~ ([] | max).x }}',
    '{{ -s }}',
    '{{ d | dictsort(by="x") }}',
    '{{ l | dictsort }}',
    '{{ [1, "a"] | sort }}',
    '{{ s | indent(1, 2, 3, 4) }}',
    '{{ s | trim(5) }}',
    '{{ ("a" if false).x }}',
    '{{ s.startswith(1) }}',
    '{{ d | items | last }}',
]


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def main():
    chat_utils.datetime = FrozenDatetime
    cases = []
    for template in TEMPLATES.strip("\n").split("\n----\n"):
        output = chat_utils._compile_jinja_template(template).render(**CONTEXT)
        cases.append({"template": template, "output": output})
    for template in ERRORS:
        try:
            output = chat_utils._compile_jinja_template(template).render(**CONTEXT)
        except Exception:  # whatever it is, ours must fail, too
            continue
        raise SystemExit(f"{template} renders {output!r}")
    # Case mappings of all characters, by digest. A word of three, since the case of the first differs.
    characters = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000 and chr(c).isprintable()]
    case = {}
    for method in ("upper", "lower", "title", "capitalize"):
        text = "\n".join(getattr(c + "a" + c, method)() for c in characters)
        case[method] = hashlib.sha256(text.encode()).hexdigest()
    goldens = {"case": case, "time": NOW.isoformat() + "Z", "context": CONTEXT, "cases": cases, "errors": ERRORS}
    with open(os.path.join(ROOT, "tests/golden/worker_templates/engine.json"), "w") as file:
        json.dump(goldens, file, ensure_ascii=False, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
