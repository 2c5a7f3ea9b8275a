#!/usr/bin/env python3
"""Time and memory of a LLaVA-1.5-7B-shaped checkpoint (random weights), dense and with 64 visual tokens kept.

    python3 Benchmarks/make-llava.py DIR && python3 Benchmarks/llava.py DIR

Each command runs as a process of its own; the first, which reads the file from the disk, is not counted. Prints a table and writes
Benchmarks/results/llava-7b-<cpu>.json: seconds to load, to the first token and per token after it, the share of the sgemm bound
(2 x multiply-adds of tower, connector and prefill over threads x sgemm of one) and of the measured memory bandwidth (bytes of the
language model's weights over seconds per token), and the peak memory.
"""
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import time

import needs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--tag", default="7b")
    arguments = parser.parse_args()
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True, env=env, stdout=sys.stderr)
    vtok = os.environ.get("VTOK", os.path.join(ROOT, ".build", "release", "vtok"))
    with open(os.path.join(arguments.directory, "model.safetensors.index.json")) as file:
        index = json.load(file)
    language = 0
    for shard in set(index["weight_map"].values()):
        with open(os.path.join(arguments.directory, shard), "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        for name, entry in header.items():
            if name.startswith("language_model") and "embed_tokens" not in name:
                language += entry["data_offsets"][1] - entry["data_offsets"][0]

    def doctor():
        return json.loads(subprocess.run([vtok, "doctor", "--format", "json"], check=True, env=env, capture_output=True).stdout)

    def generate(method, form):
        command = [vtok, "generate", "--model", arguments.directory, "--image", os.path.join(ROOT, "Images", "cat.jpg"),
                   "--prompt", "What is in this picture?", "--max-tokens", str(arguments.tokens), *method]
        if form == "json":
            command += ["--format", "json"]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, env=env, capture_output=True, text=True)
        return done, time.perf_counter() - start

    rows = {"dense": [], "divprune, 64 tokens": []}
    methods = {"dense": [], "divprune, 64 tokens": ["--method", "divprune", "--keep-tokens", "64"]}
    facts = {name: json.loads(generate(method, "json")[0].stdout)[0] for name, method in methods.items()}  # warms up too
    for _ in range(arguments.rounds):
        for name, method in methods.items():
            machine = doctor()
            done, seconds = generate(method, "md")
            first, rate, peak = (float(x) for x in re.search(
                r"first token after ([\d.]+) s, then ([\d.]+) tokens/s.*peak memory ([\d.]+) MB", done.stderr, re.S).groups())
            macs = facts[name]["gmacs"]["reduced"] * 1e9
            rows[name].append({
                "load_s": seconds - first - (arguments.tokens - 1) / rate, "first_token_s": first, "tokens_per_s": rate,
                "peak_memory_mb": peak, "sgemm_gflops": machine["sgemm_gflops"], "memory_gb_per_s": machine["memory_gb_per_s"],
                "share_of_sgemm": 2 * macs / first / (machine["sgemm_gflops"] * 1e9 * machine["cores"]),
                "share_of_bandwidth": language * rate / (machine["memory_gb_per_s"] * 1e9)})
    middle = {name: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for name, runs in rows.items()}
    result = {"schema": "vtok-llava-speed/1", "date": datetime.date.today().isoformat(), "cpu": cpu(), "cores": os.cpu_count(),
              "blas": doctor()["blas"], "gmacs": {name: facts[name]["gmacs"] for name in facts},
              "kv_mb": {name: facts[name]["kv_mb"] for name in facts}, "median": middle, "each_round": rows}
    print("| run | load | first token | of the sgemm bound | tokens/s | of the bandwidth | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for name, row in middle.items():
        print(f"| {name} | {row['load_s']:.1f} s | {row['first_token_s']:.1f} s | {100 * row['share_of_sgemm']:.0f}% | "
              f"{row['tokens_per_s']:.2f} | {100 * row['share_of_bandwidth']:.0f}% | {row['peak_memory_mb'] / 1024:.1f} GB |")
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = os.path.join(HERE, "results", f"llava-{arguments.tag}-{name}.json")
    with open(path, "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(f"written to {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main()
