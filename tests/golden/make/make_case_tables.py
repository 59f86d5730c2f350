#!/usr/bin/env python3
"""Writes worker/data/text/jinja_case_tables.inc: the case mappings of this Python's str (Unicode 14 in 3.11).

Usage: make_case_tables.py > worker/data/text/jinja_case_tables.inc
"""

import unicodedata

CHARACTERS = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]


def runs(mapping):
    """Rows {first, last, stride, delta} of characters that map to one other character."""
    out = []
    for c in CHARACTERS:
        to = mapping(chr(c))
        if to is None or len(to) != 1 or to == chr(c):
            continue
        delta = ord(to) - c
        if out:
            first, last, stride, previous = out[-1]
            if previous == delta and (c - last == stride or (first == last and c - last <= 2)):
                out[-1] = (first, c, c - last, delta)
                continue
        out.append((c, c, 1, delta))
    return out


def longs(mapping):
    """Pairs (character, its mapping of several characters)."""
    return [(c, mapping(chr(c))) for c in CHARACTERS if mapping(chr(c)) is not None and len(mapping(chr(c))) > 1]


def escaped(text):
    return "".join(f"\\x{byte:02X}" for byte in text.encode())


def print_rows(rows):
    line = " "
    for row in rows:
        if len(line) + len(row) > 108:
            print(line)
            line = " "
        line += " " + row
    print(line + "\n};")


def title(c):
    return c.title() if c.title() != c.upper() else None


print(f"// Case mappings beyond ASCII, Unicode {unicodedata.unidata_version}. Made by tests/golden/make/make_case_tables.py.")
print("// clang-format off")
for name, mapping in (("Upper", str.upper), ("Lower", str.lower), ("Title", title)):
    print(f"constexpr CaseRun k{name}Runs[] = {{")
    print_rows([f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in runs(mapping)])
for name, mapping in (("Upper", str.upper), ("Title", title)):
    print(f"constexpr CaseLong k{name}Longs[] = {{")
    print_rows([f'{{0x{c:X}, "{escaped(to)}"}},' for c, to in longs(mapping)])
print("// Characters that are their own title case though they have an upper case.")
print("constexpr CaseRun kTitleSame[] = {")
same = [c for c in CHARACTERS if title(chr(c)) == chr(c)]
rows, start = [], None
for c in same:
    if rows and c == rows[-1][1] + 1:
        rows[-1][1] = c
    else:
        rows.append([c, c])
print_rows([f"{{0x{a:X}, 0x{b:X}, 1, 0}}," for a, b in rows])
print("// clang-format on")
