"""Fashion-MNIST: where its files are looked for, how they are read, and how they are split."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks import fashion_mnist
from ofa_mcu.tasks.registry import TASKS, task_named
from ofa_mcu.tasks.task import Dataset, TrainingPart
from tests.tasks.files import NAMES, idx, write_data

load = fashion_mnist.FASHION_MNIST.load


def indices(split: TrainingPart) -> np.ndarray:
    """Numbers of a split's images in the file."""
    flat = split.inputs.reshape(len(split), 4).astype(np.int64)
    return flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    write_data(made)
    return made


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return load(folder)


def test_parts_are_disjoint_and_complete(data: Dataset) -> None:
    train, held = indices(data.train), indices(data.validation)
    assert (len(train), len(held), len(data.test)) == (55_000, 5_000, 100)
    assert sorted([*train, *held]) == list(range(60_000))
    assert indices(data.test).tolist() == list(range(100))


def test_labels_stay_with_their_images(data: Dataset) -> None:
    for split in (data.train, data.validation, data.test):
        assert split.labels.dtype == np.int64 and split.inputs.dtype == np.uint8
        assert split.inputs.shape == (len(split), 2, 2, 1)
        assert np.array_equal(indices(split) % 10, split.labels)


def test_the_split_is_the_one_shipped_figures_rest_on(data: Dataset) -> None:
    held = hashlib.sha256(indices(data.validation).astype("<i8").tobytes()).hexdigest()
    assert held == "d4cf5dd599aa10884261c460bc87a7cc5501ca83007118bc0087fe65e42e17b4"
    shares = np.bincount(data.validation.labels, minlength=10) / 5000
    assert np.abs(shares - 0.1).max() < 0.02


def test_data_dir_names_what_is_missing(tmp_path: Path) -> None:
    write_data(tmp_path, 20, 5)
    (tmp_path / NAMES[2]).unlink()
    with pytest.raises(OfaMcuError, match=f"{tmp_path} has no {NAMES[2]}; --data-dir names the folder") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(OfaMcuError, match=f"has no {NAMES[0]}"):
        load(tmp_path / "nowhere")


def broken(content: bytes, kind: str) -> bytes:
    """The file's content (uncompressed) turned into a file that is broken in one way."""
    packed = gzip.compress(content)
    match kind:
        case "empty":
            return b""
        case "not gzip":
            return content
        case "gzip cut":
            return packed[: len(packed) // 2]
        case "gzip garbled":
            return packed[:12] + bytes(255 - byte for byte in packed[12:40]) + packed[40:]
        case "checksum":
            return packed[:-6] + b"\0\0" + packed[-4:]
        case "idx cut":
            return gzip.compress(content[:-1])
        case "idx too long":
            return gzip.compress(content + b"\0")
        case "header cut":
            return gzip.compress(content[:6])
        case "no header":
            return gzip.compress(b"")
        case "wrong magic":
            return gzip.compress(b"\0\0\x0d" + content[3:])
    raise AssertionError(kind)


KINDS = ("not gzip", "gzip cut", "gzip garbled", "checksum")
IDX_KINDS = ("empty", "idx cut", "idx too long", "header cut", "no header", "wrong magic")


@pytest.mark.parametrize("kind", KINDS + IDX_KINDS)
@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_broken_files_end_in_one_sentence(tmp_path: Path, kind: str, name: str) -> None:
    write_data(tmp_path, 20, 5)
    path = tmp_path / name
    path.write_bytes(broken(gzip.decompress(path.read_bytes()), kind))
    with pytest.raises(OfaMcuError) as caught:
        load(tmp_path)
    text = str(caught.value)
    assert str(path) in text and text.endswith("fetch it again") and "\n" not in text
    assert ("is no readable gzip file" in text) == (kind in KINDS)


@pytest.mark.parametrize("array", [np.zeros(20), np.zeros((19, 2, 2)), np.zeros((20, 2))], ids=str)
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    write_data(tmp_path, 20, 5)
    (tmp_path / NAMES[0]).write_bytes(gzip.compress(idx(array)))
    with pytest.raises(OfaMcuError, match=f"{NAMES[0]} and {NAMES[1]} in {tmp_path} do not belong together"):
        load(tmp_path)


def test_debians_folder_is_taken_where_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged, cache = tmp_path / "packaged", tmp_path / "cache"
    write_data(packaged, 30, 5)
    write_data(cache / "ofa-mcu" / "fashion-mnist", 20, 5)
    monkeypatch.setattr(fashion_mnist, "_PACKAGED", packaged)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert len(load(None).validation) == 30
    (packaged / NAMES[1]).unlink()
    assert len(load(None).validation) == 20  # the cache's, which nothing needs to be fetched for


class _Files(BaseHTTPRequestHandler):
    """Serves the folder that the server holds; what was asked for is written down."""

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.asked.append(self.path)
        body = (self.server.folder / self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    folder: Path
    asked: list[str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Files)
    made.folder, made.asked = tmp_path / "served", []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_without_data_the_files_are_fetched_once_into_the_cache(
    tmp_path: Path, server: _Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(server.folder, 20, 5)
    files = []
    for name in NAMES:
        content = (server.folder / name).read_bytes()
        files.append(fashion_mnist._File(name, len(content), hashlib.sha256(gzip.decompress(content)).hexdigest()))
    monkeypatch.setattr(fashion_mnist, "_FILES", tuple(files))
    monkeypatch.setattr(fashion_mnist, "_PACKAGED", tmp_path / "nowhere")
    monkeypatch.setattr(fashion_mnist, "_ADDRESS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(load(None).validation) == 20
    said = capsys.readouterr().err
    assert all(f"fetching http://127.0.0.1:{server.server_port}/{name} (" in said for name in NAMES)
    assert len(load(None).validation) == 20
    assert server.asked == [f"/{name}" for name in NAMES]
    assert sorted(path.name for path in (tmp_path / "cache" / "ofa-mcu" / "fashion-mnist").iterdir()) == sorted(NAMES)


def test_the_official_files_are_what_the_checksums_say() -> None:
    """Where Debian's package is installed: the task holds 70,000 real images."""
    if not fashion_mnist._PACKAGED.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    for file in fashion_mnist._FILES:
        content = gzip.decompress((fashion_mnist._PACKAGED / file.name).read_bytes())
        assert hashlib.sha256(content).hexdigest() == file.sha256, file.name


def test_tasks_are_known_by_name() -> None:
    assert task_named("fashion-mnist") is fashion_mnist.FASHION_MNIST
    assert all(kind.name == name for name, kind in TASKS.items())
    with pytest.raises(UsageError, match="there is no task 'mnist'; known: .*fashion-mnist"):
        task_named("mnist")
