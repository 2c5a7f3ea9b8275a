"""Tables of docs/scale.md: what was measured on one machine, and what a billion images come to by arithmetic."""

IMAGES = 10**9
# Dollars for a core-hour: what clouds ask, about, where a machine is rented by the hour. Nobody measured it.
PRICE = 0.04
# Images of one tar shard, which is one task.
SHARD = 10_000
# What is done again, at most, when a worker dies: images, by what is running.
LOST = [("a job of the command: the image that each thread was at", 1), ("Ray: a batch (`--batch`)", 64), ("Spark: a partition", SHARD)]


def name(row):
    return f"`{row['model']}`, {row['precision']}, `{row['method']}` {row['budget'][-1]}"


def duration(seconds):
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def rounded(value):
    """Three digits: the clock knows no more."""
    return f"{float(f'{value:.3g}'):,.0f}"


def tera(count):
    return f"{count / 1e12:.1f} TB"


def measured(d, table):
    low, high = d["load_average"]
    wide, high_pixels, kind = d["image"]
    text = (f"{d['machine']['cpu']}, {d['machine']['cores']} cores, {d['vtok']['cpu']}, {d['date']}; {wide} x {high_pixels} {kind}. Other work "
            f"ran on the machine (load {low:.1f} to {high:.1f}), so an idle one is faster.\n\n")
    return text + table(
        ["model, arithmetic, method", "images in a core-second", "an image", "tokens of an image, f16", "its line in the manifest", f"peak memory, {d['machine']['cores']} threads"],
        [[name(r), f"{1 / r['cpu_seconds']:.2f}", f"{1000 * r['cpu_seconds']:.0f} ms", f"{r['tokens_bytes'] / 1024:.0f} KB",
          f"{r['manifest_bytes']:.0f} bytes", f"{r['peak_memory_mb']:.0f} MB"] for r in d["rows"]])


def billion(d, table):
    lines = []
    for r in d["rows"]:
        hours = IMAGES * r["cpu_seconds"] / 3600
        lines.append([name(r), rounded(hours), rounded(hours / 168), f"${rounded(hours * PRICE)}", tera(IMAGES * r["tokens_bytes"]),
                      tera(IMAGES * r["manifest_bytes"]), duration(SHARD * r["cpu_seconds"])])
    return table(["model, arithmetic, method", "core-hours", "cores for a week", f"at ${PRICE:.2f} a core-hour", "tokens", "manifests",
                  f"a shard of {SHARD:,} on one core"], lines)


def lost(d, table):
    rows = [min(d["rows"], key=lambda r: r["cpu_seconds"]), max(d["rows"], key=lambda r: r["cpu_seconds"])]
    return table(["a worker dies in", "images again, at most"] + [f"{r['model']}, {r['precision']}" for r in rows],
                 [[title, f"{count:,}"] + [duration(count * r["cpu_seconds"]) for r in rows] for title, count in LOST])


def tested(d, table):
    names = {"one": "one process", "ray": f"Ray {d['ray']}", "spark": f"Spark {d['pyspark']}", "parallel": "GNU parallel", "slurm": "Slurm's script"}
    return (f"{d['images']:,} images of 64 to 160 pixels, {d['cut']} of them cut, {d['workers']} workers on {d['cores']} cores with other work on "
            f"them, {d['date']}.\n\n") + table(
        ["run", "time, start of the engine included", "a worker was killed after"],
        [[names[key], f"{run['seconds']:.0f} s", f"{run['killed_after_seconds']:.0f} s" if "killed_after_seconds" in run else "-"]
         for key, run in d["runs"].items()])
