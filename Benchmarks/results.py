#!/usr/bin/env python3
"""Writes the tables of README.md, docs/*.md and docs/methods/*.md from the data files in Benchmarks/results.

A table stands between `<!-- results: NAME -->` and `<!-- end -->`; nothing else in a page is touched.

usage: Benchmarks/results.py            writes
       Benchmarks/results.py --check    writes nothing; names the pages that are not current, exit 1
"""
import json
import re
import statistics
import sys
from pathlib import Path

import scale_tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "Benchmarks" / "results"
MARK = re.compile(r"(<!-- results: ([^\n]+?) -->\n)(.*?)(<!-- end -->)", re.S)

# Folder, as method pages name it, and its section in docs/results.md.
TOWERS = {"clothing-dinov2s-focus": ("clothes", "clothes"), "cifar10-vtok-tiny": ("CIFAR-10", "cifar-10")}
ANSWERS = {"easy-vqa-vqa-small": ("easy-VQA", "easy-vqa"), "tiles-vqa-tiles": ("small shapes", "small-shapes")}
SHAPES = ["easy-vqa-vqa-small", "tiles-vqa-tiles"]


def data(name):
    path = RESULTS / name
    if not path.exists():
        sys.stderr.write(f"results.py: needs Benchmarks/results/{name}, a data file of this repository\n")
        sys.exit(2)
    return json.loads(path.read_text())


def rows(folder):
    return data(f"{folder}/rows.json")


# MARK: Text


def table(head, lines):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]) + "\n"


def percent(value, digits=1):
    return "-" if value is None else f"{100 * value:.{digits}f}"


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def count(value):
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def interval(row):
    low, high = row.get("retention_ci95") or (None, None)
    return "-" if low is None else f"{percent(low)} to {percent(high)}"


def label(method):
    """A contender without the paths of files: rates of this model, or a trained net."""
    method = re.sub(r"diffrate:rates=[^,+]+", "diffrate, calibrated", method)
    method = re.sub(r"[:,]weights=[^,+]+", "", method)
    return method.replace(":", ", ", 1).replace(",", ", ").replace(",  ", ", ") if "+" not in method else method


def typed(method):
    """As typed, without the folders of files."""
    return re.sub(r"=[^,+=]*/([^/,+]+\.(json|safetensors))", r"=\1", method)


def parts(method):
    return [part.split(":")[0] for part in method.split("+")]


def kind(row):
    return row["budget"]["kind"]


def base(label):
    """The row that a contender with another block stands in."""
    return re.sub(r", block=\d+$", "", label)


def cuts_cache(row):
    """Whether its budget counts entries of the KV cache and no visual tokens."""
    if "counted" in row["budget"]:
        return row["budget"]["counted"] == "cache entries"
    cache = row.get("kv_mb")
    return bool(cache) and kind(row) == "keep-ratio" and row["tokens"]["out"] == row["tokens"]["in"] and (
        cache["prefill"] < cache["dense_prefill"])


def seeds(found):
    """How often chance was drawn, in a sentence."""
    for row in found:
        score = row.get("score") or row.get("top1")
        if parts(row["method"])[0] == "random" and isinstance(score, dict):
            return f" `random` is the mean of {score['n']} seeds."
    return ""


def grid(lines, columns, cell, title):
    """Contenders by what was asked; the best first by their mean, chance and the smaller image in bold."""
    found = {}
    for name, column, row in lines:
        found.setdefault(name, {}).setdefault(column, (row["retention"], cell(row, column)))
    means = {name: sum(v for v, _ in cells.values()) / len(cells) for name, cells in found.items()}
    order = sorted(found, key=lambda name: (-len(found[name]), -means[name]))
    bold = lambda name: f"**{name}**" if parts(name.replace(", ", ":", 1))[0] in ("random", "downsample") else name
    return table([title] + [columns[c] for c in columns],
                 [[bold(name)] + [found[name].get(c, (0, ""))[1] for c in columns] for name in order])


# MARK: Towers


