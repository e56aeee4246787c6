"""Fashion-MNIST (Xiao et al. 2017): 28x28 greyscale clothing, ten classes, MIT licence."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.download import download
from ofa_mcu.tasks.files import cache_folder
from ofa_mcu.tasks.task import Augmentation, Dataset, Split, Task

__all__ = ["FASHION_MNIST"]

_PACKAGED = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_VALIDATION = 5_000
_SPLIT_SEED = 2017


@dataclass(frozen=True)
class _File:
    name: str
    size: int  # of the official gzip file, bytes
    sha256: str  # of the uncompressed content


_TRAIN_IMAGES = _File(
    "train-images-idx3-ubyte.gz", 26_421_880, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
)
_TRAIN_LABELS = _File(
    "train-labels-idx1-ubyte.gz", 29_515, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
)
_TEST_IMAGES = _File(
    "t10k-images-idx3-ubyte.gz", 4_422_102, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
)
_TEST_LABELS = _File(
    "t10k-labels-idx1-ubyte.gz", 5_148, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
)
_FILES = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)


def _folder(data_dir: Path | None) -> Path:
    """The folder that holds all four files; downloads them where none does and none was named."""
    if data_dir is not None:
        missing = [file.name for file in _FILES if not (data_dir / file.name).is_file()]
        if missing:
            raise OfaMcuError(
                f"{data_dir} has no {missing[0]}; --data-dir names the folder of Fashion-MNIST's .gz files"
            )
        return data_dir
    if all((_PACKAGED / file.name).is_file() for file in _FILES):
        return _PACKAGED
    cache = cache_folder("fashion-mnist")
    for file in _FILES:
        if not (cache / file.name).is_file():
            download(f"{_ADDRESS}/{file.name}", cache / file.name, file.sha256, file.size)
    return cache


def _idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of bytes."""
    try:
        with gzip.open(path, "rb") as stream:
            data = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise OfaMcuError(f"{path} is no readable gzip file ({error}); fetch it again") from error
    dimensions = data[3] if len(data) > 3 else 0
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions))
    if data[:3] != b"\0\0\x08" or len(data) != header + int(np.prod(shape)):
        raise OfaMcuError(f"{path} is no IDX file of bytes, or is cut short; fetch it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _split(folder: Path, images_file: _File, labels_file: _File) -> Split:
    images, labels = _idx(folder / images_file.name), _idx(folder / labels_file.name)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise OfaMcuError(
            f"{images_file.name} and {labels_file.name} in {folder} do not belong together; fetch them again"
        )
    return Split(images[..., None], labels.astype(np.int64))


def _load(data_dir: Path | None) -> Dataset:
    folder = _folder(data_dir)
    known = _split(folder, _TRAIN_IMAGES, _TRAIN_LABELS)
    images, labels = known.inputs, known.labels
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    held, kept = np.sort(order[:_VALIDATION]), np.sort(order[_VALIDATION:])
    test = _split(folder, _TEST_IMAGES, _TEST_LABELS)
    return Dataset(Split(images[kept], labels[kept]), Split(images[held], labels[held]), test)


FASHION_MNIST = Task(
    name="fashion-mnist",
    labels=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    shape=(28, 28, 1),
    load=_load,
    licence="MIT (Zalando SE)",
    augmentation=Augmentation(flip=True, shift=(1, 1)),
)
