#!/usr/bin/env python3
"""Makes the files of tests/golden/worker_text: what the `tokenizers` library and `transformers` do, to be done alike.

Made with tokenizers 0.23.3, transformers 5.23.0 and gguf 0.19.0 in a virtualenv, from the root of the repository:

    python tests/golden/make/make_tokenizer_goldens.py --gguf PATH/SmolLM2-135M-Instruct.Q4_1.gguf

  texts.json            hard texts
  <name>.tokenizer.json small tokenizers, trained here
  <name>.golden.json    for each text, ids and the byte offsets at which the tokens begin
  smollm2.golden.json   ids that SmolLM2's own tokenizer gives
  splits.golden.json    how pre-tokenizers cut texts: the byte offsets of the words
  characters.golden.json  which of all code points a class holds, and normal forms of all of them, as digests
  pieces.model, marks.model, words.model   small models that sentencepiece 0.2.3 trained
  pieces.gguf           the first of them as a GGUF file
  sentencepiece.golden.json  ids that sentencepiece itself and `transformers` give for them
  variants.golden.json  ids, offsets and decoded texts of tokenizers with one part or another replaced
"""

import argparse
import base64
import hashlib
import io
import json
import os
import random
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = "tests/golden/worker_text"

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
]

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog didn't mind: it's used to that.",
    "Fine-tuning a language model on a small set of examples changes how it answers; they're its own words.",
    "In 2024 there were 1,234 reports about 56.78% of the 90 machines, 12 of which ran for 365 days.",
    "def tokenize(text: str) -> list[int]:\n    return [vocab[token] for token in split(text) if token in vocab]\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += values[i] * weights[i];\n}\n",
    "Das Übermaß an Straßenlärm störte die Bürger, während die Häuser größer wurden.",
    "L'été dernier, à l'hôtel, nous avons mangé des crêpes et bu du café très tôt.",
    "El niño comió piñas mañana por la mañana; ¿qué más quieres?",
    "Всё, что нужно знать о языковых моделях, написано в этой книге.",
    "今日は天気がいいので、散歩に行きましょう。明日は雨が降るそうです。",
    "今天天气很好,我们去公园散步吧。明天可能会下雨。",
    "오늘은 날씨가 좋아서 산책을 갑니다. 내일은 비가 온다고 합니다.",
    "مرحبا بكم في عالم نماذج اللغة الكبيرة",
    "שלום לכולם, זה טקסט בעברית",
    "यह हिन्दी में लिखा हुआ एक छोटा वाक्य है।",
    "สวัสดีครับ นี่คือข้อความภาษาไทย",
    "Emoji 😀😃😄 and 👩‍👩‍👧‍👦 and 👍🏽 and 🇩🇪🇫🇷 ❤️",
    "She'll say they've gone, I'd say we're here, I'M SURE IT'S FINE.",
]

