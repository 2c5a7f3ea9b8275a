#!/usr/bin/env python3
"""Writes the tables of README.md, docs/*.md and docs/methods/*.md from the data files in Benchmarks/results.

A table stands between `<!-- results: NAME -->` and `<!-- end -->`; nothing else in a page is touched.

usage: Benchmarks/results.py            writes
       Benchmarks/results.py --check    writes nothing; names the pages that are not current, exit 1
"""
import re
import sys

from tables import cost, retention, scale, searches
from tables.text import ROOT, data, rows, table

MARK = re.compile(r"(<!-- results: ([^\n]+?) -->\n)(.*?)(<!-- end -->)", re.S)

BLOCKS = {
    "tower": retention.tower, "clock": retention.clock, "answers": retention.answers, "groups": retention.groups,
    "method": retention.method, "readme": retention.readme, "precision": retention.precision,
    "search": searches.search, "mean": searches.mean,
    "tokenizer": cost.tokenizer, "coder-times": cost.coder_times, "random-tokenizers": cost.random_tokenizers,
    "speed": cost.speed, "llm-speed": cost.llm_speed, "llava": cost.llava, "seven-billion": cost.large,
    "long-job": cost.long_job, "today": cost.today, "memory": cost.memory,
    "scale": lambda _: scale.measured(data("scale.json"), table),
    "scale-billion": lambda _: scale.billion(data("scale.json"), table),
    "scale-lost": lambda _: scale.lost(data("scale.json"), table),
    "scale-test": lambda _: scale.tested(data("scale-test.json"), table),
}


def filled(page):
    def block(match):
        name, _, argument = match[2].partition(" ")
        if name not in BLOCKS:
            sys.stderr.write(f"results.py: {page.relative_to(ROOT)}: no table '{name}', expected one of {', '.join(BLOCKS)}\n")
            sys.exit(2)
        return match[1] + BLOCKS[name](argument or None) + match[4]

    return MARK.sub(block, page.read_text())


def main():
    for folder in [*retention.TOWERS, *retention.ANSWERS]:
        rows(folder)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "methods").glob("*.md"))]
    stale = [(page, text) for page in pages for text in [filled(page)] if text != page.read_text()]
    for page, text in stale:
        if "--check" in sys.argv[1:]:
            print(f"not current: {page.relative_to(ROOT)}; run python3 Benchmarks/results.py")
        else:
            page.write_text(text)
            print(f"written: {page.relative_to(ROOT)}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
