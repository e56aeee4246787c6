"""What a farm takes for sound: runs, and what earlier measurements left in them. Nothing is measured here."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ofa_mcu.devices.board_job import BoardJob
from ofa_mcu.devices.farm_kept import failed_last, kept_bench
from ofa_mcu.devices.farm_report import FarmRequest, failure_of, farm
from ofa_mcu.devices.farm_runs import runs_in
from ofa_mcu.devices.project import IMAGE, IMAGE_HEADER
from ofa_mcu.devices.trial import fault_of
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.results import add_results, read_results
from ofa_mcu.runs import Run
from tests.cli.verbs import run

BOARD, MODEL = "rp2040", b"model"
BENCH: dict[str, Any] = {
    "board": BOARD,
    "runtime": "compiled",
    "transport": "emulator",
    "model_crc32": zlib.crc32(MODEL),
    "images": 40,
    "accuracy": 0.5,
    "bytes_compared": 160,
    "differing_bytes": 0,
    "stack_used": 900,
    "stack_reserved": 1024,
    "instructions": 1000,
    "milliseconds": None,
    "sram_linked": 4000,
    "flash_linked": 20000,
    "image_crc32": None,
}


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of results of this test alone."""
    path = tmp_path / "results.sqlite"
    monkeypatch.setenv("OFA_MCU_RESULTS", str(path))
    return path


def made(folder: Path, **report: Any) -> Run:
    """A run as a search leaves it, that nobody can build, and its measurement in the twin."""
    found = Run(folder)
    found.write_model(MODEL)
    pick = {"subnet": "small", "model_crc32": zlib.crc32(MODEL)}
    found.write("report.json", {"board": BOARD, "runtime": "compiled", "test_images": 60, "pick": pick, **report})
    found.write("config.json", {"task": "gestures"})
    found.write("bench.json", BENCH)
    return found


@pytest.fixture
def measured(tmp_path: Path) -> Run:
    return made(tmp_path / "runs" / BOARD)


def kept(measured: Run, changed: Mapping[str, Any] = {}, **job: Any) -> bool:
    measured.write("bench.json", {**BENCH, **changed})
    return kept_bench(BoardJob(measured.folder, **{"images": 40, **job}), BOARD) is not None


def test_what_was_measured_just_so_is_kept(measured: Run) -> None:
    assert kept(measured) and not kept(measured, images=41)
    assert kept(measured, {"images": 60}, images=500), "the test set has no more"
    on_board = {"transport": "serial", "milliseconds": 2.5, "instructions": None}
    assert kept(measured, on_board, port="/dev/ttyACM0") and not kept(measured, on_board)
    assert not kept(measured, port="/dev/ttyACM0")


@pytest.mark.parametrize(
    "changed",
    [
        {"differing_bytes": 1},
        {"stack_used": 1024},
        {"model_crc32": 1},
        {"board": "stm32f103"},
        {"runtime": "tflm"},
        {"images": None},
        {"images": "x"},
        {"sram_linked": "x"},
        {"instructions": None},
    ],
)
def test_what_a_new_measurement_would_not_pass_is_not_kept(measured: Run, changed: dict[str, Any]) -> None:
    assert not kept(measured, changed)


def test_what_does_not_pass_is_told(measured: Run) -> None:
    """The same function judges a new measurement (`Trial.check`) and a kept one."""
    assert fault_of(BENCH) is None
    wrong: dict[str, dict[str, Any]] = {
        "3 of 160 output bytes of rp2040 differ from the reference": {"differing_bytes": 3},
        "rp2040 used up the 1024 B of stack that are reserved": {"stack_used": 1024},
    }
    for words, changed in wrong.items():
        assert words in str(fault_of({**BENCH, **changed})) and not kept(measured, changed)
    assert fault_of({**BENCH, "stack_used": 1020}) is None and kept(measured, {"stack_used": 1020})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        json.dumps({**BENCH, "accuracy": math.nan}),
        "[]",
        "{}",
        '"x"',
        '{"images": 40, "board": "rp2040"}',
    ],
)
def test_damaged_measurements_are_not_kept(measured: Run, text: str) -> None:
    (measured.folder / "bench.json").write_text(text)
    assert kept_bench(BoardJob(measured.folder, images=40), BOARD) is None


def test_a_model_that_changed_is_not_kept(measured: Run) -> None:
    measured.write_model(b"another")
    assert not kept(measured) and not kept(measured, {"model_crc32": zlib.crc32(b"another")})


def test_with_flash_the_firmware_is_that_of_the_project(measured: Run) -> None:
    on_board = {"transport": "serial", "milliseconds": 2.5, "image_crc32": 0x1234ABCD}
    job = {"port": "/dev/ttyACM0", "flash": True}
    assert not kept(measured, on_board, **job), "nothing was ever built"
    header = measured.project_path / IMAGE
    header.parent.mkdir(parents=True)
    header.write_text(IMAGE_HEADER.format(0x1234ABCD))
    assert kept(measured, on_board, **job)
    assert not kept(measured, on_board | {"image_crc32": None}, **job)
    header.write_text(IMAGE_HEADER.format(0x1234ABCE))
    assert not kept(measured, on_board, **job) and kept(measured, on_board, port="/dev/ttyACM0")


