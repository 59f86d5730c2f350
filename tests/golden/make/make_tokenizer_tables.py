#!/usr/bin/env python3
"""Makes worker/data/text/library_tables.inc: where the `tokenizers` library knows other characters than ours.

The library splits with Oniguruma (Unicode 16), normalises with older tables, and we do both with PCRE2 and utf8proc
of the distribution. The library itself is asked about every code point. Made with tokenizers 0.23.3, Python 3.11
(whose unicodedata is 14.0, as PCRE2 10.42's) and libutf8proc 2.8.0:

    python tests/golden/make/make_tokenizer_tables.py > worker/data/text/library_tables.inc
"""

import ctypes
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()
SCRIPTS = ["Han", "Hiragana", "Katakana", "Hangul"]
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def members(pattern):
    """The code points that the library's regular expression matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for at in range(0, len(CODE_POINTS), 20000):
        text = "".join(map(chr, CODE_POINTS[at : at + 20000]))
        kept = set()
        for piece, _ in split.pre_tokenize_str(text):
            kept.update(piece)
        found.update(ord(c) for c in text if c not in kept)
    return found


def utf8_size(c):
    return len(chr(c).encode())


def stand_ins():
    category = {}
    for name in CATEGORIES:
        for c in members(r"\p{%s}" % name):
            category[c] = name
    script = {}
    for name in SCRIPTS:
        for c in members(r"\p{%s}" % name):
            script[c] = name
    kind = {c: (category.get(c), script.get(c), utf8_size(c)) for c in CODE_POINTS}
    known = {}  # kind -> code points that both sides see alike
    for c in CODE_POINTS:
        if category.get(c) == unicodedata.category(chr(c)):
            known.setdefault(kind[c], []).append(c)
    table = []
    for c in CODE_POINTS:
        if c not in category or category[c] == unicodedata.category(chr(c)):
            continue
        same = known[kind[c]]
        below = [k for k in same if k < c]
        table.append((c, below[-1] if below else same[0]))
    # PCRE2's \s has the Mongolian vowel separator, which is no white space since Unicode 6.3.
    table.append((0x180E, 0x206F))
    return sorted(table)


LIB = ctypes.CDLL("libutf8proc.so.2")
LIBRARY_FORMS = {"NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKD": normalizers.NFKD()}


def utf8proc(form, text):
    convert = getattr(LIB, f"utf8proc_{form}")
    convert.restype = ctypes.c_void_p
    convert.argtypes = [ctypes.c_char_p]
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    at = convert(text.encode())
    result = ctypes.string_at(at).decode()
    free(at)
    return result


def marks_not_reordered():
    """Combining marks that the library leaves where they are."""
    found = []
    for c in CODE_POINTS[1:]:
        probes = ["a\u0345" + chr(c) + "\u0334", chr(c) + "\u0345\u0327", chr(c) + "\u0301"]
        if any(utf8proc("NFC", p) != LIBRARY_FORMS["NFC"].normalize_str(p) for p in probes):
            found.append((c, 0))
    return found


def not_decomposed(form):
    """Characters that only utf8proc decomposes. The other way round would need a table of what they become."""
    found = []
    for c in CODE_POINTS[1:]:
        ours, theirs = utf8proc(form, chr(c)), LIBRARY_FORMS[form].normalize_str(chr(c))
        if ours != theirs:
            assert theirs == chr(c), (form, hex(c), ours, theirs)
            found.append((c, 0))
    return found


def in_categories(names):
    LIB.utf8proc_category_string.restype = ctypes.c_char_p
    return {c for c in CODE_POINTS if LIB.utf8proc_category_string(c).decode() in names}


def differing(theirs, ours):
    return [(c, 0) for c in sorted(theirs ^ ours)]


def removed_by(normalizer):
    return {c for c in CODE_POINTS if normalizer.normalize_str("a" + chr(c) + "b") == "ab"}


def punctuation():
    split = pre_tokenizers.Punctuation("removed")
    found = set()
    for at in range(0, len(CODE_POINTS), 20000):
        text = "".join(map(chr, CODE_POINTS[at : at + 20000]))
        kept = {c for piece, _ in split.pre_tokenize_str(text) for c in piece}
        found.update(ord(c) for c in text if c not in kept)
    return found


def bert(**what):
    nothing = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**nothing, **what})


def lower_differs():
    lowercase = normalizers.Lowercase()
    found = []
    for c in CODE_POINTS:
        theirs = lowercase.normalize_str(chr(c))
        if theirs != chr(LIB.utf8proc_tolower(c)) and len(theirs) == 1:
            found.append((c, ord(theirs) - c))
        assert len(theirs) == 1 or c == 0x130, hex(c)  # one that becomes two characters
    return found


def runs(table):
    result = []
    for c, value in table:
        if result and result[-1][1] == c - 1 and result[-1][2] == value:  # value: a stand-in, or a distance
            result[-1][1] = c
        else:
            result.append([c, c, value])
    return result


def emit(name, items):
    print(f"constexpr {name}[] = {{")
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > 108:
            print(line)
            line = " "
        line += f" {item},"
    print(line)
    print("};")


print("// Made by tests/golden/make/make_tokenizer_tables.py (tokenizers 0.23.3). Rising.")
print("// clang-format off")
emit("StandInRun kStandIns", [f"{{0x{a:X}, 0x{b:X}, 0x{v:X}}}" for a, b, v in runs(stand_ins())])


def emit_ranges(name, table):
    emit(f"CodePointRange {name}", [f"{{0x{a:X}, 0x{b:X}}}" for a, b, _ in runs(table)])


emit_ranges("kMarksNotReordered", marks_not_reordered())
emit_ranges("kNotDecomposed", not_decomposed("NFD"))
emit_ranges("kNotDecomposedCompatibly", not_decomposed("NFKD"))
# Where the library's older tables of categories differ from utf8proc's.
emit_ranges("kPunctuationDiffers", differing(punctuation(), in_categories({"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"})))
emit_ranges("kControlDiffers", differing(removed_by(bert(clean_text=True)), in_categories({"Cc", "Cf", "Co"})))
emit_ranges("kMarkDiffers", differing(removed_by(normalizers.StripAccents()), in_categories({"Mn", "Mc", "Me"})))
emit_ranges("kNonspacingDiffers", differing(removed_by(bert(strip_accents=True)), in_categories({"Mn"})))
emit("LowerRun kLowerDiffers", [f"{{0x{a:X}, 0x{b:X}, {v}}}" for a, b, v in runs(lower_differs())])
print("// clang-format on")
