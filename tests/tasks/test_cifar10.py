"""CIFAR-10 from each of its official forms, and from the JPEG copy."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks import cifar10
from ofa_mcu.tasks.cifar10 import CIFAR10
from ofa_mcu.tasks.task import Dataset

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
ENTRIES = 20


def made_up() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Planes (20, 3072) and labels of every batch."""
    rng = np.random.default_rng(0)
    return {name: (rng.integers(0, 256, (ENTRIES, 3072), np.uint8), rng.integers(0, 10, ENTRIES)) for name in NAMES}


def binary(planes: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1).tobytes()


def pickled(planes: np.ndarray, labels: np.ndarray) -> bytes:
    return pickle.dumps({b"data": planes, b"labels": labels.tolist(), b"batch_label": b"a batch"}, protocol=2)


def write_folder(folder: Path, ending: str, content: Callable[[np.ndarray, np.ndarray], bytes]) -> None:
    folder.mkdir(parents=True)
    for name, (planes, labels) in made_up().items():
        (folder / f"{name}{ending}").write_bytes(content(planes, labels))


def write_archive(path: Path, inner: str, ending: str, content: Callable[[np.ndarray, np.ndarray], bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, (planes, labels) in made_up().items():
            data = content(planes, labels)
            info = tarfile.TarInfo(f"{inner}/{name}{ending}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def check(data: Dataset) -> None:
    every = made_up()
    planes = np.concatenate([every[name][0] for name in NAMES[:5]])
    labels = np.concatenate([every[name][1] for name in NAMES[:5]])
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)  # the last tenth validates
    inputs = np.concatenate([data.train.inputs, data.validation.inputs])
    assert inputs.shape == (100, 32, 32, 3)
    assert np.array_equal(np.concatenate([data.train.labels, data.validation.labels]), labels)
    for index, y, x, c in ((0, 0, 0, 0), (57, 3, 30, 1), (99, 31, 2, 2)):
        assert inputs[index, y, x, c] == planes[index, 1024 * c + 32 * y + x]  # red plane first, row by row
    assert np.array_equal(data.test.labels, every["test_batch"][1])


def test_the_official_forms_give_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path / "a" / "cifar-10-batches-bin", ".bin", binary)
    write_folder(tmp_path / "b" / "cifar-10-batches-py", "", pickled)
    write_archive(tmp_path / "c" / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", ".bin", binary)
    write_archive(tmp_path / "d" / "cifar-10-python.tar.gz", "cifar-10-batches-py", "", pickled)
    for folder in ("a", "a/cifar-10-batches-bin", "b", "b/cifar-10-batches-py", "c", "d"):
        check(CIFAR10.load(tmp_path / folder))


class Wicked:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("wicked"),))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no batch file of CIFAR-10"),
        (pickle.dumps({b"data": np.zeros((3, 5), np.uint8), b"labels": [0] * 3}), "is no batch file of CIFAR-10"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), "a label of 10"),
        (pickle.dumps({b"labels": []}), "is no batch file of CIFAR-10"),
        (pickle.dumps(Wicked()), "it asks for"),
    ],
)
def test_damaged_batches_are_named_and_run_nothing(tmp_path: Path, content: bytes, complaint: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_folder(folder, "", pickled)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(OfaMcuError, match=complaint) as caught:
        CIFAR10.load(tmp_path)
    assert "data_batch_3" in str(caught.value) and not Path("wicked").exists()


def test_missing_data_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OfaMcuError, match="holds no CIFAR-10"):
        CIFAR10.load(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        CIFAR10.load(tmp_path / "nowhere")
    monkeypatch.delenv("OFA_MCU_DATA", raising=False)
    with pytest.raises(UsageError, match="name the folder with --data-dir"):
        CIFAR10.load(None)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"no archive")
    with pytest.raises(OfaMcuError, match="cannot be unpacked"):
        CIFAR10.load(tmp_path)


