#!/usr/bin/env python3
"""Cost and time of every method with a LLaVA-shaped checkpoint (random weights) at about 1/3, 1/5 and 1/9 of the visual tokens.

    python3 Benchmarks/make-llava.py DIR && python3 Benchmarks/llm-methods.py DIR

Every row is a process of its own: TFLOPs to the first token as papers count them and in full, time to the first token, tokens per
second after it, KV cache, peak memory. Then LLaVA-NeXT's five tiles (2,928 visual tokens) dense and with fastv, from a folder
DIR-next whose weights are links to those of DIR: the attention rows that fastv asks for must not cost memory (at most 5% more).
Rows that the results file already has are kept, so an interrupted run goes on; --fresh starts anew. Writes
Benchmarks/results/llm-methods-TAG-<cpu>.json and .md.
"""
import datetime
import json
import os
import re
import struct
import subprocess
import sys

import needs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
COLUMNS = ["method", "visual tokens", "left", "TFLOPs (paper)", "of dense", "TFLOPs in full", "first token s", "tokens/s",
           "KV MB (16 bit)", "at most", "peak memory MB"]


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def solve(layers, stages, visual, mean):
    """Ratios r, r^2, ... behind the stages that leave so many visual tokens in a layer on average; None: out of reach."""
    ends = [*stages[1:], layers]

    def average(r):
        return visual * (stages[0] + sum((e - s) * r ** (i + 1) for i, (s, e) in enumerate(zip(stages, ends)))) / layers

    low, high = 0.0, 1.0
    if average(low) > mean or average(high) < mean:
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if average(middle) > mean else (middle, high)
    return [low ** (i + 1) for i in range(len(stages))]


