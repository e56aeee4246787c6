"""No board is attached here: what the uploaders print then becomes one sentence."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.upload_errors import table
from ofa_mcu.devices import flash
from ofa_mcu.devices.flash import flash_board, upload_failure
from ofa_mcu.devices.ports import find_port, usb_ports
from ofa_mcu.devices.project import write_project
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles import load_profile
from tests.devices import tiny
from tests.devices.attached import plug_in
from tests.devices.uploader_words import WORDS, Words


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.uploader)
def test_what_uploaders_say(words: Words) -> None:
    sentence = upload_failure(words.output, "stm32f746")
    assert sentence.startswith("Flashing stm32f746 failed: ") and "\n" not in sentence
    assert words.sentence in sentence


@pytest.mark.parametrize(
    ("output", "words"),
    [("A novel failure of something\n*** [upload] Error 1", "A novel failure of something"), ("", "gave no reason")],
)
def test_what_uploaders_have_not_said_before(output: str, words: str) -> None:
    sentence = upload_failure(output, "stm32f746")
    assert sentence.startswith("Flashing stm32f746 failed: ") and words in sentence and "\n" not in sentence


def test_the_documented_table_is_the_present_one() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "flash.md").read_text(encoding="utf-8")
    assert table() in documented, "write what `python -m benchmarks.upload_errors` prints into docs/flash.md"


def test_without_a_network_the_answer_comes_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform is not installed in an empty folder, and a name that never resolves is the registry's."""
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    monkeypatch.setattr("ofa_mcu.devices.pio.registry_hosts", lambda: ("registry.invalid",))
    profile = load_profile("stm32f746")
    project = write_project(tmp_path / "project", profile, tiny.model_files())
    begin = time.monotonic()
    with pytest.raises(DeviceError, match="No stm32f746 is plugged in, and PlatformIO's platform ststm32") as caught:
        flash_board(project, profile)
    assert time.monotonic() - begin < 10
    assert caught.value.exit_code == 4


def test_a_board_that_platformio_does_not_know(tmp_path: Path) -> None:
    profile = load_profile("mps3_an547")
    assert profile.platformio is None
    project = write_project(tmp_path / "project", profile, tiny.model_files())
    with pytest.raises(UsageError, match="PlatformIO does not know the board"):
        flash_board(project, profile)


@pytest.mark.slow
def test_a_failing_upload_ends_in_one_sentence(tmp_path: Path) -> None:
    """The local platform stands for a board's, its upload tool for one that finds no board."""
    twin = tiny.twin_profile("m3")
    assert twin.emulator is not None and twin.platformio is not None
    project = write_project(tmp_path / "project", twin, tiny.model_files())
    ini = project.folder / "platformio.ini"
    upload = "upload_command = printf '[%%s]' $UPLOADERFLAGS && echo No DFU capable USB device available && exit 74"
    ini.write_text(ini.read_text() + upload_environment(upload))
    local = replace(project, board_environment="local", emulated_environment="local")
    profile = replace(twin, platformio=replace(twin.platformio, platform="file://here"))
    (tmp_path / "core").mkdir()
    with pytest.raises(DeviceError, match="no board in DFU mode was found"):
        flash_local(local, profile, "-c\nadapter serial 06")
    log = (project.folder / ".pio" / "local.log").read_text()
    assert "[-c][adapter serial 06]" in log


def upload_environment(upload: str) -> str:
    return (
        "\n[env:local]\nplatform = symlink://${PROJECT_DIR}/platform/ofabaremetal\nboard = tiny_m3_emulated\n"
        f"build_src_filter = +<*> -<hal_arduino.cpp>\nupload_protocol = custom\n{upload}\n"
    )


def flash_local(project, profile, flags: str) -> None:
    """flash_board without the question for the registry, which a local platform does not need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash, "missing_platform", lambda *_: False)
        flash_board(project, profile, upload_flags=flags)


def test_ports_are_found_by_their_usb_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile("stm32f746")
    plug_in(monkeypatch, ttyACM3=(0x0483, 0x374B), ttyUSB0=(0x1A86, 0x7523))
    assert [port.usb for port in usb_ports()] == ["0483:374b", "1a86:7523"]
    assert find_port(profile) == "/dev/ttyACM3"
    assert find_port(profile, "/dev/other") == "/dev/other"
    plug_in(monkeypatch, ttyACM3=(0x0483, 0x374B), ttyACM1=(0x0483, 0x374B))
    with pytest.raises(DeviceError, match=r"More than one stm32f746 .*ttyACM1, /dev/ttyACM3.* --port"):
        find_port(profile)
    plug_in(monkeypatch, ttyUSB0=(0x1A86, 0x7523))
    with pytest.raises(DeviceError, match=r"No serial port of a stm32f746 .*ttyUSB0 \(STM32 STLink, 1a86:7523\)"):
        find_port(profile)
