"""The verb `energy`, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ofa_mcu.runs import Run
from tests.cli.verbs import run

BOARD = "stm32l4r5"  # 41.5 mW at 1.8 V
BENCH = {
    "board": BOARD,
    "runtime": "compiled",
    "model_crc32": 77,
    "bytes_compared": 90,
    "differing_bytes": 0,
    "stack_used": 300,
    "stack_reserved": 2048,
    "milliseconds": 50.0,
    "runs": 9,
}
ESTIMATE = {"value": 100.0, "basis": "so many instructions", "band": 0.25}


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    assert run("energy", *arguments, "--json") == code
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


@pytest.fixture
def searched(tmp_path: Path) -> Run:
    found = Run(tmp_path / "run")
    pick = {"subnet": "r1", "model_crc32": 77, "instructions": 1_200_000, "estimates": {"ms": ESTIMATE}}
    found.write("report.json", {"board": BOARD, "pick": pick})
    return found


def test_power_times_time(capsys: pytest.CaptureFixture[str]) -> None:
    value = answer(capsys, "--board", BOARD, "--ms", "20")
    assert value["energy"]["mj"] == pytest.approx(0.83) and value["batteries"] == [] and value["duty"] is None
    assert value["power"]["basis"].startswith("41.5 mW from the profile") and value["time"]["basis"] == "20 ms as given"
    bare = answer(capsys, "--ms", "20", "--power-mw", "50")
    assert bare["energy"]["mj"] == pytest.approx(1.0) and bare["board"] is None


def test_a_run_has_its_time(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """What bench measured on that board comes first, then the search's estimate, then cycles as given."""
    estimated = answer(capsys, "--run", searched.folder)
    assert estimated["energy"] == {
        "mj": pytest.approx(4.15),
        "basis": f"{estimated['power']['basis']}; estimated: so many instructions",
        "band": 0.25,
    }
    given = answer(capsys, "--run", searched.folder, "--cycles-per-instruction", "2")
    assert given["time"]["ms"] == pytest.approx(2 * 1.2e6 / 120e6 * 1e3) and given["time"]["band"] is None
    searched.write("bench.json", BENCH | {"milliseconds": None})
    assert answer(capsys, "--run", searched.folder)["time"]["ms"] == 100
    searched.write("bench.json", BENCH)
    measured = answer(capsys, "--run", searched.folder)
    assert measured["energy"]["mj"] == pytest.approx(2.075) and measured["energy"]["band"] is None
    assert measured["time"]["basis"] == "measured on the board: median of 9 inferences"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"board": "rp2040"}, f"its board is rp2040 and that of this run {BOARD}; measure again"),
        ({"runtime": "tflm"}, "its runtime is tflm and that of this run compiled"),
        ({"model_crc32": 78}, "its model_crc32 is 78 and that of this run 77"),
        ({"differing_bytes": 7}, f"7 of 90 output bytes of {BOARD} differ from the reference"),
        ({"stack_used": 2049}, f"{BOARD} used "),
        ({"stack_used": None, "model_crc32": "x"}, "it does not tell model_crc32, stack_used; measure again"),
    ],
)
def test_measurements_that_do_not_count(
    searched: Run, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], words: str
) -> None:
    """The estimate stands in, and a note says why."""
    searched.write("bench.json", BENCH | changed)
    assert run("energy", "--run", searched.folder, "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["time"] == {"ms": 100, "basis": "estimated: so many instructions", "band": 0.25}
    assert told.err.startswith(f"note: the time in {searched.folder / 'bench.json'} does not count: {words}")


def test_a_run_for_tflite_micro(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    searched.write("report.json", searched.report() | {"runtime": "tflm"})
    searched.write("bench.json", BENCH)
    assert run("energy", "--run", searched.folder, "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["time"]["ms"] == 100 and "its runtime is compiled and that of this run tflm" in told.err
    searched.write("bench-tflm.json", BENCH | {"runtime": "tflm", "milliseconds": 80})
    assert answer(capsys, "--run", searched.folder)["time"]["ms"] == 80


def test_the_newest_run(searched: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (searched.folder.parent / "runs").mkdir()
    searched.folder.rename(searched.folder.parent / "runs" / "one")
    monkeypatch.chdir(searched.folder.parent)
    assert answer(capsys)["time"]["ms"] == 100


def test_batteries_and_harvest(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Mean current: 41.5 mW / 1.8 V for 100 ms of 10 s, and 5 uA for the rest."""
    value = answer(capsys, "--run", searched.folder, "--sleep-ua", "5", "--battery", "100mAh@3V", "--harvest-uw", "100")
    mean = 41.5 / 1.8 * 0.01 + 0.005 * 0.99
    assert value["duty"]["mean_ma"] == pytest.approx(mean)
    (row,) = value["batteries"]
    assert row["days"] == pytest.approx(100 / mean / 24)
    assert row["days_least"] < row["days"] < row["days_most"]
    assert row["days_least"] == pytest.approx(100 / (41.5 / 1.8 * 0.0125 + 0.005 * 0.9875) / 24)
    # 100 uW at 1.8 V, less 5 uA of sleep, over 100 ms of the active current above that
    per_day = (0.1 / 1.8 - 0.005) * 86_400 / ((41.5 / 1.8 - 0.005) * 0.1)
    assert value["harvest"]["inferences_per_day"] == pytest.approx(per_day)
    usual = answer(capsys, "--board", BOARD, "--ms", "20", "--sleep-ua", "5", "--every", "1h")
    assert [row["battery"] for row in usual["batteries"]] == ["cr2032", "cr123a", "2xaa", "2xl91", "lipo"]
    assert "without a capacitor" in usual["batteries"][0]["warning"] and usual["duty"]["period_s"] == 3600


def test_the_chips_own_sleep_current_is_the_default(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--board", "stm32u585", "--ms", "20", "--battery", "cr2032")
    told, given = answer(capsys, *asked)["duty"], answer(capsys, *asked, "--sleep-ua", "8.95")["duty"]
    assert told["sleep_basis"].startswith("the chip alone, a board draws more (typical, data sheet DS13086")
    assert given["sleep_basis"] == "as given"
    assert {**told, "sleep_basis": ""} == {**given, "sleep_basis": ""}
    assert run("energy", *asked) == 0
    assert "sleep     8.95 uA: the chip alone" in capsys.readouterr().out
    assert answer(capsys, "--board", "stm32u585", "--ms", "20")["duty"] is None


def test_words(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("energy", "--run", searched.folder, "--sleep-ua", "5", "--harvest-uw", "9") == 0
    text = capsys.readouterr().out
    assert "energy    4.15 mJ per inference (+-25 %)" in text and "estimated: so many instructions" in text
    assert "cr2032" in text and "2xaa" in text and "inferences a day" in text


def test_a_trace_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20 mA at 3 V for 30 of 100 ms."""
    rows = [f"{index / 10},{20_000 if 200 <= index < 500 else 100},{int(200 <= index < 500)}" for index in range(1000)]
    path = tmp_path / "ppk.csv"
    path.write_text("\n".join(["Timestamp(ms),Current(uA),D0", *rows]))
    value = answer(capsys, "--power-csv", path, "--supply-v", "3", "--sleep-ua", "2", "--battery", "cr123a")
    assert value["energy"]["mj"] == pytest.approx(1.8) and value["time"]["ms"] == pytest.approx(30)
    assert value["power"]["mw"] == pytest.approx(60) and value["trace"]["between_ma"] == pytest.approx(0.1)
    assert value["duty"]["mean_ma"] == pytest.approx(20 * 0.003 + 0.002 * 0.997)
    window = answer(
        capsys, "--power-csv", path, "--supply-v", "3", "--window", "0.02,0.05", "--inferences", "3", "--board", BOARD
    )
    assert window["energy"]["mj"] == pytest.approx(0.6) and window["trace"]["inferences"] == 3
    assert run("energy", "--power-csv", path, "--supply-v", "3") == 0
    text = capsys.readouterr().out
    assert "energy    1.8 mJ per inference" in text and "measured: D0 of ppk.csv" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there is no run under runs/"),
        (("--board", BOARD), "energy needs the time of an inference"),
        (("--ms", "2"), "energy needs the active power: give --power-mw"),
        (("--ms", "inf", "--power-mw", "3"), "--ms inf is no sensible amount; give one from 1e-06 to 1e"),
        (("--ms", "nan", "--power-mw", "3"), "--ms nan is no sensible amount"),
        (("--ms", "2", "--power-mw", "1e300"), "--power-mw 1e[+]300 is no sensible amount"),
        (("--ms", "2", "--supply-v", "1e300"), r"--supply-v 1e\+300 is no sensible amount; give one from 0.5 to 60"),
        (("--ms", "2", "--supply-v", "0.4"), r"--supply-v 0.4 is no sensible amount"),
        (("--ms", "2", "--sleep-ua", "-1"), r"--sleep-ua -1.0 is no sensible amount; give one from 0 to"),
        (("--power-csv", "x.csv", "--window", "0,1", "--inferences", "0"), "--inferences 0 is no sensible amount"),
        (("--ms", "2", "--board", BOARD, "--sleep-ua", "1", "--battery", "1001xaa"), "'1001xaa' is beyond 1000 cells"),
        (("--ms", "2", "--board", BOARD, "--sleep-ua", "1", "--every", "1001y"), "'1001y' is longer than 1000 years"),
        (("--ms", "2", "--board", "stm32f103"), "stm32f103 has no active_power_mw, .*--power-mw, or measure"),
        (("--ms", "2", "--board", BOARD, "--supply-v", "3.3"), "is that at 1.8 V and not at 3.3 V: give --power-mw"),
        (("--ms", "2", "--board", BOARD, "--harvest-uw", "9"), "need the current between inferences: give --sleep-ua"),
        (("--ms", "2", "--power-mw", "9", "--sleep-ua", "1"), r"volts \(supply_v\).*--supply-v"),
        (("--ms", "2", "--board", BOARD, "--sleep-ua", "1", "--battery", "potato"), "there is no battery 'potato'"),
        (("--ms", "2", "--board", BOARD, "--sleep-ua", "1", "--every", "soon"), "--every 'soon' is no duration"),
        (("--ms", "2", "--board", BOARD, "--sleep-ua", "1", "--every", "1ms"), "give a longer --every"),
        (("--window", "0,1"), "are about a trace; name it with --power-csv"),
        (("--power-csv", "x.csv", "--window", "0,1"), "takes --window with --inferences, or --channel alone"),
        (("--power-csv", "x.csv"), "the trace x.csv cannot be read"),
        (("--power-csv", "x.csv", "--ms", "20"), "--power-csv measures what --ms would tell"),
        (
            ("--power-csv", "x.csv", "--power-mw", "9", "--ms", "2"),
            "measures what --ms and --power-mw would tell; leave",
        ),
        (("--power-csv", "x.csv", "--cycles-per-instruction", "2"), "what --cycles-per-instruction would tell"),
        (("--run", "none"), "none holds no run"),
        (("--run", "none", "--board", BOARD), "leave out --board"),
    ],
)
def test_mistakes(
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    error = answer(capsys, *options, code=2)["error"]
    assert error["code"] == "usage"
    assert re.search(words, error["message"]) and "\n" not in error["message"]


def test_a_window_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time(s),current(A)\n0,1\n1,2\n")
    error = answer(capsys, "--power-csv", path, "--window", "now", "--inferences", "1", "--supply-v", "3", code=2)
    assert "is no pair of seconds" in error["error"]["message"]


def test_volts_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the trace come before a profile's, which nobody gave."""
    path = tmp_path / "t.csv"
    path.write_text("time(s),current(A),voltage(V)\n0,1,2\n1,2,2\n")
    asked = ("--power-csv", path, "--window", "0,2", "--inferences", "1")
    error = answer(capsys, *asked, "--supply-v", "5", code=2)["error"]["message"]
    assert error == f"{path} has a column of volts, and --supply-v 5 tells others; leave out --supply-v"
    assert answer(capsys, *asked, "--board", BOARD)["trace"]["volts"] == 2
