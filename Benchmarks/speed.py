#!/usr/bin/env python3
"""How fast vtok is on this machine: share of the sgemm bound, against onnxruntime and PyTorch, two threads against one.

usage: python3 Benchmarks/speed.py [--rounds N] [--seconds S] [--quick]

Makes a virtual environment in Benchmarks/.venv (onnxruntime, torch, onnx, numpy from PyPI), a DeiT-S/16 checkpoint with
random weights in timm's layout, and runs everything interleaved on one thread each: per round the sgemm of the BLAS
library, vtok dense, vtok with ToMe r=13, onnxruntime and PyTorch (float32, batch of one). OPENBLAS_CORETYPE is unset.
Writes Benchmarks/results/speed-<cpu>.json and prints a table. Ratios are medians of per-round ratios.
"""
import datetime
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import needs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
VENV = os.path.join(HERE, ".venv")
WIDTH, BLOCKS, HEADS, PATCH, SIDE, CLASSES = 384, 12, 6, 16, 224, 1000
TOKENS = (SIDE // PATCH) ** 2 + 1


def in_venv():
    """Runs this script again inside its virtual environment."""
    python = os.path.join(VENV, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return
    if not os.path.exists(os.path.join(VENV, "ready")):
        packages = ["torch==2.13.0", "onnxruntime", "onnx", "numpy"]
        try:
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"] + packages,
                           check=True, capture_output=True)
        except subprocess.CalledProcessError:
            needs.refuse(f"needs {' '.join(packages)} from PyPI in {VENV}, where they could not be installed: try it by "
                         "hand with python3 -m venv and pip")
        open(os.path.join(VENV, "ready"), "w").close()
    os.execv(python, [python, os.path.abspath(__file__)] + sys.argv[1:])


def weights():
    """DeiT-S/16 tensors in timm's names, random but of sane scale."""
    import numpy as np
    rng = np.random.default_rng(0)
    small = lambda *shape: (rng.standard_normal(shape) * 0.02).astype(np.float32)
    one, zero = (lambda n: np.ones(n, np.float32)), (lambda n: np.zeros(n, np.float32))
    t = {"cls_token": small(1, 1, WIDTH), "pos_embed": small(1, TOKENS, WIDTH),
         "patch_embed.proj.weight": small(WIDTH, 3, PATCH, PATCH), "patch_embed.proj.bias": zero(WIDTH),
         "norm.weight": one(WIDTH), "norm.bias": zero(WIDTH), "head.weight": small(CLASSES, WIDTH),
         "head.bias": zero(CLASSES)}
    for i in range(BLOCKS):
        p = f"blocks.{i}."
        for norm in ("norm1", "norm2"):
            t[p + norm + ".weight"], t[p + norm + ".bias"] = one(WIDTH), zero(WIDTH)
        for name, rows, columns in (("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH),
                                    ("mlp.fc1", 4 * WIDTH, WIDTH), ("mlp.fc2", WIDTH, 4 * WIDTH)):
            t[p + name + ".weight"], t[p + name + ".bias"] = small(rows, columns), small(rows)
    return t


def write_checkpoint(folder, tensors):
    os.makedirs(folder, exist_ok=True)
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            out.write(array.tobytes())
    config = {"architecture": "deit_small_patch16_224", "num_classes": CLASSES, "num_features": WIDTH,
              "global_pool": "token", "pretrained_cfg": {"input_size": [3, SIDE, SIDE], "crop_pct": 0.9,
              "interpolation": "bicubic", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(config, out)


def torch_model(tensors):
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            n = x.shape[1]
            q, k, v = self.qkv(self.norm1(x)).reshape(1, n, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v)
            x = x + self.proj(a.transpose(1, 2).reshape(1, n, WIDTH))
            return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    class DeiT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
            self.pos_embed = nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
            self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
            self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, CLASSES)

        def forward(self, image):
            x = self.patch(image).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token, x], 1) + self.pos_embed
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    model = DeiT().eval()
    rename = lambda n: n.replace("patch_embed.proj", "patch").replace("attn.", "").replace("mlp.", "")
    model.load_state_dict({rename(n): torch.from_numpy(a) for n, a in tensors.items()})
    return model


class Runtimes:
    """onnxruntime and PyTorch, one thread each, images per second."""

    def __init__(self, tensors, folder):
        import onnxruntime
        import torch
        torch.set_num_threads(1)
        self.torch, self.image = torch, torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        self.model = torch_model(tensors)
        path = os.path.join(folder, "deit.onnx")
        with torch.inference_mode():
            torch.onnx.export(self.model, (self.image,), path, dynamo=False, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: self.image.numpy()}
        self.versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}

    def rate(self, call, seconds):
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < seconds:
            mark = time.perf_counter()
            call()
            times.append(time.perf_counter() - mark)
        return 1 / statistics.median(times)

    def onnxruntime(self, seconds):
        return self.rate(lambda: self.session.run(None, self.feed), seconds)

    def pytorch(self, seconds):
        with self.torch.inference_mode():
            return self.rate(lambda: self.model(self.image), seconds)


def folder_runs(vtok, model, env, work, rounds, copies):
    """Wall seconds of a folder job with one and with two threads, interleaved, and its peak memory."""
    photos = os.path.join(work, "photos")
    os.makedirs(photos, exist_ok=True)
    pictures = sorted(n for n in os.listdir(os.path.join(ROOT, "Images")) if n.endswith((".jpg", ".png")))
    for i in range(copies):
        name = pictures[i % len(pictures)]
        shutil.copy(os.path.join(ROOT, "Images", name), os.path.join(photos, f"{i:05}-{name}"))
    seconds, peak = {1: [], 2: []}, 0
    for _ in range(rounds):
        for threads in (1, 2):
            out = os.path.join(work, "out")
            shutil.rmtree(out, ignore_errors=True)
            command = [vtok, "prune", photos, "--model", model, "--method", "divprune:keep=1.0", "--quiet",
                       "--threads", str(threads), "-o", out]
            start = time.perf_counter()
            process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds[threads].append(time.perf_counter() - start)
            if status != 0:
                raise SystemExit(f"folder job failed with status {status}")
            peak = max(peak, usage.ru_maxrss / 1024)
    return seconds, peak


