"""Sensor series in CSV files: which windows they give, their bytes, their parts, and what is wrong with files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.space.presets import space_for
from ofa_mcu.tasks.csv_windows import scaling_of
from ofa_mcu.tasks.folders import tell_once
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.scaling import Scaling
from ofa_mcu.tasks.task import Dataset, TrainingPart
from ofa_mcu.tasks.windows import Variation, WindowPart, Windows


def table(path: Path, columns: Mapping[str, Any], separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*columns.values(), strict=True)
    lines = [separator.join(columns), *(separator.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def wave(rows: int, pace: float, seed: int = 0) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.05, rows)
    return [round(float(value), 4) for value in np.sin(pace * np.arange(rows)) + noise]


def counts(data: Dataset) -> list[int]:
    return [len(data.train), len(data.validation), len(data.test)]


def test_runs_of_one_label_give_windows_and_no_window_has_two(tmp_path: Path) -> None:
    for file in range(6):
        labels = ["idle"] * 50 + ["busy"] * 35 + ["idle"] * 20
        table(tmp_path / f"{file}.csv", {"time": list(range(105)), "x": list(range(105)), "label": labels})
    task = task_named("csv-windows:window=16,stride=8", tmp_path)
    assert (task.labels, task.shape) == (("busy", "idle"), (1, 16, 1))  # time is no reading
    data = task.load(tmp_path)
    assert sum(counts(data)) == 6 * (5 + 3 + 1)
    scaling = data.train.scaling  # type: ignore[attr-defined]
    allowed = {}
    for begin, end, label in ((0, 50, 1), (50, 85, 0), (85, 105, 1)):
        for start in range(begin, end - 15, 8):
            allowed[scaling.to_bytes(np.arange(start, start + 16.0)[None, :, None]).tobytes()] = label
    for part in (data.train, data.validation, data.test):
        for one, label in zip(part.inputs, part.labels, strict=True):
            assert allowed[one.tobytes()] == label


def test_folders_may_name_the_classes_and_any_separator_is_read(tmp_path: Path) -> None:
    for index, label in enumerate(("läuft", "steht")):
        for file in range(4):
            pace = 0.1 + 0.3 * index
            columns = {"Zeit": list(range(120)), "x": wave(120, pace, file), "y": wave(120, 2 * pace, file)}
            table(tmp_path / label / f"{file}.csv", columns, ";\t,"[file % 3])
    task = task_named("csv-windows:window=32,columns=y+x", tmp_path)
    assert (task.labels, task.shape) == (("läuft", "steht"), (1, 32, 2))
    data = task.load(tmp_path)
    assert sum(counts(data)) == 2 * 4 * 6
    assert all(set(part.labels.tolist()) == {0, 1} for part in (data.train, data.validation, data.test))


def test_groups_stay_together_in_one_part(tmp_path: Path) -> None:
    """The reading is the person's number, so that a window says whose it is."""
    for file in range(3):
        columns: dict[str, list] = {"x": [], "who": [], "label": []}
        for person in range(12):
            for label in ("a", "b"):
                columns["x"] += [person + 0.01 * step for step in range(40)]
                columns["who"] += [f"p{person}"] * 40
                columns["label"] += [label] * 40
        table(tmp_path / f"{file}.csv", columns)
    data = task_named("csv-windows:window=20,stride=20,group=who", tmp_path).load(tmp_path)
    persons = [
        set(np.round(part.inputs[:, 0, 0, 0] / 255 * 11.4, 0)) for part in (data.train, data.validation, data.test)
    ]
    assert sum(map(len, persons)) == len(set.union(*persons)) == 12
    assert sum(counts(data)) == 3 * 12 * 2 * 2