def test_who_failed_last_is_measured_again(measured: Run, results: Path) -> None:
    assert failed_last() == set()
    add_results("measurements", [{"run": str(measured.folder), "runtime": "compiled"}])
    assert failed_last() == set()
    add_results("failures", [{"run": str(measured.folder), "board": BOARD, "code": "device", "error": "gone"}])
    assert failed_last() == {measured.folder.resolve()}
    results.write_text("damaged")
    with pytest.raises(OfaMcuError, match="cannot be used"):
        failed_last()


def test_unfit_runs_are_rows(measured: Run) -> None:
    """All that is wrong with them is told; the sound one among them is a row like any other."""
    runs = measured.folder.parent
    for name, text in {"a": "{", "b": "[]", "c": "{}", "d": json.dumps({"board": BOARD, "pick": []})}.items():
        (runs / name).mkdir()
        (runs / name / "report.json").write_text(text)
    made(runs / "e", board="nonsense")
    made(runs / "f", runtime="tflm")
    made(runs / "g", pick={"subnet": "small"})
    made(runs / "h").model_path.unlink()
    assert [each.run.name for each in runs_in([runs]).fit] == [BOARD]
    report = farm(FarmRequest([runs], emulate=True, images=40, resume=True), nothing, lambda *_: None)
    rows = {Path(row["run"]).name: row for row in report["boards"]}
    assert rows[BOARD]["resumed"] and rows[BOARD]["bench"] == BENCH
    said = {
        name: (row["board"], row["error"]["code"], row["error"]["message"])
        for name, row in rows.items()
        if row["error"]
    }
    expected = {
        "a": ("a", "error", "is damaged"),
        "b": ("b", "error", "no JSON object"),
        "c": ("c", "error", "no pick.subnet"),
        "d": (BOARD, "error", "no pick.subnet"),
        "e": ("nonsense", "usage", "no board 'nonsense'"),
        "f": (BOARD, "usage", "planned for TFLite Micro, and farm measures compiled code: search it for compiled, or"),
        "g": (BOARD, "error", "no pick.model_crc32"),
        "h": (BOARD, "error", "model.tflite cannot be read"),
    }
    assert list(said) == list(expected)
    for name, (board, code, words) in expected.items():
        assert said[name][:2] == (board, code) and words in said[name][2]
    assert [row["error"] for row in read_results("failures")] == [message for _, _, message in said.values()]
    failure = failure_of(report)
    assert failure is not None and "8 of 9 boards failed" in str(failure)


def test_a_fleet_tells_which_runs_are_its_own(measured: Run) -> None:
    runs = measured.folder.parent
    made(runs / "stale")
    rows = [{"board": BOARD, "run": f"elsewhere/{BOARD}"}, {"board": "stale", "message": "nothing fits"}]
    told = runs / "fleet.json"
    told.write_text(json.dumps({"boards": [*rows, {"board": "gone", "run": "elsewhere/gone"}]}))
    said: list[str] = []
    found = runs_in([runs], said.append)
    assert [each.run.name for each in found.fit] == [BOARD]
    assert said == [f"left aside, for {told} is not of them: stale"]
    ((gone, error),) = ((each.run.name, str(each.error)) for each in found.unfit)
    assert gone == "gone" and "report.json is missing" in error
    assert [each.run.name for each in runs_in([runs / "stale"]).fit] == ["stale"], "named by itself"
    told.write_text(json.dumps({"boards": rows, "complete": False}))
    assert [each.run.name for each in runs_in([runs], said.append).fit] == [BOARD]
    assert said[1] == f"the fleet in {runs} did not end; run it again for its other boards"
    told.write_text(json.dumps({"boards": rows[1:]}))
    with pytest.raises(UsageError, match="neither is a run nor holds any"):
        runs_in([runs])
    for damaged in ("{", "[]", "{}", '{"boards": [1]}', '{"boards": [{"run": 1}]}'):
        told.write_text(damaged)
        with pytest.raises(OfaMcuError, match="is damaged .*name the runs themselves"):
            runs_in([runs])


def test_only_unfit_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text("{}")
    assert run("farm", tmp_path, "--port", f"{tmp_path.name}=/dev/ttyACM0") == 1
    assert "is damaged (no pick.subnet)" in " ".join(capsys.readouterr().out.split())


def test_results_that_are_not_kept(measured: Run, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.write_text("damaged")
    for name in "ab":
        made(measured.folder.parent / name, board="nonsense")
    assert run("farm", measured.folder.parent / "a", measured.folder.parent / "b") == 2
    said = capsys.readouterr().err
    assert said.count("not kept: results in") == 1 and "kept in" not in said


@pytest.mark.slow
def test_a_run_that_another_works_in(measured: Run) -> None:
    """The row says so, and nobody holds it against the board."""
    with measured.locked():
        report = farm(FarmRequest([measured.folder], emulate=True), nothing, lambda *_: None)
    (row,) = report["boards"]
    assert "another ofa-mcu is working in" in row["error"]["message"] and row["error"]["code"] == "error"
    assert failed_last() == set()


def nothing(text: str) -> None:
    pass