def machine():
    model = "unknown"
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(), "arch": platform.machine(), "system": platform.system()}


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a first look; writes no results")
    arguments = parser.parse_args()
    in_venv()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.5
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    subprocess.run(["swift", "build", "-c", "release", "--package-path", HERE], check=True, env=env, stdout=sys.stderr)
    subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True, env=env, stdout=sys.stderr)
    tensors = weights()
    with tempfile.TemporaryDirectory() as work:
        model = os.path.join(work, "deit-s-random")
        write_checkpoint(model, tensors)
        # Before torch is imported: the peak memory of a child process starts at that of its parent.
        vtok = os.path.join(ROOT, ".build", "release", "vtok")
        seconds, peak = folder_runs(vtok, model, env, work, 2 if arguments.quick else 3, 40 if arguments.quick else 240)
        others = Runtimes(tensors, work)
        worker = subprocess.Popen([os.path.join(HERE, ".build", "release", "speed"), model], env=env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = worker.stdout.readline().split()

        def ask(what, seconds):
            worker.stdin.write(f"{what} {seconds}\n")
            worker.stdin.flush()
            return [float(word) for word in worker.stdout.readline().split()]

        macs = ask("macs", 0)[0]
        rounds = []
        for number in range(arguments.rounds + 1):
            row = {"sgemm_gflops": ask("sgemm", arguments.seconds / 2)[0]}
            row["vtok"] = ask("dense", arguments.seconds)[0]
            row["vtok_tome_r13"], row["tome_macs"] = ask("tome:r=13", arguments.seconds)
            row["onnxruntime"] = others.onnxruntime(arguments.seconds)
            row["pytorch"] = others.pytorch(arguments.seconds)
            if number:  # round 0 warms up
                rounds.append(row)
        worker.stdin.close()
        worker.wait()

    middle = lambda f: statistics.median(f(r) for r in rounds)
    gflop = 2 * macs * 1e-9
    result = {
        "schema": "vtok-speed/1", "date": datetime.date.today().isoformat(), "machine": machine(),
        "level": ready[1], "blas": " ".join(ready[2:]), "versions": others.versions,
        "model": "DeiT-S/16 224, random weights, batch of one, one thread", "gflop_per_image": gflop,
        "rounds": arguments.rounds, "seconds_per_item": arguments.seconds,
        "sgemm_gflops": middle(lambda r: r["sgemm_gflops"]),
        "images_per_second": {k: middle(lambda r: r[k]) for k in ("vtok", "vtok_tome_r13", "onnxruntime", "pytorch")},
        "share_of_sgemm": middle(lambda r: r["vtok"] * gflop / r["sgemm_gflops"]),
        "over_onnxruntime": middle(lambda r: r["vtok"] / r["onnxruntime"]),
        "over_pytorch": middle(lambda r: r["vtok"] / r["pytorch"]),
        "tome_r13": {"speedup": middle(lambda r: r["vtok_tome_r13"] / r["vtok"]),
                     "mac_speedup": macs / rounds[0]["tome_macs"],
                     "share_of_ideal": middle(lambda r: r["vtok_tome_r13"] / r["vtok"] * r["tome_macs"] / macs)},
        "folder": {"images": 40 if arguments.quick else 240,
                   "seconds_one_thread": statistics.median(seconds[1]),
                   "seconds_two_threads": statistics.median(seconds[2]),
                   "two_over_one": statistics.median(a / b for a, b in zip(seconds[1], seconds[2])),
                   "peak_memory_mb": peak},
        "each_round": rounds,
    }
    rows = [
        ("sgemm 1024, one thread", f"{result['sgemm_gflops']:.0f} GFLOP/s"),
        ("vtok DeiT-S/16", f"{result['images_per_second']['vtok']:.2f} images/s"),
        ("share of the sgemm bound", f"{100 * result['share_of_sgemm']:.1f}%"),
        (f"onnxruntime {others.versions['onnxruntime']}", f"{result['images_per_second']['onnxruntime']:.2f} images/s, vtok {result['over_onnxruntime']:.2f}x"),
        (f"PyTorch {others.versions['torch']}", f"{result['images_per_second']['pytorch']:.2f} images/s, vtok {result['over_pytorch']:.2f}x"),
        ("ToMe r=13", f"{result['tome_r13']['speedup']:.2f}x, {100 * result['tome_r13']['share_of_ideal']:.0f}% of the MAC gain {result['tome_r13']['mac_speedup']:.2f}x"),
        (f"folder of {result['folder']['images']}, two threads", f"{result['folder']['two_over_one']:.2f}x one, peak {peak:.0f} MB"),
    ]
    print(f"{machine()['cpu']}, {ready[1]}, {' '.join(ready[2:])}")
    for name, value in rows:
        print(f"| {name:32} | {value:48} |")
    if not arguments.quick:
        name = "".join(c if c.isalnum() else "-" for c in machine()["cpu"].lower()).strip("-")
        path = os.path.join(HERE, "results", f"speed-{name}.json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            json.dump(result, out, indent=1)
            out.write("\n")
        print(f"written to {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main()