TEXTS = [
    "",
    " ",
    "a",
    "Hello world",
    " Hello  world ",
    "Hello, world! It's a test; isn't it? We'll see, they'VE said I'D go.",
    "can't CAN'T Can’t 'tis 'S 'ſ 'K 'll'd''s",
    "1234567890 3.14159 1,000,000 0x1F 2e-5 ١٢٣ ४५६ Ⅻ ½ ²³ ①",
    "x  2024",
    "1 22 333 4444 55555",
    "\t\ttabs\tand  spaces   here\t ",
    "line one\nline two\n\nline four\n\n\n  indented\n",
    "CRLF\r\nnext\r\n\r\nafter\rold mac\r",
    "trailing spaces   \n   leading\n \n  \n",
    "  \n  \t\n\t  x",
    " " * 33,
    "\n" * 9,
    "a" + " " * 17 + "b",
    "def f(x):\n    if x > 0:\n        return x**2  # square\n    return None\n",
    "#include <vector>\nint main() { std::vector<int> v{1, 2}; return v[0] != 1 && !v.empty(); }\n",
    "SELECT * FROM t WHERE a='b' AND c<>\"d\"; -- comment",
    "<div class=\"x\">&nbsp;</div>",
    "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\\n\"}",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org",
    "C:\\Program Files\\x.exe /usr/local/bin/~tilde $HOME ${VAR} `cmd`",
    "a_b_c __init__ camelCase PascalCase SCREAMING_CASE kebab-case",
    "... --- === *** ///// !!! ??? ?! #$%^&*()",
    "😀",
    "😀😃 😄",
    "👩‍👩‍👧‍👦 family",
    "👩🏽‍💻👨🏿‍🚀 skin tones ✊🏻",
    "🏳️‍🌈🏴‍☠️🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "🇩🇪🇫🇷🇯🇵🇺",
    "❤️ ☺ ☺️ ☺︎ 1️⃣ #️⃣",
    "🫨🪿🫎🩷 newer emoji 🫩🪾",
    "日本語のテキスト。カタカナ ひらがな漢字",
    "中文,没有空格的句子。中英mixed文字123混排",
    "한국어 텍스트 각각 각",
    "𠀀𠮷𪚥 extension 𰀀 and later 𱍐 𮯰",
    "ｆｕｌｌｗｉｄｔｈ ＡＢＣ１２３　ideographic space",
    "café cafe\u0301 e\u0301 e\u0323\u0301 e\u0301\u0323",
    "Å \u212b A\u030a ﬁ ﬀ ﬆ ß ẞ ŉ",
    "a\u0301\u0302\u0303\u0304b o\u0308\u0304 \u0344x",
    "\u0301lone mark at start",
    " \u0301 \u0323x\u0301",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "क़ \u0915\u093c हिन्दी नमस्ते क्षेत्र",
    "বাংলা ভাষা தமிழ் తెలుగు മലയാളം ಕನ್ನಡ",
    "ภาษาไทยไม่มีช่องว่าง เก้า",
    "བོད་ཡིག မြန်မာ ខ្មែរ ລາວ",
    "\u1112\u1161\u11ab\u1100\u1173\u11af jamo",
    "مرحبا بالعالم ١٢٣ لَا إِلٰهَ",
    "שָׁלוֹם עולם \u202bRTL\u202c \u200fmark",
    "العربية and English مختلط",
    "zero\u200bwidth\u200cjoin\u200der\ufeffbom\u2060wj",
    "\ufeffBOM at the start",
    "no\u00a0break\u202fnarrow\u2009thin\u3000wide\u2028ls\u2029ps\u0085nel\u180emvs",
    "\u2000\u2001\u2002 \u2003x",
    "soft\u00adhyphen \u2011 – — ‘quotes’ “double” «guillemets» …",
    "\ue000\uf8ff private \U000f0000\U0010fffd use",
    "\ufffd replacement \uffff nonchar \U0010ffff",
    "\x00nul\x01\x02 \x1b[31mansi\x7f \x1c\x1d\x1e\x1f",
    "\x0b\x0cvertical form",
    "πρ ΑΒΓ άέ ᾳ ΐ",
    "Привет, мир! ЁёЙй И\u0306",
    "İstanbul ıI ǅ ǈ ᲀ Ა ა",
    "𝒜𝓁𝓅𝒽𝒶 𝟘𝟙𝟚 𝔸𝕓",
    "ᚠᛇᚻ 𐎀𐎁 𓀀𓂀 𒀀 𐌰𐌱",
    "𞤀𞤁 Adlam 𐵀𐵁𐵐𐵰 Garay 𖄀𖄰 𞓐𞓰 Nag",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∑ᵢ xᵢ²",
    "€£¥₿₹ ©®™ §¶† ±×÷ °C ½",
    "─│┌┐ ▀▄█ ♠♣♥♦ ♪♫ ☃ ☂ ✓✗",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a" * 300,
    "ab" * 150,
    "supercalifragilistic" * 12,
    "ACGT" * 60,
    "가" * 60,
    "😀" * 40,
    "the the the the the the",
    "<|endoftext|>",
    "Hello<|endoftext|>world",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n",
    "<|im_start|><|im_end|><|im_start|><|im_start|>",
    "<|im_start|> <|im_end|>  <|im_start|>\n<|im_end|>",
    "<|im_start <|im_end| > <|IM_START|> <|endoftext",
    "text  <mask>  more <mask>text\t<mask>\n\n<mask>\u3000<mask>",
    "<word> a<word> <word>b (<word>) _<word> \u0301<word> <word>\u200d ½<word>½",
    "<tool><tool_call></tool_call> <tool_call> <tool_calls>",
    "caf\u00e9<n\u00e4>cafe\u0301 <na\u0308> <n\u00e4>",
    "r<right>  \n x <right> <left>  y  <left><right> <left>",
    "The quick brown fox didn't jump over 12 lazy dogs in 2024; \"Why?\" they'd ask…",
]


