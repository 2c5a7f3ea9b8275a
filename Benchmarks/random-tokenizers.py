#!/usr/bin/env python3
"""Time and memory of learned image tokenizers of published sizes with random weights: One-D-Piece S-256, FlexTok d12_d12.

usage: python3 Benchmarks/random-tokenizers.py [FOLDER]       (needs numpy; FOLDER keeps the checkpoints, 1.7 GB)

Writes Benchmarks/results/random-tokenizers-<cpu>.json: seconds to load, encode and decode a picture of 256x256, the peak of
memory with mapped weights, and for the stages made of convolutions the share of the sgemm bound, that is of the time which
their multiply-adds as executed would take at the measured speed of sgemm. (A convolution of a doubled map runs as four
phases of 2x2 taps: 4 of the 9 multiply-adds of its definition.)
"""
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile

import needs

needs.packages("numpy")

HERE = os.path.dirname(os.path.abspath(__file__))


def conv(inputs, outputs, pixels, taps=9):
    return inputs * outputs * taps * pixels


def maskgit_decoder():
    total, width, side = conv(256, 512, 256) + 4 * conv(512, 512, 256), 512, 16
    for level, outputs in ((4, 512), (3, 256), (2, 256), (1, 128), (0, 128)):
        for _ in range(2):
            total += conv(width, outputs, side**2) + conv(outputs, outputs, side**2)
            total += conv(outputs, outputs, side**2, 1) if width != outputs else 0
            width = outputs
        if level:
            side *= 2
            total += conv(width, width, side**2, 4)
    return total + conv(width, 3, side**2) + 256 * (512 * 1024 + 1024 * 1024 + 1024 * 256)  # logits and their mixture


def autoencoder(decodes):
    middle = 4 * conv(512, 512, 32**2) + 4 * 512**2 * 32**2 + 2 * 512 * 32**4
    width, side = (512, 32) if decodes else (128, 256)
    total = middle + (conv(16, 512, 32**2) if decodes else conv(3, 128, 256**2) + conv(512, 32, 32**2))
    for level, outputs in enumerate((512, 512, 256, 128) if decodes else (128, 256, 512, 512)):
        for _ in range(3 if decodes else 2):
            total += conv(width, outputs, side**2) + conv(outputs, outputs, side**2)
            total += conv(width, outputs, side**2, 1) if width != outputs else 0
            width = outputs
        if level < 3:
            side = side * 2 if decodes else side // 2
            total += conv(width, width, side**2, 4 if decodes else 9)
    return total + (conv(128, 3, 256**2) if decodes else 0)


MACS = {"pixel decoder": maskgit_decoder(), "autoencoder, encode": autoencoder(False),
        "autoencoder, decode": autoencoder(True)}
MODELS = [("One-D-Piece S-256", "one-d-piece-random.py", "s256"), ("FlexTok d12_d12", "flextok-random.py", "d12_d12")]


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def main():
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    build = ["swift", "build", "-c", "release", "--package-path", HERE, "--product", "tokenizer"]
    if "SCRATCH" in os.environ:
        build += ["--scratch-path", os.environ["SCRATCH"]]
    subprocess.run(build, check=True, env=env, stdout=sys.stderr)
    binary = subprocess.run(build + ["--show-bin-path"], check=True, env=env, capture_output=True, text=True).stdout.strip()
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = sys.argv[1] if len(sys.argv) > 1 else temporary
        for name, script, sub in MODELS:
            path = os.path.join(folder, sub)
            if not os.path.isdir(path):
                subprocess.run([sys.executable, os.path.join(HERE, script), path], check=True, stdout=sys.stderr)
            for threads in sorted({1, os.cpu_count()}):
                print(f"{name}, {threads} threads", file=sys.stderr)
                done = subprocess.run([os.path.join(binary, "tokenizer"), path, str(threads)], check=True, env=env,
                                      stdout=subprocess.PIPE, text=True)
                run = {"checkpoint": name, **json.loads(done.stdout)}
                bound = run["sgemm_gflops"] * 1e9 * threads / 2
                run["share_of_sgemm"] = {stage: MACS[stage] / bound / seconds for stage, seconds in run["seconds"].items()
                                         if stage in MACS}
                runs.append(run)
    result = {"schema": "vtok-random-tokenizers/1", "date": datetime.date.today().isoformat(), "cpu": cpu(),
              "cores": os.cpu_count(), "gmacs_executed": {stage: macs / 1e9 for stage, macs in MACS.items()}, "runs": runs}
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = os.path.join(HERE, "results", f"random-tokenizers-{name}.json")
    with open(path, "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    for run in runs:
        shares = ", ".join(f"{stage} {100 * share:.0f}%" for stage, share in run["share_of_sgemm"].items())
        print(f"{run['checkpoint']}, {run['threads']} threads: load {run['load_s']:.2f} s, peak {run['peak_memory_mb']:.0f} MB, "
              f"of the sgemm bound: {shares}; seconds {json.dumps(run['seconds'])}")
    print(f"written to {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
