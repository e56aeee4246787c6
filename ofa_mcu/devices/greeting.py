"""Waits, after an upload, for the board to say that it runs what was uploaded."""

from __future__ import annotations

import time

from ofa_mcu.devices.link import Link
from ofa_mcu.devices.ports import find_port
from ofa_mcu.devices.session import Hello, Session
from ofa_mcu.errors import DeviceError
from ofa_mcu.profiles import BoardProfile

__all__ = ["await_firmware"]

GREET_S, PAUSE_S = 2.0, 0.3


def await_firmware(
    profile: BoardProfile,
    port: str | None,
    model_crc32: int,
    image_crc32: int | None = None,
    *,
    timeout_s: float = 20.0,
) -> tuple[str, Hello]:
    """The serial port that the firmware answered at, and what it said of itself.

    `image_crc32` is the CRC-32 of the sources of the uploaded firmware (`Project.image_crc32`), None for any.
    `port` is where to ask; None asks wherever a board with the profile's USB ids shows up. A board that restarts goes
    away and comes back, and an old image may answer until it does, so everything is tried until `timeout_s`.

    Raises:
        DeviceError: it stays away or silent, or something else runs there.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            return _greeted(profile, port, model_crc32, image_crc32)
        except DeviceError as error:
            if time.monotonic() >= end:
                raise DeviceError(f"{profile.id} took the image, but did not show that it runs it: {error}") from error
        time.sleep(PAUSE_S)


def _greeted(profile: BoardProfile, port: str | None, model_crc32: int, image_crc32: int | None) -> tuple[str, Hello]:
    where = find_port(profile, port)
    with Link(where) as link:
        hello = Session(link, greet_timeout_s=GREET_S).hello
    if hello.board != profile.id:
        raise DeviceError(
            f"{where}: the firmware there was built for {hello.board}; name the port of the {profile.id} with --port."
        )
    if hello.model_crc32 != model_crc32:
        raise DeviceError(
            f"{where}: the model there has CRC-32 {hello.model_crc32:08x} and not {model_crc32:08x}; press the board's "
            "reset button and flash it again."
        )
    if image_crc32 is not None and hello.image_crc32 != image_crc32:
        told = "unknown sources" if hello.image_crc32 is None else f"sources of CRC-32 {hello.image_crc32:08x}"
        raise DeviceError(
            f"{where}: the firmware there has the right model and is built from {told}, not {image_crc32:08x}; press "
            "the board's reset button and flash it again."
        )
    return where, hello
