"""CIFAR-10 (Krizhevsky 2009): 32x32 colour photographs, ten classes; the official archives, or a lossy JPEG copy."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.files import Arrays, cached, folder_of
from ofa_mcu.tasks.task import Augmentation, Dataset, Split, Task

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


def _official(folder: Path) -> Arrays:
    batches = [_batch(stream, name, binary) for name, binary, stream in _streams(folder)]
    known, last = batches[: len(_PARTS["train"])], batches[len(_PARTS["train"]) :]
    result = {}
    for part, found in (("train", known), ("test", last)):
        planes = np.concatenate([pixels for pixels, _ in found]).reshape(-1, 3, _SIDE, _SIDE)
        result[part] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        result[f"y_{part}"] = np.concatenate([labels for _, labels in found])
    return result


def _decoded(path: Path) -> Arrays:
    """The lossy copy: JPEG files one after another, all with one header."""
    from PIL import Image

    try:
        with np.load(path) as archive:
            stored = {name: archive[name] for name in archive.files}
        header, result = stored["header"].tobytes(), {}
        for part in ("train", "test"):
            ends, data = stored[f"off_{part}"].astype(np.int64), stored[f"jpeg_{part}"].tobytes()

            def picture(index: int, ends: NDArray[np.int64] = ends, data: bytes = data) -> NDArray[np.uint8]:
                file = io.BytesIO(header + data[ends[index] : ends[index + 1]])
                return np.asarray(Image.open(file).convert("RGB"))

            with ThreadPoolExecutor() as pool:
                result[part] = np.stack(list(pool.map(picture, range(len(ends) - 1))))
            result[f"y_{part}"] = stored[f"y_{part}"]
            if result[part].shape != (len(result[f"y_{part}"]), _SIDE, _SIDE, 3):
                raise ValueError(f"{part} images of shape {result[part].shape}")
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        raise OfaMcuError(f"{path} is no CIFAR-10 in JPEG, or is damaged ({error}); fetch it again") from error
    return result


def _arrays(folder: Path) -> Arrays:
    jpeg = folder / _JPEG
    if not jpeg.is_file():
        return _official(folder)
    from PIL import __version__

    state = jpeg.stat()
    key = hashlib.sha256(f"{jpeg.resolve()} {state.st_size} {state.st_mtime_ns} {__version__}".encode()).hexdigest()
    return cached("cifar10", key[:32], lambda: _decoded(jpeg))


def _load(data_dir: Path | None) -> Dataset:
    arrays = _arrays(folder_of("cifar10", data_dir, "cifar10_jpeg"))
    images, labels = arrays["train"], arrays["y_train"].astype(np.int64)
    kept = len(labels) - len(labels) // _HELD
    return Dataset(
        Split(images[:kept], labels[:kept]),
        Split(images[kept:], labels[kept:]),
        Split(arrays["test"], arrays["y_test"].astype(np.int64)),
    )


CIFAR10 = Task(
    name="cifar10",
    labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(_SIDE, _SIDE, 3),
    load=_load,
    licence="none stated (Krizhevsky 2009; images from 80 Million Tiny Images)",
    augmentation=Augmentation(flip=True, shift=(4, 4)),
)
