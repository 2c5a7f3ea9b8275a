#!/usr/bin/env python3
"""Models of today in 4 bits on two cores: first token, tokens a second and peak memory, dense and at a quarter of the visual tokens.

    python3 Benchmarks/today.py FOLDER [--quick] [--rounds N] [--threads N]

Writes random weights in the shapes of Qwen3-VL-2B (4.3 GB) and InternVL3.5-1B (2.1 GB) into FOLDER, where they stay, and asks each about a
picture of 1024 x 768 pixels with `--precision int4`; answers are nonsense at the cost of real ones. Every run is also predicted by
`vtok flops`, whose peak memory stands beside the measured one. Writes Benchmarks/results/today-<cpu>.json; figures are medians of rounds.
--quick takes tiny shapes and writes its results into FOLDER. MEASURE in the environment is a command that keeps a shared
machine still; VTOK names the program.
"""
import datetime
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import zlib

import needs
import random_models

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODELS = {"Qwen3-VL-2B": ("qwen3-vl", "2b"), "InternVL3.5-1B": ("internvl3.5", "1b")}
WIDTH, HEIGHT, NEW = 1024, 768, 33
METHODS = {"dense": [], "divprune, a quarter": ["--method", "divprune", "--keep-ratio", "0.25"]}
QUESTION = "What is in this picture?"


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def picture(path):
    """A PNG of smooth colours."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(WIDTH) for value in ((x * 255) // WIDTH, (y * 255) // HEIGHT, (x * y) % 251))
        for y in range(HEIGHT))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
                  + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Runs:
    def __init__(self, vtok, image, threads, new):
        self.vtok, self.image, self.threads, self.new = vtok, image, threads, new
        self.env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        self.wrapper = os.environ.get("MEASURE", "").split()

    def call(self, command, wrapper=()):
        done = subprocess.run([*wrapper, *command], env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        value = json.loads(done.stdout)
        return value[0] if isinstance(value, list) else value

    def answer(self, model, more):
        return self.call([self.vtok, "generate", "--model", model, "--image", self.image, "--prompt", QUESTION, "--precision", "int4",
                          "--threads", str(self.threads), "--max-tokens", str(self.new), "--format", "json", "--quiet", *more],
                         self.wrapper)

    def predicted(self, model, more, text):
        found = self.call([self.vtok, "flops", "--model", model, "--image-size", f"{WIDTH}x{HEIGHT}", "--text-tokens", str(text),
                           "--new-tokens", str(self.new), "--precision", "int4", "--threads", str(self.threads), "--format", "json", *more])
        return found["memory"]["peak_mb"]


def measure(runs, model, rounds):
    rows = []
    for name, more in METHODS.items():
        answers = [runs.answer(model, more) for _ in range(rounds)]
        first = answers[0]
        text = max(1, first["tokens"]["prompt"] - first["tokens"]["in"])
        middle = lambda key: statistics.median(answer[key] for answer in answers if answer[key] is not None)
        rows.append({
            "run": name, "visual_tokens": first["tokens"]["in"], "left": first["tokens"]["out"], "prompt_rows": first["prompt_rows"],
            "new_tokens": first["tokens"]["new"], "first_token_s": middle("ttft_ms") * 1e-3,
            "tokens_per_s": middle("decode_tokens_per_s") if first["tokens"]["new"] > 1 else None,
            "peak_memory_mb": middle("peak_memory_mb"), "predicted_mb": runs.predicted(model, more, text)})
        print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def program():
    if os.environ.get("VTOK"):
        return os.environ["VTOK"]
    if not os.path.exists(os.path.join(ROOT, "Makefile")):
        needs.refuse("needs vtok: name the program in VTOK, or run it in a clone of the repository, which builds it")
    subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True, stdout=sys.stderr)
    return os.path.join(ROOT, ".build", "release", "vtok")


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="where the models go")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to see that the script runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    vtok = program()
    folder = arguments.folder
    os.makedirs(folder, exist_ok=True)
    image = os.path.join(folder, "picture.png")
    picture(image)
    runs = Runs(vtok, image, arguments.threads, 3 if arguments.quick else NEW)
    models = []
    for name, (family, size) in MODELS.items():
        size = "tiny" if arguments.quick else size
        path = os.path.join(folder, f"{family}-{size}")
        weights = os.path.join(path, "model.safetensors")
        if not os.path.exists(weights):
            random_models.FAMILIES[family][0](path, size)
        runs.answer(path, [])  # the file comes into memory
        models.append({"model": name, "file_gb": os.path.getsize(weights) * 1e-9,
                       "rows": measure(runs, path, 1 if arguments.quick else arguments.rounds)})
    result = {"schema": "vtok-today/1", "date": datetime.date.today().isoformat(), "cpu": cpu(), "cores": os.cpu_count(),
              "threads": arguments.threads, "precision": "int4", "picture": [WIDTH, HEIGHT], "note": arguments.note, "models": models}
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = os.path.join(folder if arguments.quick else os.path.join(HERE, "results"), f"today-{name}.json")
    with open(path, "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(f"{path}\n{sum(len(m['rows']) for m in models)} runs")


if __name__ == "__main__":
    main()
