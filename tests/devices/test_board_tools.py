from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_mcu.devices import board_tools
from ofa_mcu.devices.board_tools import board_findings
from ofa_mcu.devices.finding import Finding
from ofa_mcu.profiles import all_profiles, load_profile
from tests.cli.verbs import run
from tests.devices.attached import plug_in, plug_in_usb


@pytest.fixture(autouse=True)
def nothing_attached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No board, no rules, a PlatformIO that has fetched nothing, and no uploader on PATH."""
    plug_in(monkeypatch)
    plug_in_usb(monkeypatch, tmp_path)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(board_tools, "UDEV_FOLDERS", (tmp_path / "rules",))


def found(network: bool = False) -> dict[str, Finding]:
    findings = list(board_findings(all_profiles(), network))
    assert not any(finding.required for finding in findings)
    assert all(finding.purpose and finding.remedy for finding in findings)
    return {finding.name: finding for finding in findings}


def test_what_platformio_has(tmp_path: Path) -> None:
    before = found()
    assert before["PlatformIO's folder"].version == str(tmp_path / "core") and not (tmp_path / "core").exists()
    assert before["platform ststm32"].remedy.startswith("pio pkg install -g -p ststm32;")
    assert "stm32f746" in before["platform ststm32"].purpose
    assert not before["uploader stlink"].found and not before["uploader picotool"].found
    (tmp_path / "core/platforms/ststm32@19.6.0").mkdir(parents=True)
    (tmp_path / "core/packages/tool-openocd").mkdir(parents=True)
    (tmp_path / "picotool").write_text("#!/bin/sh\n")
    (tmp_path / "picotool").chmod(0o755)
    after = found()
    assert after["platform ststm32"].version == "ststm32@19.6.0"
    assert after["uploader stlink"].version == str(tmp_path / "core/packages/tool-openocd")
    assert after["uploader picotool"].version == str(tmp_path / "picotool")


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "file" / "core"))
    folder = found()["PlatformIO's folder"]
    assert not folder.found and "set PLATFORMIO_CORE_DIR to a folder that you may write to" in folder.remedy


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system in which nothing can be made")
def test_a_folder_in_which_not_even_root_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", "/proc/x")
    folder = found()["PlatformIO's folder"]
    assert not folder.found and "; /proc is none (" in folder.remedy


def test_a_folder_that_can_be_used_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    before = sorted(tmp_path.iterdir())
    folder = found()["PlatformIO's folder"]
    assert folder.found and folder.remedy.endswith("a folder that you may write to")
    assert sorted(tmp_path.iterdir()) == before


def test_a_platform_that_is_an_address() -> None:
    board = load_profile("stm32f746")
    assert board.platformio is not None
    names = replace(board.platformio, platform="https://example.invalid/x/platform-y.git")
    findings = list(board_findings([replace(board, platformio=names)], network=False))
    assert "platform platform-y" in [finding.name for finding in findings]


def test_the_registry_is_asked_only_when_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa_mcu.devices.pio.registry_hosts", lambda: ("registry.invalid",))
    assert "PlatformIO's registry" not in found()
    registry = found(network=True)["PlatformIO's registry"]
    assert not registry.found and "connect to the network" in registry.remedy


def test_boards_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not found()["boards plugged in"].found and not found()["probes, boot modes"].found
    plug_in(monkeypatch, ttyACM0=(0x2E8A, 0x00C0), ttyUSB0=(0x1A86, 0x7523))
    plug_in_usb(monkeypatch, tmp_path, "0483:df11")
    named = found()
    boards = " or ".join(profile.id for profile in all_profiles() if "2e8a:00c0" in profile.usb)
    assert "rp2040" in boards
    assert named["boards plugged in"].version == (
        f"/dev/ttyACM0 (STM32 STLink, 2e8a:00c0: {boards}), /dev/ttyUSB0 (STM32 STLink, 1a86:7523)"
    )
    assert named["probes, boot modes"].version == "DFU boot loader of an STM32 at USB 1-1 (0483:df11)"


def test_rights_that_do_not_work_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "99-platformio-udev.rules").write_text("")
    assert found()["udev rules"].version == str(tmp_path / "rules" / "99-platformio-udev.rules")
    plug_in_usb(monkeypatch, tmp_path, "0483:374b", locked=True)
    assert found()["udev rules"].remedy.endswith("plug in again what may not be opened: ST-LINK/V2-1 at USB 1-1")
    plug_in(monkeypatch, null=(0x0483, 0x374B))  # a file that exists
    serial = found()["serial ports"]
    assert not serial.found and serial.remedy.endswith("/dev/null may not be opened")


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    code = run("doctor", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1 and answer["ok"] is (code == 0)
    assert {"name", "purpose", "version", "remedy", "required", "found"} == set(answer["findings"][0])
    missing = [finding["name"] for finding in answer["findings"] if finding["required"] and not finding["found"]]
    assert "arm-none-eabi-gcc" in missing  # for PATH is empty here