def tower(folder):
    contenders = [r for r in rows(folder) if kind(r) != "dense"]
    dense = next(r for r in rows(folder) if kind(r) == "dense")
    asked = sorted({r["budget"]["asked"] for r in contenders if kind(r) == "mac-ratio"}, reverse=True)

    def cell(row, column):
        share = row["gmacs"]["ratio"]
        notes = [] if round(100 * share) == round(100 * column) else [f"at {100 * share:.0f}%"]
        block = re.search(r"block=(\d+)", row["method"])
        notes += [f"block {block[1]}"] if block else []
        return percent(row["retention"]) + (f" ({', '.join(notes)})" if notes else "")

    lines = []
    for row in contenders:
        if kind(row) == "keep-ratio":
            continue
        near = row["budget"].get("asked") or min(asked, key=lambda share: abs(share - row["gmacs"]["ratio"]))
        lines.append((base(label(row["method"])), near, row))
    text = (f"`{dense['model']}`, {count(dense['images'])} images, dense: {percent(dense['top1'], 2)}% top-1 at "
            f"{dense['gmacs']['dense']:.2f} GMACs and {dense['tokens']['in']:.0f} patch tokens. "
            f"[All rows](../Benchmarks/results/{folder}/table.md).{seeds(contenders)}\n\n")
    text += grid(lines, {c: f"{100 * c:.0f}%" for c in asked}, cell, "share of the dense multiply-adds")
    after = [r for r in contenders if kind(r) == "keep-ratio"]
    if after:
        columns = sorted({r["budget"]["asked"] for r in after}, reverse=True)
        text += "\nAfter the tower, where nothing inside it is saved:\n\n" + grid(
            [(label(r["method"]), r["budget"]["asked"], r) for r in after], {c: f"{100 * c:.0f}%" for c in columns},
            lambda row, _: percent(row["retention"]), "share of the tokens")
    return text


def clock(folder):
    """How much of the multiply-adds' speed-up the clock sees."""
    chosen = [r for r in rows(folder) if kind(r) != "dense" and r["gmacs"]["ratio"] < 0.99]
    lines = []
    for title, within in (("half of the cost and above", lambda s: s >= 0.45), ("below", lambda s: s < 0.45)):
        found = [r["speedup"] for r in chosen if within(r["gmacs"]["ratio"])]
        if not found:
            continue
        spread = lambda key: (f"{min(s[key] for s in found):.2f} to {max(s[key] for s in found):.2f}")
        lines.append([title, spread("tower_per_mac_gain"), spread("per_mac_gain")])
    return table(["share of the multiply-adds' speed-up", "in the tower", "with the time of selecting"], lines)


# MARK: Answers


def asked_share(row):
    return row["budget"]["asked"]


def answers(folder):
    found = rows(folder)
    dense = next(r for r in found if kind(r) == "dense")
    text = (f"`{dense['model']}`, {count(dense['questions'])} questions about {count(dense['images'])} images, dense: "
            f"{percent(dense['score'], 2)}% right at {dense['gmacs']['dense']:.3f} GMACs and "
            f"{dense['tokens']['in']:.0f} visual tokens. [All rows](../Benchmarks/results/{folder}/table.md).{seeds(found)}\n\n")
    budget = [r for r in found if kind(r) == "keep-ratio"]
    columns = {c: f"1/{1 / c:.0f}" for c in sorted({asked_share(r) for r in budget}, reverse=True)}
    text += "Retention in percent, in brackets the share of all multiply-adds:\n\n"

    def cell(row, column):
        left = row["tokens"]["out"] / row["tokens"]["in"]
        note = f"{100 * row['gmacs']['ratio']:.0f}" + (f", {100 * left:.0f}% left" if abs(left / column - 1) > 0.1 else "")
        return f"{percent(row['retention'])} ({note})"

    text += grid([(label(r["method"]), asked_share(r), r) for r in budget if not cuts_cache(r) and "+" not in r["method"]],
                 columns, cell, "share of the visual tokens")
    chains = [(label(r["method"]), asked_share(r), r) for r in budget if "+" in r["method"]]
    if chains:
        text += "\nTwo methods in a row, the second with the budget asked for:\n\n"
        text += grid(chains, columns, cell, "share asked of the second")
    caches = [(label(r["method"]), asked_share(r), r) for r in budget if cuts_cache(r)]
    if caches:
        text += "\nOn the KV cache, in brackets what is left of it in percent:\n\n"
        text += grid(caches, columns, lambda row, _: f"{percent(row['retention'])} "
                     f"({100 * row['kv_mb']['prefill'] / row['kv_mb']['dense_prefill']:.0f})", "share of the cache entries")
    own = [r for r in found if kind(r) == "method"]
    if own:
        text += "\nAn amount of their own:\n\n" + table(
            ["method", "visual tokens left", "multiply-adds", "retention", "95%", "speed-up"],
            [[f"`{typed(r['method'])}`", count(round(r["tokens"]["out"], 1)), percent(r["gmacs"]["ratio"], 0) + "%",
              percent(r["retention"]), interval(r), f"{r['speedup']['first_token']:.2f}x"] for r in own])
    return text


