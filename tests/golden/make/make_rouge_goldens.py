"""Makes tests/golden/worker_stages/rouge_l.json: ROUGE-L F1 of text pairs by an implementation of its own.

Definition: google-research/rouge, rouge_scorer.py and tokenize.py, `rougeL` with use_stemmer=False: lower-case, every run of
characters other than [a-z0-9] becomes a space, tokens are what is between spaces; F-measure of precision and recall of the
longest common subsequence. Written with a full table and by recursion-free backtracking, unlike the C++ (two rows), so
that a slip in one does not repeat in the other.

Needs only Python's standard library. Run: python3 tests/golden/make/make_rouge_goldens.py
"""

import json
import pathlib
import random
import re


def tokens(text):
    return [t for t in re.split(r"\s+", re.sub(r"[^a-z0-9]+", " ", text.lower())) if re.match(r"^[a-z0-9]+$", t)]


def common(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            if a[i] == b[j]:
                table[i + 1][j + 1] = table[i][j] + 1
            else:
                table[i + 1][j + 1] = max(table[i][j + 1], table[i + 1][j])
    # The subsequence itself, to check the table: it must be one of both.
    found, i, j = [], len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] >= table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    assert len(found) == table[len(a)][len(b)]
    return len(found)


def rouge_l(reference, prediction):
    a, b = tokens(reference), tokens(prediction)
    length = common(a, b)
    if length == 0:
        return 0.0
    precision, recall = length / len(b), length / len(a)
    return 2 * precision * recall / (precision + recall)


HAND = [
    ("", ""),
    ("a", ""),
    ("", "a"),
    ("the cat sat on the mat", "the cat sat on the mat"),
    ("police killed the gunman", "police kill the gunman"),
    ("police killed the gunman", "the gunman kill police"),
    ("The Cat, sat!", "the cat sat"),
    ("state-of-the-art tools", "state of the art tool"),
    ("x11 client v2.0", "X11-client V2 0"),
    ("naïve café", "naive cafe"),
    ("日本語のテキスト", "日本語のテキスト"),
    ("300 K is 300\u212a", "300 k is 300k"),
    ("\u0130stanbul", "i stanbul"),
    ("a a a b", "a b a"),
    ("one\ttwo\nthree", "one two  three"),
    ("🙂 ok", "ok 🙂"),
]


def main():
    draw = random.Random(20240229)
    words = "fast small tool library for the of and data file system network graphical text editor 2d 3d utf8".split()
    pairs = list(HAND)
    for _ in range(60):
        reference = " ".join(draw.choice(words) for _ in range(draw.randint(1, 14)))
        prediction = " ".join(draw.choice(words) for _ in range(draw.randint(1, 14)))
        pairs.append((reference, prediction))
    out = [{"reference": r, "prediction": p, "rouge_l": rouge_l(r, p)} for r, p in pairs]
    path = pathlib.Path(__file__).resolve().parents[1] / "worker_stages" / "rouge_l.json"
    path.write_text(json.dumps(out, indent=0, ensure_ascii=True) + "\n")
    print(path, len(out))


main()
