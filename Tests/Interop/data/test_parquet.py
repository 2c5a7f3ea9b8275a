"""Parquet in and out through the Python package: datasets writes the pictures, pyarrow and datasets read the tokens."""

import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vtok
from conftest import NAMES, PICTURES
from vtok import data


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A table as the Hub has them: structs with the bytes of a file, and its name."""
    folder = tmp_path_factory.mktemp("parquet")
    rows = [
        {"image": {"bytes": (PICTURES / name).read_bytes(), "path": name}, "label": label}
        for label, name in enumerate(NAMES)
    ]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_list(rows, features=features).to_parquet(str(folder / "train-00000.parquet"))
    return folder / "train-00000.parquet"


def test_there_and_back(source, tmp_path):
    pipeline = vtok.Pipeline(method="random", keep_tokens=17)
    found = list(data.pictures(source))
    assert [picture.name for picture in found] == NAMES
    found.insert(2, data.Picture(b"no image", "broken.png"))
    found.append(data.Picture(None, "empty"))
    path = tmp_path / "tokens.parquet"
    assert data.write_parquet(path, data.prune(pipeline, found, seed=3), rows_per_group=4) == 2

    expected = {name: pipeline((PICTURES / name).read_bytes(), name=name, seed=3) for name in NAMES}
    table = pq.read_table(path)
    assert table.column("file").to_pylist() == [picture.name for picture in found]
    assert pq.ParquetFile(path).num_row_groups == 2
    read = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    for rows in (table.to_pylist(), list(read)):
        for row in rows:
            if row["file"] in expected:
                result = expected[row["file"]]
                assert row["error"] is None
                np.testing.assert_array_equal(np.array(row["tokens"], np.float32), result.tokens)
                assert row["keep"] == result.keep.tolist()
                np.testing.assert_array_equal(np.array(row["pooled"], np.float32), result.pooled)
                assert json.loads(row["row"]) == result.row
            else:
                assert row["error"].startswith(row["file"]) and row["tokens"] is None and row["keep"] is None


def test_a_column_of_bytes(tmp_path):
    picture = (PICTURES / "cat.jpg").read_bytes()
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"a": [1, 2], "jpg": [picture, None]}), path)
    found = list(data.pictures(str(tmp_path / "*.parquet")))
    assert found == [data.Picture(picture, f"{path}#0"), data.Picture(None, f"{path}#1")]
    assert list(data.pictures([path, path], "jpg")) == 2 * found


def test_what_cannot_be_read_is_said(source, tmp_path):
    with pytest.raises(vtok.RequestError, match="no such file"):
        list(data.pictures("/nowhere/*.parquet"))
    with pytest.raises(vtok.RequestError, match="no such column 'label'"):
        list(data.pictures(source, "label"))
    path = tmp_path / "none.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(vtok.RequestError, match="the columns a"):
        list(data.pictures(path))
    broken = [("x", vtok.ImageError("x: broken"))]
    with pytest.raises(vtok.RequestError, match="x: broken"):
        data.write_parquet(tmp_path / "out.parquet", iter(broken))
    assert not list(tmp_path.glob("out.parquet*"))