def groups(folder):
    """What kinds of questions lose, at the largest and smallest share."""
    found = [r for r in rows(folder) if kind(r) == "keep-ratio" and not cuts_cache(r) and "+" not in r["method"]]
    shares = sorted({asked_share(r) for r in found})
    names = list(found[0]["groups"])
    value = lambda entry: entry["mean"] if isinstance(entry, dict) else entry
    lines = []
    for share in (shares[-1], shares[0]):
        for row in sorted((r for r in found if asked_share(r) == share), key=lambda r: -r["retention"]):
            lines.append([label(row["method"]), f"1/{1 / share:.0f}"] + [percent(value(row["groups"][n])) for n in names])
    dense = next(r for r in rows(folder) if kind(r) == "dense")
    lines.insert(0, ["dense", "1"] + [percent(value(dense["groups"][n])) for n in names])
    return table(["method", "share"] + [f"{name}, % right" for name in names], lines)


# MARK: One method


def method_rows(name):
    lines = []
    for folder, (title, anchor) in {**TOWERS, **ANSWERS}.items():
        for row in rows(folder):
            if name not in parts(row["method"]) or kind(row) == "dense":
                continue
            asked = row["budget"].get("asked")
            unit = {"mac-ratio": "multiply-adds", "keep-ratio": "tokens"}.get(kind(row))
            if cuts_cache(row):
                unit = "cache"
            speed = row["speedup"].get("tower") or row["speedup"].get("first_token")
            cache = row.get("kv_mb")
            lines.append([
                f"[{title}](../results.md#{anchor})", f"`{typed(row['method'])}`",
                f"{percent(asked, 2).rstrip('0').rstrip('.')}% of {unit}" if asked else "its own amount",
                f"{count(round(row['tokens']['out'], 1))} of {row['tokens']['in']:.0f}", percent(row["gmacs"]["ratio"], 0) + "%",
                percent(100 * cache["prefill"] / cache["dense_prefill"] / 100, 0) + "%" if cache else "-",
                percent(row["retention"]), interval(row), number(speed, 2) + "x"])
    return table(["data", "run", "asked", "tokens left", "multiply-adds", "KV cache", "retention", "95%", "speed-up"],
                 lines) if lines else ""


def method_large(name):
    found = [r for r in data("llm-methods-7b-amd-epyc.json")["rows"] if name in parts(r["method"])]
    if not found:
        return ""
    return ("Cost on a LLaVA of 7 billion random weights ([how](../speed.md#seven-billion-weights)):\n\n" + table(
        ["run", "visual tokens left", "TFLOPs, as papers count", "in full", "first token", "tokens/s", "KV cache"],
        [[f"`{typed(r['method'])}`", f"{r['left']:.0f} of {r['visual']:.0f}", number(r["tflops_paper"], 3),
          number(r["tflops_full"], 2), f"{r['first_token_s']:.1f} s", number(r["tokens_per_s"], 2),
          f"{r['kv_mb']:.0f} of {r['dense_kv_mb']:.0f} MB"] for r in found]))