def test_few_files_are_split_in_time_without_overlap(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One file; two readings whose remainders tell the row, so that a window says when it is."""
    rows = np.arange(2000)
    labels = ["a"] * 1000 + ["b"] * 1000
    table(tmp_path / "all.csv", {"x": (rows % 41).tolist(), "y": (rows % 53).tolist(), "label": labels})
    data = task_named("csv-windows:window=50,stride=10", tmp_path).load(tmp_path)
    assert "split by time" in capfd.readouterr().err
    train = data.train
    assert isinstance(train, WindowPart)
    scale, offset = np.array(train.scaling.multiplier), np.array(train.scaling.offset)

    def rows_of(part: TrainingPart, label: int) -> tuple[int, int]:
        """The first and the last row that any window of the label shows."""
        codes = part.inputs[part.labels == label][:, 0].astype(float)
        left = np.round(((codes + 0.5) * 2.0**train.scaling.shift - offset) / scale).astype(int)
        shown = {int(rows[(rows % 41 == x) & (rows % 53 == y)][0]) for x, y in left.reshape(-1, 2)}
        return min(shown), max(shown)

    for number in (0, 1):
        (first, to), (second, then), (third, last) = (
            rows_of(part, number) for part in (train, data.validation, data.test)
        )
        assert 1000 * number == first < to < second < then < third < last < 1000 * (number + 1)
        seen = train.windows.last[train.windows.labels == number]
        assert int(seen.max()) < second  # nor does an epoch see anything of what validates


def test_files_are_read_once_and_again_where_the_data_is_loaded_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What told the classes is what is loaded, though a file goes away between; it is told of then, and once."""
    for file in range(8):
        table(tmp_path / f"{file}.csv", {"x": wave(100, 0.2, file), "label": ["a"] * 50 + ["b"] * 50})
    (tmp_path / "empty.csv").write_text("")
    again = task_named("csv-windows:window=25", tmp_path).load(tmp_path)
    assert capfd.readouterr().err.count("skipped 1 of 9 files") == 1
    task_named("csv-windows:window=25", tmp_path).load(tmp_path)
    assert not capfd.readouterr().err  # one process tells the same thing once
    tell_once.cache_clear()
    task = task_named("csv-windows:window=25", tmp_path)
    assert not capfd.readouterr().err
    text = (tmp_path / "7.csv").read_text()
    (tmp_path / "7.csv").unlink()
    data = task.load(tmp_path)
    assert capfd.readouterr().err.count("skipped 1 of 9 files") == 1
    fewer = task.load(tmp_path)
    assert "skipped 1 of 8 files" in capfd.readouterr().err and sum(counts(fewer)) < sum(counts(data))
    (tmp_path / "7.csv").write_text(text)
    for other in (again, task.load(None)):
        assert counts(other) == counts(data) and other.scaling == data.scaling
        for one, two in ((data.train.epoch(1, 2), other.train.epoch(1, 2)), (data.test, other.test)):
            assert np.array_equal(one.inputs, two.inputs) and np.array_equal(one.labels, two.labels)


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_scaling_covers_the_range_and_is_integer_arithmetic(spans: list[tuple[float, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    readings = np.stack([low + span * rng.random(500) for low, span in spans], axis=1)
    scaling = scaling_of(readings)
    found = scaling.to_bytes(readings)
    for channel, (low, span) in enumerate(spans):
        wanted = 255 * (readings[:, channel] - low) / span
        assert np.abs(found[:, channel] - wanted).max() < 3.5
    for row in (0, 77):
        for channel in range(len(spans)):
            value = int(np.floor(readings[row, channel] / scaling.unit[channel] + 0.5))
            byte = (value * scaling.multiplier[channel] + scaling.offset[channel]) >> scaling.shift
            assert found[row, channel] == min(max(byte, 0), 255)
            assert abs(value * scaling.multiplier[channel] + scaling.offset[channel]) < 2**63


def test_whole_numbers_are_their_own_unit() -> None:
    counts_of_a_converter = np.arange(4096.0)[:, None]
    assert scaling_of(counts_of_a_converter).unit == (1.0,)
    assert scaling_of(counts_of_a_converter / 8).unit == (0.1,)
    constant = scaling_of(np.full((9, 1), 3.5)).to_bytes(np.full((9, 1), 3.5))
    assert len(np.unique(constant)) == 1


def test_held_ends_and_speeds() -> None:
    data = np.arange(100.0)[:, None]
    one = np.array([0])
    windows = Windows(data, np.array([10]), np.array([12]), np.array([20]), one, 16)
    assert windows.readings()[0, :, 0].tolist() == [12, 12, 12, *range(13, 21), 20, 20, 20, 20, 20]
    fast = windows.readings(np.array([12.0]), np.array([1.5]), one, np.array([99]))[0, :, 0]
    assert np.allclose(fast, 12 + 1.5 * np.arange(16))
    part = WindowPart(windows, Scaling((1.0,), (1,), (0,), 0), Variation())
    assert np.array_equal(part.epoch(0, 0).inputs, part.inputs)  # nothing varies unless asked


def test_files_that_cannot_be_used_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for file in range(8):
        columns = {"x": wave(100, 0.2, file), "label": (["a"] * 50) + (["b"] * 50)}
        table(tmp_path / f"good {file}.csv", columns)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bytes.csv").write_bytes(bytes(range(256)) * 4)
    table(tmp_path / "other.csv", {"z": [1.0] * 50, "label": ["a"] * 50})
    table(tmp_path / "short.csv", {"x": [1.0] * 5, "label": ["a"] * 5})
    table(tmp_path / "words.csv", {"x": ["a lot"] * 50, "label": ["a"] * 50})
    table(tmp_path / "gaps.csv", {"x": [*wave(60, 0.2), "", "nan"], "label": ["a"] * 62})
    table(tmp_path / "naked.csv", {"1.5": [1.0] * 50, "2.5": [2.0] * 50})
    (tmp_path / "picture.png").write_bytes(b"no table")
    data = task_named("csv-windows:window=25,stride=25", tmp_path).load(tmp_path)
    said = capfd.readouterr().err
    assert sum(counts(data)) == 8 * 4 + 2 and "Traceback" not in said
    assert "skipped 6 of 15 files" in said
    for reason in (
        "empty (empty.csv)",
        "without column x (",
        "shorter than a window of 25 rows (short.csv)",
        "without a row of readings (words.csv)",
        "without a line of column names (naked.csv)",
    ):
        assert reason in said, (reason, said)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("csv-windows:window=4", "give 8 to 16384 rows"),
        ("csv-windows:stride=0", "give 1 or more rows"),
        ("csv-windows:columns=q", "without column q"),
        ("csv-windows:group=machine", "without column machine"),
        ("csv-windows:window=500", "shorter than a window of 500 rows"),
        ("csv-windows:window=90,stride=90", "has too few windows"),
    ],
)
def test_requests_that_the_files_do_not_meet(tmp_path: Path, text: str, complaint: str) -> None:
    table(tmp_path / "a.csv", {"x": wave(200, 0.2), "label": (["a"] * 100) + (["b"] * 100)})
    with pytest.raises(OfaMcuError, match=complaint) as caught:
        task_named(text, tmp_path).load(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_without_series_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs its data"):
        task_named("csv-windows")
    with pytest.raises(OfaMcuError, match=r"has no files ending in .csv"):
        task_named("csv-windows", tmp_path)
    table(tmp_path / "a.csv", {"what": ["x"] * 300, "label": ["a"] * 300})
    with pytest.raises(OfaMcuError, match="no file has columns of numbers"):
        task_named("csv-windows", tmp_path)
    table(tmp_path / "a.csv", {"x": wave(300, 1), "label": ["a"] * 300})
    with pytest.raises(OfaMcuError, match="one class alone, and two classes are needed"):
        task_named("csv-windows:window=32", tmp_path)


def test_gestures_as_series(data_dir: Path, tmp_path: Path) -> None:
    """The magic wand's recordings as one file a person with a label column: persons stay together."""
    with np.load(data_dir / "magic_wand" / "magic_wand.npz") as file:
        stored = dict(file)
    ends = np.cumsum(stored["length"])
    for person in np.unique(stored["person"]):
        columns: dict[str, list] = {"x": [], "y": [], "z": [], "label": [], "run": []}
        for number in np.flatnonzero(stored["person"] == person):
            readings = stored["data"][ends[number] - stored["length"][number] : ends[number]]
            for axis, name in enumerate("xyz"):
                columns[name] += readings[:, axis].round(1).tolist()
            columns["label"] += ["moves" if stored["y"][number] < 3 else "rests"] * len(readings)
            columns["run"] += [f"{person} {number}"] * len(readings)
        table(tmp_path / f"{person}.csv", columns)
    data = task_named("csv-windows:window=64,stride=32,columns=x+y+z", tmp_path).load(tmp_path)
    by_run = task_named("csv-windows:window=64,stride=32,columns=x+y+z,group=run", tmp_path).load(tmp_path)
    assert data.train.inputs.shape[1:] == (1, 64, 3) and min(counts(data)) > 100
    assert sum(counts(by_run)) < sum(counts(data))  # no window reaches over two recordings
    spread = [part.inputs.std() for part in (data.train, data.validation, data.test)]
    assert max(spread) < 1.5 * min(spread)


def test_vibration_of_a_machine_in_windows_of_1024(tmp_path: Path) -> None:
    """Readings of a converter at three states of wear; a space is made for them."""
    for state, tone in (("new", 0.2), ("worn", 0.35), ("broken", 0.9)):
        for run in range(4):
            rng = np.random.default_rng((run, len(state)))
            steps = np.arange(6000)
            for_axis = [2048 + 600 * np.sin(tone * steps + axis) + rng.normal(0, 50, 6000) for axis in range(2)]
            columns = {
                "t": steps.tolist(),
                **{f"a{i}": one.round().astype(int).tolist() for i, one in enumerate(for_axis)},
            }
            table(tmp_path / state / f"run{run}.csv", columns)
    task = task_named("csv-windows:window=1024,stride=512", tmp_path)
    data = task.load(tmp_path)
    assert task.shape == (1, 1024, 2) and sum(counts(data)) == 3 * 4 * 10
    assert isinstance(data.train, WindowPart) and data.train.scaling.unit == (1.0, 1.0)
    space = space_for(task.name, task.shape, len(task.labels))
    assert space.sequence and space.classes == 3 and space.resolutions == (1024,)
