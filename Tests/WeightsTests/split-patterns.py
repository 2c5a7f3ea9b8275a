"""Makes split-patterns.json: pieces that Hugging Face tokenizers cuts texts into by the patterns of published tokenizers.

pip install tokenizers; python3 split-patterns.py > split-patterns.json
"""

import json

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL,
    "llama3": ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL,
    "qwen3.5": ENDINGS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL,
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDINGS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDINGS}?"
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL,
    "tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
    + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + TAIL,
    "cl100k": r"(?i:'[sdmt]|'ll|'ve|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL,
    "deepseek-words": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    + r"| ?[\p{P}\p{S}]+[\r\n]*|" + TAIL,
    "deepseek-chinese": "[一-龥぀-ゟ゠-ヿ]+",
    "digits": r"\p{N}{1,3}",
    "thousands": r"\d{1,3}(?=(?:\d{3})*(?!\d))",
    "line-ends": r"\r?\n",
}
TEXTS = [
    "It's what we'LL do, they'Re sure I'd've",
    "Don'ſ CAMELCase HTTPServer's naïve café",
    "हिन्दी में लिखा हुआ पाठ, भाषा",
    "ภาษาไทย สวัสดี ครับ",
    "e\u0301te\u0301 A\u030angstro\u0308m x\u0300\u0301y",
    "日本語のテキスト、中文字符 12345 mixed に",
    "1234567 ٣٤٥ Ⅷ ½ x2y 3.14159",
    "tabs\t\tand  spaces   end   ",
    "lines\r\n\r\nmore\n\n  indented\n",
    "no\u00a0break\u2003em\u3000wide\u0085next\u2028line",
    "emoji 👩‍👩‍👧 🇩🇪 👍🏽!?... --> <|x|> {a: [1]}",
    "path/to//file.txt\n// comment\nfoo_bar(baz);",
    "Ünï ǅ ʰ ªº ﬁ İstanbul straße K",
    "'s 'S 'ſ 'll 'Ll 'm",
    "",
    "   ",
    "\n",
]


def pieces(split, text):
    return [piece for piece, _ in split.pre_tokenize_str(text)]


rows = [
    {"name": name, "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False,
     "pieces": [pieces(Split(Regex(pattern), "isolated"), text) for text in TEXTS]}
    for name, pattern in PATTERNS.items()
]
for behavior in ["Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "Isolated"]:
    for invert in [False, True]:
        key = "".join("_" + c.lower() if c.isupper() else c for c in behavior).lstrip("_")
        for pattern, made in [({"String": " "}, " "), ({"Regex": r"\p{N}"}, Regex(r"\p{N}"))]:
            rows.append({
                "name": f"{behavior} {invert}", "pattern": pattern, "behavior": behavior, "invert": invert,
                "pieces": [pieces(Split(made, key, invert), text) for text in TEXTS]})
lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
texts = ",\n".join("  " + json.dumps(text, ensure_ascii=False) for text in TEXTS)
print(f'{{"ran": "tokenizers {tokenizers.__version__}",\n "texts": [\n{texts}],\n "rows": [\n{lines}]}}')
