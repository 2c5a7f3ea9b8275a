"""What a picture may be: a path, the bytes of a file, an array, or an image of Pillow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from . import _native
from .errors import ImageError

if TYPE_CHECKING:
    import PIL.Image

ImageLike = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, np.ndarray, "PIL.Image.Image"]


def native(image: ImageLike, name: str | None, *, upright: bool = True, on_white: bool = True) -> tuple[_native.Image, Any]:
    """The picture as the library takes it, and what must live while it is used. Arrays and bytes are not copied."""
    given = _native.Image(name=None if name is None else os.fsencode(name))
    if isinstance(image, (str, os.PathLike)):
        given.path = os.fsencode(image)
        return given, None
    if isinstance(image, (bytes, bytearray, memoryview)):
        data = np.frombuffer(image, np.uint8) if len(image) else np.empty(0, np.uint8)
        given.data, given.length = data.ctypes.data, data.size
        return given, data
    if not isinstance(image, np.ndarray):
        image = pixels(image, upright=upright, on_white=on_white)
    rows = _rgb(image)
    given.height, given.width = rows.shape[:2]
    given.data, given.stride = rows.ctypes.data, rows.strides[0]
    given.length = (rows.shape[0] - 1) * rows.strides[0] + 3 * rows.shape[1]
    return given, rows


def _rgb(array: np.ndarray) -> np.ndarray:
    """`[height, width, 3]` of bytes, rows in order; grey is repeated."""
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))):
        raise ImageError(
            f"image: an array of {array.dtype} with shape {list(array.shape)}, expected uint8 with shape "
            "[height, width, 3] (RGB) or [height, width] (grey). Convert it."
        )
    if 0 in array.shape:
        raise ImageError(f"image: an array with shape {list(array.shape)}, expected sides of at least 1. Leave it out.")
    if array.ndim == 2 or array.shape[2] == 1:
        return np.ascontiguousarray(np.broadcast_to(array.reshape(*array.shape[:2], 1), (*array.shape[:2], 3)))
    in_rows = array.strides[2] == 1 and array.strides[1] == 3 and array.strides[0] >= 3 * array.shape[1]
    return array if in_rows else np.ascontiguousarray(array)


def pixels(image: Any, *, upright: bool = True, on_white: bool = True) -> np.ndarray:
    """The RGB pixels of an image of Pillow, as vtok reads its file: turned upright by EXIF, on white where transparent."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        PIL = None  # type: ignore[assignment]
    if PIL is None or not isinstance(image, PIL.Image.Image):
        raise TypeError(
            f"image: {type(image).__name__}, expected a path, the bytes of a file, a NumPy array or a Pillow image"
        )
    if upright:
        image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # the high byte, as for every file with 16 bits a sample
        return (np.asarray(image) >> 8).astype(np.uint8)
    if on_white and (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info):
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))
