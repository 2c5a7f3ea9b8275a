"""Questions about images."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable

import numpy as np

from . import _native
from .errors import RequestError
from .images import ImageLike, native
from .pipeline import Opened


@dataclass(frozen=True)
class Answer:
    """What a model said, and what it cost."""

    text: str
    #: int64: the new tokens, the stop token included.
    ids: np.ndarray
    #: Whether the model ended the answer itself.
    is_complete: bool
    #: What the command writes about the answer: tokens, multiply-adds, megabytes of the cache, times.
    row: dict[str, Any] = field(default_factory=dict)


class Generator(Opened):
    """A vision-language model with a method. It may be used from several threads at once.

    Args:
        model: a directory as downloaded, or a text model in GGUF with ``mmproj``.
        method, keep_ratio, keep_tokens: as of a ``Pipeline``; methods may act inside the language model too.
        more: ``mmproj``, ``processor``, ``precision``, ``template``, ``companion``, ``max_pixels``, ``raw_orientation``,
            ``alpha``: as the flags of the command.
    """

    _kind = "generator"

    def __init__(
        self,
        model: str | os.PathLike[str],
        method: str | None = None,
        *,
        keep_ratio: float | None = None,
        keep_tokens: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(model=model, method=method, keep_ratio=keep_ratio, keep_tokens=keep_tokens, **more)

    def __call__(
        self,
        prompt: str,
        images: ImageLike | Iterable[ImageLike] = (),
        *,
        system: str | None = None,
        max_tokens: int = 256,
        temperature: float = 0,
        top_p: float = 1,
        seed: int = 0,
        threads: int | None = None,
        receive: Callable[[str], Any] | None = None,
    ) -> Answer:
        """Answers one question about images.

        Args:
            images: one, or several in the order the model sees them; see ``Pipeline``.
            receive: gets the answer piece by piece; what it raises ends the answer and is raised here. False ends the
                answer where it is.
            threads: None: all cores.
        """
        if isinstance(images, (list, tuple)) or hasattr(images, "__next__"):
            pictures = list(images)  # type: ignore[arg-type]
        else:
            pictures = [images]
        for what, value in (("max_tokens", max_tokens), ("top_p", top_p), ("threads", threads)):
            if value is not None and value <= 0:  # 0 stands for "the usual" in C
                raise RequestError(f"{what}: {value}, expected a number above 0. Correct it.")
        given = [native(picture, None, **self._decoding) for picture in pictures]
        question = _native.Question(
            size=ctypes.sizeof(_native.Question),
            prompt=prompt.encode(),
            system=_native.encoded(system),
            images=(_native.Image * len(given))(*(image for image, _ in given)),
            image_count=len(given),
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            threads=threads or 0,
        )
        raised: list[BaseException] = []

        def hear(piece: bytes, _: Any) -> int:
            try:
                return 1 if receive(piece.decode()) is False else 0  # type: ignore[misc]
            except BaseException as error:  # goes on where the question was asked
                raised.append(error)
                return 1

        heard = _native.Receiver(hear) if receive else _native.Receiver()
        handle = _native.library.vtok_generator_ask(self._owner.handle, question, heard, None)
        owner = _native.Owner(handle, "vtok_answer_free")
        if raised:
            raise raised[0]
        _native.checked(handle)
        return _answer(owner)


def _answer(owner: _native.Owner) -> Answer:
    count = ctypes.c_size_t()
    ids = _native.library.vtok_answer_ids(owner.handle, count)
    row = json.loads(_native.checked(_native.library.vtok_answer_row(owner.handle)))
    return Answer(
        text=_native.library.vtok_answer_text(owner.handle).decode(),
        ids=np.array(ids[: count.value], np.int64),
        is_complete=row["finish"] == "stop",
        row=row,
    )
