import io
import pickle
import threading
import time

import numpy as np
import PIL.Image
import pytest
import vtok
from conftest import MODEL, PICTURES, tensors


def same(result, row):
    """A result and a row of the command, bit for bit."""
    expected = tensors(row)
    found = {
        "tokens": result.tokens,
        "pooled": result.pooled,
        "keep": result.keep,
        "origin.offsets": result.origin.offsets,
        "origin.patches": result.origin.patches,
        "origin.weights": result.origin.weights,
    }
    if result.spans is not None:
        found["spans"] = result.spans
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype and array.shape == expected[name].shape, name
        assert array.tobytes() == expected[name].tobytes(), name
    for key, value in result.row.items():
        assert value == row[key], key


@pytest.mark.parametrize(
    "method, flags, given",
    [
        (None, ["--method", "tome", "--keep-ratio", "1"], {"method": "tome", "keep_ratio": 1.0}),
        ("tome", [], {}),
        ("divprune", ["--keep-tokens", "40"], {"keep_tokens": 40}),
        ("random", ["--keep-ratio", "0.1", "--seed", "9"], {"keep_ratio": 0.1}),
        ("tome", ["--precision", "int8"], {"precision": "int8"}),
    ],
)
def test_results_are_those_of_the_command(command, paths, method, flags, given):
    flags = (["--method", method] if method else []) + flags
    rows = command.rows("prune", "--stream", *flags, input="\n".join(paths))
    pipeline = vtok.Pipeline(**{"method": method, **given})
    seed = 9 if "--seed" in flags else 0
    for path, row in zip(paths, rows):
        same(pipeline(path, seed=seed), row)
        with open(path, "rb") as file:
            same(pipeline(file.read(), seed=seed, name=path), row)


def test_a_visual_pipeline_is_that_of_the_command(command, paths):
    flags = ["--model", MODEL, "--method", "divprune", "--keep-ratio", "0.25"]
    rows = command.rows("prune", "--stream", *flags, input="\n".join(paths))
    pipeline = vtok.Pipeline(MODEL, "divprune", keep_ratio=0.25)
    assert pipeline.about["kind"] == "visual"
    for path, row in zip(paths, rows):
        result = pipeline(path)
        assert result.spans is not None and result.logits is None
        same(result, row)


def test_a_picture_may_come_in_any_form(paths):
    pipeline = vtok.Pipeline(method="divprune", keep_ratio=0.25)
    for path in paths:
        expected = pipeline(path).tokens
        image = PIL.Image.open(path)
        assert (pipeline(image).tokens == expected).all()
        array = np.asarray(image.convert("RGB"))
        assert (pipeline(array).tokens == expected).all()
        # Rows that lie apart are read where they are; other orders are copied.
        wide = np.zeros((array.shape[0], array.shape[1] + 7, 3), np.uint8)
        wide[:, 3:-4] = array
        assert (pipeline(wide[:, 3:-4]).tokens == expected).all()
        assert (pipeline(np.asfortranarray(array)).tokens == expected).all()
        assert (pipeline(np.ascontiguousarray(array[::-1])[::-1]).tokens == expected).all()


