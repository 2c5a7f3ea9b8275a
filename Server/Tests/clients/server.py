"""A vtok-serve that runs for a test, and the command that it must agree with."""

import base64
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODELS = ROOT / "Benchmarks/models"
CONFIG = os.environ.get("CONFIG", "release")
VTOK = os.environ.get("VTOK", str(ROOT / f".build/{CONFIG}/vtok"))
SERVE = os.environ.get("VTOK_SERVE", str(ROOT / f"Server/.build/{CONFIG}/vtok-serve"))


class Server:
    """`with Server("vqa-small", "--queue", 0) as server:`"""

    def __init__(self, model, *flags, environment=None):
        self.model = model if model == "vtok-tiny" else str(MODELS / model)
        self.name = model
        self.flags = [str(flag) for flag in flags]
        self.environment = {**os.environ, **(environment or {})}

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.process = subprocess.Popen(
            [SERVE, "--model", self.model, "--port", "0", *self.flags], stderr=self.log, env=self.environment)
        end = time.time() + 60
        while not (found := re.search(r"http://([^/ ]+):(\d+)/v1", self.text())):
            if self.process.poll() is not None or time.time() > end:
                raise SystemExit(f"vtok-serve did not start: {self.text()}")
            time.sleep(0.05)
        self.host, self.port = found[1], int(found[2])
        self.url = f"http://{self.host}:{self.port}"
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def text(self):
        return pathlib.Path(self.log.name).read_text()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return reply.read().decode()

    def metric(self, name):
        """The sum of a metric over all its labels."""
        lines = [line for line in self.get("/metrics").splitlines() if re.match(re.escape(name) + r"[ {]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def memory(self):
        """What it holds, in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def file(path):
    return pathlib.Path(path).read_bytes()


def url(data):
    return "data:image/png;base64," + base64.b64encode(data).decode()


def question(text, *images):
    """The content of a message."""
    parts = [{"type": "image_url", "image_url": {"url": url(image)}} for image in images]
    return [{"role": "user", "content": parts + [{"type": "text", "text": text}]}]


def references(model):
    """(image file, question, what the trained model says) of a model of the repository."""
    folder = MODELS / model / "reference"
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    return [(file(folder / row["image"]), row["question"], row["generated"]) for row in rows]


def by_command(model, asked, *flags):
    """The rows of `vtok generate --stream` for (image, question) pairs."""
    lines = [json.dumps({"bytes": base64.b64encode(image).decode(), "prompt": text}) for image, text in asked]
    done = subprocess.run(
        [VTOK, "generate", "--stream", "--model", str(MODELS / model), *[str(flag) for flag in flags]],
        input="\n".join(lines), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(asked)
    return rows
