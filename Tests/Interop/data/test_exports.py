"""What `--export` writes, read by the libraries it is for, equals the token files."""

import json

import numpy as np
import pytest
import webdataset as wds
from safetensors.numpy import load_file


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def tokens(folder):
    """Tensors of the token files, by line of the manifest and name."""
    found = {}
    for path in sorted(folder.glob("tokens-*.safetensors")):
        for name, value in load_file(path).items():
            index, _, name = name.partition(".")
            found.setdefault(int(index), {})[name] = value
    return found


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_numpy(job, dtype):
    expected, lines = tokens(job / dtype), manifest(job / dtype)
    seen = []
    shards = sorted((job / dtype).glob("tokens-?????.npy"))
    assert len(shards) == 2
    for path in shards:
        def load(name):
            return np.load(path.with_suffix(f".{name}.npy"))

        rows, offsets, index = np.load(path, mmap_mode="r"), load("offsets"), load("index")
        keep, pooled = load("keep"), load("pooled")
        assert rows.dtype == (np.float32 if dtype == "f32" else np.float16)
        assert offsets[0] == 0 and offsets[-1] == len(rows) == len(keep) and len(pooled) == len(index)
        for place, line in enumerate(index):
            part = slice(offsets[place], offsets[place + 1])
            assert lines[line]["status"] == "ok"
            np.testing.assert_array_equal(rows[part], expected[line]["tokens"])
            np.testing.assert_array_equal(keep[part], expected[line]["keep"])
            np.testing.assert_array_equal(pooled[place], expected[line]["pooled"])
        seen += index.tolist()
    assert seen == sorted(expected) and len(seen) == 4


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_webdataset(job, dtype):
    expected, lines = tokens(job / dtype), manifest(job / dtype)
    shards = [str(path) for path in sorted((job / dtype).glob("tokens-*.tar"))]
    samples = list(wds.WebDataset(shards, shardshuffle=False, empty_check=False).decode())
    assert [int(sample["__key__"]) for sample in samples] == sorted(expected)
    for sample in samples:
        index = int(sample["__key__"])
        assert sample["json"] == lines[index]
        arrays = {key.removesuffix(".npy"): value for key, value in sample.items() if key.endswith(".npy")}
        assert arrays.keys() == expected[index].keys()
        for name, value in arrays.items():
            assert value.dtype == expected[index][name].dtype
            np.testing.assert_array_equal(value, expected[index][name])
