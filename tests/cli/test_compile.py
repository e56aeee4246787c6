"""The verb `compile`, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.model_build import default_folder
from ofa_mcu.graph.random_weights import quantized
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.plan import THRIFT
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from tests.cli.verbs import run
from tests.devices.models import bordered_graph, write_model_file
from tests.graph.files import edited


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_model_file(tmp_path, name="small")


def test_a_project_and_a_table(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", model, "--board", "stm32f746", "--explain", "--report", "report") == 0
    text = capsys.readouterr().out
    assert "small.tflite for stm32f746 (cortex-m7)" in text
    for words in (
        "MACs",
        "lower bound",
        "SRAM",
        "flash",
        "predicted for cortex-m7",
        "estimate",
        "is float32 in the file",
    ):
        assert words in text
    assert "pass fold_borders" in text and "tensors eliminated" in text and "  * " in text
    assert Path("small-stm32f746/src/model/ofa_model.c").is_file()
    assert Path("small-stm32f746/platformio.ini").is_file() and Path("report/report.html").is_file()


def test_json_is_one_object(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("compile", model, "--board", "rp2040", "--out", "there", "--optimize", "size", "--json", "--explain") == 0
    )
    value = json.loads(capsys.readouterr().out)
    assert (value["schema"], value["board"], value["optimize"]) == (1, "rp2040", "size")
    assert value["live_macs"] < value["macs"] and value["choices"] and value["estimated_ms"] is None
    assert Path(value["project"]) == Path("there").absolute()
    assert run("compile", model, "--board", "rp2040", "--no-dead-channels", "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["live_macs"] == whole["macs"] == value["macs"]


def test_an_unsupported_operator_writes_nothing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(tree: object) -> None:
        tree.operatorCodes[0].builtinCode = tree.operatorCodes[0].deprecatedBuiltinCode = 44  # type: ignore[attr-defined]

    model.write_bytes(edited(bordered_graph(), edit))
    assert run("compile", model, "--board", "stm32f746", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "error"
    assert captured.err.startswith("ofa-mcu: operator ") and captured.err.count("\n") == 1
    assert "which is not supported: export a model that uses only" in captured.err
    assert [path.name for path in Path().iterdir()] == ["small.tflite"]


def test_mistakes_in_the_request(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", model, "--board", "stm32f746", "--optimize", "fast") == 2
    assert run("compile", model, "--board", "stm32f746", "--arena-limit", "none") == 2
    assert run("compile", model, "--board", "stm32f746", "--debug", "--emulate") == 2
    assert run("compile", model, "--board", "stm32f7") == 2
    assert capsys.readouterr().err.count("ofa-mcu: ") == 4
    assert [path.name for path in Path().iterdir()] == ["small.tflite"]


def test_a_report_has_a_folder_of_its_own(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    refused = {"file": "is a file", "there/report": "is inside the project there", "file/r": "cannot be written"}
    for place, words in refused.items():
        assert run("compile", model, "--board", "stm32f746", "--out", "there", "--report", place) in (1, 2)
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["file", "small.tflite"]


def test_names_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like markup, and like an emoji, is neither."""

    def edit(tree: object) -> None:
        for index, tensor in enumerate(tree.subgraphs[0].tensors):  # type: ignore[attr-defined]
            tensor.name = f"net[/b][red]{index}:smile:".encode()

    path = tmp_path / "m[bold].tflite"
    path.write_bytes(edited(bordered_graph(), edit))
    for words in (("compile", path, "--out", tmp_path / "out"), ("validate", path, "--inputs", "0")):
        assert run(*words, "--board", "stm32f746") == 0
        text = capsys.readouterr().out
        assert "m[bold].tflite" in text and re.search(r"net\[/b\]\[red\]\d+:smile:", text)


def test_a_path_that_no_build_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model_file(tmp_path, name="model (1)")
    out = tmp_path / "this & that"
    assert run("compile", path, "--board", "stm32f746", "--emulate", "--out", out) == 2
    assert "for the & in its path" in capsys.readouterr().err and not out.exists()
    assert default_folder(path, "stm32f746") == Path("model _1_-stm32f746")


def test_a_board_that_is_too_small(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = (Path(__file__).resolve().parents[2] / "boards" / "stm32f103.toml").read_text()
    small = profile.replace("ram_bytes = 20_480", "ram_bytes = 1_024")
    assert small != profile
    Path("stm32f103.toml").write_text(small)
    assert run("compile", model, "--board", "stm32f103.toml", "--json") == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["constraint"], error["budget"]) == ("infeasible", "sram", 1024)
    assert error["excess_bytes"]["sram"] == error["needed"] - 1024
    assert not Path("small-stm32f103").exists()


@pytest.mark.slow
def test_emulated(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", model, "--board", "stm32f446", "--emulate", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert (
        value["differing_bytes"] == 0 < value["bytes_compared"] and 0 < value["stack_used"] <= value["stack_reserved"]
    )
    assert value["tflm"]["differing_bytes"] == 0 and value["sram_linked"] == value["sram_bytes"]
    assert abs(value["flash_linked"] - value["flash_bytes"]) <= max(512, 0.02 * value["flash_linked"])
    image = next(Path("small-stm32f446").glob(".pio/build/*/firmware.elf"))
    assert read_image(image).flash_bytes == value["flash_linked"]


def test_scarce_memory_asks_for_cascades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a network run some rows at a time where it would not fit otherwise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    structure = shape_graph(FASHION_MNIST, FASHION_MNIST.largest)
    Path("blocks.tflite").write_bytes(write_tflite(quantized(structure, rng)))

    def compiled(*more: str) -> dict[str, Any]:
        assert run("compile", "blocks.tflite", "--board", "stm32f746", "--explain", "--json", *more) == 0
        value: dict[str, Any] = json.loads(capsys.readouterr().out)
        return value

    whole, half = compiled("--max-sram", "64k"), compiled("--max-sram", "12k")
    assert not [layer for layer in whole["layers"] if layer["op"] == "Cascade"]
    assert [layer for layer in half["layers"] if layer["op"] == "Cascade"]
    assert half["sram_bytes"] <= 12 * 1024 < whole["sram_bytes"] and half["macs"] == whole["macs"]
    assert [step for step in half["passes"] if step["name"] == "cascade"]
    thrifty = compiled()
    assert thrifty["arena_bytes"] <= whole["arena_bytes"]
    assert thrifty["instructions_predicted"] <= whole["instructions_predicted"] * (1 + THRIFT)
    assert run("compile", "blocks.tflite", "--board", "stm32f746", "--max-sram", "4k") == 3
    assert run("compile", "blocks.tflite", "--board", "stm32f746", "--max-sram", "4m") == 2
    said = capsys.readouterr().err
    assert "exceeds stm32f746: the SRAM it may take (--max-sram) of 4,096 bytes by" in said
    assert "--max-sram 4194304 is more than board stm32f746 has (327680 B); give less or leave it out" in said
