"""Retention: towers, answers, and the rows of one method."""
import re

from tables.text import RESULTS, base, count, cuts_cache, data, grid, interval, kind, label, number, parts, percent, rows, seeds, table, typed

# Folder, as method pages name it, and its section in docs/results.md.
TOWERS = {"clothing-dinov2s-focus": ("clothes", "clothes"), "cifar10-vtok-tiny": ("CIFAR-10", "cifar-10")}
ANSWERS = {"easy-vqa-vqa-small": ("easy-VQA", "easy-vqa"), "tiles-vqa-tiles": ("small shapes", "small-shapes")}
SHAPES = ["easy-vqa-vqa-small", "tiles-vqa-tiles"]


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


# MARK: Precision

# What precision.sh measures.
PRECISIONS = {"clothing": "clothes", "cifar10": "CIFAR-10", "small": "easy-VQA", "tiles": "small shapes", "pages": "pages"}
NAMES = {"f32": "float32", "bf16": "bfloat16", "int8": "8 bits", "int4": "4 bits"}


def precision(_=None):
    """Right answers of few methods in every precision, and how many are those of the dense model in float32."""
    text = []
    for name, title in PRECISIONS.items():
        if not (RESULTS / f"precision-{name}").exists():
            text.append(f"{title[0].upper() + title[1:]}: not measured yet, `Benchmarks/precision.sh {name}` does it.\n")
            continue
        found, cells, columns = rows(f"precision-{name}"), {}, []
        mean = lambda value: value["mean"] if isinstance(value, dict) else value
        for row in found:
            columns += [row["precision"]] if row["precision"] not in columns else []
            same = row["loyalty"].get("top1_agreement", row["loyalty"].get("answer_agreement"))
            cells.setdefault(label(row["method"]), {})[row["precision"]] = (
                f"{percent(mean(row.get('top1', row.get('score'))))} ({percent(mean(same))})")
        dense = found[0]
        text.append(f"`{dense['model']}`, {count(dense.get('questions', dense['images']))} "
                    f"{'questions' if 'questions' in dense else 'images'}, "
                    f"{'half of the multiply-adds' if name in ('clothing', 'cifar10') else 'a quarter of the visual tokens'}:\n\n"
                    + table([title] + [NAMES[c] for c in columns],
                            [[method] + [values.get(c, "") for c in columns] for method, values in cells.items()]))
    return "\n".join(text)


# MARK: README


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
