"""A conversation with the firmware in its own terms: who it is, load, infer, read the output, ask for the stack."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from ofa_mcu.devices.answers import RefusedError
from ofa_mcu.devices.link import Link, Request
from ofa_mcu.devices.speed import SPEEDS, can_change_speed, speed_up
from ofa_mcu.errors import DeviceError

__all__ = ["PROTOCOL_VERSION", "ChangedError", "Hello", "Session", "Stack"]

PROTOCOL_VERSION = 2
UNKNOWN = "unknown"
"""What the firmware says where it cannot tell."""
LOST = frozenset({"hello", "input"})
"""Reasons of an `err` that say: the device was reset, or does not hold what was sent."""


class ChangedError(DeviceError):
    """The output that was read is not the one that the inference gave."""


@dataclass(frozen=True)
class Hello:
    """What a firmware says of itself; sizes in bytes, clocks in Hz, `core_hz` None where it does not know.

    `core_hz_basis` is `measured` or `declared` (by the framework it is built on). `caches` are those of the core that
    are on, `none` where it has none. `runtime` is `compiled` or an interpreter's name; `kernels` says what its kernels
    are written for, `flags` what the compiler was told, with commas. `image_crc32` is that of the firmware's sources.
    What the firmware does not tell is None.
    `overhead` is the count of an empty measurement, in ticks of the counter. `payload_bytes` is the most that a line
    carries, `window` the most requests that may wait for their answers, `baud` the speed of the serial port when this
    was said, None where it has no speed. `arena_used_bytes` is what an interpreter uses of its arena, None for
    compiled models.
    """

    firmware: str
    board: str
    model: str
    model_crc32: int
    input_bytes: int
    output_bytes: int
    arena_bytes: int
    counter: str
    counter_hz: int
    overhead: int
    core_hz: int | None
    stack_bytes: int
    payload_bytes: int
    window: int
    baud: int | None
    arena_used_bytes: int | None = None
    core_hz_basis: str | None = None
    caches: str | None = None
    runtime: str | None = None
    kernels: str | None = None
    flags: str | None = None
    image_crc32: int | None = None

    def same_firmware(self, other: Hello) -> bool:
        """Whether both are of one firmware: all is alike but the speed of the port and what is measured at a start."""
        return self == replace(
            other, baud=self.baud, overhead=self.overhead, counter_hz=self.counter_hz, core_hz=self.core_hz
        )


@dataclass(frozen=True)
class Stack:
    """Most bytes of stack in use since the firmware started, and the reserve it was linked with."""

    used: int
    reserved: int

    @property
    def spent(self) -> bool:
        """Whether nothing of the reserve was left; a board does not tell how much more than all of it was used."""
        return self.used >= self.reserved


class Session:
    """A firmware that has said hello. DeviceError where it is of another protocol, or as `Link.exchange` says.

    `infer_timeout_s` is the longest wait for one inference. A serial port that has a speed goes to the first of
    `speeds` (baud) that works. `run` begins again where the device was reset or holds other bytes than were sent, at
    most `attempts` times in all; `begun_again` counts that.
    """

    def __init__(
        self,
        link: Link,
        *,
        greet_timeout_s: float = 10.0,
        infer_timeout_s: float = 30.0,
        speeds: Sequence[int] = SPEEDS,
        attempts: int = 3,
    ) -> None:
        self.link = link
        self.greet_timeout_s = greet_timeout_s
        self.infer_timeout_s = infer_timeout_s
        self.speeds = speeds
        self.attempts = attempts
        self.begun_again = 0
        self._longest_s: float | None = None
        self._input_crc32 = self._output_crc32 = 0
        self.hello = self._greet()

    def run(self, data: bytes, *, read: bool = True) -> tuple[int, bytes]:
        """One inference on `data`: ticks of the counter, the overhead still in them, and the output if it is wanted.

        The model ran once on exactly these bytes, and the output is exactly what it gave, whatever went wrong.
        """
        for attempt in range(self.attempts):
            last = attempt == self.attempts - 1
            try:
                self.load(data)
                return self.infer(), self.output() if read else b""
            except ChangedError:
                if last:
                    raise
            except RefusedError as error:
                if last or error.reason not in LOST:
                    raise
                if error.reason == "hello":
                    self._greet_again()
            self.begun_again += 1
        raise AssertionError("the last attempt returns or raises")

    def load(self, data: bytes) -> None:
        """Writes the model's input; `data` must be exactly as long."""
        if len(data) != self.hello.input_bytes:
            raise ValueError(f"the model takes {self.hello.input_bytes} bytes of input, not {len(data)}")
        self.write(0, data)

    def write(self, offset: int, data: bytes) -> None:
        """Writes a part of the model's input; `infer` then needs firmware that does not check its input as a whole."""
        step = self.hello.payload_bytes
        self.link.exchange(
            [Request(("load", str(offset + at)), data[at : at + step]) for at in range(0, len(data), step)],
        )
        self._input_crc32 = crc32(data)

    def infer(self) -> int:
        """Runs the model once on what was loaded; ticks of the counter, the overhead still in them.

        RefusedError("input") where the device has another input.
        """
        begin, resent = time.monotonic(), self.link.resent
        said = pairs(self.link.request("infer", f"{self._input_crc32:08X}", waits=self._infer_waits()))
        if self.link.resent == resent:
            self._longest_s = max(time.monotonic() - begin, self._longest_s or 0.0)
        self._output_crc32 = self._number(said, "crc", 16)
        return self._number(said, "ticks")

    def output(self) -> bytes:
        """The output of the last inference; ChangedError where the device has another one now."""
        data = self.link.fetch("output", self.hello.output_bytes)
        if crc32(data) != self._output_crc32:
            raise ChangedError(
                f"{self.link.url}: the firmware sent an output whose CRC-32 is {crc32(data):08X} after one of "
                f"{self._output_crc32:08X}; flash it again, and report it if it stays."
            )
        return data

    def read(self, offset: int, count: int) -> bytes:
        """A part of the model's output; every line of it has its own check sum, the whole none."""
        return self.link.fetch("output", offset + count)[offset:]

    def stack(self) -> Stack:
        """The stack's high-water mark."""
        said = pairs(self.link.request("stack"))
        return Stack(self._number(said, "used"), self._number(said, "reserved"))

    def _infer_waits(self) -> tuple[float, ...]:
        """Twice what should be enough, where it is known how long an inference takes; the longest wait otherwise."""
        short = self.link.timeout_s
        if self._longest_s is None:
            return (self.infer_timeout_s, short, short, self.infer_timeout_s)
        enough = min(short + 4 * self._longest_s, self.infer_timeout_s)
        return (enough, enough, self.infer_timeout_s, short)

    def _greet(self) -> Hello:
        hello = self._hello(self.link.greet(self.greet_timeout_s))
        self.link.window.open(hello.window)
        if hello.baud == self.link.start_baud == self.link.baud and can_change_speed(self.link.url):
            self.hello = hello
            speed_up(self.link, self.speeds, self._probe)
        return hello

    def _greet_again(self) -> None:
        before, now = self.hello, self._greet()
        if not now.same_firmware(before):
            raise DeviceError(
                f"{self.link.url}: the device was reset and now runs the model {now.model} for {now.board}, not "
                f"{before.model} for {before.board}; flash the one that is meant, then try again."
            )
        self.hello = now

    def _probe(self) -> None:
        """Fills the line in both directions: as many full lines as may be under way, and as many back."""
        count = min(self.hello.payload_bytes, self.hello.input_bytes)
        filling = bytes(value & 0xFF for value in range(count))
        self.link.exchange([Request(("load", "0"), filling)] * self.hello.window)
        self.link.fetch("output", min(self.hello.output_bytes, self.hello.window * self.hello.payload_bytes))

    def _hello(self, words: tuple[str, ...]) -> Hello:
        said = pairs(words)
        version = self._number(said, "protocol")
        if version != PROTOCOL_VERSION:
            raise DeviceError(
                f"{self.link.url}: the firmware speaks protocol {version}, this program {PROTOCOL_VERSION}; "
                "flash the board again."
            )

        def known(name: str) -> str | None:
            word = said.get(name, "")
            return None if word in ("", UNKNOWN) else word

        return Hello(
            firmware=said.get("firmware", ""),
            board=said.get("board", ""),
            model=said.get("model", ""),
            model_crc32=self._number(said, "crc", 16),
            input_bytes=self._number(said, "input"),
            output_bytes=self._number(said, "output"),
            arena_bytes=self._number(said, "arena"),
            counter=said.get("counter", ""),
            counter_hz=self._number(said, "counter_hz"),
            overhead=self._number(said, "overhead"),
            core_hz=self._number(said, "core_hz") or None,
            stack_bytes=self._number(said, "stack"),
            payload_bytes=max(self._number(said, "payload"), 1),
            window=self._number(said, "window"),
            baud=self._number(said, "baud") or None,
            arena_used_bytes=self._number(said, "arena_used") if "arena_used" in said else None,
            core_hz_basis=known("core_hz_basis"),
            caches=known("caches"),
            runtime=known("runtime"),
            kernels=known("kernels"),
            flags=known("flags"),
            image_crc32=(self._number(said, "image", 16) or None) if "image" in said else None,
        )

    def _number(self, said: dict[str, str], name: str, base: int = 10) -> int:
        try:
            return int(said[name], base)
        except (KeyError, ValueError):
            raise self._strange(f"no number for {name!r}") from None

    def _strange(self, what: str) -> DeviceError:
        return DeviceError(f"{self.link.url}: the firmware sent {what}; flash it again, and report it if it stays.")


def pairs(words: tuple[str, ...]) -> dict[str, str]:
    """`name=value` words as a mapping."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}
