"""The calibration of a board from end to end: on a board whose time is made up, and on an emulated twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.devices import calibration, probe_runs
from ofa_mcu.devices.calibration import Calibration, Request, calibrate
from ofa_mcu.devices.probe_runs import Kept
from ofa_mcu.devices.probes import held_out, probes
from ofa_mcu.errors import DeviceError, MismatchError, OfaMcuError, UsageError
from ofa_mcu.planning.latency import LatencyModel, Unit, read_latency
from ofa_mcu.planning.latency_files import latency_for
from ofa_mcu.profiles import load_profile
from tests.cli.verbs import run
from tests.devices.pty_board import PtyBoard

BOARD = load_profile("stm32f103")
SECRET = LatencyModel(40.0, 0.05, {"ofa_pointwise": 0.03, "ofa_depthwise": 0.09, "ofa_conv2d": 0.05}, 0.12)
ROUNDS, EACH = 2, 1


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFA_MCU_BOARDS", raising=False)


def made_up_ticks() -> Callable[[str], int]:
    """Microseconds by the secret model, with half a per cent of noise."""
    rng = np.random.default_rng(0)
    networks = [*probes(BOARD, ROUNDS), *held_out(BOARD, EACH)]
    took = {
        one.graph.structure.name: round(SECRET.network(one.cost.layers) * (1 + 0.005 * rng.standard_normal()))
        for one in networks
    }
    return lambda name: took[name]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PtyBoard]:
    with PtyBoard(BOARD.id, tmp_path / "board", made_up_ticks()) as made:
        monkeypatch.setattr(probe_runs, "flash_board", made.flash)
        yield made


def calibrated(port: str, fresh: bool = False) -> Calibration:
    return calibrate(Request(BOARD, port=port, fresh=fresh, rounds=ROUNDS, each=EACH))


@pytest.mark.slow
def test_a_board_from_first_upload_to_search(
    board: PtyBoard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One upload for each image; what broke off goes on; nothing is measured twice; search finds the table."""
    honest = board.flash
    uploads = []

    def unplugged(*arguments: object, **options: object) -> object:
        uploads.append(arguments)
        if len(uploads) == 3:
            raise DeviceError("Flashing stm32f103 failed: no debug probe was found")
        return honest(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(probe_runs, "flash_board", unplugged)
    told: list[str] = []
    with pytest.raises(DeviceError, match="no debug probe"):
        calibrate(Request(BOARD, port=board.port, rounds=ROUNDS, each=EACH), told.append)
    assert board.flashed == 2
    assert any("2 of " in line and "the same command goes on from there" in line for line in told)
    assert latency_for(BOARD) is None

    found = calibrated(board.port)
    assert board.flashed == found.images <= 24
    table = found.table
    assert (table.unit, table.counter, table.clock_hz) == (Unit.MICROSECONDS, "micros", 123_000_000)
    for kernel, factor in SECRET.factors.items():
        assert table.model.factors[kernel] == pytest.approx(factor, rel=0.1)
    assert table.held_out.networks == len(found.held) >= 2
    assert table.held_out.largest < 0.03 < table.one_factor.largest
    assert read_latency(found.path) == table == latency_for(BOARD)
    rows = found.to_json()["networks"]
    errors = [abs(row["predicted"] / row["measured"] - 1) for row in rows if row["held_out"]]
    assert max(errors) == pytest.approx(table.held_out.largest, abs=1e-3)

    again = calibrated(board.port)
    assert board.flashed == found.images and again.table.model == table.model

    # the verb, with as few networks
    monkeypatch.setattr(calibration, "probes", lambda profile, rounds: probes(profile, ROUNDS))
    monkeypatch.setattr(calibration, "held_out", lambda profile, each: held_out(profile, EACH))
    asked = ("boards", "calibrate", "--board", BOARD.id, "--port", board.port)
    assert run(*asked, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["unit"], answer["file"]) == (1, "microseconds", str(found.path))
    assert answer["networks"] == rows and answer["model"]["factors"] == dict(table.model.factors)
    assert run(*asked, "--out", "mine.json") == 0
    said = capsys.readouterr().out
    assert "microseconds at 123 MHz" in said and "per instruction of ofa_pointwise" in said and "mine.json" in said
    assert read_latency(Path("mine.json")).model == table.model and board.flashed == found.images
    assert run(*asked, "--out", ".") == 2 and ". is a folder" in capsys.readouterr().err

    # one image is forgotten: the board, which runs the last one, is flashed once more, and that is all
    kept = Path("runs/boards/stm32f103/measurements.json")
    value = json.loads(kept.read_text())
    assert len(value["images"]) == found.images
    value["images"].popitem()
    kept.write_text(json.dumps(value))
    assert calibrated(board.port).table.model == table.model
    assert board.flashed <= found.images + 1

    monkeypatch.setattr(probe_runs, "run_reference", lambda graph, inputs: {graph.structure.outputs[0]: np.zeros(9)})
    with pytest.raises(MismatchError, match="the output of probe '.*' differs from the reference"):
        calibrated(board.port, fresh=True)


@pytest.mark.slow
def test_a_twin_gives_instructions_and_search_does_not_take_them_for_time(capsys: pytest.CaptureFixture[str]) -> None:
    found = calibrate(Request(load_profile("stm32f746"), rounds=2, each=1))
    table = found.table
    assert (table.unit, table.counter) == (Unit.INSTRUCTIONS, "virtual")
    assert found.path == Path("runs/boards/stm32f746.instructions.json")
    assert table.held_out.networks == 4 and table.held_out.largest < 0.05
    assert table.model.shared == pytest.approx(1.0, abs=0.03)
    assert latency_for(load_profile("stm32f746")) is None
    assert run("search", "--board", "stm32f746", "--latency", found.path) == 2
    assert "which are no time" in capsys.readouterr().err


def test_one_of_board_and_twin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("boards", "calibrate", "--board", "stm32f746") == 2
    assert run("boards", "calibrate", "--board", "stm32f746", "--emulate", "--port", "/dev/ttyACM0") == 2
    assert capsys.readouterr().err.count("needs either --port (the board's serial port) or --emulate") == 2
    assert run("boards", "calibrate", "--board", "stm32f7", "--emulate") == 2
    assert "There is no board 'stm32f7'" in capsys.readouterr().err


def test_a_board_that_is_not_there_is_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("boards", "calibrate", "--board", "stm32f746", "--port", "/dev/ttyNONE", "--json") == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"]["code"] == "device" and "there is no such port" in answer["error"]["message"]
    assert not Path("runs").exists()


def test_a_board_that_cannot_be_flashed() -> None:
    with pytest.raises(UsageError, match="PlatformIO does not know the board mps3_an547"):
        calibrate(Request(load_profile("mps3_an547"), port="/dev/ttyNONE"))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 2}', '{"schema": 1, "images": {"x": {}}}', '{"schema": 1, "images": {"1": {}}}']
)
def test_damaged_measurements_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "measurements.json"
    path.write_text(text)
    with pytest.raises(OfaMcuError, match=r"measurements.json is damaged .*; remove it, or measure anew with --fresh"):
        Kept(path)
    assert Kept(path, fresh=True).get(1) is None
