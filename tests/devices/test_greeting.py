"""What answers after an upload; the emulator stands for the board."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.greeting import await_firmware
from ofa_mcu.errors import DeviceError
from tests.devices import tiny
from tests.devices.attached import plug_in
from tests.devices.fixtures import Images

PROFILE = tiny.twin_profile("m7")


@pytest.mark.slow
def test_the_image_says_who_it_is(image: Images) -> None:
    with RunningEmulator(tiny.TWINS["m7"], image("m7")) as emulator:
        where, hello = await_firmware(PROFILE, emulator.url, tiny.CRC32)
        assert await_firmware(PROFILE, emulator.url, tiny.CRC32, hello.image_crc32)[1].same_firmware(hello)
        with pytest.raises(DeviceError, match=r"has the right model and is built from sources of CRC-32 \w+, not 0000"):
            await_firmware(PROFILE, emulator.url, tiny.CRC32, 1, timeout_s=0)
        assert (where, hello.model_crc32, hello.board) == (emulator.url, tiny.CRC32, "tiny_m7")
        with pytest.raises(DeviceError, match=r"tiny_m7 took the image, but .*CRC-32 1234abcd and not 00000001; press"):
            await_firmware(PROFILE, emulator.url, 1, timeout_s=0)
        with pytest.raises(DeviceError, match=r"other took the image.*the firmware there was built for tiny_m7; name"):
            await_firmware(replace(PROFILE, id="other"), emulator.url, tiny.CRC32, timeout_s=0)


def test_a_board_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch)
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=r"tiny_m7 took the image, but .*: No serial port of a tiny_m7 was found"):
        await_firmware(PROFILE, None, tiny.CRC32, timeout_s=0.5)
    assert 0.5 <= time.monotonic() - begin < 5
