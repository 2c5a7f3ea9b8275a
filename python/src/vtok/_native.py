"""The C interface (vtok.h) as ctypes sees it. Every call leaves the interpreter's lock to others while it runs."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from .errors import KINDS, Error, InternalError

API_VERSION = 1


class Options(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("model", c_char_p),
        ("mmproj", c_char_p),
        ("processor", c_char_p),
        ("method", c_char_p),
        ("keep_ratio", c_double),
        ("keep_tokens", c_int64),
        ("precision", c_char_p),
        ("chat_template", c_char_p),
        ("companion", c_char_p),
        ("question", c_char_p),
        ("max_pixels", c_int64),
        ("raw_orientation", c_int32),
        ("drop_alpha", c_int32),
    ]


class Image(ctypes.Structure):
    _fields_ = [
        ("path", c_char_p),
        ("data", c_void_p),
        ("length", c_size_t),
        ("width", c_int32),
        ("height", c_int32),
        ("stride", c_int64),
        ("name", c_char_p),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("data", c_void_p),
        ("length", c_size_t),
    ]


class Question(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("prompt", c_char_p),
        ("system", c_char_p),
        ("images", POINTER(Image)),
        ("image_count", c_size_t),
        ("max_tokens", c_int32),
        ("temperature", c_float),
        ("top_p", c_float),
        ("seed", c_uint64),
        ("threads", c_int32),
    ]


Receiver = ctypes.CFUNCTYPE(c_int32, c_char_p, c_void_p)
Progress = ctypes.CFUNCTYPE(c_int32, c_int64, c_int64, c_int64, c_void_p)

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "vtok_api_version": (c_int32, []),
    "vtok_version": (c_char_p, []),
    "vtok_last_error_kind": (c_int32, []),
    "vtok_last_error": (c_char_p, []),
    "vtok_pipeline_open": (c_void_p, [POINTER(Options)]),
    "vtok_pipeline_free": (None, [c_void_p]),
    "vtok_pipeline_about": (c_char_p, [c_void_p]),
    "vtok_pipeline_run": (c_void_p, [c_void_p, POINTER(Image), c_uint64]),
    "vtok_result_free": (None, [c_void_p]),
    "vtok_result_count": (c_size_t, [c_void_p]),
    "vtok_result_at": (c_int32, [c_void_p, c_size_t, POINTER(Tensor)]),
    "vtok_result_row": (c_char_p, [c_void_p]),
    "vtok_generator_open": (c_void_p, [POINTER(Options)]),
    "vtok_generator_free": (None, [c_void_p]),
    "vtok_generator_about": (c_char_p, [c_void_p]),
    "vtok_generator_ask": (c_void_p, [c_void_p, POINTER(Question), Receiver, c_void_p]),
    "vtok_answer_free": (None, [c_void_p]),
    "vtok_answer_text": (c_char_p, [c_void_p]),
    "vtok_answer_ids": (POINTER(c_int64), [c_void_p, POINTER(c_size_t)]),
    "vtok_answer_row": (c_char_p, [c_void_p]),
    "vtok_bench": (c_void_p, [c_char_p, Progress, c_void_p]),
    "vtok_text_free": (None, [c_void_p]),
}


def _load() -> ctypes.CDLL:
    path = os.environ.get("VTOK_LIBRARY") or str(Path(__file__).parent / "lib" / "libvtok.so.1")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"vtok: {error}. Install the wheel, or set VTOK_LIBRARY to a libvtok.so.") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if library.vtok_api_version() < API_VERSION:
        raise ImportError(f"vtok: '{path}' is older than this package. Install both from one version.")
    return library


library = _load()


def error() -> Error:
    """The last error of this thread."""
    kind = KINDS.get(library.vtok_last_error_kind(), InternalError)
    return kind(library.vtok_last_error().decode())


def checked(value: Any) -> Any:
    """What a call gave, unless it failed."""
    if not value:
        raise error()
    return value


def encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def path(name: str | os.PathLike[str] | None) -> bytes | None:
    return None if name is None else os.fsencode(name)


class _Memory:
    """Memory of a result as an array sees it; the array keeps the result alive."""

    def __init__(self, owner: Any, address: int, shape: tuple[int, ...], typestr: str) -> None:
        self._owner = owner
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": typestr, "data": (address, False)}


def array(owner: Any, tensor: Tensor) -> np.ndarray:
    """An array on the memory of a tensor, not copied."""
    shape = tuple(tensor.shape[axis] for axis in range(tensor.rank))
    typestr = "<i8" if tensor.dtype == 2 else "<f4"
    if tensor.length == 0:
        return np.empty(shape, np.dtype(typestr))
    return np.asarray(_Memory(owner, tensor.data, shape, typestr))


class Owner:
    """An object of the library, freed with its last user."""

    def __init__(self, handle: int, free: str) -> None:
        self.handle: int | None = handle
        self._free = getattr(library, free)

    def __del__(self) -> None:
        handle, self.handle = getattr(self, "handle", None), None
        if handle:
            self._free(handle)
