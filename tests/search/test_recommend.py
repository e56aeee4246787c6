"""From a request to a run's folder: what the seconds of a report count, and whose supernet serves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_mcu.errors import UsageError
from ofa_mcu.ledger import read_ledger
from ofa_mcu.planning.runtime import settled
from ofa_mcu.profiles import load_profile
from ofa_mcu.quantization.evaluate import Evaluator
from ofa_mcu.resources import resource
from ofa_mcu.runs import Run
from ofa_mcu.search import run as search_run
from ofa_mcu.search import work as search_work
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.fleet import FleetRequest, fleet
from ofa_mcu.search.recommend import Request, Source, recommend
from tests.search.made_up_source import TASK, write_pictures, write_supernet

BOARDS = [load_profile(board) for board in ("stm32f746", "stm32h743")]
"""Of one core."""
EVOLVED, LOADED = 1e4, 1e6
"""Made-up seconds."""


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of results of this test alone."""
    monkeypatch.setenv("OFA_MCU_RESULTS", str(tmp_path / "results.sqlite"))


@pytest.fixture
def put_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is put forward whenever subnets were evolved or weights and data loaded."""
    clock, ahead = time.monotonic, [0.0]

    def lasting(where: Any, name: str, seconds: float) -> None:
        function: Callable[..., Any] = getattr(where, name)

        def wrapped(*arguments: Any) -> Any:
            value = function(*arguments)
            ahead[0] += seconds
            return value

        monkeypatch.setattr(where, name, wrapped)

    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead[0])
    for where in (search_run, search_work):
        lasting(where, "evolved", EVOLVED)
    lasting(Source, "_load", LOADED)


@pytest.mark.slow
@pytest.mark.usefixtures("put_forward")
def test_seconds_are_those_of_the_whole_search(tmp_path: Path) -> None:
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    request = Request(budget_for(BOARDS[0]), TASK, supernet, data_dir=pictures)
    assert recommend(request, tmp_path / "run")["seconds"] >= EVOLVED + LOADED

    boards = fleet(FleetRequest(dict.fromkeys(BOARDS), TASK, supernet, data_dir=pictures), tmp_path / "fleet")
    first, second = (json.loads((Path(row["run"]) / "report.json").read_text()) for row in boards["boards"])
    assert boards["seconds"] >= first["seconds"] >= EVOLVED + LOADED
    assert second["seconds"] < EVOLVED, "what was done for the first is not done again"


def test_a_supernet_serves_the_task_that_it_was_trained_for(tmp_path: Path) -> None:
    """Options change what a byte of the input means; shapes alone do not tell."""
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    request = Request(budget_for(BOARDS[0]), f"{TASK},fit=crop", supernet, data_dir=pictures)
    with pytest.raises(UsageError, match=f"trained for task '{TASK}', not '.*fit=crop': search with --task {TASK}"):
        recommend(request, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def interrupted(request: Request, out: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A search that ends at the test of its pick, after the training; the checkpoint that it leaves."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Evaluator, "float_accuracy", stop)
        recommend(request, out)
    return (out / "refining" / "finetune" / "checkpoint.pt").read_bytes()


@pytest.mark.slow
def test_a_pick_that_is_trained_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted, the same search goes on; what is not of the new result goes when it is there, and not before."""
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    request = Request(budget_for(BOARDS[0]), TASK, supernet, data_dir=pictures, finetune=1)
    out, left = tmp_path / "run", tmp_path / "run" / "refining"
    trained = interrupted(request, out, monkeypatch)
    assert not (out / "report.json").exists()
    report = recommend(request, out)
    assert (out / "finetune" / "checkpoint.pt").read_bytes() == trained and not left.exists()
    assert [entry.stage for entry in read_ledger(out)] == ["search"]
    assert report["refinement"]["over_bounds"] == []

    left.mkdir()
    recommend(replace(request, finetune=0), out)
    assert not (out / "finetune").exists() and not left.exists() and len(read_ledger(out)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["threads", "data"])
def test_a_training_of_something_else_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    request = Request(budget_for(BOARDS[0]), TASK, supernet, data_dir=pictures, finetune=1)
    out = tmp_path / "run"
    before = torch.get_num_threads()
    trained = interrupted(request, out, monkeypatch)
    if changed == "data":
        for picture in (pictures / "a").iterdir():
            picture.write_bytes(min((pictures / "b").iterdir()).read_bytes())
    try:
        torch.set_num_threads(before + (changed == "threads"))
        recommend(request, out)
    finally:
        torch.set_num_threads(before)
    assert (out / "finetune" / "checkpoint.pt").read_bytes() != trained


@pytest.mark.slow
def test_a_pick_whose_training_breaks_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    request = Request(budget_for(BOARDS[0]), TASK, supernet, data_dir=pictures, finetune=1)
    told: list[str] = []

    def large(*arguments: Any) -> Any:
        found = settled(*arguments)
        return replace(found, cost=replace(found.cost, flash_bytes=2**30))

    monkeypatch.setattr("ofa_mcu.search.recommend.settled", large)
    refinement = recommend(request, tmp_path / "run", told.append)["refinement"]
    assert refinement["over_bounds"] == ["finetune"] and refinement["kept"] == "supernet"
    assert any("after finetune breaks the bounds" in text for text in told)


@pytest.mark.slow
def test_the_profile_of_an_earlier_search_goes_with_it(tmp_path: Path) -> None:
    pictures, supernet = write_pictures(tmp_path / "pictures"), write_supernet(tmp_path / "supernet")
    own = tmp_path / "stm32f746.toml"
    own.write_text((resource("boards") / "stm32f746.toml").read_text())
    request = Request(budget_for(BOARDS[0]), TASK, supernet, data_dir=pictures)
    run = Run(tmp_path / "run")
    recommend(replace(request, profile_path=own), run.folder)
    assert run.board() == str(run.folder / "stm32f746.toml")
    recommend(request, run.folder)
    assert run.board() == "stm32f746"
