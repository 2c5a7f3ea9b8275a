#!/usr/bin/env python3
"""Runs the fuzzing targets, one process each, and says what was found and where the input lies.

usage: run.py [--seconds N] [--jobs N] [--seed N] [--results FILE] [TARGET ...]     after `make fuzz-build`

0 seconds: the corpus alone. What a run learns is kept in .build/corpus for the next one. Exit codes: 0 no finding,
1 findings, 2 usage.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE / ".build"
FUZZ = BUILD / "release" / "fuzz"
TIMEOUT = 2  # seconds for one input
COUNTERS = 50_000  # fewer are those of C alone
LIMITS = [f"-timeout={TIMEOUT}", "-rss_limit_mb=512", "-malloc_limit_mb=256"]


def environment(target):
    sanitizer = "allocator_may_return_null=1:quarantine_size_mb=8:handle_abort=1"
    own = {"FUZZ_TARGET": target, "FUZZ_MODELS": str(BUILD / "models"), "ASAN_OPTIONS": sanitizer}
    leaks = {"LSAN_OPTIONS": f"suppressions={HERE / 'leaks.txt'}:print_suppressions=0"}
    return os.environ | own | leaks | {"SWIFT_BACKTRACE": "enable=no"}


def known_targets():
    listing = subprocess.run([FUZZ, "-runs=1"], env=environment("list"), capture_output=True, text=True)
    return listing.stdout.split()


def is_slow(target, path):
    """Whether an input takes too long by itself too, not only beside other work on the machine."""
    best = float("inf")
    for _ in range(3):
        start = time.monotonic()
        subprocess.run([FUZZ, "-timeout=60", path], env=environment(target), capture_output=True)
        best = min(best, time.monotonic() - start)
    return best > TIMEOUT


def run(target, seconds, seed):
    """One target to the end of its time or to its first finding."""
    corpus, findings = BUILD / "corpus" / target, BUILD / "findings"
    for folder in [corpus, findings]:
        folder.mkdir(parents=True, exist_ok=True)
    dictionary = HERE / "dictionaries" / f"{target}.dict"
    end = time.monotonic() + seconds
    row = {"target": target, "seconds": seconds, "cpu_seconds": 0, "executions": 0}
    while True:
        left = max(1, round(end - time.monotonic()))
        command = [FUZZ, corpus, BUILD / "seeds" / target, *LIMITS, f"-seed={seed}", "-print_final_stats=1"]
        command += [f"-artifact_prefix={findings}/{target}-", "-runs=0" if seconds == 0 else f"-max_total_time={left}"]
        if dictionary.exists():
            command.append(f"-dict={dictionary}")
        log = BUILD / f"{target}.log"
        with open(log, "w") as file:
            process = subprocess.Popen(command, env=environment(target), stdout=file, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            code = process.returncode = os.waitstatus_to_exitcode(status)
        row["cpu_seconds"] = round(row["cpu_seconds"] + usage.ru_utime + usage.ru_stime)
        text = log.read_text(errors="replace")
        add(row, text)
        artifact = re.search(r"Test unit written to (\S+)", text)
        if code == 0:
            counters = re.search(r"\((\d+) inline 8-bit counters\)", text)
            blind = counters is None or int(counters[1]) < COUNTERS
            return row, "the build counts no branches of Swift code, so nothing was searched" if blind else None
        if artifact and "/%s-timeout-" % target in artifact[1] and not is_slow(target, artifact[1]) and time.monotonic() < end:
            seed += 1
            continue
        kind = re.search(r"SUMMARY: (.*)", text)
        reason = re.search(r"(Fatal error.*|.*runtime error:.*)", text)
        place = re.search(r"#\d+ .* in .*/((?<!Fuzz/)Sources/\S+:\d+)", text)
        what = reason[1] if reason else kind[1] if kind else f"ended with code {code}"
        what += f" at {place[1]}" if place else ""
        return row, f"{what}\n  input: {artifact[1] if artifact else 'none'}\n  log: {log}"


def add(row, text):
    """What libFuzzer says of one process."""
    def last(pattern):
        found = re.findall(pattern, text)
        return int(found[-1]) if found else 0

    row["executions"] += last(r"stat::number_of_executed_units:\s+(\d+)") or last(r"#(\d+)\s+DONE")
    row["edges"] = last(r"cov: (\d+)")
    row["features"] = last(r"ft: (\d+)")
    row["corpus"] = last(r"corp: (\d+)")
    row["peak_mb"] = last(r"stat::peak_rss_mb:\s+(\d+)")


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    swift = subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout
    return {"processor": model, "swift": re.search(r"Swift version (\S+)", swift)[1]}


def keep(path, about, rows):
    """Rows of this run; those of other targets stay as an earlier run left them."""
    ran = {row["target"] for row in rows}
    others = json.loads(path.read_text())["targets"] if path.exists() else []
    rows = [row for row in others if row["target"] not in ran] + [about | row for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"targets": rows}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--results")
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    known = known_targets()
    unknown = [name for name in given.targets if name not in known]
    if unknown or not known:
        print(f"no target {', '.join(unknown)}; there are {', '.join(known)}" if known else f"{FUZZ} does not run")
        sys.exit(2)
    subprocess.run([sys.executable, HERE / "corpora.py", BUILD], check=True)
    rows, failed = [], 0
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        runs = {name: pool.submit(run, name, given.seconds, given.seed) for name in given.targets or known}
        for name, future in runs.items():
            row, finding = future.result()
            rows.append(row | {"finding": bool(finding)})
            numbers = f"{row['executions']} inputs, {row['edges']} edges, {row['corpus']} kept, {row['peak_mb']} MB"
            print(f"{name}: {numbers}" + (f"\n  FOUND {finding}" if finding else ""), flush=True)
            failed += bool(finding)
    if given.results:
        keep(pathlib.Path(given.results), {"seed": given.seed, "jobs": given.jobs} | machine(), rows)
    if failed:
        print(f"{failed} of {len(rows)} targets with a finding; try one input: FUZZ_TARGET=NAME {FUZZ.relative_to(HERE.parent)} INPUT")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
