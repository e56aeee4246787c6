from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_mcu.devices.flash_plan import plan_flash
from ofa_mcu.devices.usb import probes
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles import load_profile
from tests.devices.attached import plug_in, plug_in_usb

STLINK = (0x0483, 0x374B)


@pytest.fixture(autouse=True)
def nothing_attached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No port, no device, and a PlatformIO without platforms."""
    plug_in(monkeypatch)
    plug_in_usb(monkeypatch, tmp_path)
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    return tmp_path


def install_platform(core: Path, name: str, board: str, *protocols: str) -> None:
    """The part of an installed platform that is asked here."""
    folder = core / "platforms" / name / "boards"
    folder.mkdir(parents=True)
    (folder / f"{board}.json").write_text(json.dumps({"upload": {"protocols": list(protocols)}}))


def test_devices_are_known_by_their_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert probes() == ()
    plug_in_usb(monkeypatch, tmp_path, "1d6b:0002", "0483:374b:066A", "1366:1015", "2e8a:0003")
    found = probes()
    assert [(device.place, device.name, device.protocols) for device in found] == [
        ("1-2", "ST-LINK/V2-1", ("stlink",)),
        ("1-3", "J-Link", ("jlink",)),
        ("1-4", "UF2 boot loader of an RP2040", ("picotool",)),
    ]
    assert (found[0].serial_number, found[1].serial_number, found[0].may_open) == ("066A", None, True)


def test_nothing_attached_is_said() -> None:
    plan = plan_flash(load_profile("stm32f746"))
    assert (plan.port, plan.upload_port, plan.protocol, plan.upload_flags) == (None, None, "stlink", None)
    assert plan.notes == (
        "no stm32f746 is in sight (none with the USB ids 0483:374b, and nothing for stlink); plug it in",
    )


def test_one_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, ttyACM0=(*STLINK, "066A"))
    plug_in_usb(monkeypatch, tmp_path, "0483:374b:066A")
    plan = plan_flash(load_profile("stm32f746"))
    assert (plan.port, plan.upload_port, plan.upload_flags, plan.notes) == ("/dev/ttyACM0", None, None, ())
    assert plan.reason == "the profile's, and there is a ST-LINK/V2-1 (probe)"
    assert plan.command(tmp_path / "p").endswith(f"-m platformio run -d {tmp_path}/p -e stm32f746 -t upload")
    answer = plan.to_json()
    assert answer["boards"][0]["serial_number"] == answer["devices"][0]["serial_number"] == "066A"


def test_equal_boards_need_a_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The uploader is told the chosen one by the serial number that its port and its probe share."""
    plug_in(monkeypatch, ttyACM0=(*STLINK, "066A"), ttyACM1=(*STLINK, "066B"))
    plug_in_usb(monkeypatch, tmp_path, "0483:374b:066A", "0483:374b:066B")
    with pytest.raises(DeviceError, match=r"More than one stm32f746 .*ttyACM0, /dev/ttyACM1.* choose one with --port"):
        plan_flash(load_profile("stm32f746"))
    plan = plan_flash(load_profile("stm32f746"), "/dev/ttyACM1")
    assert (plan.port, plan.upload_flags) == ("/dev/ttyACM1", "-c\nadapter serial 066B")
    assert "PLATFORMIO_UPLOAD_FLAGS=$'-c\\nadapter serial 066B' " in plan.command(tmp_path)


def test_equal_probes_without_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in_usb(monkeypatch, tmp_path, "0483:3748", "0483:3748")
    with pytest.raises(DeviceError, match=r"by stlink \(ST-LINK/V2 at USB 1-1, ST-LINK/V2 at USB 1-2\); choose one"):
        plan_flash(load_profile("stm32f746"))
    plug_in_usb(monkeypatch, tmp_path, "1366:0101", "1366:0105")
    with pytest.raises(DeviceError, match=r"by jlink .*; unplug the others"):
        plan_flash(load_profile("nrf52840"))


