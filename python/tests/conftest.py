"""What the tests share: the command whose results the package's must equal, pictures, a model of images and text."""

import base64
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "Images"
MODEL = str(ROOT / "Benchmarks/models/vqa-small")
NAMES = ["cat.jpg", "ship.jpg", "automobile-palette.png", "skyline-wide.jpg"]


class Command:
    """The command vtok."""

    def __call__(self, *arguments, input=None, status=0):
        done = subprocess.run([os.environ["VTOK"], *map(str, arguments)], input=input, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done

    def rows(self, *arguments, input, status=0):
        return [json.loads(line) for line in self(*arguments, input=input, status=status).stdout.splitlines()]

    def json(self, *arguments):
        return json.loads(self(*arguments, "--format", "json").stdout)

    def error(self, *arguments, status=2):
        """The line of an error, without the command's name."""
        line = self(*arguments, status=status).stderr.splitlines()[-1]
        assert line.startswith("vtok: error: ")
        return line.removeprefix("vtok: error: ")


@pytest.fixture(scope="session")
def command():
    return Command()


@pytest.fixture(scope="session")
def paths():
    return [str(PICTURES / name) for name in NAMES]


def tensors(row):
    """The tensors of a row of `vtok prune --stream`."""
    types = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(base64.b64decode(value["base64"]), types[value["dtype"]]).reshape(value["shape"])
        for name, value in row["tensors"].items()
    }
