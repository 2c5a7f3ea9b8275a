import json

import PIL.Image
import pytest
import vtok
from conftest import MODEL, PICTURES

PROMPT = "what color is the shape?"
PICTURE = str(PICTURES / "cat.jpg")


@pytest.mark.parametrize(
    "method, given, flags",
    [
        (None, {}, []),
        ("divprune", {"keep_ratio": 0.25}, ["--keep-ratio", "0.25"]),
        ("fastv", {"keep_tokens": 16}, ["--keep-tokens", "16"]),
    ],
)
def test_answers_are_those_of_the_command(command, method, given, flags):
    flags = ["--model", MODEL, *(["--method", method] if method else []), *flags]
    sampling = ["--temperature", "0.7", "--top-p", "0.9", "--seed", "5", "--max-tokens", "12"]
    record = json.dumps({"image": PICTURE, "prompt": PROMPT})
    generator = vtok.Generator(MODEL, method, **given)
    for more, settings in ([], {}), (sampling, {"temperature": 0.7, "top_p": 0.9, "seed": 5, "max_tokens": 12}):
        row = command.rows("generate", "--stream", *flags, *more, input=record)[0]
        for image in (PICTURE, PIL.Image.open(PICTURE), [PICTURE]):
            answer = generator(PROMPT, image, **settings)
            assert answer.text == row["answer"]
            assert answer.ids.tolist() == row["ids"]
            assert answer.is_complete == (row["finish"] == "stop")
            for key in ("tokens", "gmacs", "kv_mb", "prompt_rows"):
                assert answer.row[key] == row[key]


def test_pieces_come_as_they_are_made():
    generator = vtok.Generator(MODEL)
    pieces = []
    answer = generator(PROMPT, PICTURE, receive=pieces.append)
    assert "".join(pieces) == answer.text and pieces
    assert generator(PROMPT, PICTURE, receive=lambda piece: False).ids.size == 1

    def fail(piece):
        raise KeyError(piece)

    with pytest.raises(KeyError):
        generator(PROMPT, PICTURE, receive=fail)


def test_errors():
    generator = vtok.Generator(MODEL)
    with pytest.raises(vtok.Error, match="an empty text"):
        generator(" ", PICTURE)
    with pytest.raises(vtok.RequestError, match="max_tokens: 0"):
        generator(PROMPT, PICTURE, max_tokens=0)
    with pytest.raises(vtok.ImageError, match="none.png"):
        generator(PROMPT, "none.png")
    with pytest.raises(vtok.ModelError, match="a vision-language model"):
        vtok.Generator("vtok-tiny")
    with pytest.raises(vtok.RequestError, match="question"):
        vtok.Generator(MODEL, question="what?")
