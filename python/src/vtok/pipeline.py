"""Tokens of images."""

from __future__ import annotations

import ctypes
import json
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator

import numpy as np

from . import _native
from .errors import Error, RequestError
from .images import ImageLike, native


@dataclass(frozen=True)
class Origin:
    """The patches that every token stands for, with weights: those of token i are at ``offsets[i]:offsets[i + 1]``."""

    offsets: np.ndarray
    patches: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Result:
    """What one image became. Arrays lie in memory of the library, which lives as long as one of them; none was copied."""

    #: ``[kept, width]`` float32, in sequence order; of a vision-language model behind projector and packing.
    tokens: np.ndarray
    #: ``[width]`` float32: the image's embedding; of a vision-language model the mean of the tokens.
    pooled: np.ndarray
    #: ``[kept]`` int64: the patch that each token stands on; -1: none.
    keep: np.ndarray
    origin: Origin
    #: ``[classes]`` float32, of a tower with a classifier.
    logits: np.ndarray | None = None
    #: ``[spans + 1]`` int64: where each visual span of a vision-language model begins, and the last one ends.
    spans: np.ndarray | None = None
    #: ``[kept, width]`` float32 each: rows that the first layers of a vision-language model add.
    deepstack: tuple[np.ndarray, ...] = ()
    #: What the command writes about the image: grid, budget, tokens in and out, multiply-adds, classes.
    row: dict[str, Any] = field(default_factory=dict)


def options(
    *,
    model: str | os.PathLike[str],
    method: str | None,
    keep_ratio: float | None,
    keep_tokens: int | None,
    mmproj: str | os.PathLike[str] | None = None,
    processor: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    template: str | None = None,
    companion: str | os.PathLike[str] | None = None,
    question: str | None = None,
    max_pixels: int | None = None,
    raw_orientation: bool = False,
    alpha: str = "white",
) -> _native.Options:
    # 0 stands for "none given" in C.
    if keep_ratio is not None and keep_ratio == 0:
        raise RequestError(
            "keep_ratio: 0, expected a number above 0 and at most 1. For a number of tokens use keep_tokens."
        )
    if keep_tokens is not None and keep_tokens == 0:
        raise RequestError("keep_tokens: 0, expected a whole number in 1...1000000. For a share use keep_ratio.")
    if alpha not in ("white", "drop"):
        raise RequestError(f"alpha: '{alpha}', expected white or drop. Name one of them.")
    return _native.Options(
        size=ctypes.sizeof(_native.Options),
        model=_native.path(model),
        mmproj=_native.path(mmproj),
        processor=_native.path(processor),
        method=_native.encoded(method),
        keep_ratio=keep_ratio or 0,
        keep_tokens=keep_tokens or 0,
        precision=_native.encoded(precision),
        chat_template=_native.encoded(template),
        companion=_native.path(companion),
        question=_native.encoded(question),
        max_pixels=max_pixels or 0,
        raw_orientation=raw_orientation,
        drop_alpha=alpha == "drop",
    )


class Opened:
    """A model that is open: what pipelines and generators share. Pickling one opens it anew where it arrives."""

    _kind: str

    def __init__(self, **given: Any) -> None:
        self._given = given
        handle = getattr(_native.library, f"vtok_{self._kind}_open")(options(**given))
        self._owner = _native.Owner(_native.checked(handle), f"vtok_{self._kind}_free")
        self._decoding = {
            "upright": not given.get("raw_orientation"),
            "on_white": given.get("alpha", "white") == "white",
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), self._given)

    @property
    def about(self) -> dict[str, Any]:
        """Model, its checksum, method, precision. The checksum reads all weights when it is first asked for."""
        text = getattr(_native.library, f"vtok_{self._kind}_about")(self._owner.handle)
        return json.loads(_native.checked(text))


def _reopened(kind: type, given: dict[str, Any]) -> Any:
    return kind(**given)


class Pipeline(Opened):
    """A vision tower, or a vision-language model as far as its language model, with a method.

    It may be used from several threads at once; an image in company equals the image alone, bit for bit.

    Args:
        model: a directory as downloaded, a text model in GGUF with ``mmproj``, or the name of an embedded model.
        method: ``NAME[:key=value,...]``, several joined with ``+``; None runs the model dense.
        keep_ratio: share of the dense model's visual tokens to keep, in (0, 1].
        keep_tokens: number of visual tokens to keep. Without a budget a method keeps half, or what it publishes.
        more: ``mmproj``, ``processor``, ``precision``, ``template``, ``companion``, ``question``, ``max_pixels``,
            ``raw_orientation``, ``alpha``: as the flags of the command.

    Raises:
        RequestError, ModelError: before weights load, where that can be.
    """

    _kind = "pipeline"

    def __init__(
        self,
        model: str | os.PathLike[str] = "vtok-tiny",
        method: str | None = None,
        *,
        keep_ratio: float | None = None,
        keep_tokens: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(model=model, method=method, keep_ratio=keep_ratio, keep_tokens=keep_tokens, **more)

    def __call__(self, image: ImageLike, *, seed: int = 0, name: str | None = None) -> Result:
        """Reduces one image.

        Args:
            image: a path, the bytes of a file (PNG, JPEG, WebP), an array ``[height, width, 3]`` or ``[height, width]`` of
                uint8, or an image of Pillow.
            seed: of methods that draw lots.
            name: in messages, and mixed into the seed; of a path it is the path.

        Raises:
            ImageError: for what cannot be read.
        """
        given, alive = native(image, name, **self._decoding)
        handle = _native.library.vtok_pipeline_run(self._owner.handle, given, seed)
        del alive
        return _result(_native.Owner(_native.checked(handle), "vtok_result_free"))

    def map(
        self, images: Iterable[ImageLike], *, threads: int | None = None, seed: int = 0, errors: str = "raise"
    ) -> Iterator[Result | Error]:
        """Results in the order of the images, so many side by side; few of them are in memory at a time.

        Args:
            threads: None: all cores.
            errors: "raise", or "return" to get the error in the place of an image that cannot be read.
        """
        if errors not in ("raise", "return"):
            raise RequestError(f"errors: '{errors}', expected raise or return. Name one of them.")
        return self._map(images, threads or os.cpu_count() or 1, seed, errors == "return")

    def _map(self, images: Iterable[ImageLike], threads: int, seed: int, returns: bool) -> Iterator[Result | Error]:
        def run(image: ImageLike) -> Result | Error:
            try:
                return self(image, seed=seed)
            except Error as error:
                if not returns:
                    raise
                return error

        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Any] = deque()
            for image in images:
                ahead.append(pool.submit(run, image))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()


def _result(owner: _native.Owner) -> Result:
    arrays: dict[str, np.ndarray] = {}
    for place in range(_native.library.vtok_result_count(owner.handle)):
        tensor = _native.Tensor()
        if _native.library.vtok_result_at(owner.handle, place, tensor):
            raise _native.error()
        arrays[tensor.name.decode()] = _native.array(owner, tensor)
    layers = sorted((name for name in arrays if name.startswith("deepstack.")), key=lambda name: int(name[10:]))
    return Result(
        tokens=arrays["tokens"],
        pooled=arrays["pooled"],
        keep=arrays["keep"],
        origin=Origin(arrays["origin.offsets"], arrays["origin.patches"], arrays["origin.weights"]),
        logits=arrays.get("logits"),
        spans=arrays.get("spans"),
        deepstack=tuple(arrays[name] for name in layers),
        row=json.loads(_native.checked(_native.library.vtok_result_row(owner.handle))),
    )