def with_added(tokenizer):
    special = lambda text, **more: AddedToken(text, special=True, normalized=False, **more)
    tokenizer.add_special_tokens([special(t) for t in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    return tokenizer


def with_odd_tokens(tokenizer):
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True, normalized=False, lstrip=True, rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("<word>", single_word=True, normalized=False),
            AddedToken("<tool>", normalized=False),
            AddedToken("<tool_call>", normalized=False),
            AddedToken("</tool_call>", normalized=True),
            AddedToken("<n\u00e4>", normalized=True),
            AddedToken("<left>", lstrip=True, normalized=True),
            AddedToken("<right>", rstrip=True, normalized=True),
        ]
    )
    return tokenizer


def train(pre_tokenizer, normalizer=None, vocab_size=640):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return with_added(tokenizer)


def split_then_bytes(*patterns):
    splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return pre_tokenizers.Sequence(splits + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tokenizers():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    yield "gpt2", train(byte_level)
    llama3 = json.loads(train(split_then_bytes(LLAMA3)).to_str())
    llama3["model"]["ignore_merges"] = True
    # Tokens that merges do not reach: only whole words become these.
    for word in ["ĠHello", "mixed", "2024", "2222"]:
        llama3["model"]["vocab"][word] = len(llama3["model"]["vocab"])
    for i, token in enumerate(llama3["added_tokens"]):
        token["id"] = len(llama3["model"]["vocab"]) + i
    llama3 = Tokenizer.from_str(json.dumps(llama3))
    bos = llama3.token_to_id("<|endoftext|>")
    llama3.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A $B", special_tokens=[("<|endoftext|>", bos)]
    )
    yield "llama3", llama3
    yield "qwen2", train(split_then_bytes(QWEN2), normalizers.NFC())
    yield "smollm", train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level]))
    odd = with_odd_tokens(train(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.NFC(), vocab_size=420))
    yield "odd", odd


def byte_offsets(text):
    """Byte offset of each character of `text`, and of its end."""
    offsets, at = [], 0
    for c in text:
        offsets.append(at)
        at += len(c.encode())
    return offsets + [at]


