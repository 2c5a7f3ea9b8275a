"""The command, pictures, and a job that has one broken picture among good ones."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PICTURES = Path(__file__).resolve().parents[3] / "Images"
NAMES = ["automobile-palette.png", "cat.jpg", "ship.jpg", "spheres.jpg"]


def vtok(*arguments, status=0):
    done = subprocess.run([os.environ["VTOK"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="session")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    (folder / "in").mkdir()
    for name in NAMES:
        shutil.copy(PICTURES / name, folder / "in" / name)
    (folder / "in/broken.png").write_bytes(b"no image")
    for dtype in ("f32", "f16"):
        vtok(
            "prune", folder / "in", "-o", folder / dtype, "--method", "tome", "--dtype", dtype,
            "--keep-ratio", "0.25", "--shard-size", "3", "--export", "npy", "--export", "webdataset", status=3,
        )
    return folder
