"""Picture files of any kind as square byte images: the arithmetic that a device with a camera repeats in integers."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.tasks.resample import resample

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GREY_WEIGHTS", "SUFFIXES", "UnusablePicture", "grey", "header", "picture", "squared"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
GREY_WEIGHTS = (19595, 38470, 7471)
"""Luma of ITU-R BT.601 in units of 2**-16; they add up to 65536."""
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I")


class UnusablePicture(Exception):
    """A picture that must be left out; the message says why in a few words."""


def _opened(path: Path) -> Image:
    """The file, its header read and no more.

    Raises:
        UnusablePicture: it is no picture.
    """
    from PIL import Image as Pictures
    from PIL import UnidentifiedImageError

    try:
        return Pictures.open(path)
    except UnidentifiedImageError as error:
        raise UnusablePicture("that are no pictures") from error
    except Pictures.DecompressionBombError as error:
        raise UnusablePicture("of too many pixels") from error
    except OSError as error:
        raise UnusablePicture(f"unreadable: {error.strerror or error}") from error
    except (SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError) as error:
        raise UnusablePicture("damaged") from error


def header(path: Path) -> tuple[int, int, bool]:
    """Height, width and whether it is a grey one.

    Raises:
        UnusablePicture: it is no picture.
    """
    with _opened(path) as file:
        return file.height, file.width, file.mode in _GREY_MODES


def picture(path: Path) -> NDArray[np.uint8]:
    """Bytes (H, W, 1) of a grey picture, (H, W, 3) of any other, turned as its EXIF tag says; the first of several.

    Raises:
        UnusablePicture: it is no picture, damaged, or of a kind without a range.
    """
    from PIL import Image as Pictures
    from PIL import ImageOps

    try:
        with _opened(path) as file:
            turned = ImageOps.exif_transpose(file)
            if turned.mode == "F":
                raise UnusablePicture("whose pixels are floating-point numbers")
            if turned.mode == "I" or turned.mode.startswith("I;16"):  # 16 bits a pixel
                deep: NDArray[np.int64] = np.asarray(turned).astype(np.int64) >> 8
                return deep.clip(0, 255).astype(np.uint8)[..., None]
            single = turned.mode in _GREY_MODES
            shown: NDArray[np.uint8] = np.asarray(turned.convert("L" if single else "RGB"))
            return shown[..., None] if single else shown
    except Pictures.DecompressionBombError as error:
        raise UnusablePicture("of too many pixels") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error, MemoryError) as error:
        raise UnusablePicture("damaged") from error


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One channel (H, W, 1) of one or three: luma in 16 fractional bits, rounded half up."""
    if image.shape[2] == 1:
        return image
    luma: NDArray[np.int64] = (image.astype(np.int64) @ np.array(GREY_WEIGHTS) + 2**15) >> 16
    return luma.astype(np.uint8)[..., None]


def squared(image: NDArray[np.uint8], side: int, crop: bool) -> NDArray[np.uint8]:
    """A square (side, side, C): the middle of the picture, or with `crop` off all of it, averaged by area."""
    height, width, _ = image.shape
    if crop:
        least = min(height, width)
        top, left = (height - least) // 2, (width - least) // 2
        image = image[top : top + least, left : left + least]
    square: NDArray[np.uint8] = resample(image[None], side)[0]
    return square