def dump_lines(path, head, rows):
    with open(path, "w", encoding="utf-8") as out:
        out.write("{" + "".join(f"{json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items()))
        out.write('"cases": [\n')
        out.write(",\n".join(json.dumps(r, separators=(",", ":"), ensure_ascii=False) for r in rows))
        out.write("\n]}\n")


def make_trained():
    for name, tokenizer in tokenizers():
        text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
        if name == "gpt2":  # the older way to write merges
            spec = json.loads(text)
            spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
            text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
        with open(f"{OUT}/{name}.tokenizer.json", "w", encoding="utf-8") as out:
            out.write(text + "\n")
        rows = []
        for t in TEXTS:
            encoded = tokenizer.encode(t, add_special_tokens=False)
            offsets = byte_offsets(t)
            rows.append([encoded.ids, [offsets[b] for b, _ in encoded.offsets]])
        dump_lines(f"{OUT}/{name}.golden.json", {"what": "ids, begins of each text"}, rows)


def make_smollm2(gguf):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(gguf), gguf_file=os.path.basename(gguf))
    # transformers leaves out the digits' own split that tokenizer.ggml.pre = smollm stands for.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    rows = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in TEXTS]
    dump_lines(f"{OUT}/smollm2.golden.json", {"what": "ids of each text"}, rows)


SPLIT_TEXTS = [
    "the-final--countdown-",
    "--a-",
    "abc 123456 x7 12345678 ½x٣٤ 9",
    "Hello, World! it's  CamelCase\tXMLHttp 'S don't  \n\n x ",
    "日本語テキストとkanji漢字カナ。全角！ 한국어 ok",
    "a\u0301 word_with\u200djoin Ⅻ ² 𝟘x🫨 𱍐𱍑",
    "  end  ",
]
PATTERNS = [
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"(?=(\d{3})+(?!\d))",
    r"\s+$",
    r"\w+|[^\w\s]+",
    r"\b",
    r"\B",
    r"[\p{Han}]+|\p{Hiragana}+|\p{Katakana}+|\p{^Hangul}",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[^\x{20}-\u007E]|{a}|x{,2}",
    r"(?<=a)b|(?<!o)r|.{1,2}?",
    r"\A +| +\z",
    GPT4O,
    LLAMA3,
]


# Lists of patterns of published tokenizers: DeepSeek LLM and Coder, BLOOM, Viking, SuperBPE, Tekken, EXAONE, Tiny Aya.
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴ"
    r"ῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
SPLIT_LISTS = [
    [r"[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    [BLOOM],
    [BLOOM, r"\p{N}"],
    [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    [TEKKEN],
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O],
    ["[0-9][0-9][0-9]"],
]


def make_splits():
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    steps = []
    for behavior in behaviors:
        for invert in [False, True]:
            for pattern in ["-", Regex(r"-+"), Regex(r"(?=-)"), Regex(r"[a-z]+")]:
                steps.append([pre_tokenizers.Split(pattern, behavior, invert)])
    steps += [[pre_tokenizers.Split(Regex(p), b)] for p in PATTERNS for b in ["isolated", "merged_with_next"]]
    steps += [[pre_tokenizers.Digits(individual_digits=i)] for i in [True, False]]
    steps += [[pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] for patterns in [DEEPSEEK, *SPLIT_LISTS]]
    steps += [[pre_tokenizers.Punctuation(behavior)] for behavior in behaviors]
    steps += [
        [pre_tokenizers.BertPreTokenizer()],
        [pre_tokenizers.Whitespace()],
        [pre_tokenizers.WhitespaceSplit()],
        [pre_tokenizers.CharDelimiterSplit("-")],
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)],
    ]
    cases = []
    for step in steps:
        sequence = pre_tokenizers.Sequence(step + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        holder = Tokenizer(models.BPE())
        holder.pre_tokenizer = sequence
        spec = json.loads(holder.to_str())["pre_tokenizer"]
        words = []
        for text in SPLIT_TEXTS:
            offsets = byte_offsets(text)
            words.append([[offsets[b], offsets[e]] for _, (b, e) in sequence.pre_tokenize_str(text)])
        cases.append([spec, words])
    head = {"what": "pre_tokenizer, [begin, end) of the words of each text", "texts": SPLIT_TEXTS}
    dump_lines(f"{OUT}/splits.golden.json", head, cases)


CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
PROPERTIES = (
    "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn "
    "Han Hiragana Katakana Hangul"
).split()
CLASSES = [r"\p{%s}" % p for p in PROPERTIES] + [r"\s", r"\d", r"\w", r"\S", r"[^\s\p{L}\p{N}]"]


def blocks():
    for at in range(0, len(CODE_POINTS), 20000):
        yield "".join(map(chr, CODE_POINTS[at : at + 20000]))


def digest_of(code_points):
    found = sorted(code_points)
    return [len(found), hashlib.sha256(" ".join(map(str, found)).encode()).hexdigest()]


def make_characters():
    result = {}
    for name in CLASSES:
        split = pre_tokenizers.Split(Regex(name), "removed")
        found = []
        for text in blocks():
            kept = {c for piece, _ in split.pre_tokenize_str(text) for c in piece}
            found += [ord(c) for c in text if c not in kept]
        result[name] = digest_of(found)
    numeric = []
    for text in blocks():
        pieces = pre_tokenizers.Digits(individual_digits=False).pre_tokenize_str("a".join(["", *text, ""]))
        numeric += [ord(c) for piece, _ in pieces if "a" not in piece for c in piece]
    result["numeric"] = digest_of(numeric)
    # What stands next to an added token: a word character keeps a single_word token from matching, white space is
    # taken along by lstrip.
    words, spaces = [], []
    tokenizer = Tokenizer(models.BPE(vocab={"?": 0}, merges=[], unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    word = AddedToken("<w>", single_word=True, normalized=False)
    tokenizer.add_tokens([word, AddedToken("<l>", lstrip=True, normalized=False)])
    for text in blocks():
        for piece in (text[i : i + 500] for i in range(0, len(text), 500)):
            encoded = tokenizer.encode("".join(f"x{c}<w>;" for c in piece))
            matched = {b for i, (b, _) in zip(encoded.ids, encoded.offsets) if i == 1}
            words += [ord(c) for k, c in enumerate(piece) if 6 * k + 2 not in matched]
            encoded = tokenizer.encode("".join(f"x{c}<l>;" for c in piece))
            taken = {b for i, (b, _) in zip(encoded.ids, encoded.offsets) if i == 2}
            spaces += [ord(c) for k, c in enumerate(piece) if 6 * k + 1 in taken]
    result["word next to an added token"] = digest_of(words)
    result["space next to an added token"] = digest_of(spaces)
    punctuation = []
    for text in blocks():
        kept = {c for piece, _ in pre_tokenizers.Punctuation("removed").pre_tokenize_str(text) for c in piece}
        punctuation += [ord(c) for c in text if c not in kept]
    result["punctuation"] = digest_of(punctuation)
    forms = {"": "a{}\n", " marks": "a\u0345{}\u0334\u0301\n", " starter": "{}\u0345\u0327\u093c\n"}
    nothing = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    steps = {
        "nfc": normalizers.NFC(),
        "nfd": normalizers.NFD(),
        "nfkc": normalizers.NFKC(),
        "nfkd": normalizers.NFKD(),
        "lowercase": normalizers.Lowercase(),
        "strip accents": normalizers.StripAccents(),
        "nmt": normalizers.Nmt(),
        "bert clean": normalizers.BertNormalizer(**{**nothing, "clean_text": True}),
        "bert chinese": normalizers.BertNormalizer(**{**nothing, "handle_chinese_chars": True}),
        "bert accents": normalizers.BertNormalizer(**{**nothing, "strip_accents": True}),
        "bert": normalizers.BertNormalizer(),
    }
    for step, normalizer in steps.items():
        for name, form in forms.items() if step.startswith("nf") else [("", "a{}b\n")]:
            sha = hashlib.sha256()
            for text in blocks():
                sha.update(normalizer.normalize_str("".join(form.format(c) for c in text)).encode())
            result[step + name] = sha.hexdigest()
    with open(f"{OUT}/characters.golden.json", "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in result.items()) + "\n}\n")



# Each as the tokenizers of a family of models are made: Llama 2 and Mistral; Gemma; T5.
SENTENCEPIECE = {
    "pieces": {"model_type": "bpe", "vocab_size": 620, "byte_fallback": True, "split_digits": True},
    "marks": {
        "model_type": "bpe", "vocab_size": 560, "byte_fallback": True, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1,
        "bos_id": 2, "unk_id": 3,
        "user_defined_symbols": ["<start>", "<end>", "\u2581\u2581", "\u2581\u2581\u2581\u2581", "\n\n"],
    },
    "words": {"model_type": "unigram", "vocab_size": 500},
}
# Rules of the unigram model's normaliser: what it replaces, by what.
RULES = {
    "\ufb01": "fi", "\ufb00": "ff", "\uff21": "A", "\uff22": "B", "\uff23": "C", "\u3000": " ", "\t": " ", "\n": " ", "\u00a0": " ",
    "\u200b": "", "\ufeff": "", "e\u0301": "\u00e9", "\u1112\u1161\u11ab": "\ud55c", "\u2460": "1", "\u00bd": "1\u20442", "\u2026": "...",
}


def train_sentencepiece(name):
    import sentencepiece

    options = dict(SENTENCEPIECE[name])
    with tempfile.TemporaryDirectory() as folder:
        if options["model_type"] == "unigram":
            with open(f"{folder}/rules.tsv", "w", encoding="utf-8") as out:
                for source, target in RULES.items():
                    codes = lambda text: " ".join(f"{ord(c):X}" for c in text)
                    out.write(f"{codes(source)}\t{codes(target)}\n")
            options["normalization_rule_tsv"] = f"{folder}/rules.tsv"
        else:
            options.update(normalization_rule_name="identity", remove_extra_whitespaces=False)
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 2), model_writer=model, character_coverage=0.995, minloglevel=2, num_threads=1,
            hard_vocab_limit=False, **options
        )
    with open(f"{OUT}/{name}.model", "wb") as out:
        out.write(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def is_control(text):
    return any(t in text for t in ["<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>"])


SPM_TEXTS = TEXTS + [
    "<s> a</s>b <s>\n",
    "a<unk>b",
    "  two  and   three    spaces     ",
    "\u2581literal \u2581\u2581 marks\u2581",
    "<0x41><0xE6>",
    "<start>user\nHi  there<end>\n\n<start> x",
    "\u65e5\U0001f600\u5929 \U0001f600\U0001f601x",
    "\uff21\uff22 \ufb01ne e\u0301 \u1112\u1161\u11ab \u2460\u00bd\u2026 \u200bx\ufeffy\u3000z",
]


def make_sentencepiece():
    from transformers import LlamaTokenizer

    golden = {"what": "of each model: ids that sentencepiece gives (null: the text names a token), ids of transformers"}
    golden["texts"] = SPM_TEXTS
    processors_of = {}
    for name in SENTENCEPIECE:
        processor = train_sentencepiece(name)
        processors_of[name] = processor
        golden[name] = [None if is_control(t) else processor.encode(t) for t in SPM_TEXTS]
        golden[f"{name} decoded"] = [processor.decode(ids) if ids is not None else None for ids in golden[name]]
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{OUT}/pieces.model", "rb") as source, open(f"{folder}/tokenizer.model", "wb") as out:
            out.write(source.read())
        llama = LlamaTokenizer.from_pretrained(folder, legacy=False)
        golden["pieces transformers"] = [llama(t, add_special_tokens=False)["input_ids"] for t in SPM_TEXTS]
    write_gguf(processors_of["pieces"])
    with open(f"{OUT}/sentencepiece.golden.json", "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(
            f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False, separators=(',', ':'))}" for k, v in golden.items()) + "\n}\n")


