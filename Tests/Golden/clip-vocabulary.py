#!/usr/bin/env python3
"""Fetches the published CLIP merges (48,894 lines) for the golden case `full_vocab_ids`.

usage: clip-vocabulary.py FOLDER

They come with the wheel of open_clip_torch on PyPI (MIT licence), which is downloaded, not installed; nothing of it is
kept but the list of merges, written to FOLDER/merges.txt.
"""
import glob
import gzip
import io
import os
import subprocess
import sys
import tempfile
import zipfile

folder = sys.argv[1]
target = os.path.join(folder, "merges.txt")
if os.path.exists(target):
    sys.exit(0)
with tempfile.TemporaryDirectory() as work:
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
         "--dest", work, "open_clip_torch==3.3.0"], check=True, timeout=120)
    wheel = zipfile.ZipFile(glob.glob(os.path.join(work, "*.whl"))[0])
    name = next(n for n in wheel.namelist() if n.endswith("bpe_simple_vocab_16e6.txt.gz"))
    lines = gzip.open(io.BytesIO(wheel.read(name)), "rt", encoding="utf-8").read().split("\n")
os.makedirs(folder, exist_ok=True)
with open(target + ".part", "w", encoding="utf-8") as out:
    # Line 0 is a comment, and CLIP uses 49408 - 2 special - 512 byte symbols = 48894 of the merges.
    out.write("\n".join(lines[1:48895]) + "\n")
os.replace(target + ".part", target)
