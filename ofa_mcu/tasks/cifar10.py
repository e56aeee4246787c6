"""CIFAR-10 (Krizhevsky 2009): 32x32 colour photographs, ten classes; the official archives, or a lossy JPEG copy."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.files import Arrays, cached, folder_of
from ofa_mcu.tasks.task import CALIBRATION_IMAGES, Augmentation, Dataset, Split, Task, TrainingPart

__all__ = ["CIFAR10"]

_HELD = 10  # of the training entries, the last in so many validate: 5,000
_JPEG = "cifar10_jpeg.npz"
_PARTS = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_FORMS = {"cifar-10-batches-bin": ".bin", "cifar-10-batches-py": ""}
_ARCHIVES = {"cifar-10-binary.tar.gz": "cifar-10-batches-bin", "cifar-10-python.tar.gz": "cifar-10-batches-py"}
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class _Arrays(pickle.Unpickler):
    """Reads pickles of arrays and plain values, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.replace("numpy.core", "numpy._core"), name) == ("numpy._core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return lambda text, encoding: text.encode("latin-1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _batch(stream: IO[bytes], name: str, binary: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Planes (N, 3072), red first, and labels (N,) of one official file."""
    try:
        if binary:
            rows = np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + _PIXELS)
            pixels, labels = rows[:, 1:], rows[:, 0]
        else:
            found = _Arrays(stream, encoding="bytes").load()
            pixels, labels = np.asarray(found[b"data"]), np.asarray(found[b"labels"], np.uint8)
        if pixels.ndim != 2 or pixels.shape != (len(labels), _PIXELS) or pixels.dtype != np.uint8 or not len(labels):
            raise ValueError(f"{pixels.shape} values of {pixels.dtype}")
        if int(labels.max()) > 9:
            raise ValueError(f"a label of {labels.max()}")
    except (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise OfaMcuError(f"{name} is no batch file of CIFAR-10 ({error}); fetch it again") from error
    return pixels, labels


def _streams(folder: Path) -> Iterator[tuple[str, bool, IO[bytes]]]:
    """(name, whether binary, stream) of the six official files, unpacked or in their archive."""
    names = [name for part in _PARTS.values() for name in part]
    for inner, ending in _FORMS.items():
        for base in (folder / inner, folder):
            if all((base / f"{name}{ending}").is_file() for name in names):
                for name in names:
                    with (base / f"{name}{ending}").open("rb") as stream:
                        yield str(base / f"{name}{ending}"), bool(ending), stream
                return
    for archive, inner in _ARCHIVES.items():
        if (folder / archive).is_file():
            try:
                with tarfile.open(folder / archive) as tar:
                    for name in names:
                        member = tar.extractfile(f"{inner}/{name}{_FORMS[inner]}")
                        if member is None:
                            raise KeyError(f"{name} is no file")
                        yield f"{name} in {folder / archive}", bool(_FORMS[inner]), member
            except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
                raise OfaMcuError(f"{folder / archive} cannot be unpacked ({error}); fetch it again") from error
            return
    raise OfaMcuError(
        f"{folder} holds no CIFAR-10: neither {' nor '.join([*_FORMS, *_ARCHIVES, _JPEG])}; --data-dir names the "
        "folder of one of them"
    )


def _official(folder: Path) -> Dataset:
    batches = [_batch(stream, name, binary) for name, binary, stream in _streams(folder)]
    known, last = batches[: len(_PARTS["train"])], batches[len(_PARTS["train"]) :]

    def split(found: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Split:
        planes = np.concatenate([pixels for pixels, _ in found]).reshape(-1, 3, _SIDE, _SIDE)
        labels = np.concatenate([labels for _, labels in found])
        return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64))

    every = split(known)
    kept = _trained_on(len(every))
    train, validation = (Split(every.inputs[part], every.labels[part]) for part in (slice(kept), slice(kept, None)))
    return Dataset(train, validation, split(last))


def _trained_on(count: int) -> int:
    """How many of so many training entries train; the others validate."""
    return count - count // _HELD


class _Pictures:
    """The lossy copy: JPEG files one after another, all with one header; unpacked, but not decoded.

    Raises:
        OfaMcuError: of every method: the file is none, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._complaining(), np.load(path) as archive:
            stored = {name: archive[name] for name in archive.files}
            self._header = stored["header"].tobytes()
            self._ends = {part: stored[f"off_{part}"].astype(np.int64) for part in _PARTS}
            self._files = {part: stored[f"jpeg_{part}"].tobytes() for part in _PARTS}
            self.labels = {part: stored[f"y_{part}"].astype(np.int64) for part in _PARTS}
            for part, labels in self.labels.items():
                ends = self._ends[part]
                if ends.ndim != 1 or labels.shape != (len(ends) - 1,) or labels.min() < 0 or labels.max() > 9:
                    raise ValueError(f"labels of shape {labels.shape} for {len(ends) - 1} {part} images")

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # NumPy, zlib and Pillow have a dozen ways to say that bytes are not what they were
            raise OfaMcuError(
                f"{self._path} is no CIFAR-10 in JPEG, or is damaged ({error}); fetch it again"
            ) from error

    def decoded(self, part: str, begin: int, end: int) -> NDArray[np.uint8]:
        """Images (N, 32, 32, 3) of "train" or "test".

        One after another: of files this small, threads spend more on waiting for the interpreter than they decode.
        """
        from PIL import Image

        ends, files = self._ends[part], self._files[part]
        images = np.empty((end - begin, _SIDE, _SIDE, 3), np.uint8)
        with self._complaining():
            for index in range(begin, end):
                file = io.BytesIO(self._header + files[ends[index] : ends[index + 1]])
                image = Image.open(file, formats=("JPEG",)).convert("RGB")
                if image.size != (_SIDE, _SIDE):
                    raise ValueError(f"{part} image {index} of {image.width}x{image.height}")
                images[index - begin] = np.asarray(image)
        return images


class _JpegTraining:
    """Training examples of which the first come decoded; a search asks for no more."""

    class_weights = None

    def __init__(
        self, first: NDArray[np.uint8], labels: NDArray[np.int64], decode: Callable[[], NDArray[np.uint8]]
    ) -> None:
        self._first, self.labels, self._decode = first, labels, decode

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def inputs(self) -> NDArray[np.uint8]:
        """Images (N, 32, 32, 3)."""
        return self._decode()

    def first(self, count: int) -> Split:
        """The first images."""
        return Split((self._first if count <= len(self._first) else self.inputs)[:count], self.labels[:count])

    def epoch(self, seed: int, epoch: int) -> TrainingPart:
        """Itself: all of them, the same in every epoch."""
        return self


def _jpeg(path: Path) -> Dataset:
    pictures = _Pictures(path)
    labels = pictures.labels
    count, tested = len(labels["train"]), len(labels["test"])
    kept = _trained_on(count)
    ready = min(CALIBRATION_IMAGES, kept)
    parts = {"first": ("train", 0, ready), "validation": ("train", kept, count), "test": ("test", 0, tested)}
    held = _kept(path, pictures, parts)
    return Dataset(
        _JpegTraining(
            held["first"],
            labels["train"][:kept],
            lambda: _kept(path, pictures, {"train": ("train", 0, kept)})["train"],
        ),
        Split(held["validation"], labels["train"][kept:]),
        Split(held["test"], labels["test"]),
    )


def _kept(path: Path, pictures: _Pictures, parts: dict[str, tuple[str, int, int]]) -> Arrays:
    """Decoded parts by name, each from "train" or "test" and from where to where; from an earlier run if there was one.

    What is kept goes by the file, the parts and the decoder.
    """
    from PIL import __version__

    state = path.stat()
    text = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {__version__} {parts}"
    return cached(
        "cifar10",
        hashlib.sha256(text.encode()).hexdigest()[:32],
        lambda: {name: pictures.decoded(*part) for name, part in parts.items()},
        {name: end - begin for name, (_, begin, end) in parts.items()},
    )


def _load(data_dir: Path | None) -> Dataset:
    folder = folder_of("cifar10", data_dir, "cifar10_jpeg")
    jpeg = folder / _JPEG
    return _jpeg(jpeg) if jpeg.is_file() else _official(folder)


CIFAR10 = Task(
    name="cifar10",
    labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(_SIDE, _SIDE, 3),
    load=_load,
    licence="none stated (Krizhevsky 2009; images from 80 Million Tiny Images)",
    augmentation=Augmentation(flip=True, shift=(4, 4)),
)
