#!/usr/bin/env python3
"""How fast vtok reads and writes with a language model of blocks, against llama.cpp on the same file, two threads each.

    python3 Benchmarks/llm-speed.py [--types Q4_0,Q4_K,Q8_0] [--kv f32,bf16,int8] [--size 7b|1b|tiny] [--rounds N] [--long]
        [--folder DIR]

Writes GGUF files of random blocks in the shape of a published model into a temporary folder, one at a time (7b: 4 to 8 GB of disk and
as much free memory), builds llama.cpp with the flags of this processor from the source in PyPI's llama-cpp-python (half an hour, once,
kept in Benchmarks/.llama; needs a C++ compiler), and runs both, one after the other, in rounds: a prompt of 616 rows (an image of
LLaVA-1.5 and 40 tokens), 16 tokens behind it, and with --long once the 2,880 tokens and line ends of LLaVA-NeXT's five tiles. Then, for
Q4_0, the first token with LLaVA-1.5's own tower and divprune to 64 tokens, against llama.cpp's language model alone on the dense prompt.
With --kv every file is run once with each form of vtok's cache, and rows say which; llama.cpp keeps its own. The bandwidth of reading is that of a plain loop on as many threads. Writes Benchmarks/results/llm-speed-SIZE-<cpu>.json and prints a
table; ratios are medians of the ratios of rounds.
"""
import datetime
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile

import ggufs
import needs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
LLAMA = os.path.join(HERE, ".llama")
IMAGE = os.path.join(ROOT, "Images", "cat.jpg")
NEW = 16
KV = {"f32": lambda width: 4 * width, "bf16": lambda width: 2 * width, "int8": lambda width: width + 4}  # bytes of a key of a head

READ = r"""
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define SIZE ((size_t)1 << 30)
static uint64_t *data;
static size_t threads;
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void *sum(void *part) {
  size_t n = SIZE / 8 / threads, first = (size_t)part * n;
  uint64_t s[64] = {0};
  for (size_t i = first; i + 64 <= first + n; i += 64) for (int k = 0; k < 64; k++) s[k] += data[i + k];
  for (int k = 1; k < 64; k++) s[0] += s[k];
  return (void *)(uintptr_t)s[0];
}
int main(int count, char **arguments) {
  threads = (size_t)atoi(arguments[count - 1]);
  data = malloc(SIZE);
  for (size_t i = 0; i < SIZE / 8; i++) data[i] = i * 0x9e3779b97f4a7c15u;
  double best = 0;
  for (int round = 0; round < 8; round++) {
    pthread_t other[64];
    double start = now();
    for (size_t t = 1; t < threads; t++) pthread_create(other + t, 0, sum, (void *)t);
    volatile uintptr_t kept = (uintptr_t)sum(0);
    (void)kept;
    for (size_t t = 1; t < threads; t++) pthread_join(other[t], 0);
    double rate = SIZE / (now() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  printf("%.2f\n", best);
}
"""


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def llama_bench():
    """llama.cpp's own bench, from the source that PyPI's llama-cpp-python brings."""
    binary = os.path.join(LLAMA, "build", "bin", "llama-bench")
    if os.path.exists(binary):
        return binary
    os.makedirs(LLAMA, exist_ok=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", os.path.join(LLAMA, "venv")], check=True, capture_output=True)
        python = os.path.join(LLAMA, "venv", "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "-q", "cmake", "ninja"], check=True, capture_output=True)
        subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "-d", LLAMA,
                        "llama-cpp-python"], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        needs.refuse("needs cmake, ninja and the source of llama-cpp-python from PyPI: " + error.stderr.decode().strip()[-200:])
    archive = next(name for name in sorted(os.listdir(LLAMA)) if name.endswith(".tar.gz"))
    with tarfile.open(os.path.join(LLAMA, archive)) as file:
        file.extractall(os.path.join(LLAMA, "source"), filter="data")
    source = os.path.join(LLAMA, "source", archive[:-len(".tar.gz")], "vendor", "llama.cpp")
    env = {**os.environ, "PATH": os.path.join(LLAMA, "venv", "bin") + os.pathsep + os.environ["PATH"]}
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DBUILD_SHARED_LIBS=OFF",
               "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF"]
    build = os.path.join(LLAMA, "build")
    subprocess.run(["nice", "cmake", "-S", source, "-B", build, "-G", "Ninja", *options], check=True, env=env, stdout=sys.stderr)
    subprocess.run(["nice", "ninja", "-C", build, "llama-bench"], check=True, env=env, stdout=sys.stderr)
    return binary


