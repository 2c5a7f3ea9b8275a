"""Reads data files of Benchmarks/results, and writes numbers and tables as text."""
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "Benchmarks" / "results"


def data(name):
    path = RESULTS / name
    if not path.exists():
        sys.stderr.write(f"results.py: needs Benchmarks/results/{name}, a data file of this repository\n")
        sys.exit(2)
    return json.loads(path.read_text())


def rows(folder):
    return data(f"{folder}/rows.json")


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