def method(name):
    tables = [t for t in (method_rows(name), method_large(name)) if t]
    return "\n".join(tables) if tables else "No table has a row of it.\n"


# MARK: Search and mean budgets


def measured(made_by):
    """For tables whose data may not be there yet: they then name the script that makes them."""
    def wrap(block):
        def filled(folder):
            if not (RESULTS / folder).exists():
                return f"Not measured yet: `Benchmarks/{made_by}` makes it.\n"
            return block(folder)
        return filled
    return wrap


@measured("search.sh")
def search(folder):
    """The last candidates on pictures that no round has seen, and whether the chosen ones beat the best single method."""
    d = data(f"{folder}/search.json")
    unit = d["target"]["unit"]
    dense = d["finalists"][0]
    text = (f"`{d['model']}`, at most {d['target']['asked']} {unit}. {len(d['rounds'])} rounds: "
            + ", ".join(f"{len(r['candidates'])} candidates on {r['items']} images" for r in d["rounds"])
            + f"; the last {len(d['finalists']) - 1} on {d['items']} others, where the dense model is "
            f"{percent(dense['score'], 2)}% right at {dense['cost']:.2f} {unit}. "
            f"[All rows](../Benchmarks/results/{folder}/table.md), [front](../Benchmarks/results/{folder}/front.svg).\n\n")
    text += table(["method", unit, "retention", "95%", "on the front"],
                  [[f"`{typed(r['method'])}`", f"{r['cost']:.2f}", percent(r["retention"]), interval(r),
                    "yes" if r["on_front"] else ""] for r in d["finalists"][1:]])
    lines = []
    for v in d["verdicts"]:
        low, high = v["ratio_ci95"]
        same = v["chosen"] == v["single"]
        lines.append([f"{v['level'] * d['target']['asked']:.2f}", f"`{typed(v['chosen'])}`", f"`{typed(v['single'])}`",
                      "-" if same else f"{percent(v['ratio'])} ({percent(low)} to {percent(high)})",
                      "the same" if same else "better" if v["better"] else "not shown to be better"])
    return text + "\nBeside the best single method of the same cost:\n\n" + table(
        [unit, "chosen", "best single method", "its score over that one's, %", "so it is"], lines)


@measured("keep-mean.sh")
def mean(folder):
    """Amounts that differ between pictures beside the same amount for all."""
    found = rows(folder)
    dense = next(r for r in found if kind(r) == "dense")
    text = (f"`{dense['model']}`, {count(dense['images'])} images, dense: {percent(dense['top1'], 2)}% top-1. "
            f"[All rows](../Benchmarks/results/{folder}/table.md).{seeds(found)}\n\n")
    lines = []
    for row in (r for r in found if kind(r) == "keep-mean"):
        fixed = next(r for r in found if kind(r) == "keep-ratio" and r["method"] == row["method"]
                     and r["budget"]["asked"] == row["budget"]["asked"])
        tokens = row["tokens"]["per_picture"]
        lines.append([f"`{typed(row['method'])}`", percent(row["budget"]["asked"], 0) + "%",
                      f"{count(round(row['tokens']['out'], 1))} ({min(tokens):.0f} to {max(tokens):.0f})",
                      f"{percent(row['gmacs']['ratio'], 0)}% ({percent(fixed['gmacs']['ratio'], 0)}%)",
                      f"{percent(row['retention'])} ({interval(row)})", f"{percent(fixed['retention'])} ({interval(fixed)})"])
    return text + table(["method", "tokens asked", "tokens, mean (least to most)", "multiply-adds (the same for all)",
                         "retention, amounts differ", "the same amount for all"], lines)


# MARK: Other tables


