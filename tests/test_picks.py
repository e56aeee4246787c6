"""Different boards get different networks, and each runs in its twin with every byte right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SEARCHES = {
    "stm32f746": [],
    "rp2040": ["--max-instructions", "4M"],
    "stm32f103": [],
}


def ofa_mcu(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON object that a verb prints; stdout holds nothing else."""
    command = [sys.executable, "-m", "ofa_mcu", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == code, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The report of every search."""
    folder = tmp_path_factory.mktemp("picks")
    return {
        board: ofa_mcu("search", "--board", board, *options, "--out", str(folder / board))
        for board, options in SEARCHES.items()
    }


def test_boards_get_different_subnets(found: dict[str, dict[str, Any]]) -> None:
    assert len({report["pick"]["subnet"] for report in found.values()}) == len(SEARCHES)
    assert found["rp2040"]["pick"]["instructions"] <= 4_000_000
    assert found["stm32f103"]["pick"]["sram_bytes"] <= 20 * 1024
    assert found["stm32f103"]["pick"]["flash_bytes"] <= 64 * 1024


def test_quantization_costs_at_most_half_a_point(found: dict[str, dict[str, Any]]) -> None:
    for report in found.values():
        assert report["test_images"] == 10_000
        assert report["pick"]["accuracy_fp32"] - report["pick"]["accuracy_int8"] <= 0.005


@pytest.mark.parametrize("board", ["rp2040", "stm32f103"])
def test_the_pick_runs_in_its_twin(found: dict[str, dict[str, Any]], board: str) -> None:
    """(The stm32f746's pick runs in tests/hil.)"""
    built = ofa_mcu("build", "--run", found[board]["run"])
    assert built["sram_linked"] == built["sram_promised"] == found[board]["pick"]["sram_bytes"]
    result = ofa_mcu("bench", "--run", found[board]["run"], "--emulate", "--images", "50")
    assert result["differing_bytes"] == 0 and result["bytes_compared"] == 500
    assert abs(result["instructions"] / built["instructions_promised"] - 1) < 0.05


def test_the_same_seed_gives_the_same_bytes(found: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    again = ofa_mcu("search", "--board", "stm32f103", "--out", str(tmp_path / "run"))
    first = found["stm32f103"]
    assert again["pick"] == first["pick"] and again["front"] == first["front"]
    assert (tmp_path / "run" / "model.tflite").read_bytes() == (Path(first["run"]) / "model.tflite").read_bytes()


def test_nothing_fits_is_an_answer(tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = ofa_mcu("search", "--board", "stm32f103", "--max-sram", "2k", "--out", str(out), code=3)
    error = answer["error"]
    assert (error["code"], error["constraint"], error["budget"]) == ("infeasible", "sram", 2048)
    assert error["needed"] == error["nearest"]["sram_bytes"] > 2048
    assert not out.exists()
