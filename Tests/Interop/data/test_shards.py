"""Shards that WebDataset's own writer made, as img2dataset does, read by the command."""

import io
import json
import tarfile

import pytest
import webdataset as wds
from conftest import NAMES, PICTURES, vtok


def rows(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def plain(row):
    """A row without its place and name."""
    return {key: value for key, value in row.items() if key not in ("index", "file", "shard")}


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(2):
        with wds.TarWriter(str(folder / f"{shard:05d}.tar")) as writer:
            for place, name in enumerate(NAMES[2 * shard : 2 * shard + 2]):
                key = f"{shard:05d}{place:04d}"
                about = {"url": "http://localhost/" + name, "key": key}
                image = {name.split(".")[-1]: (PICTURES / name).read_bytes()}
                writer.write({"__key__": key, **image, "txt": "a caption", "json": json.dumps(about).encode()})
        (folder / f"{shard:05d}_stats.json").write_text("{}")
    return folder


def test_a_folder_of_shards(shards, tmp_path):
    flags = ["--method", "divprune", "--keep-ratio", "0.25"]
    vtok("prune", shards, "-o", tmp_path / "shards", *flags)
    vtok("prune", *(PICTURES / name for name in NAMES), "-o", tmp_path / "files", *flags)
    found, expected = rows(tmp_path / "shards"), rows(tmp_path / "files")
    endings = [name.split(".")[-1] for name in NAMES]
    keys = ["00000.tar/000000000", "00000.tar/000000001", "00001.tar/000010000", "00001.tar/000010001"]
    assert [row["file"] for row in found] == [f"{key}.{ending}" for key, ending in zip(keys, endings)]
    assert [plain(row) for row in found] == [plain(row) for row in expected]
    tokens = [(tmp_path / name / "tokens-00000.safetensors").read_bytes() for name in ("shards", "files")]
    assert tokens[0] == tokens[1]


def test_a_job_on_shards_goes_on(shards, tmp_path):
    first = vtok("prune", shards, "-o", tmp_path / "out").stdout
    again = vtok("prune", shards, "-o", tmp_path / "out").stdout
    assert "4 done before" in again and "done before" not in first


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_form(form, tmp_path):
    picture = (PICTURES / "spheres.jpg").read_bytes()
    names = ["a.jpg", "deep/" * 20 + "b.jpg", "ü" * 30 + ".jpg", "./c.JPG", "no.txt"]
    if form != tarfile.USTAR_FORMAT:
        names.append("long" * 60 + "/" + "name" * 50 + ".jpg")
    with tarfile.open(tmp_path / "all.tar", "w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            archive.addfile(info, io.BytesIO(picture))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
        archive.addfile(link)
    vtok("prune", tmp_path / "all.tar", "-o", tmp_path / "out")
    found = {row["file"].removeprefix(f"{tmp_path}/all.tar/") for row in rows(tmp_path / "out")}
    assert found == {name.removeprefix("./") for name in names if not name.endswith(".txt")}
