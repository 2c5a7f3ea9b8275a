#!/usr/bin/env python3
"""How fast vtok is on this machine in float32, bfloat16 and 8 bits: beside onnxruntime, PyTorch and OpenVINO, and as a share of what
the core can do.

usage: python3 Benchmarks/speed.py [--rounds N] [--seconds S] [--quick]

Makes a virtual environment in Benchmarks/.venv (onnxruntime, torch, openvino, nncf, onnx, numpy from PyPI), a DeiT-S/16 checkpoint
with random weights in timm's layout, and runs everything interleaved on one thread each, batch of one: per round the peaks of the
core by loops that touch no memory (peak.c, built with cc), vtok in three precisions, its methods in 8 bits, and the peers:
onnxruntime float32 and dynamic int8, PyTorch float32 and bfloat16, OpenVINO float32, bfloat16 and int8 (NNCF, transformer preset;
what it leaves in floating point is bfloat16 where the processor has that). OPENBLAS_CORETYPE is unset.
Writes Benchmarks/results/speed-<cpu>.json and prints tables. Ratios are medians of per-round ratios.
"""
import datetime
import json
import os
import platform
import re
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
VENV = os.environ.get("VTOK_BENCH_VENV", os.path.join(HERE, ".venv"))
WIDTH, BLOCKS, HEADS, PATCH, SIDE, CLASSES = 384, 12, 6, 16, 224, 1000
TOKENS = (SIDE // PATCH) ** 2 + 1


def in_venv():
    """Runs this script again inside its virtual environment."""
    python = os.path.join(VENV, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return
    if not os.path.exists(os.path.join(VENV, "ready")):
        packages = ["torch==2.13.0", "onnxruntime", "onnx", "numpy", "openvino", "nncf"]
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


class Peers:
    """Other runtimes, one thread each: `calls` are runs of one image by name."""

    def __init__(self, tensors, folder):
        import numpy as np
        import onnxruntime
        import torch
        from onnxruntime.quantization import QuantType, quantize_dynamic
        torch.set_num_threads(1)
        image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
        model, half = torch_model(tensors), torch_model(tensors).bfloat16()
        path, small = os.path.join(folder, "deit.onnx"), os.path.join(folder, "deit-int8.onnx")
        with torch.inference_mode():
            torch.onnx.export(model, (image,), path, dynamo=False, opset_version=17)
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)

        def session(path):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            made = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            feed = {made.get_inputs()[0].name: image.numpy()}
            return lambda: made.run(None, feed)

        def eager(model, image):
            def call():
                with torch.inference_mode():
                    model(image)
            return call

        self.versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
        self.calls = {"onnxruntime f32": session(path), "onnxruntime int8": session(small),
                      "PyTorch f32": eager(model, image), "PyTorch bf16": eager(half, image.bfloat16())}
        self.add_openvino(path, image.numpy(), np)

    def add_openvino(self, path, image, np):
        import nncf
        import openvino
        core, rng = openvino.Core(), np.random.default_rng(1)
        examples = [rng.standard_normal(image.shape).astype(np.float32) for _ in range(8)]
        rounded = nncf.quantize(core.read_model(path), nncf.Dataset(examples), model_type=nncf.ModelType.TRANSFORMER,
                                subset_size=len(examples))

        def compiled(model, hint=None):
            settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
            if hint:
                settings["INFERENCE_PRECISION_HINT"] = hint
            request = core.compile_model(model, "CPU", settings).create_infer_request()
            return lambda: request.infer([image])

        self.versions |= {"openvino": openvino.__version__, "nncf": nncf.__version__}
        self.calls |= {"OpenVINO f32": compiled(core.read_model(path), "f32"),
                       "OpenVINO bf16": compiled(core.read_model(path), "bf16"), "OpenVINO int8": compiled(rounded)}


def rate(call, seconds):
    """Images per second by the median time of a call."""
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        mark = time.perf_counter()
        call()
        times.append(time.perf_counter() - mark)
    return 1 / statistics.median(times)


def peaks(program, seconds):
    """G operations per second of one core by precision; those that the processor has instructions for."""
    lines = subprocess.run([program, str(seconds)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines)}


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


METHODS = {"ToMe r=13": "tome:r=13", "DiffRate 50%": "diffrate@0.5", "DivPrune 50%": "divprune@0.5"}
PRECISIONS = ("f32", "bf16", "int8")
# What vtok is to reach: share of the peak, and times a peer's speed.
LINES = {"f32": (0.88, {"OpenVINO f32": 1.0, "onnxruntime f32": 1.1}),
         "bf16": (0.78, {"OpenVINO bf16": 1.0, "PyTorch bf16": 1.5}),
         "int8": (0.65, {"OpenVINO int8": 1.05, "onnxruntime int8": 1.5})}


def measure(worker, others, program, count, seconds):
    """Rounds of everything, one after the other; the first one warms up and is left out."""
    def ask(what, precision):
        worker.stdin.write(f"{what} {precision} {seconds}\n")
        worker.stdin.flush()
        speed, macs = worker.stdout.readline().split()
        return float(speed), int(macs)

    rounds, macs = [], {}
    for number in range(count + 1):
        row = {"peaks": peaks(program, 0.1), "images_per_second": {}}
        for precision in PRECISIONS:
            row["images_per_second"][f"vtok {precision}"], macs["dense"] = ask("dense", precision)
            for name, call in others.calls.items():  # right behind it, those of the same arithmetic
                if name.endswith(" " + precision):
                    row["images_per_second"][name] = rate(call, seconds)
        row["int8_methods"] = {"dense": ask("dense", "int8")[0]}
        for name, spec in METHODS.items():
            row["int8_methods"][name], macs[name] = ask(spec, "int8")
        after = peaks(program, 0.1)
        row["peaks"] = {name: (row["peaks"][name] + after[name]) / 2 for name in after}
        if number:
            rounds.append(row)
    return rounds, macs


def summary(rounds, macs):
    """Medians over rounds of speeds, shares and ratios."""
    middle = lambda f: statistics.median(f(r) for r in rounds)
    speeds, gops = rounds[0]["images_per_second"], 2e-9 * macs["dense"]
    own = {}
    for precision in PRECISIONS:
        name = f"vtok {precision}"
        share, least = LINES[precision]
        own[precision] = {
            "share_of_peak": middle(lambda r: r["images_per_second"][name] * gops / r["peaks"][precision])
            if precision in rounds[0]["peaks"] else None,
            "line_share": share,
            "over": {peer: middle(lambda r: r["images_per_second"][name] / r["images_per_second"][peer])
                     for peer in speeds if peer.endswith(" " + precision) and peer != name},
            "lines_over": least}
    return {
        "gop_per_image": gops, "peaks": {k: middle(lambda r: r["peaks"][k]) for k in rounds[0]["peaks"]},
        "images_per_second": {name: middle(lambda r: r["images_per_second"][name]) for name in speeds},
        "vtok": own,
        "int8_methods": {name: {
            "speedup": middle(lambda r: r["int8_methods"][name] / r["int8_methods"]["dense"]),
            "mac_speedup": macs["dense"] / macs[name],
            "share_of_gain": middle(lambda r: r["int8_methods"][name] / r["int8_methods"]["dense"] * macs[name] / macs["dense"]),
        } for name in METHODS}}


def show(result):
    print(f"{result['machine']['cpu']}, {result['level']}, peaks of a core "
          + ", ".join(f"{k} {v:.0f} G/s" for k, v in result["peaks"].items()))
    print("\n| DeiT-S/16, batch of one, one thread | images/s | of the peak | vtok beside it |\n|---|---|---|---|")
    for precision in PRECISIONS:
        for name, speed in result["images_per_second"].items():
            if name.endswith(" " + precision):
                peak = result["peaks"].get(precision)
                share = f"{100 * speed * result['gop_per_image'] / peak:.0f}%" if peak else "-"
                over = result["vtok"][precision]["over"].get(name)
                print(f"| {name} | {speed:.2f} | {share} | {f'{over:.2f}x' if over else '-'} |")
    print("\n| in 8 bits | faster | multiply-adds | share of the gain |\n|---|---|---|---|")
    for name, row in result["int8_methods"].items():
        print(f"| {name} | {row['speedup']:.2f}x | {row['mac_speedup']:.2f}x | {100 * row['share_of_gain']:.0f}% |")
    folder = result["folder"]
    print(f"\nA folder of {folder['images']} in float32 on two threads: {folder['two_over_one']:.2f}x one, peak {folder['peak_memory_mb']:.0f} MB")


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a first look; writes no results")
    arguments = parser.parse_args()
    in_venv()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.4
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    for product in ("speed", "vtok"):
        subprocess.run(["swift", "build", "-c", "release", "--package-path", HERE, "--product", product], check=True,
                       env=env, stdout=sys.stderr)
    built = os.path.join(HERE, ".build", "release")
    tensors = weights()
    with tempfile.TemporaryDirectory() as work:
        program = os.path.join(work, "peak")
        subprocess.run(["cc", "-O2", os.path.join(HERE, "peak.c"), "-o", program], check=True)
        model = os.path.join(work, "deit-s-random")
        write_checkpoint(model, tensors)
        # Before torch is imported: the peak memory of a child process starts at that of its parent.
        seconds, memory = folder_runs(os.path.join(built, "vtok"), model, env, work, 2 if arguments.quick else 3,
                                      40 if arguments.quick else 240)
        others = Peers(tensors, work)
        worker = subprocess.Popen([os.path.join(built, "speed"), model], env=env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = worker.stdout.readline().split()
        rounds, macs = measure(worker, others, program, arguments.rounds, arguments.seconds)
        worker.stdin.close()
        worker.wait()
    result = {
        "schema": "vtok-speed/2", "date": datetime.date.today().isoformat(), "machine": machine(),
        "level": ready[1], "blas": " ".join(ready[2:]), "versions": others.versions,
        "model": "DeiT-S/16 224, random weights, batch of one, one thread",
        "rounds": arguments.rounds, "seconds_per_item": arguments.seconds,
    } | summary(rounds, macs) | {
        "folder": {"images": 40 if arguments.quick else 240, "seconds_one_thread": statistics.median(seconds[1]),
                   "seconds_two_threads": statistics.median(seconds[2]),
                   "two_over_one": statistics.median(a / b for a, b in zip(seconds[1], seconds[2])),
                   "peak_memory_mb": memory},
        "each_round": rounds}
    show(result)
    if not arguments.quick:
        name = re.sub(r"[^a-z0-9]+", "-", machine()["cpu"].lower()).strip("-")
        path = os.path.join(HERE, "results", f"speed-{name}.json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            json.dump(result, out, indent=1)
            out.write("\n")
        print(f"written to {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main()
