#!/usr/bin/env python3
"""The recipes of contrib/ on two workers each, one of which is killed while it works: the same bytes as one process.

usage: scale.py VTOK [--count 1000] [--engine ray --engine spark ...] [--results FILE]    (make scale-test does the rest)

Images are made from seeds. Every engine runs its recipe as a data engineer would; when a part of its output is there, one worker
(Ray's actor, the vtok process of Spark, GNU parallel or a Slurm task) gets SIGKILL. Then all tokens must be, bit for bit, those of
one `vtok prune`, images that cannot be read must be told, and the engine must have started somebody in the place of the dead.
"""
import argparse
import base64
import gzip
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import images

ROOT = Path(__file__).resolve().parents[3]
REDUCTION = ["--method", "divprune", "--keep-ratio", "0.25"]
FLAGS = argparse.Namespace()


# MARK: Processes


def processes():
    """Parent, words and CPU seconds of every process."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                words = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = (int(fields[1]), words, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return found


def workers(root, isWorker):
    """Processes below `root` whose words say that they work, with their CPU seconds."""
    found, below = processes(), {root}
    while more := {pid for pid, (parent, _, _) in found.items() if parent in below} - below:
        below |= more
    return {pid: found[pid][2] for pid in below if pid in found and isWorker(found[pid][1])}


def run(name, command, isWorker, isUnderWay, env=None, ends=0):
    """Runs an engine, kills one worker once a part is done, and waits for the end: seconds, and who came after the dead."""
    log = FLAGS.folder / f"{name}.log"
    start = time.time()
    killed, before, after = None, set(), set()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        while process.poll() is None:
            found = workers(process.pid, isWorker)
            if killed is None:
                before |= set(found)
                busy = [pid for pid, seconds in found.items() if seconds >= 0.1]
                if busy and isUnderWay():
                    killed = busy[0]
                    os.kill(killed, signal.SIGKILL)
                    progress = time.time() - start
            else:
                after |= set(found) - before
            time.sleep(0.02)
    if process.returncode != ends:
        sys.exit(f"{name}: exit code {process.returncode}\n" + log.read_text(errors="replace")[-3000:])
    if killed is None:
        sys.exit(f"{name}: ended before a worker could be killed; ask for more images")
    if not after:
        sys.exit(f"{name}: nobody came in the place of the dead worker")
    return {"seconds": round(time.time() - start, 1), "killed_after_seconds": round(progress, 1)}


isStream = lambda words: "prune --stream" in words and not words.startswith("sh ") and "python" not in words
isJob = lambda words: " prune " in words and words.split(" ")[0] == FLAGS.vtok


# MARK: Outputs: {file below the folder of images: (bytes of tokens, kept patches), or None where it failed}


def of_folder(folder):
    from safetensors.numpy import load_file
    shards, found = {}, {}
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        name = row["file"]
        if row["status"] != "ok":
            found[name] = None
            continue
        if row["shard"] not in shards:
            shards = {row["shard"]: load_file(folder / f"tokens-{row['shard']:05}.safetensors")}
        tensors = shards[row["shard"]]
        found[name] = (tensors[f"{row['index']}.tokens"].tobytes(), tensors[f"{row['index']}.keep"].tolist())
    return found


def relative(path):
    return str(Path(path).relative_to(FLAGS.images))


def of_ray(folder):
    import pyarrow.parquet as pq
    rows = pq.read_table(folder).to_pylist()
    return rows, {relative(r["file"]): None if r["error"] else (r["tokens"], list(r["keep"])) for r in rows}


def of_spark(folder):
    import numpy as np
    rows = [json.loads(line) for path in sorted(folder.glob("part-*.gz")) for line in gzip.open(path)]
    found = {}
    for row in rows:
        tensors = row.get("tensors", {})
        content = {name: base64.b64decode(tensors[name]["base64"]) for name in ("tokens", "keep") if name in tensors}
        kinds = {"I64": "<i8", "I32": "<i4"}
        found[relative(row["file"])] = None if row["status"] != "ok" else (
            content["tokens"], np.frombuffer(content["keep"], kinds[tensors["keep"]["dtype"]]).tolist())
    return rows, found


def check(name, found, expected, rows=None):
    if rows is not None and len(rows) != len(expected):
        sys.exit(f"{name}: {len(rows)} rows, expected {len(expected)}")
    differ = sorted(file for file in expected.keys() | found.keys() if found.get(file, 0) != expected.get(file, 1))
    if differ:
        sys.exit(f"{name}: {len(differ)} images differ from one process, such as {differ[:3]}")


# MARK: Engines


def ray(expected):
    out = FLAGS.folder / "ray"
    told = run("ray", [sys.executable, ROOT / "contrib/ray/prune.py", FLAGS.list, out, "--workers", "2", "--batch", "50",
                       "--method", REDUCTION[1], "--keep-ratio", REDUCTION[3]],
               lambda words: words.startswith("ray::") and "Prune" in words, lambda: any(out.glob("*.parquet")),
               env={"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"})
    rows, found = of_ray(out)
    check("ray", found, expected, rows)
    return told


def spark(expected):
    out = FLAGS.folder / "spark"
    told = run("spark", [sys.executable, ROOT / "contrib/spark/prune.py", FLAGS.list, out, "--master", "local[2,4]",
                         "--partitions", "8", "--vtok", FLAGS.vtok, "--", *REDUCTION],
               isStream, lambda: any(out.glob("**/part-*.gz")), env={"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"})
    if "PIPE_FUNCTION_EXITED" not in (FLAGS.folder / "spark.log").read_text(errors="replace"):
        sys.exit("spark: no task failed, though its worker was killed")
    rows, found = of_spark(out)
    check("spark", found, expected, rows)
    return told


def parallel(expected):
    """One job for each of eight tar shards."""
    shards, out = FLAGS.folder / "shards", FLAGS.folder / "parallel"
    shards.mkdir()
    files = sorted(expected)
    for index in range(8):
        with tarfile.open(shards / f"{index:05}.tar", "w") as tar:
            for file in files[index * len(files) // 8 : (index + 1) * len(files) // 8]:
                tar.add(FLAGS.images / file, arcname=Path(file).name)
    told = run("parallel", [ROOT / "contrib/parallel/prune.sh", shards, out, *REDUCTION], isJob,
               lambda: any(out.glob("*/manifest.jsonl")), env={"VTOK": FLAGS.vtok, "PARALLEL": "-j2"})
    found = {}
    for folder in out.glob("[0-9]*"):
        found |= {name.rpartition("/")[2]: value for name, value in of_folder(folder).items()}
    check("parallel", found, {Path(file).name: value for file, value in expected.items()})
    return told


def slurm(expected):
    """Four tasks of an array, two side by side as a node with two cores runs them; a killed one is queued again."""
    out = FLAGS.folder / "slurm"
    array = 'for task in 7 8 9 10; do echo $task; done | xargs -P2 -I{} sh -c \'for try in 1 2; do ' \
            'SLURM_ARRAY_TASK_ID={} "$@" && exit 0; done; exit 1\' sh "$@"'
    told = run("slurm", ["sh", "-c", array, "sh", ROOT / "contrib/slurm/prune.sbatch", FLAGS.images, out, *REDUCTION], isJob,
               lambda: any(out.glob("shard-*/tokens-*")), env={
                   "VTOK": FLAGS.vtok, "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "7", "SLURM_CPUS_PER_TASK": "1"})
    merged = subprocess.run([FLAGS.vtok, "prune", "--merge", out, "--quiet"], capture_output=True, text=True)
    if merged.returncode not in (0, 3):
        sys.exit(f"slurm: {merged.stderr}")
    check("slurm", of_folder(out), expected)
    one = FLAGS.folder / "one"
    for path in [one / "manifest.jsonl", *one.glob("tokens-*")]:
        if path.read_bytes() != (out / path.name).read_bytes():
            sys.exit(f"slurm: {path.name} is another than that of one process")
    return told


ENGINES = {"ray": ray, "spark": spark, "parallel": parallel, "slurm": slurm}
# What an engine needs that pip does not bring.
NEEDS = {"spark": "java", "parallel": "parallel"}


def version(module):
    from importlib.metadata import version as of
    return of(module)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vtok")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--results")
    parser.parse_args(namespace=FLAGS)
    FLAGS.vtok = os.path.abspath(FLAGS.vtok)
    FLAGS.folder = ROOT / ".build/scale"
    shutil.rmtree(FLAGS.folder, ignore_errors=True)
    FLAGS.images, FLAGS.list = FLAGS.folder / "in", FLAGS.folder / "list.txt"
    paths = images.make(FLAGS.images, FLAGS.count)
    FLAGS.list.write_text("".join(f"{path}\n" for path in paths))

    start = time.time()
    subprocess.run([FLAGS.vtok, "prune", FLAGS.images, "-o", FLAGS.folder / "one", "--threads", "2", "--quiet", *REDUCTION],
                   stdout=subprocess.DEVNULL)
    expected = of_folder(FLAGS.folder / "one")
    failed = sum(value is None for value in expected.values())
    assert len(expected) == FLAGS.count and failed == FLAGS.count // 200, "the job of one process is not what it should be"
    told = {"one": {"seconds": round(time.time() - start, 1)}}
    print(f"one process, two threads: {FLAGS.count} images, {failed} of them cut, {told['one']['seconds']} s")
    for name in FLAGS.engine or ENGINES:
        if (need := NEEDS.get(name)) and not shutil.which(need):
            print(f"{name}: skipped, there is no {need}")
            continue
        told[name] = ENGINES[name](expected)
        print(f"{name}: the same bytes, a worker killed after {told[name]['killed_after_seconds']} s, {told[name]['seconds']} s in all")
    if FLAGS.results:
        about = {"schema": "vtok-scale-test/1", "date": time.strftime("%Y-%m-%d"), "images": FLAGS.count, "cut": failed, "workers": 2,
                 "cores": os.cpu_count(), "python": platform.python_version(), "ray": version("ray"), "pyspark": version("pyspark")}
        Path(FLAGS.results).write_text(json.dumps({**about, "runs": told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