def specs(layers, visual):
    """Method arguments with the share they aim at. Cuts inside the language model aim at the mean over its layers."""
    yield "dense", None
    for share in (3, 5, 9):
        keep = round(visual / share)
        for name in ("divprune", "visionzip", "hired", "cdpruner:kernel=openvino", "dart:stage=embeddings", "random"):
            yield f"{name}{',' if ':' in name else ':'}keep={keep}", share
        inside = round((layers * keep - 2 * visual) / (layers - 2))
        if inside > 0:
            yield f"fastv:layer=2,keep={inside}", share
            if share == 3:  # every new token is a prefill
                yield f"fastv:layer=2,mode=in-place,keep={inside}", share
            yield f"dart:layer=2,keep={inside}", share
        stages = [max(1, layers * part // 32) for part in {3: (4, 8, 16), 5: (3, 6, 12), 9: (2, 4, 8)}[share]]
        ratios = solve(layers, stages, visual, keep) if len(set(stages)) == 3 else None
        if ratios:
            tail = f"layers={'/'.join(map(str, stages))},ratios={'/'.join(f'{r:.4f}' for r in ratios)}"
            yield f"pyramiddrop:{tail}", share
            yield f"transprune:{tail}", share
        if layers > 16:
            yield "mustdrop", share  # its thresholds are found below
            yield f"sparsevlm:average={keep}", share
            yield f"sparsevlm:version=2.0,average={keep}", share
        for name in ("elastic-cache:", "h2o:", "keyformer:interval=2,"):  # as published keyformer acts on every eighth token
            yield f"{name}keep={1 / share:.4f}", share
        yield f"visionzip:keep={min(visual, 2 * keep)}+fastv:layer=2,keep=0.5+elastic-cache:keep=0.5", share
    yield "token-corr", None  # its thresholds choose the number


def next_directory(directory):
    """LLaVA-NeXT's folder around the same weights: links, and one small file with the newline that it adds."""
    target = directory.rstrip("/") + "-next"
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(directory, "config.json")) as file:
        config = json.load(file)
    side, width = config["vision_config"]["image_size"], config["text_config"]["hidden_size"]
    pinpoints = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side], [side, 3 * side]]
    config.update(architectures=["LlavaNextForConditionalGeneration"], model_type="llava_next", image_grid_pinpoints=pinpoints)
    with open(os.path.join(directory, "preprocessor_config.json")) as file:
        processor = json.load(file)
    processor.update(image_processor_type="LlavaNextImageProcessor", image_grid_pinpoints=pinpoints)
    with open(os.path.join(directory, "model.safetensors.index.json")) as file:
        index = json.load(file)
    for name in {*index["weight_map"].values(), "tokenizer.json", "generation_config.json"}:
        link = os.path.join(target, name)
        if not os.path.lexists(link):
            os.symlink(os.path.abspath(os.path.join(directory, name)), link)
    header = json.dumps({"image_newline": {"dtype": "F16", "shape": [width], "data_offsets": [0, 2 * width]}}).encode()
    header += b" " * (-len(header) % 64)
    with open(os.path.join(target, "newline.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header + bytes(2 * width))
    index["weight_map"]["image_newline"] = "newline.safetensors"
    index["metadata"]["total_size"] += 2 * width
    for name, value in (("config.json", config), ("preprocessor_config.json", processor), ("model.safetensors.index.json", index)):
        with open(os.path.join(target, name), "w") as out:
            json.dump(value, out, indent=1)
    return target


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--tokens", type=int, default=8, help="new tokens of every answer")
    parser.add_argument("--only", help="names of methods, separated by commas")
    parser.add_argument("--skip-next", action="store_true", help="without the rows of 2,928 visual tokens")
    parser.add_argument("--fresh", action="store_true", help="measure all rows anew")
    parser.add_argument("--tag", default="7b")
    arguments = parser.parse_args()
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    vtok = os.environ.get("VTOK")
    if not vtok:
        subprocess.run(["make", "-s", "-C", ROOT, "build"], check=True, env=env, stdout=sys.stderr)
        vtok = os.path.join(ROOT, ".build", "release", "vtok")
    name = re.sub(r"[^a-z0-9]+", "-", cpu().lower()).strip("-")
    path = os.path.join(HERE, "results", f"llm-methods-{arguments.tag}-{name}")
    rows = []
    if os.path.exists(path + ".json") and not arguments.fresh:
        with open(path + ".json") as file:
            rows = json.load(file)["rows"]

    def run(directory, method, tokens=arguments.tokens):
        command = [vtok, "generate", "--model", directory, "--image", os.path.join(ROOT, "Images", "cat.jpg"),
                   "--prompt", "What is in this picture?", "--max-tokens", str(tokens)]
        if method != "dense":
            command += ["--method", method]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            return {"error": done.stderr.strip().splitlines()[-1]}
        number = r"([\d.]+)"
        found = {}
        for pattern, keys in (
                (rf"\): {number} of dense {number}", ("tflops_paper", "dense_tflops_paper")),
                (rf"{number} of dense {number} GMACs to the first token, selection {number}", ("gmacs", "dense_gmacs", "selection_gmacs")),
                (rf"{number} of {number} image tokens left", ("left", "visual")),
                (rf"KV cache {number} MB after the prompt \(dense {number}\), {number} at most", ("kv_mb", "dense_kv_mb", "kv_peak_mb")),
                (rf"first token after {number} s", ("first_token_s",)), (rf"then {number} tokens/s", ("tokens_per_s",)),
                (rf"peak memory {number} MB", ("peak_memory_mb",))):
            match = re.search(pattern, done.stderr)
            found.update(zip(keys, map(float, match.groups() if match else [float("nan")] * len(keys))))
        found["tflops_full"] = 2e-3 * (found["gmacs"] + found["selection_gmacs"])
        return found

    def save():
        with open(path + ".json", "w") as out:
            json.dump({"schema": "vtok-llm-methods/1", "date": datetime.date.today().isoformat(), "cpu": cpu(),
                       "cores": os.cpu_count(), "rows": rows}, out, indent=1)
            out.write("\n")

    def mustdrop(share):
        """The published thresholds are for trained weights: the one for all stages that leaves this checkpoint so much."""
        low, high = 1e-3, 1e-2
        for _ in range(18):  # without training all tokens get about the same attention: a small step changes much
            middle = (low * high) ** 0.5
            found = run(arguments.directory, f"mustdrop:global={middle:.9f},individual={middle:.9f}", 1)
            if "error" in found:
                raise SystemExit(found["error"])
            ratio = found["tflops_paper"] / found["dense_tflops_paper"]
            if abs(ratio * share - 1) < 0.05:
                break
            low, high = (middle, high) if ratio > 1 / share else (low, middle)
        return f"mustdrop:global={middle:.9f},individual={middle:.9f}"

    def measure(directory, model, method, share):
        if method == "mustdrop":
            known = [r["method"] for r in rows if r["method"].startswith("mustdrop:global") and r["share"] == share]
            method = known[0] if known else mustdrop(share)
        done = next((r for r in rows if (r["model"], r["method"], r["new_tokens"]) == (model, method, arguments.tokens)), None)
        if done is None or "error" in done:
            rows[:] = [r for r in rows if r is not done]
            done = {"model": model, "method": method, "share": share, "new_tokens": arguments.tokens, **run(directory, method)}
            rows.append(done)
            save()
        print(method, done.get("error") or f"first token {done['first_token_s']:.2f} s", file=sys.stderr)
        return done

    def wanted(method):
        return not arguments.only or method.split(":")[0] in arguments.only.split(",")

    with open(os.path.join(arguments.directory, "config.json")) as file:
        config = json.load(file)
    layers, vision = config["text_config"]["num_hidden_layers"], config["vision_config"]
    visual = (vision["image_size"] // vision["patch_size"]) ** 2
    lines = []

    def table(title, measured):
        lines.extend([f"## {title}", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)])
        for row in measured:
            if "error" in row:
                lines.append(f"| {row['method']} | {row['error']} |" + " |" * (len(COLUMNS) - 2))
                continue
            lines.append(
                f"| {row['method']} | {row['visual']:.0f} | {row['left']:.0f} | {row['tflops_paper']:.3f} | "
                f"{100 * row['tflops_paper'] / row['dense_tflops_paper']:.1f}% | {row['tflops_full']:.3f} | "
                f"{row['first_token_s']:.2f} | {row['tokens_per_s']:.2f} | {row['kv_mb']:.1f} | {row['kv_peak_mb']:.1f} | "
                f"{row['peak_memory_mb']:.0f} |")
        lines.append("")

    run(arguments.directory, "dense")  # reads the file from the disk
    measured = [measure(arguments.directory, "llava", method, share) for method, share in specs(layers, visual) if wanted(method)]
    table(f"{visual} visual tokens", measured)
    if not arguments.only:  # rows of specifications that are no longer in the table
        rows[:] = [r for r in rows if r in measured or r["model"] != "llava"]
        save()
    failed = False
    if not arguments.skip_next:
        directory = next_directory(arguments.directory)
        pair = [measure(directory, "llava-next", method, None) for method in ("dense", f"fastv:layer={min(2, layers - 1)},keep=0.5")]
        table(f"{pair[0].get('visual', 0):.0f} visual tokens", pair)
        if all("error" not in row for row in pair):
            more = 100 * (pair[1]["peak_memory_mb"] / pair[0]["peak_memory_mb"] - 1)
            lines += [f"Peak memory with fastv is {more:+.1f}% of dense; at most 5% is allowed.", ""]
            failed = more > 5
    head = [f"# Methods on a LLaVA of {layers} layers with random weights", "",
            f"{cpu()}, {os.cpu_count()} cores, {arguments.tokens} new tokens. Paper: MAC, SwiGLU, image tokens alone, prefill. In full: "
            "2 x MAC of tower, selection, connector, all tokens of the prefill and the LM head.", ""]
    with open(path + ".md", "w") as out:
        out.write("\n".join(head + lines))
    print("\n".join(lines))
    print(f"written to {os.path.relpath(path, ROOT)}.json and .md")
    sys.exit(failed)


if __name__ == "__main__":
    main()