def write_jpeg(path: Path, count: int = 30) -> list[bytes]:
    """The JPEG copy's form: files without their common header, one after another."""
    rng, files = np.random.default_rng(1), []
    for _ in range(2 * count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "JPEG", quality=75)
        files.append(buffer.getvalue())
    shared = len(min(files)) if len(set(files)) == 1 else next(i for i in range(9999) if len({f[i] for f in files}) > 1)
    arrays = {"header": np.frombuffer(files[0][:shared], np.uint8)}
    for part, own in (("train", files[:count]), ("test", files[count:])):
        tails = [file[shared:] for file in own]
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(tails), np.uint8)
        arrays[f"off_{part}"] = np.cumsum([0, *map(len, tails)]).astype(np.int32)
        arrays[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return files


def test_the_jpeg_copy_is_decoded_once_and_training_images_when_they_are_asked_for(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "CALIBRATION_IMAGES", 5)
    files = write_jpeg(tmp_path / "cifar10_jpeg.npz")
    data = CIFAR10.load(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 30)
    every = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    assert np.array_equal(data.validation.inputs, every[27:30]) and data.validation.labels.tolist() == [7, 8, 9]
    assert np.array_equal(data.test.inputs, every[30:])
    (kept,) = (own_cache / "ofa-mcu" / "cifar10").iterdir()
    assert np.array_equal(data.train.first(5).inputs, every[:5]) and len(data.train.first(5)) == 5
    assert len(list(kept.parent.iterdir())) == 1
    assert np.array_equal(data.train.first(6).inputs, every[:6])
    assert np.array_equal(data.train.inputs, every[:27])
    assert data.train.epoch(0, 3) is data.train  # nothing is resampled anew
    files_kept = set(kept.parent.iterdir())
    assert len(files_kept) == 2
    written = {file: file.stat().st_mtime_ns for file in files_kept}
    again = CIFAR10.load(tmp_path)
    assert np.array_equal(again.train.inputs, every[:27])
    assert {file: file.stat().st_mtime_ns for file in kept.parent.iterdir()} == written

    def cut(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:1000])

    def no_archive(file: Path) -> None:
        with file.open("wb") as stream:
            np.save(stream, every)

    def of_another_time(file: Path) -> None:
        np.savez(file, test=every[:4], other=every)

    for damage in (cut, no_archive, of_another_time):  # damaged copies are made anew
        for file in files_kept:
            damage(file)
        again = CIFAR10.load(tmp_path)
        assert np.array_equal(again.test.inputs, every[30:]) and np.array_equal(again.train.inputs, every[:27])
    monkeypatch.setattr(cifar10, "_HELD", 3)
    assert len(CIFAR10.load(tmp_path).validation.inputs) == 10


def test_a_damaged_jpeg_copy_is_said(tmp_path: Path) -> None:
    path = tmp_path / "cifar10_jpeg.npz"
    write_jpeg(path)
    whole = path.read_bytes()
    with np.load(path) as archive:
        arrays = dict(archive)

    def write(**changed: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, **changed})
        return buffer.getvalue()

    contents = [
        b"nothing",
        whole[: len(whole) // 2],
        write(off_test=np.array(3)),
        write(y_train=arrays["y_train"][:, None]),
        write(y_train=arrays["y_train"] + 1),
        write(y_test=arrays["y_test"][:-1]),
        write(header=arrays["header"][:-9]),
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(OfaMcuError, match="is no CIFAR-10 in JPEG, or is damaged"):
            CIFAR10.load(tmp_path)


@pytest.mark.slow
def test_the_real_copy(data_dir: Path) -> None:
    data = CIFAR10.load(data_dir / "cifar10_jpeg")
    assert data.train.inputs.shape == (45_000, 32, 32, 3)
    assert np.bincount(data.validation.labels).tolist() == [500] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert set(np.bincount(data.train.labels[:1000]).tolist()) == {100}  # the first thousand stand for all
    assert np.array_equal(data.train.first(1024).inputs, data.train.inputs[:1024])
