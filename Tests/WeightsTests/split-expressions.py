"""Makes split-expressions.json: random split patterns and texts, and where Hugging Face tokenizers matches them.

pip install tokenizers; python3 split-expressions.py > split-expressions.json
"""

import json
import random

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

ATOMS = [
    r"\p{L}", r"\p{Lu}", r"\p{Ll}", r"\P{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{Han}", r"\s", r"\S", r"\d", r"\D", r"\v", r"\x{61}",
    r"[^\s\p{L}\p{N}]", r"[^\s\p{L}]", r"[\p{L}&&[^a-b]]", r"[\p{Lu}x]", r"[^\p{Ll}]", r"[\r\n]", r"[!\-#]", "[a-c]", "[k-s]",
    "[[a-b]x]", "[^a]", "a", "b", "s", "k", " ", "1", "'", "é", ".",
]  # fmt: skip
GROUPS = ["(%s)", "(?:%s)", "(?i:%s)", "(?=%s)", "(?!%s)", "(?<=%s)", "(?<!%s)", "(?>%s)", "^%s", "%s$"]
TIMES = ["*", "+", "?", "{1,3}", "{2}", "{1,}", "{,2}", "*?", "+?", "??", "*+", "++", "?+"]
ALPHABET = list("aabbcsSkK 1  2'xX.,é\n\r\tÉ日本ſ\u212a\u0301\u00a0")  # sharp s has cases of several letters: left out


def pattern(depth):
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return random.choice(ATOMS)
    if kind < 0.6:
        return pattern(depth - 1) + pattern(depth - 1)
    if kind < 0.75:
        return "(?:" + "|".join(pattern(depth - 1) for _ in range(random.randint(2, 3))) + ")"
    if kind < 0.92:
        inside = random.choice(ATOMS) if random.random() < 0.7 else f"(?:{pattern(depth - 1)})"
        return inside + random.choice(TIMES)
    return random.choice(GROUPS) % pattern(depth - 1)


random.seed(17)
rows = []
while len(rows) < 400:
    expression = "|".join(pattern(3) for _ in range(random.randint(1, 4)))
    texts = ["".join(random.choice(ALPHABET) for _ in range(random.randint(1, 24))) for _ in range(4)]
    try:
        split = Split(Regex(expression), "removed", invert=True)
    except Exception:  # a pattern that the library does not take either
        continue
    # "ss" is a sharp s when case is ignored, which this library's classes know and ours do not.
    if "(?i:" in expression and any(pair in text for text in texts for pair in ["ss", "sS", "Ss", "SS", "ſs", "sſ", "ſS", "Sſ"]):
        continue
    rows.append({"pattern": expression, "texts": texts, "matches": [[list(at) for _, at in split.pre_tokenize_str(t)] for t in texts]})
print(json.dumps({"ran": f"tokenizers {tokenizers.__version__}", "rows": rows}, ensure_ascii=False, separators=(",", ":")))