def readme(_=None):
    chosen = ["divprune", "visionzip", "hired", "fastv, layer=1", "pyramiddrop, layers=1/2", "random", "downsample"]
    found = {folder: {label(r["method"]): r for r in rows(folder) if kind(r) == "keep-ratio" and asked_share(r) == 0.25}
             for folder in SHAPES}
    lines = []
    for name in chosen:
        pair = [found[folder][name] for folder in SHAPES]
        lines.append([f"`{name.split(',')[0]}`"] + [
            text for row in pair for text in (percent(row["retention"]), percent(row["gmacs"]["ratio"], 0) + "%")])
    return table(["a quarter of the visual tokens", "one large shape: answers kept, %", "multiply-adds",
                  "many small shapes: answers kept, %", "multiply-adds"], lines)


def tokenizer(folder):
    found = [r for r in rows(folder) if r["coder"] == "klt" and r["tokens"] not in (2, 4, 8, 32)]
    first = found[0]
    text = (f"{count(first['images'])} photographs, centre {first['run']['side']} x {first['run']['side']}, judged by "
            f"`{first['run']['model']}`. [All rows and plots](../Benchmarks/results/{folder}/table.md).\n\n")
    return text + table(
        ["tokens", "bytes", "PSNR in dB", "of JPEG", "of WebP", "SSIM", "same answer"],
        [[r["tokens"], f"{r['bytes']:.0f}", number(r["psnr"]["of_mean_mse"], 2), number(r["psnr_at_equal_bytes"]["jpeg"], 2),
          number(r["psnr_at_equal_bytes"]["webp"], 2), number(r["ssim"], 3), percent(r["top1_agreement"], 0) + "%"]
         for r in found])


def coder_times(folder):
    found = {}
    for row in rows(folder):
        found.setdefault(row["coder"], []).append(row["ms"])
    spread = lambda values: f"{min(values):.1f} to {max(values):.1f}" if max(values) - min(values) > 0.1 else f"{min(values):.1f}"
    return table(["one image on one thread", "encode, ms", "decode, ms"],
                 [[coder, spread([m["encode"] for m in times]), spread([m["decode"] for m in times])]
                  for coder, times in found.items()])


def random_tokenizers(_=None):
    lines = []
    for run in data("random-tokenizers-amd-epyc.json")["runs"]:
        seconds = run["seconds"]
        lines.append([run["checkpoint"], run["threads"], f"{run['load_s']:.1f} s", f"{seconds['encode']:.2f} s",
                      f"{seconds['decode 1 tokens']:.2f} s", f"{seconds['decode 256 tokens']:.2f} s",
                      " / ".join(f"{100 * share:.0f}%" for share in run["share_of_sgemm"].values()),
                      f"{run['peak_memory_mb'] / 1024:.1f} GB"])
    return table(["checkpoint", "threads", "load", "encode", "decode 1 token", "decode 256",
                  "convolutions, of the sgemm bound", "peak memory"], lines)


def speed(_=None):
    d = data("speed-amd-epyc.json")
    own, folder, names = d["vtok"], d["folder"], {"f32": "float32", "bf16": "bfloat16", "int8": "8 bits"}
    lines = []
    for precision in own:
        for name, rate in d["images_per_second"].items():
            if name.endswith(" " + precision):
                peak, over = d["peaks"].get(precision), own[precision]["over"].get(name)
                least = own[precision]["lines_over"].get(name)
                lines.append([names[precision], name.split(" ")[0], number(rate, 1), percent(rate * d["gop_per_image"] / peak, 0) + "%" if peak else "-",
                              (f"{over:.2f}x" if over else "") + (f" (line: {least:.2f}x)" if least else "")])
    peaks = ", ".join(f"{value:.0f} G/s in {names[name]}" for name, value in d["peaks"].items())
    text = (f"{d['machine']['cpu']}, {d['machine']['cores']} cores, {d['level']}, {d['date']}; {d['model']}; "
            + ", ".join(f"{name} {version}" for name, version in d["versions"].items()) + f". The core can do {peaks}.\n\n")
    text += table(["arithmetic", "runtime", "images/s", "of the core's peak", "vtok beside it"], lines)
    text += "\nMethods in 8 bits, against the dense model in 8 bits:\n\n" + table(
        ["method", "faster", "multiply-adds saved", "share of the gain"],
        [[name, f"{row['speedup']:.2f}x", f"{row['mac_speedup']:.2f}x", percent(row["share_of_gain"], 0) + "%"]
         for name, row in d["int8_methods"].items()])
    return text + (f"\nA folder of {folder['images']} images in float32 on two threads: {folder['two_over_one']:.2f}x one thread, "
                   f"peak memory {folder['peak_memory_mb']:.0f} MB.\n")


