#!/usr/bin/env python3
"""Keeps what every row of a table of questions answered, and says whether another run answered the same.

    python3 Benchmarks/answers.py keep  ANSWERS.jsonl STORE     (ANSWERS.jsonl: of `vtok bench --answers`)
    python3 Benchmarks/answers.py check ANSWERS.jsonl STORE

STORE is JSON, gzipped: the words that were said, and of every row a letter per question, in the order of the data's lines.
A run over fewer questions is checked on those. `check` fails if a row is missing on either side or an answer differs.
"""
import gzip
import json
import sys

import needs


def rows_of(path):
    """Of every row: the answer by line of the data."""
    rows = {}
    with open(path) as file:
        for line in file:
            said = json.loads(line)
            rows.setdefault(f"{said['method']} | {said['budget']} | {said['seed']}", {})[said["line"]] = said["answer"]
    return rows


def keep(rows, store):
    words = sorted({answer for row in rows.values() for answer in row.values()})
    letters = {word: chr(256 + number) for number, word in enumerate(words)}
    packed = {"words": words, "rows": {
        name: "".join(letters[row[line]] for line in sorted(row)) for name, row in rows.items()}}
    with gzip.GzipFile(store, "wb", mtime=0) as out:
        out.write(json.dumps(packed, ensure_ascii=False).encode())
    print(f"{store}: {sum(map(len, rows.values()))} answers in {len(rows)} rows, {len(words)} different")


def check(rows, store):
    with gzip.open(store, "rt") as file:
        kept = json.load(file)
    asked = other = 0
    gone = [name for name in kept["rows"] if name not in rows]
    for name in gone:
        print(f"no such row in this run: {name}")
    for name, row in rows.items():
        if name not in kept["rows"]:
            print(f"no such row in {store}: {name}")
            other += len(row)
            continue
        # Lines of the data begin with 1.
        differs = [line for line, answer in row.items() if kept["words"][ord(kept["rows"][name][line - 1]) - 256] != answer]
        asked, other = asked + len(row), other + len(differs)
        if differs:
            print(f"{len(differs)} of {len(row)} answers differ: {name}")
    print(f"{asked - other} of {asked} answers in {len(rows)} rows are those of {store}")
    return other == 0 and not gone


if __name__ == "__main__":
    command, answers, store = needs.values("keep|check ANSWERS.jsonl STORE", 3)[:3]
    rows = rows_of(answers)
    if command == "keep":
        keep(rows, store)
    elif not check(rows, store):
        sys.exit(1)
