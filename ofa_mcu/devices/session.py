"""A conversation with the firmware in its own terms: who it is, load, infer, read the output, ask for the stack."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from ofa_mcu.devices.framing import decode_bytes, encode_bytes
from ofa_mcu.devices.link import Link
from ofa_mcu.errors import DeviceError

__all__ = ["PROTOCOL_VERSION", "Hello", "Session", "Stack"]

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Hello:
    """What a firmware says of itself; sizes in bytes, clocks in Hz, `core_hz` None where it does not know.

    `overhead` is the count of an empty measurement, in ticks of the counter. `arena_used_bytes` is what an interpreter
    uses of its arena, None for compiled models.
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
    arena_used_bytes: int | None = None


@dataclass(frozen=True)
class Stack:
    """Most bytes of stack in use since the firmware started, and the reserve it was linked with."""

    used: int
    reserved: int


class Session:
    """A firmware that has said hello. DeviceError where it is of another protocol, or as `Link.request` says.

    `infer_timeout_s` is the longest wait for one inference; its answer is asked for once more after that.
    """

    def __init__(self, link: Link, *, greet_timeout_s: float = 10.0, infer_timeout_s: float = 30.0) -> None:
        self.link = link
        self.infer_timeout_s = infer_timeout_s
        self.hello = self._hello(link.greet(greet_timeout_s))

    def load(self, data: bytes) -> None:
        """Writes the model's input; `data` must be exactly as long."""
        if len(data) != self.hello.input_bytes:
            raise ValueError(f"the model takes {self.hello.input_bytes} bytes of input, not {len(data)}")
        self.write(0, data)

    def write(self, offset: int, data: bytes) -> None:
        """Writes a part of the model's input."""
        step = self.hello.payload_bytes
        for begin in range(0, len(data), step):
            self.link.request("load", str(offset + begin), encode_bytes(data[begin : begin + step]))

    def infer(self) -> int:
        """Runs the model once on what was loaded; ticks of the counter, the overhead still in them."""
        return self._number(pairs(self.link.request("infer", timeout_s=self.infer_timeout_s, attempts=2)), "ticks")

    def output(self) -> bytes:
        """The model's output, checked against the firmware's own CRC-32 of it."""
        data = self.read(0, self.hello.output_bytes)
        said = self.link.request("crc")
        if said != (f"{crc32(data):08X}",):
            raise self._strange(f"an output whose CRC-32 is {crc32(data):08X} but said to be {' '.join(said)}")
        return data

    def read(self, offset: int, count: int) -> bytes:
        """A part of the model's output; every line of it has its own check sum, the whole none."""
        data = b""
        while len(data) < count:
            step = min(self.hello.payload_bytes, count - len(data))
            part = self._bytes(self.link.request("output", str(offset + len(data)), str(step)))
            if len(part) != step:
                raise self._strange(f"{len(part)} bytes of output instead of {step}")
            data += part
        return data

    def stack(self) -> Stack:
        """The stack's high-water mark."""
        said = pairs(self.link.request("stack"))
        return Stack(self._number(said, "used"), self._number(said, "reserved"))

    def _hello(self, words: tuple[str, ...]) -> Hello:
        said = pairs(words)
        version = self._number(said, "protocol")
        if version != PROTOCOL_VERSION:
            raise DeviceError(
                f"{self.link.url}: the firmware speaks protocol {version}, this program {PROTOCOL_VERSION}; "
                "flash the board again."
            )
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
            payload_bytes=self._number(said, "payload"),
            arena_used_bytes=self._number(said, "arena_used") if "arena_used" in said else None,
        )

    def _number(self, said: dict[str, str], name: str, base: int = 10) -> int:
        try:
            return int(said[name], base)
        except (KeyError, ValueError):
            raise self._strange(f"no number for {name!r}") from None

    def _bytes(self, words: tuple[str, ...]) -> bytes:
        try:
            return decode_bytes("".join(words))
        except ValueError:
            raise self._strange("bytes that are no base64") from None

    def _strange(self, what: str) -> DeviceError:
        return DeviceError(f"{self.link.url}: the firmware sent {what}; flash it again, and report it if it stays.")


def pairs(words: tuple[str, ...]) -> dict[str, str]:
    """`name=value` words as a mapping."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}