def llm_speed(_=None):
    d = data("llm-speed-7b-amd-epyc.json")
    middle = lambda row, f: statistics.median(f(r) for r in row["rounds"])
    lines = []
    for row in d["types"]:
        lines.append([
            row["type"], f"{row['file_gb']:.1f} GB", f"{row['rounds'][0]['rows']}", number(middle(row, lambda r: r["vtok_prompt"]), 1),
            f"{middle(row, lambda r: r['vtok_prompt'] / r['llama_prompt']):.2f}x", number(middle(row, lambda r: r["vtok_decode"]), 2),
            f"{middle(row, lambda r: r['vtok_decode'] / r['llama_decode']):.2f}x",
            percent(middle(row, lambda r: r["vtok_decode"] * r["gb_per_token"] / r["read_gb_s"]), 0) + "%",
            f"{middle(row, lambda r: r['peak_memory_mb']) / 1024:.1f} GB"])
        if "long" in row:
            far = row["long"]
            lines.append([row["type"], "", f"{far['rows']}", number(far["vtok_prompt"], 1), f"{far['vtok_prompt'] / far['llama_prompt']:.2f}x",
                          "-", "-", "-", f"{far['peak_memory_mb'] / 1024:.1f} GB"])
    text = f"{d['cpu']}, {d['cores']} cores, {d['threads']} threads, {d['date']}; {d['llama_cpp'].splitlines()[0]}. {d['note']}".rstrip() + "\n\n"
    text += table(["weights", "file", "prompt rows", "prompt, tokens/s", "of llama.cpp", "new tokens/s", "of llama.cpp",
                   "of the read bandwidth", "peak memory"], lines)
    for row in d["types"]:
        if "divprune_64" in row:
            found = row["divprune_64"]
            text += (f"\nWith `divprune` to 64 tokens, tower included, the first token comes after {found['vtok_first_token_s']:.1f} s; llama.cpp's "
                     f"language model alone needs {found['llama_dense_prompt_s']:.1f} s for the dense prompt, {found['sooner']:.1f} times as long.\n")
    return text


def llava(_=None):
    d = data("llava-7b-amd-epyc.json")
    return f"{d['cpu']}, {d['cores']} cores, {d['blas']}, {d['date']}.\n\n" + table(
        ["run", "load", "first token", "of the sgemm bound", "tokens/s", "of the memory bandwidth", "peak memory, mapped weights too"],
        [[name, f"{m['load_s']:.1f} s", f"{m['first_token_s']:.1f} s", f"{100 * m['share_of_sgemm']:.0f}%",
          number(m["tokens_per_s"], 2), f"{100 * m['share_of_bandwidth']:.0f}%", f"{m['peak_memory_mb'] / 1024:.1f} GB"]
         for name, m in d["median"].items()])


def large(_=None):
    """The methods at a ninth; their pages have the other shares."""
    d = data("llm-methods-7b-amd-epyc.json")
    found = [r for r in d["rows"] if r["model"] == "llava" and r["share"] in (None, 9)]
    return f"{d['cpu']}, {d['cores']} cores, {d['date']}. [All rows](../Benchmarks/results/llm-methods-7b-amd-epyc.md).\n\n" + table(
        ["run", "visual tokens left", "TFLOPs, as papers count", "in full", "first token", "tokens/s", "KV cache"],
        [[f"`{typed(r['method'])}`", f"{r['left']:.0f} of {r['visual']:.0f}", number(r["tflops_paper"], 3),
          number(r["tflops_full"], 2), f"{r['first_token_s']:.1f} s", number(r["tokens_per_s"], 2), f"{r['kv_mb']:.0f} MB"]
         for r in found])


