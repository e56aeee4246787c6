"""IDX files of Fashion-MNIST's form, made up."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

__all__ = ["NAMES", "idx", "write_data"]

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes, not compressed."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_data(folder: Path, train: int = 60_000, test: int = 100) -> None:
    """The four files; an image is 2x2 and holds its own index (24 bits), its label is index modulo 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for count, images, labels in ((train, NAMES[0], NAMES[1]), (test, NAMES[2], NAMES[3])):
        index = np.arange(count)
        pixels = np.stack([index >> 16, index >> 8 & 255, index & 255, np.zeros_like(index)], 1).reshape(count, 2, 2)
        (folder / images).write_bytes(gzip.compress(idx(pixels), 1))
        (folder / labels).write_bytes(gzip.compress(idx(index % 10), 1))
