#!/usr/bin/env python3
"""Writes easy-VQA's questions as `vtok bench` reads them, with the pictures beside: needs nothing but Python.

    python3 Benchmarks/training/vqa_questions.py DIR [--data DIR] [--split test] [--every N]

DIR/SPLIT.jsonl, a question a line: {"image": path below DIR, "question": text, "answers": [text], "metric": "exact",
"group": "yes/no" or "open"}.
"""
import argparse
import json
import os
import tarfile

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared", "data")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--data", default=os.path.join(SHARED, "easy-vqa"), help="folder with easy-vqa.tar.gz")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture, with all its questions")
    arguments = parser.parse_args()
    split = arguments.split
    os.makedirs(os.path.join(arguments.directory, split), exist_ok=True)
    with tarfile.open(os.path.join(arguments.data, "easy-vqa.tar.gz")) as archive:
        files = {os.path.normpath(member.name): member for member in archive if member.isfile()}
        questions = json.load(archive.extractfile(files[f"{split}/questions.json"]))
        questions = [q for q in questions if q[2] % arguments.every == 0]
        for image in {image for _, _, image in questions}:
            with open(os.path.join(arguments.directory, split, f"{image}.png"), "wb") as out:
                out.write(archive.extractfile(files[f"{split}/images/{image}.png"]).read())
    with open(os.path.join(arguments.directory, f"{split}.jsonl"), "w") as out:
        for question, answer, image in questions:
            row = {"image": f"{split}/{image}.png", "question": question, "answers": [answer], "metric": "exact",
                   "group": "yes/no" if answer in ("yes", "no") else "open"}
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
