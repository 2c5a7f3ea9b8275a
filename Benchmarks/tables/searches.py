"""Search over methods, and budgets that hold in the mean."""
from tables.text import RESULTS, count, data, interval, kind, number, percent, rows, seeds, table, typed


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
