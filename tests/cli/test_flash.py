"""The verb `flash`: PlatformIO's upload is made up, for no board is attached; the board's answers are its twin's."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from ofa_mcu.devices import flash, greeting
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.firmware import build_run
from ofa_mcu.devices.pio import PioResult
from ofa_mcu.devices.ports import Port
from ofa_mcu.profiles import load_profile
from ofa_mcu.runs import Run
from tests.cli.verbs import run
from tests.devices.attached import plug_in, plug_in_usb
from tests.devices.models import write_model_file

BOARD = "stm32f746"


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run as a search leaves it, of a small model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    plug_in(monkeypatch)
    plug_in_usb(monkeypatch, tmp_path)
    found = Run(tmp_path / "run")
    data = write_model_file(tmp_path).read_bytes()
    found.write_model(data)
    found.write("report.json", {"board": BOARD, "pick": {"subnet": "small", "model_crc32": zlib.crc32(data)}})
    found.write("config.json", {"task": "gestures"})
    return found


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What PlatformIO was told, which always succeeds."""
    told: list[tuple[str, ...]] = []

    def run_pio(project: object, environment: str, *arguments: str, **_: object) -> PioResult:
        told.append((environment, *arguments))
        return PioResult(0, "SUCCESS")

    monkeypatch.setattr(flash, "run_pio", run_pio)
    monkeypatch.setattr(flash, "missing_platform", lambda *_: False)
    return told


def test_a_dry_run_builds_nothing(
    searched: Run, uploads: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(monkeypatch, ttyACM0=(0x0483, 0x374B, "066A"))
    assert run("flash", "--run", "run", "--dry-run") == 0
    text = capsys.readouterr().out
    assert "port      /dev/ttyACM0" in text and "protocol  stlink" in text and "-t upload" in text
    assert run("flash", "--run", "run", "--dry-run", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["dry_run"] and answer["port"] == "/dev/ttyACM0" and answer["command"].endswith("-t upload")
    assert not uploads and not searched.project_path.exists()


def test_tflite_micro_has_a_project_of_its_own(
    searched: Run, uploads: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ("flash", "--run", "run", "--board", "nrf52840", "--runtime", "tflm")
    assert run(*asked, "--tflm-lib", "someone/tflm", "--dry-run", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    project = tmp_path / "run" / "firmware-tflm"
    assert answer["runtime"] == "tflm" and str(project) in answer["command"] and not uploads
    assert not project.exists()
    assert run(*asked, "--tflm-lib", "someone/tflm", "--dry-run") == 0
    assert "runtime   tflm" in capsys.readouterr().out
    assert run(*asked, "--tflm-lib", "someone/tflm") == 0
    assert uploads == [("nrf52840", "-t", "upload")]
    assert "lib_deps =\n    someone/tflm\n" in (project / "platformio.ini").read_text()
    assert not searched.project_path.exists()
    assert "next: ofa-mcu bench" in (said := capsys.readouterr().out) and "--port PORT --runtime tflm" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--runtime", "tflm"), "needs either --tflm-path"),
        (("--tflm-lib", "x"), "--tflm-lib belongs to --runtime tflm"),
        (("--arena", "20k"), "--arena belongs to --runtime tflm"),
        (("--runtime", "tflm", "--tflm-path", "nowhere"), "holds no tensorflow/"),
        (("--runtime", "tflm", "--tflm-lib", "x", "--arena", "16"), "--arena 16 is too small"),
    ],
)
def test_the_library_is_asked_for_as_by_build(
    searched: Run,
    uploads: list[tuple[str, ...]],
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    for more in ((), ("--dry-run",)):
        assert run("flash", "--run", "run", *options, *more) == 2
        assert words in capsys.readouterr().err and not uploads


def test_two_equal_boards(
    searched: Run, uploads: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(monkeypatch, ttyACM0=(0x0483, 0x374B), ttyACM1=(0x0483, 0x374B))
    assert run("flash", "--run", "run", "--json") == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "device" and "choose one with --port" in error["message"] and not uploads


def test_options_that_exclude_each_other(searched: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flash", "--run", "run", "--bench", "--dry-run") == 2
    assert "leave out --dry-run" in capsys.readouterr().err


def test_without_a_port_to_ask(
    searched: Run, uploads: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """This profile has no USB ids."""
    assert run("flash", "--run", "run", "--board", "nrf52840", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verified"], answer["port"], answer["protocol"]) == (False, None, "jlink")
    assert uploads == [("nrf52840", "-t", "upload")]
    assert run("flash", "--run", "run", "--board", "nrf52840", "--no-verify") == 0
    assert "--port PORT" in capsys.readouterr().out


@pytest.mark.slow
def test_the_new_image_is_asked_for(
    searched: Run, uploads: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load_profile(BOARD)
    image = build_run(searched, profile).build.elf.read_bytes()
    elf = searched.folder / "image.elf"
    elf.write_bytes(image)
    assert profile.emulator is not None
    with RunningEmulator(profile.emulator, elf) as emulator:
        assert run("flash", "--run", "run", "--port", emulator.url, "--json") == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["verified"] and answer["port"] == emulator.url
        assert answer["model_crc32"] == searched.report()["pick"]["model_crc32"]
        assert uploads == [(BOARD, "-t", "upload", "--upload-port", emulator.url)]
        # found by its USB ids, as it were
        monkeypatch.setattr(greeting, "find_port", lambda profile, port: emulator.url)
        monkeypatch.setattr("ofa_mcu.devices.flash_plan.usb_ports", lambda: (Port(emulator.url, "0483:374b", "x"),))
        monkeypatch.setattr("ofa_mcu.devices.flash_plan.find_port", lambda profile: emulator.url)
        assert run("flash", "--run", "run") == 0
        assert f"answers at {emulator.url}" in capsys.readouterr().out
        assert uploads[-1] == (BOARD, "-t", "upload")
