#!/usr/bin/env python3
"""Writes easy-VQA's questions as `vtok bench` reads them, with the pictures beside: needs nothing but Python.

    python3 Benchmarks/training/vqa_questions.py DIR [--data DIR] [--split test] [--every N]

DIR/SPLIT.jsonl, a question a line: {"image": path below DIR, "question": text, "answers": [text], "metric": "exact",
"group": "yes/no" or "open"}.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--data", help="folder of easy-VQA (default: that of the PyPI package easy-vqa)")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture, with all its questions")
    arguments = parser.parse_args()
    split = arguments.split
    read = needs.needs_easy_vqa(arguments.data)
    os.makedirs(os.path.join(arguments.directory, split), exist_ok=True)
    questions = [q for q in json.loads(read(f"{split}/questions.json")) if q[2] % arguments.every == 0]
    for image in {image for _, _, image in questions}:
        with open(os.path.join(arguments.directory, split, f"{image}.png"), "wb") as out:
            out.write(read(f"{split}/images/{image}.png"))
    with open(os.path.join(arguments.directory, f"{split}.jsonl"), "w") as out:
        for question, answer, image in questions:
            row = {"image": f"{split}/{image}.png", "question": question, "answers": [answer], "metric": "exact",
                   "group": "yes/no" if answer in ("yes", "no") else "open"}
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
