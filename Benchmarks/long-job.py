#!/usr/bin/env python3
"""Memory and time of a long job of `vtok prune`, and of its rerun.

    swift build -c release --product vtok
    python3 Benchmarks/long-job.py                 # 100,000 pictures: writes Benchmarks/results/long-job.json
    python3 Benchmarks/long-job.py --count 5000 --output /tmp/short.json

Makes its own pictures (16 x 16, each another one, some damaged with --damaged) in a temporary folder and needs nothing
but Python. Fails if memory is not flat, a count is wrong or the rerun of the finished job is slow.
"""
import json
import os
import pathlib
import platform
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import needs

ROOT = pathlib.Path(__file__).resolve().parent.parent


def png(seed):
    """A grey picture of 16 x 16 pixels that no other seed has."""
    rows = b"".join(b"\0" + random.Random(seed * 16 + row).randbytes(16) for row in range(16))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def run(arguments):
    """Exit code, summary, seconds and peak memory in MB of one run."""
    start = time.time()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    row = json.loads(out) if out else {}
    return {"exit": process.returncode, "seconds": round(time.time() - start, 2), "cpu_seconds": round(
        usage.ru_utime + usage.ru_stime, 2), "peak_mb": round(usage.ru_maxrss / 1024, 1), "images": row.get("images"),
        "failed": row.get("failed"), "inputs": row.get("inputs"), "warnings": errors.count(b"warning:")}


def main():
    parser = needs.Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--damaged", type=int, default=0, help="further files that are no pictures")
    parser.add_argument("--method", default="random")
    parser.add_argument("--keep-tokens", default="1")
    parser.add_argument("--threads", default=str(os.cpu_count()))
    parser.add_argument("--vtok", default=str(ROOT / ".build/release/vtok"))
    parser.add_argument("--folder", help="where pictures and output go (default: a temporary folder)")
    parser.add_argument("--output", default=str(ROOT / "Benchmarks/results/long-job.json"))
    parser.add_argument("--most-mb", type=float, default=200)
    parser.add_argument("--most-seconds", type=float, default=5, help="of the rerun")
    flags = parser.parse_args()
    if not os.access(flags.vtok, os.X_OK):
        needs.refuse(f"needs the command, '{flags.vtok}' is none: run make build before, or name it with --vtok")

    folder = pathlib.Path(flags.folder or tempfile.mkdtemp(prefix="vtok-long-job-"))
    try:
        source, target = folder / "in", folder / "out"
        for index in range(flags.count + flags.damaged):
            path = source / f"{index // 1000:04}" / f"{index:07}.png"
            if index % 1000 == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(index) if index < flags.count else b"no picture")
        command = [flags.vtok, "prune", str(source), "--method", flags.method, "--keep-tokens", flags.keep_tokens,
                   "--dtype", "f16", "--threads", flags.threads, "--format", "jsonl", "-o", str(target)]
        first = run(command)
        again = run(command)
        (source / "0000" / "0000000.png").write_bytes(png(flags.count + flags.damaged))
        changed = run(command)
        with open(target / "manifest.jsonl", "rb") as manifest:
            lines = sum(1 for _ in manifest)
    finally:
        if not flags.folder:
            shutil.rmtree(folder, ignore_errors=True)
    result = {"schema": "vtok-long-job/1", "pictures": flags.count, "damaged": flags.damaged, "method": flags.method,
              "keep_tokens": int(flags.keep_tokens), "threads": int(flags.threads), "cpu": platform.processor() or
              platform.machine(), "date": time.strftime("%Y-%m-%d"), "first": first, "again": again,
              "one_changed": changed, "manifest_lines": lines}
    pathlib.Path(flags.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    total = flags.count + flags.damaged
    faults = [name for name, row in (("first", first), ("again", again), ("one changed", changed))
              if row["images"] != total or row["failed"] != flags.damaged or row["peak_mb"] >= flags.most_mb]
    if again["seconds"] >= flags.most_seconds:
        faults.append("again is slow")
    if lines != total or changed["inputs"]["changed"] != 1 or again["inputs"]["kept"] != flags.count:
        faults.append("counts")
    if faults:
        sys.exit("not as promised: " + ", ".join(faults))


if __name__ == "__main__":
    main()
