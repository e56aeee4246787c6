"""Hardware in the loop: the same tests on a board's emulated twin and, with --hil-port, on the board itself.

    pytest tests/hil --hil-board stm32f746
    pytest tests/hil --hil-board stm32f746 --hil-port /dev/ttyACM0

On a board they expect the firmware of the run that they search: the board is flashed first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.firmware import run_graph
from ofa_mcu.devices.link import Link
from ofa_mcu.errors import DeviceError
from ofa_mcu.graph.reference import run as run_reference
from ofa_mcu.profiles import load_profile
from ofa_mcu.runs import Run

pytestmark = [pytest.mark.hil, pytest.mark.slow]
IMAGES = 200


def ofa_mcu(*arguments: str) -> dict[str, Any]:
    """The JSON object that a verb prints."""
    command = [sys.executable, "-m", "ofa_mcu", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, hil_board: str, hil_port: str | None) -> Run:
    """A searched run, built, and flashed where there is a board."""
    folder = tmp_path_factory.mktemp("hil") / "run"
    ofa_mcu("search", "--board", hil_board, "--out", str(folder))
    if hil_port is None:
        ofa_mcu("build", "--run", str(folder))
    else:
        subprocess.run([sys.executable, "-m", "ofa_mcu", "flash", "--run", str(folder)], check=True, timeout=900)
    return Run(folder)


@pytest.fixture(scope="module")
def bench(run: Run, hil_port: str | None) -> dict[str, Any]:
    """The bench verb's answer over test images."""
    where = ["--emulate"] if hil_port is None else ["--port", hil_port]
    return ofa_mcu("bench", "--run", str(run.folder), "--images", str(IMAGES), *where)


def test_every_output_byte_equals_the_reference(bench: dict[str, Any]) -> None:
    assert bench["bytes_compared"] == 10 * IMAGES
    assert bench["differing_bytes"] == 0


def test_the_device_is_as_accurate_as_the_int8_graph(bench: dict[str, Any], run: Run) -> None:
    # 200 images: three standard errors at 90 % are 6.4 points
    assert abs(bench["accuracy"] - run.report()["pick"]["accuracy_int8"]) < 0.065


def test_the_stack_stays_in_its_reserve(bench: dict[str, Any]) -> None:
    assert 0 < bench["stack_used"] <= bench["stack_reserved"]


def test_instructions_are_as_promised_and_repeat(bench: dict[str, Any], run: Run, hil_port: str | None) -> None:
    if hil_port is not None:
        assert bench["instructions"] is None
        assert bench["milliseconds"] > 0
        return
    promised = run.read("build.json")["instructions_promised"]
    assert abs(bench["instructions"] / promised - 1) < 0.05
    assert max(bench["instructions_repeated"]) - min(bench["instructions_repeated"]) <= 1
    assert bench["milliseconds"] is None


def test_the_image_is_what_was_promised(run: Run, hil_port: str | None) -> None:
    if hil_port is not None:
        pytest.skip("a framework's own data is outside the promise; the twin is held to it")
    build = run.read("build.json")
    assert build["sram_linked"] == build["sram_promised"]
    assert abs(build["flash_linked"] - build["flash_promised"]) <= max(512, 0.02 * build["flash_linked"])


def test_extreme_inputs_agree_and_another_model_is_refused(run: Run, hil_board: str, hil_port: str | None) -> None:
    profile = load_profile(hil_board)
    graph, crc = run_graph(run)
    name, output = graph.structure.inputs[0], graph.structure.outputs[0]
    shape = graph.structure.shapes[name][1:]
    noise = np.random.default_rng(0).integers(-128, 128, (5, *shape)).astype(np.int8)
    inputs = np.concatenate([np.full((1, *shape), value, np.int8) for value in (-128, 127, 0)] + [noise])
    expected = run_reference(graph, {name: inputs})[output].reshape(len(inputs), -1)

    def check(url: str) -> None:
        twin = profile.emulator if hil_port is None else None
        flat = inputs.reshape(len(inputs), -1)
        with Link(url) as link:
            result = measure(link, flat, expected, twin=twin, model_crc32=crc)
            assert result.differing_bytes == 0
            with pytest.raises(DeviceError, match="flash it again"):
                measure(link, flat, expected, twin=twin, model_crc32=crc ^ 1)

    if hil_port is not None:
        check(hil_port)
        return
    assert profile.emulator is not None
    elf = Path(run.read("build.json")["elf"])
    with RunningEmulator(profile.emulator, elf) as emulator:
        check(emulator.url)