def bandwidth(folder, threads):
    """GB/s of a loop that reads 1 GiB, the best of eight."""
    source, program = os.path.join(folder, "read.c"), os.path.join(folder, "read")
    with open(source, "w") as out:
        out.write(READ)
    subprocess.run(["cc", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    return float(subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout)


class Runs:
    def __init__(self, vtok, bench, threads):
        self.vtok, self.bench, self.threads = vtok, bench, threads
        self.kv = None  # vtok's own
        self.env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        self.wrapper = os.environ.get("MEASURE", "").split()  # a command that keeps a shared machine still

    def generate(self, model, projector, words, tokens, *more):
        """One answer of vtok: the object that --format json prints."""
        command = self.wrapper + [self.vtok, "generate", "--model", model, "--mmproj", projector, "--image", IMAGE, "--prompt",
                                  " ".join("a" * words), "--template", "{images}{prompt}", "--max-tokens", str(tokens),
                                  "--threads", str(self.threads), "--format", "json", *more]
        command += ["--kv", self.kv] if self.kv else []
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)[0]

    def llama(self, model, prompt, new=0, depth=0):
        """Tokens a second of llama.cpp: of a prompt, or of new tokens behind `depth` others."""
        command = self.wrapper + [self.bench, "-m", model, "-t", str(self.threads), "-p", str(prompt), "-n", str(new), "-d", str(depth),
                                  "-r", "1", "--no-warmup", "-o", "json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)[-1]["avg_ts"]


def measure(runs, folder, size, kind, rounds, is_long):
    model = os.path.join(folder, f"{size}-{kind}.gguf")
    small = os.path.join(folder, f"{size}-small.gguf")
    if not os.path.exists(model):
        ggufs.language(model, size, kind)
    if not os.path.exists(small):
        ggufs.projector(small, size, "small")
    gigabytes = os.path.getsize(model) * 1e-9
    layers, width, heads = ggufs.SHAPES[size][:3]
    entry = 2 * heads * KV[runs.kv or "f32"](width // heads)
    _, elements, block, _ = ggufs.TYPES[kind]
    table = ggufs.VOCABULARY * width // elements * block  # of embeddings: one row of it is looked up
    each = []
    runs.generate(model, small, 1, 2)  # the file comes into memory
    for _ in range(rounds):
        own = runs.generate(model, small, 39, NEW + 1)
        rows = own["prompt_rows"]
        other, writes = runs.llama(model, rows), runs.llama(model, 0, NEW, rows)
        each.append({
            "rows": rows, "vtok_prompt": own["prompt_tokens_per_s"], "llama_prompt": other, "vtok_decode": own["decode_tokens_per_s"],
            "llama_decode": writes, "peak_memory_mb": own["peak_memory_mb"], "read_gb_s": bandwidth(folder, runs.threads),
            # What a new token reads once: the weights, and keys and values as they are held.
            "gb_per_token": gigabytes - table * 1e-9 + (rows + NEW / 2) * layers * entry * 1e-9})
        print(kind, json.dumps(each[-1]), file=sys.stderr)
    result = {"type": kind, **({"kv": runs.kv} if runs.kv else {}), "file_gb": gigabytes, "rounds": each}
    if is_long:
        tiled = os.path.join(folder, f"{size}-next.gguf")
        ggufs.projector(tiled, size, "small", tiled=True)
        own = runs.generate(model, tiled, 1, 2)
        other = runs.llama(model, own["prompt_rows"])
        result["long"] = {"rows": own["prompt_rows"], "vtok_prompt": own["prompt_tokens_per_s"], "llama_prompt": other,
                          "peak_memory_mb": own["peak_memory_mb"]}
    if kind == "Q4_0":
        tower = os.path.join(folder, f"{size}-clip.gguf")
        if not os.path.exists(tower):
            ggufs.projector(tower, size, "clip-l")
        own = runs.generate(model, tower, 39, 2, "--method", "divprune", "--keep-tokens", "64")
        dense = each[0]["rows"] / statistics.median(r["llama_prompt"] for r in each)
        result["divprune_64"] = {"rows": own["prompt_rows"], "vtok_first_token_s": own["ttft_ms"] * 1e-3,
                                 "llama_dense_prompt_s": dense, "sooner": dense / (own["ttft_ms"] * 1e-3)}
    return result


def reading(result):
    """The table, and what it says."""
    lines = ["| file | prompt, tokens/s | llama.cpp | ratio | new tokens/s | llama.cpp | ratio | of the read bandwidth | peak MB |",
             "|---|---|---|---|---|---|---|---|---|"]
    for row in result["types"]:
        each = row["rounds"]
        middle = lambda f: statistics.median(f(r) for r in each)
        share = middle(lambda r: r["vtok_decode"] * r["gb_per_token"] / r["read_gb_s"])
        lines.append(
            f"| {row['type']}{', kv ' + row['kv'] if 'kv' in row else ''}, {row['file_gb']:.2f} GB | {middle(lambda r: r['vtok_prompt']):.1f} | {middle(lambda r: r['llama_prompt']):.1f} | "
            f"{middle(lambda r: r['vtok_prompt'] / r['llama_prompt']):.2f} | {middle(lambda r: r['vtok_decode']):.2f} | "
            f"{middle(lambda r: r['llama_decode']):.2f} | {middle(lambda r: r['vtok_decode'] / r['llama_decode']):.2f} | "
            f"{100 * share:.0f}% | {middle(lambda r: r['peak_memory_mb']):.0f} |")
        if "long" in row:
            long = row["long"]
            lines.append(f"| {row['type']}, {long['rows']} rows | {long['vtok_prompt']:.1f} | {long['llama_prompt']:.1f} | "
                         f"{long['vtok_prompt'] / long['llama_prompt']:.2f} | - | - | - | - | {long['peak_memory_mb']:.0f} |")
    for row in result["types"]:
        if "divprune_64" in row:
            found = row["divprune_64"]
            lines += ["", f"divprune to 64 tokens, tower included: first token after {found['vtok_first_token_s']:.2f} s; llama.cpp's language model "
                      f"alone needs {found['llama_dense_prompt_s']:.2f} s for the dense prompt, {found['sooner']:.1f} times as long."]
    return lines


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--types", default="Q4_0,Q4_K,Q8_0")
    parser.add_argument("--kv", help="forms of vtok's cache, one or several of " + ",".join(KV) + " (default: its own)")
    parser.add_argument("--size", default="7b", choices=sorted(ggufs.SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--long", action="store_true", help="also the prompt of LLaVA-NeXT's five tiles")
    parser.add_argument("--folder", help="where the files go (default: a temporary folder)")
    parser.add_argument("--note", default="", help="a sentence for the results: what else ran on the machine")
    arguments = parser.parse_args()
    if unknown := set((arguments.kv or "f32").split(",")) - set(KV):
        parser.error(f"--kv: {', '.join(sorted(unknown))}, expected some of {', '.join(KV)}")
    if "LLAMA_BENCH" not in os.environ and importlib.util.find_spec("pip") is None:
        needs.refuse("needs llama.cpp: name its llama-bench in LLAMA_BENCH, or run a Python with pip, which builds it")
    bench = os.environ.get("LLAMA_BENCH") or llama_bench()
    vtok = os.environ.get("VTOK")
    if not vtok:
        subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True, stdout=sys.stderr)
        vtok = os.path.join(ROOT, ".build", "release", "vtok")
    runs = Runs(vtok, bench, arguments.threads)
    types = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or temporary
        for kind in arguments.types.split(","):
            for runs.kv in arguments.kv.split(",") if arguments.kv else [None]:
                types.append(measure(runs, folder, arguments.size, kind, arguments.rounds, arguments.long))
            os.remove(os.path.join(folder, f"{arguments.size}-{kind}.gguf"))
    version = subprocess.run([bench, "--version"], capture_output=True, text=True)
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    result = {"schema": "vtok-llm-speed/1", "date": datetime.date.today().isoformat(), "cpu": cpu(), "cores": os.cpu_count(),
              "threads": arguments.threads, "size": arguments.size, "llama_cpp": (version.stdout + version.stderr).strip(),
              "note": arguments.note, "types": types}
    path = os.path.join(HERE, "results", f"llm-speed-{arguments.size}-{name}.json")
    with open(path, "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(f"{cpu()}, {os.cpu_count()} cores, {arguments.threads} threads\n")
    print("\n".join(reading(result)))


if __name__ == "__main__":
    main()
