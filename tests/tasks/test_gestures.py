"""Gestures: windows in integers, persons in one part only, and what an epoch may change."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.task import Dataset
from ofa_mcu.tasks.windows import WindowPart

CLASSES = ["wing", "ring", "slope", "negative"]


@pytest.fixture(scope="module")
def stored(data_dir: Path) -> dict[str, np.ndarray]:
    with np.load(data_dir / "magic_wand" / "magic_wand.npz") as file:
        return dict(file)


def load(text: str, data_dir: Path) -> Dataset:
    return task_named(text).load(data_dir / "magic_wand")


def slow_window(readings: np.ndarray) -> np.ndarray:
    """128 steps of one recording, the middle of a long one, the ends of a short one held: one byte at a time."""
    before = (128 - len(readings)) // 2
    out = np.empty((1, 128, 3), np.uint8)
    for t in range(128):
        row = readings[min(max(t - before, 0), len(readings) - 1)]
        for axis in range(3):
            milli_g = int(np.floor(float(row[axis]) + 0.5))
            out[0, t, axis] = min(max((milli_g + 2056) // 16, 0), 255)
    return out


def test_windows_are_integer_arithmetic_of_the_recordings(data_dir: Path, stored: dict[str, np.ndarray]) -> None:
    data = load("gestures", data_dir)
    ends = np.cumsum(stored["length"])
    tested = np.flatnonzero(stored["split"] == "test")
    assert data.test.inputs.shape == (214, 1, 128, 3) and task_named("gestures").labels == tuple(CLASSES)
    assert np.array_equal(data.test.labels, stored["y"][tested])
    lengths = stored["length"][tested]
    for index in (0, 50, 130, int(lengths.argmin()), int(lengths.argmax())):
        number = tested[index]
        readings = stored["data"][ends[number] - stored["length"][number] : ends[number]]
        assert np.array_equal(data.test.inputs[index], slow_window(readings))


def numbers_of(part: np.ndarray, stored: dict[str, np.ndarray]) -> list[int]:
    """Which recordings the inputs are of; those of equal windows count as the first of them."""
    ends = np.cumsum(stored["length"])
    begins = ends - stored["length"]
    known: dict[bytes, int] = {}
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        known.setdefault(slow_window(stored["data"][begin:end]).tobytes(), number)
    return [known[one.tobytes()] for one in part]


def test_no_person_is_in_two_parts(data_dir: Path, stored: dict[str, np.ndarray]) -> None:
    tested: list[set[str]] = []
    for text in ("gestures", *(f"gestures:fold={fold}" for fold in range(4))):
        data = load(text, data_dir)
        persons = [
            set(stored["person"][numbers_of(part.inputs, stored)]) for part in (data.train, data.validation, data.test)
        ]
        assert sum(map(len, persons)) == len(set.union(*persons)) == 17
        for part in (data.train, data.validation, data.test):
            assert set(part.labels.tolist()) == {0, 1, 2, 3}
        tested.append(persons[2])
    assert set.union(*tested[1:]) == set(stored["person"]) and sum(map(len, tested[1:])) == 17  # everyone once


def test_the_first_examples_stand_for_all(data_dir: Path) -> None:
    labels = load("gestures", data_dir).train.labels
    whole, first = (np.bincount(part, minlength=4) / len(part) for part in (labels, labels[:200]))
    assert np.abs(whole - first).max() < 0.1


def test_epochs_differ_and_follow_from_seed_and_number(data_dir: Path) -> None:
    train = load("gestures", data_dir).train
    first, again = train.epoch(3, 7), load("gestures", data_dir).train.epoch(3, 7)
    assert np.array_equal(first.inputs, again.inputs) and np.array_equal(first.labels, train.labels)
    assert first.inputs.shape == train.inputs.shape and first.inputs.dtype == np.uint8
    for other in (train.epoch(3, 8), train.epoch(4, 7), train):
        assert not np.array_equal(first.inputs, other.inputs)
    # changed, and still the same movement: each is nearer to its own original than to most others
    clean, varied = (part.inputs.reshape(len(train), -1).astype(float) for part in (train, first))
    own = np.abs(varied - clean).mean(1)
    others = np.array([np.median(np.abs(one - clean).mean(1)) for one in varied[:100]])
    assert (own[:100] < others).mean() > 0.95 and own.min() > 0.5


def held(inputs: np.ndarray) -> np.ndarray:
    """Steps at the two ends of each window that do not change at all."""
    changing = np.abs(np.diff(inputs.astype(int), axis=2)).max((1, 3)) > 0
    return np.array([int(one.argmax()) + int(one[::-1].argmax()) if one.any() else 127 for one in changing])


def test_held_ends_do_not_tell_the_classes_apart_in_training(data_dir: Path) -> None:
    train = load("gestures", data_dir).train
    assert isinstance(train, WindowPart)
    quiet = dataclasses.replace(train, variation=dataclasses.replace(train.variation, noise=0.0))
    negative = train.labels == 3
    clean, varied = held(train.inputs), held(quiet.epoch(0, 0).inputs)
    # as recorded 30 held steps or more mean a gesture, nearly always; in training they do not
    shares = [[float((steps[mask] > 30).mean()) for mask in (negative, ~negative)] for steps in (clean, varied)]
    assert shares[0][0] < 0.2 < 0.8 < shares[0][1]
    assert shares[1][0] > 0.3 and shares[1][1] < 0.9


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gestures:fold=4", "fold 4 of 4 folds cannot be"),
        ("gestures:fold=-1", "cannot be"),
        ("gestures:fold=0,folds=2", "give 3 folds or more"),
        ("gestures:person=x", "it has fold, folds"),
    ],
)
def test_wrong_folds_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        task_named(text)


def test_more_folds_than_persons_are_refused(data_dir: Path) -> None:
    with pytest.raises(UsageError, match="cannot make 10 folds of"):
        load("gestures:fold=0,folds=10", data_dir)


def test_damaged_files_are_said(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(OfaMcuError, match="there is no .*magic_wand.npz"):
        task_named("gestures").load(tmp_path)
    path = tmp_path / "magic_wand.npz"
    shutil.copy(data_dir / "magic_wand" / "magic_wand.npz", path)
    path.chmod(0o644)
    whole = path.read_bytes()
    for content in (b"", b"no file of arrays", whole[:100_000]):
        path.write_bytes(content)
        with pytest.raises(OfaMcuError, match="is no file of gestures, or is damaged"):
            task_named("gestures").load(tmp_path)
