import json

import pytest
import vtok
from conftest import MODEL, PICTURES


def plain(rows):
    """Rows without what differs from run to run: times and where results come from."""
    timed = ("run", "ms", "speedup", "images_per_s", "tokens_per_s", "peak_memory_mb")
    return [{key: value for key, value in row.items() if not key.startswith(timed)} for row in rows]


def test_rows_are_those_of_the_command(command):
    flags = ["--data", PICTURES, "--limit", "3", "--timing-samples", "0", "--seeds", "2"]
    expected = command.json("bench", "images", *flags, "--method", "divprune", "--method", "tome", "--keep-ratio", "0.5,0.25")
    heard = []
    found = vtok.bench(
        PICTURES, ["divprune", "tome"], keep_ratio=[0.5, 0.25], limit=3, timing_samples=0, seeds=2,
        progress=lambda *counts: heard.append(counts),
    )
    assert plain(found.rows) == plain(expected)
    assert heard[-1] == (3, 3, 0) and found.failures == [] and "vtok-tiny" in found.title
    assert "command" not in found.rows[0]["run"]


def test_questions_are_those_of_the_command(command, tmp_path):
    data = tmp_path / "questions.jsonl"
    lines = [
        {"image": str(PICTURES / name), "question": "what color is it?", "answers": ["red"], "metric": "exact"}
        for name in ("cat.jpg", "ship.jpg")
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["--data", data, "--model", MODEL, "--timing-samples", "0", "--seeds", "2"]
    expected = command.json("bench", "questions", *flags, "--method", "fastv", "--keep-tokens", "16")
    found = vtok.bench(data, "fastv", model=MODEL, keep_tokens=16, timing_samples=0, seeds=2)
    assert plain(found.rows) == plain(expected)


def test_errors():
    with pytest.raises(vtok.RequestError, match="no such file or folder"):
        vtok.bench("/nowhere", "tome")
    with pytest.raises(vtok.RequestError, match="the key 'what'"):
        vtok.bench(PICTURES, "tome", what=1)
    with pytest.raises(vtok.RequestError, match="tomee"):
        vtok.bench(PICTURES, "tomee")

    def stop(*counts):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vtok.bench(PICTURES, "tome", progress=stop)
