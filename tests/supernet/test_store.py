"""Supernet files: what comes back, equal bytes for equal weights, and damage told in one sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.supernet.store import load_supernet, read_meta, save_supernet
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet

META: dict[str, Any] = {"task": "tiny", "trained": {"accuracy_max": 0.5}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "supernet.npz"
    save_supernet(target, lively_supernet(0), META)
    return target


def test_weights_come_back_in_half_precision(path: Path) -> None:
    supernet, header = load_supernet(path)
    original = lively_supernet(0).state_dict()
    assert supernet.space == TINY and header["task"] == "tiny" and header["trained"] == META["trained"]
    assert read_meta(path) == header
    state = supernet.state_dict()
    assert state.keys() == original.keys()
    for name, value in state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, original[name].half().float())


def test_a_stored_file_stored_again_is_the_same_file(path: Path, tmp_path: Path) -> None:
    supernet, _ = load_supernet(path)
    again = tmp_path / "again.npz"
    save_supernet(again, supernet, META)
    assert again.read_bytes() == path.read_bytes()


def test_bytes_do_not_depend_on_the_clock(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_in_the_file_needs_pickle(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            value = np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
            assert value.dtype == (np.uint8 if name.startswith("meta.json") else np.float16)


def test_nothing_is_left_beside_it(path: Path) -> None:
    assert [found.name for found in path.parent.iterdir()] == ["supernet.npz"]


class _Trap:
    """Makes a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "supernet.npz"
    bad = np.empty(1, object)
    bad[0] = _Trap(trap)
    np.savez(path, allow_pickle=True, **{"meta.json": bad})
    with pytest.raises(OfaMcuError):
        load_supernet(path)
    path.write_bytes(pickle.dumps(_Trap(trap)))
    with pytest.raises(OfaMcuError):
        load_supernet(path)
    assert not trap.exists()


def refused(path: Path) -> str:
    with pytest.raises(OfaMcuError) as caught:
        load_supernet(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    text = refused(tmp_path / "none.npz")
    assert text == f"there is no supernet file {tmp_path / 'none.npz'}; train one with: ofa-mcu train --out FOLDER"


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1, -30])
def test_a_cut_file_is_damaged(path: Path, size: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    assert "is no supernet file, or is damaged" in refused(path)


def test_other_files_are_no_supernets(path: Path, tmp_path: Path) -> None:
    for content in (b"hello", json.dumps({}).encode(), bytes(1000)):
        path.write_bytes(content)
        refused(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    refused(tmp_path / "array.npy")
    np.savez(path, weights=np.zeros(3))
    assert "is no supernet file" in refused(path)
    refused(tmp_path)  # a folder


def rewritten(path: Path, header: Any = None, **arrays: Any) -> None:
    """The file with another header or other arrays; None leaves an array out."""
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    if header is not None:
        content["meta.json"] = np.frombuffer(
            header if isinstance(header, bytes) else json.dumps(header).encode(), np.uint8
        )
    for name, value in arrays.items():
        full = next(key for key in content if key.endswith(name))
        if value is None:
            del content[full]
        else:
            content[full] = value
    np.savez(path, **content)


def test_wrong_headers_are_told(path: Path) -> None:
    header = read_meta(path)
    rewritten(path, header | {"format": 99})
    assert "has format 99, this version reads 1; train it again" in refused(path)
    for damaged in (b"{", b"[]", b"{}"):
        rewritten(path, damaged)
        assert "has a damaged header" in refused(path)
    rewritten(path, {"format": 1})
    assert "does not hold the weights of its space" in refused(path)


def test_weights_of_another_space_are_told(path: Path) -> None:
    header = read_meta(path)
    rewritten(path, header, stem=None)
    assert "does not hold the weights of its space" in refused(path)
    save_supernet(path, lively_supernet(0), META)
    rewritten(path, header, stem=np.zeros((1, 2), np.float16))
    assert "does not hold the weights of its space" in refused(path)


def test_any_garbled_byte_is_told_or_harmless(path: Path) -> None:
    """Flipped bytes all over the file: what loads is what was stored, everything else is one sentence."""
    whole = path.read_bytes()
    original, _ = load_supernet(path)
    rng = np.random.default_rng(0)
    told = 0
    for position in [*range(60), *rng.integers(0, len(whole), 120).tolist(), *range(len(whole) - 60, len(whole))]:
        data = bytearray(whole)
        data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            found, _ = load_supernet(path)
        except OfaMcuError as error:
            assert "\n" not in str(error)
            told += 1
            continue
        state = original.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())
    assert told > 120
