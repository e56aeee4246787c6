"""Runs real inputs through the model on a device: are the bytes right, and what does an inference cost?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Hello, Session, Stack
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles.profile import Emulator

__all__ = ["VIRTUAL", "Counts", "Measurement", "check_firmware", "instructions", "measure", "net_ticks"]

NANOSECONDS = 10**9
VIRTUAL = "virtual"
"""The counter that an emulator's firmware names (firmware/src/hal_cmsdk.c)."""


@dataclass(frozen=True)
class Counts:
    """One figure for every measured inference, in the order of the inputs."""

    values: tuple[int, ...]

    @property
    def minimum(self) -> int:
        """Smallest value."""
        return min(self.values)

    @property
    def median(self) -> int:
        """Median; the lower of the middle two of an even number of values."""
        return statistics.median_low(self.values)

    @property
    def maximum(self) -> int:
        """Largest value."""
        return max(self.values)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What came back from a device.

    hello: who answered. images: inputs run, one inference each. warmup: inferences before the first that counts.
    outputs: int8 (images, output bytes). bytes_compared, differing_bytes: against the expected outputs; 0 and None
    where there were none. ticks: of the device's counter, the overhead of an empty measurement subtracted.
    instructions: in an emulator only. cycles: where the counter counts the core's clock. repeated: the first input run
    again and again, in instructions in an emulator, else in ticks. seconds: wall time of the whole series. resent:
    requests that had to be sent again.
    """

    hello: Hello
    transport: str
    images: int
    warmup: int
    outputs: NDArray[np.int8]
    bytes_compared: int
    differing_bytes: int | None
    ticks: Counts
    instructions: Counts | None
    cycles: Counts | None
    repeated: Counts
    stack: Stack
    seconds: float
    resent: int

    @property
    def milliseconds(self) -> float | None:
        """Median time of an inference on a board; None in an emulator, which has no time."""
        return None if self.instructions else 1000.0 * self.ticks.median / self.hello.counter_hz


def measure(
    link: Link,
    inputs: NDArray[np.int8],
    expected: NDArray[np.int8] | None = None,
    *,
    twin: Emulator | None = None,
    board: str | None = None,
    model_crc32: int | None = None,
    warmup: int = 1,
    repeats: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Runs every input once and compares every byte of its output.

    inputs: int8 (n, input bytes), n >= 1; expected: int8 (n, output bytes) or None. `twin` is the emulator that
    answers, None for a board. `board` is the id of the board that should answer, `model_crc32` the CRC-32 of the model
    that should be there; None takes any. `warmup` inferences of the first input come first; it is run `repeats` more
    times at the end. `progress(done, of)` is called after each
    input. DeviceError where the device or the model is not the right one, or as `Link.request` says; UsageError where
    the inputs do not fit the model.
    """
    begin = time.monotonic()
    session = Session(link)
    hello = session.hello
    check_device(link, hello, inputs, expected, twin, model_crc32, board)

    def run(data: NDArray[np.int8]) -> int:
        session.load(data.tobytes())
        return session.infer()

    for _ in range(warmup):
        run(inputs[0])
    raw: list[int] = []
    outputs = np.empty((len(inputs), hello.output_bytes), np.int8)
    for index, data in enumerate(inputs):
        raw.append(run(data))
        outputs[index] = np.frombuffer(session.output(), np.int8)
        if progress is not None:
            progress(index + 1, len(inputs))
    again = [run(inputs[0]) for _ in range(repeats)]
    ticks = net_ticks(raw, hello.overhead)
    return Measurement(
        hello=hello,
        transport="serial" if twin is None else "emulator",
        images=len(inputs),
        warmup=warmup,
        outputs=outputs,
        bytes_compared=0 if expected is None else outputs.size,
        differing_bytes=None if expected is None else int(np.count_nonzero(outputs != expected)),
        ticks=ticks,
        instructions=None if twin is None else instructions(raw, hello.overhead, twin),
        cycles=ticks if twin is None and hello.counter_hz == hello.core_hz else None,
        repeated=(net_ticks(again, hello.overhead) if twin is None else instructions(again, hello.overhead, twin)),
        stack=session.stack(),
        seconds=time.monotonic() - begin,
        resent=link.resent,
    )


def net_ticks(raw: list[int], overhead: int) -> Counts:
    """Ticks of each inference without those of an empty measurement."""
    return Counts(tuple(max(value - overhead, 0) for value in raw))


def instructions(raw: list[int], overhead: int, twin: Emulator) -> Counts:
    """Instructions of each inference: in the emulator's virtual time one takes 2**icount_shift nanoseconds."""
    rate = Fraction(NANOSECONDS, twin.systick_hz * 2**twin.icount_shift)
    empty = int(overhead * rate)
    return Counts(tuple(max(int(value * rate) - empty, 0) for value in raw))


def check_device(
    link: Link,
    hello: Hello,
    inputs: NDArray[np.int8],
    expected: NDArray[np.int8] | None,
    twin: Emulator | None,
    model_crc32: int | None,
    board: str | None = None,
) -> None:
    """The device is the board that is meant, runs the model that the inputs are for, and counts as the profile says."""
    check_firmware(link.url, hello, twin, model_crc32, board)
    if inputs.ndim != 2 or len(inputs) == 0 or inputs.shape[1] != hello.input_bytes or inputs.dtype != np.int8:
        raise UsageError(
            f"The model takes {hello.input_bytes} int8 values per input, but the inputs are {inputs.dtype} of shape "
            f"{inputs.shape}."
        )
    if expected is not None and expected.shape != (len(inputs), hello.output_bytes):
        raise UsageError(
            f"The model gives {hello.output_bytes} int8 values per input, but {expected.shape} outputs are expected "
            f"for {len(inputs)} inputs."
        )


def check_firmware(
    url: str, hello: Hello, twin: Emulator | None, model_crc32: int | None, board: str | None = None
) -> None:
    """The device is the board that is meant, runs the model of that CRC-32, and counts as the profile says."""
    if twin is None and hello.counter == VIRTUAL:
        raise DeviceError(
            f"{url}: an emulator of {hello.board} answers, not a board, and it has no milliseconds; "
            "measure with --emulate, or name the board's own port."
        )
    if board is not None and hello.board != board:
        raise DeviceError(
            f"{url}: the firmware there was built for {hello.board}, not for {board}; "
            f"name the other port, ask for the board {hello.board}, or flash {board} again."
        )
    if model_crc32 is not None and hello.model_crc32 != model_crc32:
        raise DeviceError(
            f"{url}: the device runs the model {hello.model} (CRC-32 {hello.model_crc32:08x}) and not the one "
            f"with CRC-32 {model_crc32:08x}; flash it again."
        )
    if twin is not None and hello.counter_hz != twin.systick_hz:
        raise DeviceError(
            f"{url}: the firmware counts at {hello.counter_hz} Hz, the profile says {twin.systick_hz} Hz; "
            "build it again."
        )
