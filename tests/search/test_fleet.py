"""One supernet for many boards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_mcu.devices.farm_runs import runs_in
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.runtime import Runtime
from ofa_mcu.profiles import all_profiles, load_profile
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.fleet import FleetRequest, drawn_budgets, fleet, made_up_fleet, picks
from ofa_mcu.search.nsga import evolve
from tests.cli.verbs import run
from tests.search.made_up import predictor_of
from tests.search.made_up_source import TASK, write_pictures, write_supernet
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")
PREDICTOR = predictor_of(TINY)


def test_picks_are_the_best_that_fit() -> None:
    archive = Archive(PREDICTOR, BOARD)
    archive.evaluate(archive.genome.encode_all(TINY))
    assert drawn_budgets([BOARD], 60) == drawn_budgets([BOARD], 60)
    least, most = archive.objectives[:, 1:].min(0), archive.objectives[:, 1:].max(0)
    tight = least + (most - least) * (np.random.default_rng(0).random((40, 3)) ** 3 - 0.01)
    budgets = [
        *drawn_budgets([BOARD], 20),
        *(Budget(BOARD, dict(zip(("sram", "flash", "instructions"), row, strict=True))) for row in tight),
    ]
    found = picks(archive, budgets)
    assert any(found) and not all(found)
    for budget, pick in zip(budgets, found, strict=True):
        limited = archive.fitted(budget.bounds["sram"])
        fitting = limited.objectives[limited.excess(budget) <= 0]
        if pick is None:
            assert not len(fitting)
            continue
        assert pick.accuracy == -fitting[:, 0].min()
        assert pick.instructions in fitting[fitting[:, 0] == -pick.accuracy][:, 3]
        assert pick.sram_bytes <= budget.bounds["sram"] and pick.flash_bytes <= budget.bounds["flash"]


def test_searching_once_is_as_good_as_searching_for_each() -> None:
    once = Archive(PREDICTOR, BOARD)
    evolve(once, None, 0, population=16, generations=6)
    for budget, pick in zip(drawn_budgets([BOARD], 12), picks(once, drawn_budgets([BOARD], 12)), strict=True):
        single = Archive(PREDICTOR, BOARD)
        evolve(single, budget, 1, population=16, generations=6)
        (best,) = picks(single, [budget])
        assert (pick is None) == (best is None)
        if pick and best:
            assert pick.accuracy >= best.accuracy - 0.001


def test_a_fleet_needs_boards() -> None:
    for made in (lambda: fleet(FleetRequest({}), Path("nowhere")), lambda: made_up_fleet(FleetRequest({}), 3)):
        with pytest.raises(UsageError, match="needs boards"):
            made()


@pytest.mark.slow
def test_a_made_up_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "--synthetic", "200", "--boards", "stm32f746,rp2040", "--out", tmp_path, "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value == json.loads((tmp_path / "synthetic.json").read_text()) and not (tmp_path / "fleet.json").exists()
    assert len(value["boards"]) == 200 and not list(tmp_path.glob("*/"))
    for row in value["boards"]:
        assert (row["pick"] is None) == (not row["feasible"]) == (row["constraint"] is not None)
        if row["feasible"]:
            assert all(row["pick"][f"{name}_bytes"] <= row["bounds"][name] for name in ("sram", "flash"))


@pytest.mark.slow
def test_boards_of_two_cores_and_one_that_is_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = (Path(__file__).parents[2] / "boards" / "stm32f103.toml").read_text()
    path = tmp_path / "tiny_board.toml"
    path.write_text(small.replace("ram_bytes = 20_480", "ram_bytes = 2_048").replace('"stm32f103"', '"tiny_board"', 1))
    boards = f"stm32f746,stm32h743,rp2040,{path}"
    assert run("fleet", "--boards", boards, "--max-instructions", "4M", "--out", tmp_path / "fleet", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    rows = {row["board"]: row for row in value["boards"]}
    assert [row["feasible"] for row in value["boards"]] == [True, True, True, False]
    assert value["boards"][3]["constraint"] == "sram" and "nothing fits" in value["boards"][3]["message"]
    # two boards of one core and room enough take the same subnet
    assert rows["stm32f746"]["pick"]["subnet"] == rows["stm32h743"]["pick"]["subnet"]
    assert rows["rp2040"]["pick"]["macs"] < rows["stm32f746"]["pick"]["macs"]
    for board in ("stm32f746", "stm32h743", "rp2040"):
        folder = tmp_path / "fleet" / board
        assert rows[board]["pick"]["instructions"] <= 4_000_000 and rows[board]["run"] == str(folder)
        assert (folder / "report.json").is_file() and (folder / "model.tflite").is_file()
    assert sorted(path.name for path in (tmp_path / "fleet").iterdir() if path.is_file()) == ["fleet.json", "fleet.png"]
    assert run("build", "--run", tmp_path / "fleet" / "rp2040") == 0


def test_nothing_fits_any_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--boards", "rp2040", "--max-instructions", "1000", "--out", tmp_path, "--json")
    assert run("fleet", *arguments) == 3
    rows = json.loads(capsys.readouterr().out)["boards"]
    assert [(row["feasible"], row["constraint"]) for row in rows] == [(False, "instructions")]


@pytest.mark.slow
def test_a_fleet_that_does_not_end_tells_of_its_own_runs_alone(tmp_path: Path) -> None:
    """Not of those that an earlier one left, nor does a farm take these; nothing is lost where nothing was begun."""
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    out = tmp_path / "fleet"
    boards: dict[BoardProfile, Path | None] = dict.fromkeys(map(load_profile, ("stm32f746", "stm32h743")))
    request = FleetRequest(boards, TASK, supernet, data_dir=pictures)
    report = fleet(request, out)
    assert report["complete"] and json.loads((out / "fleet.json").read_text()) == report
    with pytest.raises(UsageError):
        fleet(replace(request, task="nonsense"), out)
    assert json.loads((out / "fleet.json").read_text()) == report
    (out / "fleet.png").write_bytes(b"of the earlier one")

    def interrupting(text: str) -> None:
        if text.startswith("board 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet(request, out, show=interrupting)
    told = json.loads((out / "fleet.json").read_text())
    assert not told["complete"] and [row["board"] for row in told["boards"]] == ["stm32f746"]
    assert not (out / "fleet.png").exists() and not list(out.glob(".*"))
    said: list[str] = []
    assert [each.run.name for each in runs_in([out], said.append).fit] == ["stm32f746"]
    assert "did not end" in said[0] and said[1].endswith("is not of them: stm32h743")


def test_a_fleet_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OfaMcuError, match="cannot write to .*--out"):
        fleet(FleetRequest({BOARD: None}), tmp_path / "file")


def test_unknown_boards_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    assert run("fleet", "--boards", "stm32f746,nonsense", "--out", tmp_path / "fleet") == 2
    assert run("fleet", "--boards", ",", "--out", tmp_path / "fleet") == 2
    assert not (tmp_path / "fleet").exists()


def test_every_profile_can_be_drawn() -> None:
    profiles = all_profiles()
    budgets = drawn_budgets(profiles, 300)
    assert {budget.profile.id for budget in budgets} == {profile.id for profile in profiles}
    sram = np.array([budget.bounds["sram"] for budget in budgets])
    assert 4 * 1024 <= sram.min() < 8 * 1024 and 256 * 1024 < sram.max() <= 512 * 1024


@pytest.mark.parametrize("bound", ["max_ms", "max_mj"])
def test_made_up_boards_have_no_time(bound: str) -> None:
    request = FleetRequest({BOARD: None}, bounds={"max_instructions": None, bound: 3.0})
    with pytest.raises(UsageError, match="leave out --max-ms and --max-mj"):
        made_up_fleet(request, 3)


def made_up_rows(tmp_path: Path, boards: list[str], runtime: Runtime, most: float | None) -> list[dict[str, Any]]:
    supernet = write_supernet(tmp_path / "supernet")
    pictures = write_pictures(tmp_path / "pictures")
    profiles = {load_profile(board): None for board in boards}
    bounds = {"max_instructions": most, "max_ms": None, "max_mj": None}
    request = FleetRequest(profiles, TASK, supernet, bounds, data_dir=pictures, runtime=runtime)
    rows: list[dict[str, Any]] = made_up_fleet(request, 40)["boards"]
    return rows


def test_made_up_boards_are_bounded_as_asked(tmp_path: Path) -> None:
    rows = made_up_rows(tmp_path, ["stm32f746", "rp2040"], Runtime.COMPILED, 1e6)
    drawn = drawn_budgets([load_profile("stm32f746"), load_profile("rp2040")], 40)
    bounds = [budget.bounds["instructions"] for budget in drawn]
    assert [row["bounds"]["instructions"] for row in rows] == [min(bound, 1e6) for bound in bounds]
    assert min(bounds) < 1e6 < max(bounds)


def test_made_up_boards_without_figures_of_instructions(tmp_path: Path) -> None:
    """TFLite Micro's are not known on a Cortex-M0+."""
    rows = made_up_rows(tmp_path, ["stm32f746", "rp2040"], Runtime.TFLM, None)
    for row in rows:
        assert ("instructions" in row["bounds"]) == row["board"].startswith("stm32f746")
    with pytest.raises(UsageError, match="is not known, so nothing can be bounded by instructions"):
        made_up_rows(tmp_path, ["stm32f746", "rp2040"], Runtime.TFLM, 1e6)


def test_profiles_that_lack_what_a_bound_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "--boards", "rp2040", "--max-ms", "3", "--out", tmp_path) == 2
    said = capsys.readouterr()
    assert "not searched" in said.out and "unknown" in said.out and "nothing fits" not in said.out + said.err
    (row,) = json.loads((tmp_path / "fleet.json").read_text())["boards"]
    assert f"rp2040: {row['message']}" in said.out and f"ofa-mcu: {row['message']}" in said.err