def write_gguf(processor):
    import gguf

    writer = gguf.GGUFWriter(f"{OUT}/pieces.gguf", "llama")
    size = processor.get_piece_size()
    kinds = [
        (processor.is_unknown, 2), (processor.is_control, 3), (processor.is_unused, 5), (processor.is_byte, 6),
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([processor.id_to_piece(i) for i in range(size)])
    writer.add_token_scores([processor.get_score(i) for i in range(size)])
    writer.add_token_types([next((n for is_kind, n in kinds if is_kind(i)), 1) for i in range(size)])
    writer.add_bos_token_id(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# Texts for the variants: fewer, as there are many of them.
VARIANT_TEXTS = [t for t in TEXTS[1:12:2] + TEXTS[12:64:3] + TEXTS[70:92:2] if len(t) < 120] + SPM_TEXTS[len(TEXTS):]
REPLACE_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
SPM_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


def sequence(kind, *steps):
    return {"type": "Sequence", {"n": "normalizers", "p": "pretokenizers", "d": "decoders"}[kind]: list(steps)}


def split_step(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def bases():
    """Tokenizers that the variants change."""
    from transformers.convert_slow_tokenizer import generate_merges
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=f"{OUT}/pieces.model")
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    spm = Tokenizer(models.BPE(vocab, generate_merges(vocab, None), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spm.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ["<unk>", "<s>", "</s>"]])
    spm.add_special_tokens([AddedToken("<|end|>", special=True, normalized=False, rstrip=True)])
    spm.add_tokens([AddedToken("<x y>", normalized=True)])

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    unigram.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=420, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))

    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    words.train_from_iterator(CORPUS, trainers.WordPieceTrainer(
        vocab_size=420, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))

    level = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "dog": 2, ",": 3, "quick": 4, "x": 5, "Hello": 6, "world": 7}, unk_token="[UNK]"))
    level.pre_tokenizer = pre_tokenizers.Whitespace()
    return {"spm": spm, "unigram": unigram, "wordpiece": words, "wordlevel": level}


