#!/usr/bin/env python3
"""What an image costs one core: CPU seconds, memory and bytes of `vtok prune`, for docs/scale.md.

    make build && python3 Benchmarks/scale.py      # needs numpy and Pillow; writes Benchmarks/results/scale.json

Photographs of Images/ in 640 x 480 pixels as JPEG, on all cores, as in a long job: two that share a core slow each other. CPU time
is counted, not the clock, so that waiting for others on the machine is left out. A run on few images is taken off one on more:
what is left is images alone, no start. Weights of DeiT-S and CLIP are random: cost is what it is for. The lowest of --rounds is kept.
"""
import datetime
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import tempfile

import needs

needs.packages("numpy", "PIL")
import numpy as np
from PIL import Image

import speed

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Model, precision, method and budget, images of the small and the large run.
RUNS = [
    ("vtok-tiny", "f32", ["divprune", "--keep-ratio", "0.25"], 64, 320),
    ("deit-s", "f32", ["tome", "--keep-ratio", "0.25"], 32, 160),
    ("deit-s", "int8", ["tome", "--keep-ratio", "0.25"], 32, 160),
    ("clip-l-336", "f32", ["divprune", "--keep-tokens", "64"], 2, 10),
    ("clip-l-336", "bf16", ["divprune", "--keep-tokens", "64"], 2, 10),
    ("clip-l-336", "int8", ["divprune", "--keep-tokens", "64"], 2, 10),
]


def photographs(folder, count):
    """Crops of the repository's images, each another one."""
    sources = [Image.open(path).convert("RGB") for path in sorted((ROOT / "Images").glob("*.jpg"))]
    chance = np.random.default_rng(0)
    for index in range(count):
        source = sources[index % len(sources)]
        width = int(min(source.width, source.height * 4 // 3) * chance.uniform(0.6, 1))
        left, top = int(chance.integers(source.width - width + 1)), int(chance.integers(source.height - width * 3 // 4 + 1))
        crop = source.crop((left, top, left + width, top + width * 3 // 4)).resize((640, 480), Image.Resampling.BICUBIC)
        crop.save(folder / f"{index:05}.jpg", quality=90)


def clip(folder):
    """A vision tower of CLIP ViT-L/14 at 336 pixels as transformers writes it, with random weights."""
    width, blocks, heads, ffn, side, patch = 1024, 24, 16, 4096, 336, 14
    chance = np.random.default_rng(0)
    small = lambda *shape: (chance.standard_normal(shape, np.float32) * np.float32(0.02))
    tensors, name = {}, "vision_model."
    tensors[name + "embeddings.class_embedding"] = small(width)
    tensors[name + "embeddings.patch_embedding.weight"] = small(width, 3, patch, patch)
    tensors[name + "embeddings.position_embedding.weight"] = small((side // patch) ** 2 + 1, width)
    norms = ["pre_layrnorm", "post_layernorm"]
    for block in range(blocks):
        layer = f"encoder.layers.{block}."
        norms += [layer + "layer_norm1", layer + "layer_norm2"]
        for part, rows, columns in [(f"self_attn.{p}_proj", width, width) for p in "qkv"] + [
                ("self_attn.out_proj", width, width), ("mlp.fc1", ffn, width), ("mlp.fc2", width, ffn)]:
            tensors[name + layer + part + ".weight"], tensors[name + layer + part + ".bias"] = small(rows, columns), small(rows)
    for norm in norms:
        tensors[name + norm + ".weight"], tensors[name + norm + ".bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)
    speed.write_checkpoint(folder, tensors)
    about = {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], "hidden_size": width, "intermediate_size": ffn,
             "num_hidden_layers": blocks, "num_attention_heads": heads, "image_size": side, "patch_size": patch,
             "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 768}
    prepared = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side}, "do_center_crop": True,
                "crop_size": {"height": side, "width": side}, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
                "do_normalize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711], "do_convert_rgb": True}
    pathlib.Path(folder, "config.json").write_text(json.dumps(about))
    pathlib.Path(folder, "preprocessor_config.json").write_text(json.dumps(prepared))


def run(vtok, model, precision, method, images, out):
    """CPU seconds, peak memory in MB and bytes of what is left."""
    shutil.rmtree(out, ignore_errors=True)
    command = [vtok, "prune", "--files-from", "-", "--model", model, "--precision", precision, "--method", *method, "--dtype", "f16",
               "--threads", str(os.cpu_count()), "--quiet", "--format", "json", "-o", out]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={
        name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")})
    process.stdin.write("".join(f"{path}\n" for path in images).encode())
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{model} {precision}: vtok prune failed")
    size = lambda pattern: sum(path.stat().st_size for path in out.glob(pattern))
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size("tokens-*.safetensors"), size("manifest.jsonl")


def main():
    parser = needs.Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vtok", default=str(ROOT / ".build/release/vtok"))
    parser.add_argument("--output", default=str(ROOT / "Benchmarks/results/scale.json"))
    flags = parser.parse_args()
    if not os.access(flags.vtok, os.X_OK):
        needs.refuse(f"needs the command, '{flags.vtok}' is none: run make build before, or name it with --vtok")
    rows, load = [], []
    with tempfile.TemporaryDirectory(prefix="vtok-scale-") as work:
        work = pathlib.Path(work)
        (work / "in").mkdir()
        photographs(work / "in", max(large for *_, large in RUNS))
        paths = sorted((work / "in").glob("*.jpg"))
        # In processes of their own: the peak memory of a child begins at that of its parent.
        for write in (lambda: speed.write_checkpoint(work / "deit-s", speed.weights()), lambda: clip(work / "clip-l-336")):
            process = multiprocessing.get_context("fork").Process(target=write)
            process.start()
            process.join()
        for model, precision, method, few, many in RUNS:
            place = str(work / model) if model != "vtok-tiny" else model
            found = []
            for _ in range(flags.rounds):
                load.append(os.getloadavg()[0])
                small = run(flags.vtok, place, precision, method, paths[:few], work / "out")
                large = run(flags.vtok, place, precision, method, paths[:many], work / "out")
                found.append([(b - a) / (many - few) for a, b in zip(small, large)] + [large[1], small[0]])
            seconds, _, tokens, lines, memory, first = min(found)
            rows.append({"model": model, "precision": precision, "method": method[0], "budget": method[1:], "cpu_seconds": seconds,
                         "start_cpu_seconds": max(0, first - few * seconds), "tokens_bytes": tokens, "manifest_bytes": lines,
                         "peak_memory_mb": memory, "cpu_seconds_of_rounds": [row[0] for row in found]})
            print(f"{model} {precision} {method[0]}: {1 / seconds:.2f} images a core-second, {tokens:.0f} + {lines:.0f} bytes, {memory:.0f} MB")
    told = subprocess.run([flags.vtok, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()
    result = {"schema": "vtok-scale/1", "date": datetime.date.today().isoformat(), "machine": speed.machine(), "vtok": dict(
        line.split(" ", 1) for line in told), "rounds": flags.rounds, "load_average": [min(load), max(load)],
        "image": [640, 480, "JPEG, quality 90"], "rows": rows}
    pathlib.Path(flags.output).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