def test_grey_and_transparent_pictures_are_as_in_their_files(tmp_path):
    pipeline = vtok.Pipeline()
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (40, 50), np.uint8)
    rgba = random.integers(0, 256, (40, 50, 4), np.uint8)
    for number, image in enumerate(
        [
            PIL.Image.fromarray(grey),
            PIL.Image.fromarray(rgba, "RGBA"),
            PIL.Image.fromarray(rgba[..., :2].copy(), "LA"),
            PIL.Image.fromarray(rgba[..., :3].copy()).quantize(16),
        ]
    ):
        path = tmp_path / f"{number}.png"
        image.save(path)
        assert (pipeline(path).tokens == pipeline(image).tokens).all(), image.mode
    assert (pipeline(grey).tokens == pipeline(PIL.Image.fromarray(grey)).tokens).all()
    turned = PIL.Image.fromarray(rgba[..., :3].copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = pipeline(tmp_path / "turned.png").tokens
    stored = vtok.Pipeline(raw_orientation=True)
    with PIL.Image.open(tmp_path / "turned.png") as image:
        assert (pipeline(image).tokens == upright).all()
        assert (stored(image).tokens == stored(tmp_path / "turned.png").tokens).all()
    assert (stored(tmp_path / "turned.png").tokens != upright).any()
    dropped = vtok.Pipeline(alpha="drop")
    assert (dropped(PIL.Image.fromarray(rgba, "RGBA")).tokens == dropped(tmp_path / "1.png").tokens).all()


def test_arrays_are_not_copied_and_outlive_the_pipeline():
    pipeline = vtok.Pipeline(method="tome")
    result = pipeline(PICTURES / "cat.jpg")
    tokens, text = result.tokens, result.tokens.tobytes()
    assert not tokens.flags.owndata and tokens.flags.c_contiguous and tokens.ctypes.data % 64 == 0
    del result, pipeline
    junk = [vtok.Pipeline()(PICTURES / "ship.jpg") for _ in range(3)]
    assert tokens.tobytes() == text and junk


def test_memory_is_given_back():
    pipeline = vtok.Pipeline()
    image = np.zeros((32, 32, 3), np.uint8)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(10):
        pipeline(image)
    before = resident()
    for _ in range(60):  # 200 kB of tokens each
        pipeline(image)
    assert resident() - before < 6e6


def test_map_keeps_the_order_and_the_bits(paths, tmp_path):
    pipeline = vtok.Pipeline(method="random", keep_tokens=9)
    alone = [pipeline(path, seed=3) for path in paths]
    for threads in (1, 3):
        for result, expected in zip(pipeline.map(iter(paths), threads=threads, seed=3), alone, strict=True):
            assert (result.tokens == expected.tokens).all()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    found = list(pipeline.map([paths[0], broken, paths[1]], errors="return"))
    assert isinstance(found[1], vtok.ImageError) and str(broken) in str(found[1])
    assert (found[2].keep == pipeline(paths[1]).keep).all()
    with pytest.raises(vtok.ImageError):
        list(pipeline.map([paths[0], broken]))


def test_other_threads_go_on_while_it_runs(paths):
    pipeline = vtok.Pipeline()
    calls, times = [], []

    def work():
        for _ in range(5):
            start = time.perf_counter()
            pipeline(paths[0])
            calls.append((start, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    while worker.is_alive():
        times.append(time.perf_counter())
    # With the lock held nothing would happen here between the start of a call and its end.
    assert max(sum(start < time < end for time in times) for start, end in calls) > 50


@pytest.mark.parametrize(
    "flags, given",
    [
        (["--method", "tomee"], {"method": "tomee"}),
        (["--method", "tome:r=a"], {"method": "tome:r=a"}),
        (["--method", "fastv"], {"method": "fastv"}),
        (["--method", "divprune", "--model", "/nowhere"], {"method": "divprune", "model": "/nowhere"}),
        (["--precision", "int4"], {"precision": "int4"}),
    ],
)
def test_errors_say_what_the_command_says(command, tmp_path, flags, given):
    with pytest.raises(vtok.Error) as error:
        vtok.Pipeline(**given)
    status = 1 if isinstance(error.value, vtok.ModelError) else 2
    line = command.error("prune", PICTURES, "-o", tmp_path / "out", *flags, status=status)
    assert line.startswith(str(error.value))


def test_pictures_that_cannot_be_read(command, paths, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((PICTURES / "cat.jpg").read_bytes()[:3000])
    wrong = [tmp_path / "none.png", tmp_path / "empty.png", cut]
    rows = command.rows("prune", "--stream", input="\n".join(map(str, wrong)), status=3)
    pipeline = vtok.Pipeline()
    for path, row in zip(wrong, rows, strict=True):
        with pytest.raises(vtok.ImageError) as error:
            pipeline(path)
        assert str(error.value) == row["error"]["message"]
        if path.exists():
            with pytest.raises(vtok.ImageError) as error:
                pipeline(path.read_bytes(), name=str(path))
            assert str(error.value) == row["error"]["message"]
    with pytest.raises(vtok.ImageError, match="uint8"):
        pipeline(np.zeros((3, 4, 3), np.float32))
    with pytest.raises(vtok.ImageError, match="sides of at least 1"):
        pipeline(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(TypeError, match="a Pillow image"):
        pipeline(3)
    for given in ({"keep_ratio": 0}, {"keep_ratio": 1.5}, {"keep_tokens": 0}, {"keep_tokens": -3}, {"alpha": "red"}):
        with pytest.raises(vtok.RequestError, match=next(iter(given))):
            vtok.Pipeline(method="tome", **given)


def test_a_pipeline_travels():
    pipeline = vtok.Pipeline("vtok-tiny", "divprune", keep_ratio=0.25)
    other = pickle.loads(pickle.dumps(pipeline))
    path = PICTURES / "cat.jpg"
    assert (other(path).tokens == pipeline(path).tokens).all()
    assert other.about == pipeline.about
    assert pipeline.about["width"] == 192 and len(pipeline.about["labels"]) == 10
    buffer = io.BytesIO(path.read_bytes())
    assert (other(buffer.getbuffer()).keep == pipeline(path).keep).all()