def variants():
    """(name, base, the parts that replace the base's)."""
    legacy = sequence("n", {"type": "Prepend", "prepend": "\u2581"}, REPLACE_SPACES)
    plain = {"normalizer": None, "pre_tokenizer": None, "decoder": SPM_DECODER}
    gemma_decoder = sequence("d", *SPM_DECODER["decoders"][:3])
    yield "llama2", "spm", {**plain, "normalizer": legacy}
    yield "mistral", "spm", {**plain, "pre_tokenizer": metaspace("first", False)}
    yield "metaspace_always_split", "spm", {**plain, "pre_tokenizer": metaspace("always", True), "decoder": metaspace("always", True)}
    yield "gemma", "spm", {
        "normalizer": REPLACE_SPACES, "pre_tokenizer": split_step({"String": " "}, "MergedWithPrevious"), "decoder": gemma_decoder}
    yield "no_fallback", "spm", {**plain, "normalizer": legacy, "model": {"byte_fallback": False}}
    yield "no_fallback_no_fuse", "spm", {**plain, "normalizer": legacy, "model": {"byte_fallback": False, "fuse_unk": False}}
    yield "ignore_merges", "spm", {
        **plain, "pre_tokenizer": metaspace("first", True), "model": {"ignore_merges": True}, "decoder": metaspace("first", True)}
    yield "unigram", "unigram", {}
    yield "unigram_fallback", "unigram", {"model": {"byte_fallback": True}, "decoder": SPM_DECODER}
    with open(f"{OUT}/words.model", "rb") as file:
        charsmap = base64.b64encode(charsmap_of(file.read())).decode()
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    yield "unigram_precompiled", "unigram", {"normalizer": sequence("n", precompiled, strip, collapse)}
    yield "unigram_whole", "unigram", {"pre_tokenizer": metaspace("never", False), "decoder": metaspace("never", False)}
    yield "bert", "wordpiece", {}
    yield "bert_cased", "wordpiece", {"normalizer": {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False}}
    yield "wordpiece_nfd", "wordpiece", {
        "normalizer": sequence("n", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}),
        "pre_tokenizer": sequence("p", {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Contiguous"}),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}, "model": {"max_input_chars_per_word": 6}}
    yield "wordlevel", "wordlevel", {}
    digits = {"type": "Digits", "individual_digits": True}
    yield "cohere", "smollm", {"normalizer": {"type": "NFC"}, "pre_tokenizer": sequence("p", digits, byte_level())}
    yield "falcon", "smollm", {"pre_tokenizer": sequence(
        "p", {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False},
        split_step({"Regex": "[0-9][0-9][0-9]"}))}
    yield "nfkd_lower", "smollm", {
        "normalizer": sequence("n", {"type": "NFKD"}, {"type": "Lowercase"}), "pre_tokenizer": byte_level(prefix=True)}
    yield "byte_normalizer", "smollm", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": split_step({"Regex": "\u0120"}, "MergedWithNext")}
    yield "replace_regex", "smollm", {"normalizer": sequence(
        "n", {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " \u00b7"}, {"type": "Replace", "pattern": {"String": "the"}, "content": ""})}


def charsmap_of(model):
    import sentencepiece.sentencepiece_model_pb2 as proto

    message = proto.ModelProto()
    message.ParseFromString(model)
    return message.normalizer_spec.precompiled_charsmap


def patched(spec, patch):
    spec = json.loads(json.dumps(spec))
    for key, value in patch.items():
        if key == "model":
            spec["model"].update(value)
        else:
            spec[key] = value
    return spec


def make_variants():
    specs = {}
    for name, base in bases().items():
        specs[name] = json.loads(base.to_str())
        with open(f"{OUT}/{name}.tokenizer.json", "w", encoding="utf-8") as out:
            out.write(json.dumps(specs[name], ensure_ascii=False, separators=(",", ":")) + "\n")
    with open(f"{OUT}/smollm.tokenizer.json", encoding="utf-8") as file:
        specs["smollm"] = json.load(file)
    rows = []
    pick = random.Random(5)
    for name, base, patch in variants():
        tokenizer = Tokenizer.from_str(json.dumps(patched(specs[base], patch)))
        cases = []
        for text in VARIANT_TEXTS:
            encoded = tokenizer.encode(text, add_special_tokens=False)
            offsets = byte_offsets(text)
            ids = encoded.ids
            decoded = tokenizer.decode(ids, skip_special_tokens=False)
            cases.append([ids, [offsets[b] for b, _ in encoded.offsets], None if decoded == text else decoded])
        decodes = []
        for i in range(16):
            ids = [pick.randrange(tokenizer.get_vocab_size()) for _ in range(10)]
            if base in ("spm", "unigram") and i % 2:  # mostly bytes, of which some make characters
                text = pick.choice(["日本😀é", "a😀b", "é", "日"]).encode()
                ids = [tokenizer.token_to_id(f"<0x{b:02X}>") for b in text] + ids[: i // 3] + [tokenizer.token_to_id("<0xE6>")]
            decodes.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
        rows.append({"name": name, "base": base, "patch": patch, "cases": cases, "decodes": decodes})
    head = {"what": "of each variant: ids, begins, decoded text (null: the same) of each text; [ids, decoded, decoded without special]", "texts": VARIANT_TEXTS}
    dump_lines(f"{OUT}/variants.golden.json", head, rows)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--gguf", help="SmolLM2's file; without it smollm2.golden.json stays as it is")
    options = arguments.parse_args()
    os.makedirs(OUT, exist_ok=True)
    with open(f"{OUT}/texts.json", "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(t) for t in TEXTS) + "\n]\n")
    make_trained()
    if options.gguf:
        make_smollm2(options.gguf)
    make_splits()
    make_sentencepiece()
    make_variants()
    make_characters()