def test_what_is_attached_decides_among_what_the_platform_offers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in_usb(monkeypatch, tmp_path, "0483:df11")
    board = load_profile("stm32f411")
    assert board.platformio is not None
    assert plan_flash(board).protocol == "stlink"
    install_platform(tmp_path / "core", "ststm32@19.6.0", board.platformio.board, "stlink", "dfu", "jlink")
    plan = plan_flash(board)
    assert plan.protocol == "dfu" and plan.profile.platformio is not None
    assert plan.profile.platformio.upload_protocol == "dfu"
    assert plan.reason == "there is a DFU boot loader of an STM32 (boot mode), and nothing for the profile's stlink"
    own = load_profile("stm32h7a3")  # its manifest is in the profile
    assert plan_flash(own).protocol == "stlink" and plan_flash(own, protocol="jlink").protocol == "jlink"
    with pytest.raises(UsageError, match="by stlink, jlink, cmsis-dap, blackmagic, not by dfu"):
        plan_flash(own, protocol="dfu")
    assert plan_flash(board, protocol="jlink").reason == "as asked for"
    with pytest.raises(UsageError, match="by stlink, dfu, jlink, not by picotool"):
        plan_flash(board, protocol="picotool")
    plug_in_usb(monkeypatch, tmp_path, "0483:df11", "0483:374b")
    assert plan_flash(board).protocol == "stlink"
    (tmp_path / "core/platforms/ststm32@19.6.0/boards" / f"{board.platformio.board}.json").write_text("{")
    assert plan_flash(board, protocol="picotool").protocol == "picotool"


def test_a_protocol_of_ports_gets_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, ttyACM0=(0x2E8A, 0x00C0))
    plan = plan_flash(load_profile("rp2040"))
    assert (plan.protocol, plan.upload_port) == ("picotool", "/dev/ttyACM0")
    assert plan.command(Path("p")).endswith("-t upload --upload-port /dev/ttyACM0")


def test_what_may_go_wrong_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, ttyUSB0=(0x1A86, 0x7523))
    plug_in_usb(monkeypatch, tmp_path, "0483:374b", locked=True)
    notes = plan_flash(load_profile("stm32f746"), "/dev/ttyUSB0").notes
    assert "ST-LINK/V2-1 at USB 1-1 may not be opened by this user; install PlatformIO's udev rules" in notes[0]
    assert "/dev/ttyUSB0 is STM32 STLink (1a86:7523), and a stm32f746 has 0483:374b; check" in notes[1]


def test_a_board_that_platformio_does_not_know() -> None:
    with pytest.raises(UsageError, match="PlatformIO does not know the board"):
        plan_flash(replace(load_profile("stm32f746"), platformio=None))


def test_a_protocol_that_nothing_here_knows_of(tmp_path: Path) -> None:
    plan = plan_flash(load_profile("stm32f746"), protocol="bogus")
    assert plan.protocol == "bogus" and plan.to_json()["protocol_checked"] is False
    assert plan.notes[0] == (
        "whether PlatformIO uploads to stm32f746 by bogus was not checked, for its platform ststm32 is not installed"
    )
    usual = plan_flash(load_profile("stm32f746"))
    assert not usual.protocol_checked and len(usual.notes) == len(plan.notes) - 1
    names = load_profile("stm32f746").platformio
    assert names is not None
    install_platform(tmp_path / "core", names.platform, names.board, "stlink", "jlink")
    with pytest.raises(UsageError, match="by stlink, jlink, not by bogus"):
        plan_flash(load_profile("stm32f746"), protocol="bogus")
    plan = plan_flash(load_profile("stm32f746"), protocol="jlink")
    assert plan.protocol_checked and not any("checked" in note for note in plan.notes)


def test_a_port_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def notes(port: str) -> str:
        return " ".join(plan_flash(load_profile("stm32f746"), port).notes)

    assert "/dev/nope: there is no such port" in notes("/dev/nope")
    (tmp_path / "drive").mkdir()
    plug_in(monkeypatch, ttyACM7=(*STLINK, "066A"))
    for port in ("/dev/ttyACM7", str(tmp_path / "drive"), "socket://127.0.0.1:9"):
        assert "no such port" not in notes(port)
