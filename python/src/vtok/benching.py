"""Methods beside the rows that they must beat."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from . import _native


@dataclass(frozen=True)
class Bench:
    """A table of a bench."""

    #: One for every method and budget, the dense model first: as ``vtok bench --format json`` writes them.
    rows: list[dict[str, Any]]
    title: str = ""
    #: How times were taken, and what was left out.
    remarks: list[str] = field(default_factory=list)
    #: What is wrong with the items that could not be read.
    failures: list[str] = field(default_factory=list)


def bench(
    data: str | os.PathLike[str],
    methods: str | Sequence[str] = (),
    *,
    model: str | os.PathLike[str] = "vtok-tiny",
    keep_ratio: float | Sequence[float] | None = None,
    keep_tokens: int | Sequence[int] | None = None,
    progress: Callable[[int, int, int], Any] | None = None,
    **more: Any,
) -> Bench:
    """Runs methods on the same images, or on the same questions where ``data`` is a .jsonl file.

    Args:
        data: class folders, a list file, CIFAR-10 .bin files, a folder of images, or questions (.jsonl).
        methods: rows for the dense model, chance and a smaller image are always there.
        progress: called with items done, all items, and items that failed, from any thread.
        more: ``mmproj``, ``processor``, ``precision``, ``template``, ``companion``, ``limit``, ``timing_samples``, ``seeds``,
            ``seed``, ``threads``, ``max_tokens``: as the flags of the command.

    Raises:
        KeyboardInterrupt: once the items under way are done.
    """
    request = {
        "data": os.fspath(data),
        "methods": [methods] if isinstance(methods, str) else list(methods),
        "model": os.fspath(model),
        "keep_ratio": _several(keep_ratio),
        "keep_tokens": _several(keep_tokens),
        **{key: value for key, value in more.items() if value is not None},
    }
    stopped = threading.Event()
    found: list[Any] = []

    def hear(done: int, total: int, failed: int, _: Any) -> int:
        if progress and not stopped.is_set():
            try:
                progress(done, total, failed)
            except BaseException as error:  # goes on where the bench was called
                found.append(error)
                stopped.set()
        return int(stopped.is_set())

    heard = _native.Progress(hear)

    def work() -> None:
        text = _native.library.vtok_bench(json.dumps(request).encode(), heard, None)
        # The thread has an error of its own.
        found.append(_native.error() if not text else json.loads(ctypes.string_at(text)))
        _native.library.vtok_text_free(text)

    worker = threading.Thread(target=work, name="vtok bench")
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.1)
    except BaseException:
        stopped.set()
        worker.join()
        raise
    if isinstance(found[0], BaseException):
        raise found[0]
    return Bench(**found[0])


def _several(value: Any) -> list[Any] | None:
    return None if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