def long_job(_=None):
    d = data("long-job.json")
    lines = [[title, f"{d[key]['seconds']:.1f} s", f"{d[key]['peak_mb']:.0f} MB"] for title, key in (
        ("first run", "first"), ("the same again", "again"), ("with one image changed", "one_changed"))]
    return f"{count(d['pictures'])} images, {d['threads']} threads, {d['date']}.\n\n" + table(["job", "time", "peak memory"], lines)


def today(_=None):
    """Models of today in 4 bits, on the machine that was measured last."""
    found = sorted((json.loads(path.read_text()) for path in RESULTS.glob("today-*.json")), key=lambda d: d["date"])
    if not found:
        return "No run is kept yet.\n"
    d = found[-1]
    note = f" {d['note']}" if d["note"] else ""
    return (f"{d['cpu']}, {d['cores']} cores, {d['threads']} threads, {d['precision']}, a picture of {d['picture'][0]} x {d['picture'][1]} "
            f"pixels, {d['date']}.{note}\n\n") + table(
        ["model", "run", "visual tokens left", "first token", "tokens/s", "peak memory", "predicted"],
        [[m["model"], r["run"], f"{r['left']} of {r['visual_tokens']}", f"{r['first_token_s']:.1f} s", number(r["tokens_per_s"], 2),
          f"{r['peak_memory_mb']:.0f} MB", f"{r['predicted_mb']:.0f} MB"] for m in d["models"] for r in m["rows"]])


def memory(_=None):
    """Predicted peaks beside measured ones."""
    path = RESULTS / "memory.json"
    if not path.exists():
        return "No run is kept yet.\n"
    d = json.loads(path.read_text())
    return f"{d['threads']} threads, {d['date']}.\n\n" + table(
        ["model", "picture", "precision", "measured", "predicted", "off by"],
        [[r["family"], f"{r['picture'][0]} x {r['picture'][1]}", r["precision"], f"{r['measured_mb']:.0f} MB",
          f"{r['predicted_mb']:.0f} MB", f"{100 * (r['predicted_mb'] / r['measured_mb'] - 1):+.0f}%"] for r in d["rows"]])


BLOCKS = {
    "tower": tower, "clock": clock, "answers": answers, "groups": groups, "method": method, "readme": readme,
    "tokenizer": tokenizer, "coder-times": coder_times, "random-tokenizers": random_tokenizers, "speed": speed, "llm-speed": llm_speed,
    "llava": llava, "seven-billion": large, "long-job": long_job, "search": search,
    "mean": mean, "today": today, "memory": memory,
    "scale": lambda _: scale_tables.measured(data("scale.json"), table),
    "scale-billion": lambda _: scale_tables.billion(data("scale.json"), table),
    "scale-lost": lambda _: scale_tables.lost(data("scale.json"), table),
    "scale-test": lambda _: scale_tables.tested(data("scale-test.json"), table),
}


def filled(page):
    def block(match):
        name, _, argument = match[2].partition(" ")
        if name not in BLOCKS:
            sys.stderr.write(f"results.py: {page.relative_to(ROOT)}: no table '{name}', expected one of {', '.join(BLOCKS)}\n")
            sys.exit(2)
        return match[1] + BLOCKS[name](argument or None) + match[4]

    return MARK.sub(block, page.read_text())


def main():
    for folder in [*TOWERS, *ANSWERS]:
        rows(folder)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "methods").glob("*.md"))]
    stale = [(page, text) for page in pages for text in [filled(page)] if text != page.read_text()]
    for page, text in stale:
        if "--check" in sys.argv[1:]:
            print(f"not current: {page.relative_to(ROOT)}; run python3 Benchmarks/results.py")
        else:
            page.write_text(text)
            print(f"written: {page.relative_to(ROOT)}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
