"""A serial port at the highest speed that is sound, agreed on with the firmware; both fall back by themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from ofa_mcu.devices.answers import RefusedError
from ofa_mcu.devices.link import Link
from ofa_mcu.errors import DeviceError

__all__ = ["SPEEDS", "can_change_speed", "speed_up"]

SPEEDS = (921_600, 460_800, 230_400)
"""Speeds to try, in baud."""
SETTLE_S = 0.05
"""What the device may take to change its speed after it said so."""
TRIAL_WAITS_S = (0.3,) * 3
GREET_S = 10.0


def can_change_speed(url: str) -> bool:
    """Whether this end has a speed: behind a plain socket, whoever serves it sets the speed and cannot be asked."""
    return not url.lower().startswith("socket:")


def speed_up(link: Link, speeds: Sequence[int], probe: Callable[[], None]) -> bool:
    """Goes to the first of the speeds that works; False where the link stays as it is.

    A speed works where `hello` and all that `probe` does pass without a line lost. DeviceError where the device does
    not come back to the speed of its start.
    """
    for speed in speeds:
        try:
            link.request("baud", str(speed))
        except RefusedError:
            continue
        with contextlib.suppress(DeviceError):
            link.use_baud(speed)
            time.sleep(SETTLE_S)
            link.request("hello", waits=TRIAL_WAITS_S)
            before = link.resent
            probe()
            if link.resent == before:
                return True
        link.use_baud(link.start_baud)
        link.greet(GREET_S)
    return False
