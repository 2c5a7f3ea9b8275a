"""Fewer, better tokens for vision and multimodal models, on CPUs.

>>> import vtok
>>> result = vtok.Pipeline("vtok-tiny", "divprune", keep_ratio=0.25)("photo.jpg")
>>> result.tokens.shape
(64, 192)
"""

from __future__ import annotations

from pathlib import Path

from . import _native
from .benching import Bench, bench
from .errors import Error, ImageError, InternalError, MachineError, ModelError, RequestError
from .generator import Answer, Generator
from .images import ImageLike
from .pipeline import Origin, Pipeline, Result

__version__: str = _native.library.vtok_version().decode()

__all__ = [
    "Answer", "Bench", "Error", "Generator", "ImageError", "ImageLike", "InternalError", "MachineError", "ModelError",
    "Origin", "Pipeline", "RequestError", "Result", "bench", "get_include",
]


def get_include() -> str:
    """The folder of vtok.h, for programs in C; the library lies beside it in ``lib``."""
    return str(Path(__file__).parent / "include")
