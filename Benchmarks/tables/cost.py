"""Speed, memory and time, each of one machine."""
import json
import statistics

from tables.text import RESULTS, count, data, number, percent, rows, table, typed


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


def machines(kind):
    """A table of every machine that was measured, the last one first."""
    def wrap(block):
        def all_of_them(_=None):
            found = sorted((json.loads(path.read_text()) for path in RESULTS.glob(f"{kind}-*.json")), key=lambda d: d["date"])
            return "\n".join(block(d) for d in reversed(found)) or "No run is kept yet.\n"
        return all_of_them
    return wrap


@machines("speed")
def speed(d):
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


@machines("llm-speed-7b")
def llm_speed(d):
    middle = lambda row, f: statistics.median(f(r) for r in row["rounds"])
    lines = []
    for row in d["types"]:
        lines.append([
            row["type"] + (f", kv {row['kv']}" if "kv" in row else ""), f"{row['file_gb']:.1f} GB", f"{row['rounds'][0]['rows']}", number(middle(row, lambda r: r["vtok_prompt"]), 1),
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


@machines("today")
def today(d):
    """Models of today in 4 bits."""
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
