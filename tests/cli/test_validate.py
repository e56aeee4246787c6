"""The verb `validate`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.verbs import run
from tests.devices.models import write_model_file


def test_one_board_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model_file(tmp_path, name="small")
    assert run("validate", model, "--board", "stm32f746", "--inputs", "1", "--seed", "3", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["schema"], value["board"], value["inputs"], value["seed"]) == (1, "stm32f746", 4, 3)
    witnesses = {witness["name"]: witness for witness in value["witnesses"]}
    assert list(witnesses) == ["TFLite Micro", "LiteRT reference", "C for cortex-m7, this machine"]
    ours = witnesses["C for cortex-m7, this machine"]
    assert ours["skipped"] is None and ours["differing_bytes"] == 0 < ours["bytes_compared"]
    assert all(len(tensor["crc32"]) == 8 for tensor in value["tensors"])
    assert {gone["by"] for gone in value["eliminated"]} >= {"fold_borders"}


def test_a_board_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model_file(tmp_path, name="small")
    assert run("validate", model, "--emulate") == 2
    assert "name it with --board" in capsys.readouterr().err


def test_reproducers_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model_file(tmp_path, name="small")
    assert run("validate", model, "--out", model) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model_file(tmp_path, name="small")
    assert run("validate", model, "--board", "stm32f103", "--emulate") == 0
    text = capsys.readouterr().out
    assert "eliminated by passes" in text and "C for stm32f103, emulated: all" in text and "differ" not in text
