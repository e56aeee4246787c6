"""Measures networks on a device, many to an image; what was measured is kept, so that a broken series goes on.

Every round runs all networks of an image one after another: each finds caches as another network left them, as the
layers of a large network do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa_mcu.codegen.bundle import Bundle
from ofa_mcu.devices.bench import check_firmware
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.expectations import CLOCK_SHARE
from ofa_mcu.devices.flash import flash_board
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.devices.session import Hello, Session
from ofa_mcu.errors import DeviceError, MismatchError, OfaMcuError
from ofa_mcu.files import write_json
from ofa_mcu.graph.reference import run as run_reference
from ofa_mcu.planning.compile import Compiled
from ofa_mcu.profiles.profile import BoardProfile, Emulator

__all__ = ["ROUNDS", "Device", "Kept", "Series", "measure_image"]

ROUNDS = 3
"""Runs of every network, of which the median counts."""

_SCHEMA = 1
_PORT_S = 15.0
"""Longest wait for a board's port to come back after an upload."""
_PEEK_S = 1.5
"""Wait for a board to say which firmware it runs already."""


@dataclass
class Series:
    """What one image gave: who answered, and raw ticks of every network, by its number in the image."""

    counter: str
    counter_hz: int
    core_hz: int | None
    overhead: int
    ticks: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, hello: Hello) -> Series:
        """An empty one."""
        return cls(hello.counter, hello.counter_hz, hello.core_hz, hello.overhead)

    def same_clock(self, other: Series) -> bool:
        """Whether both were counted alike: by one counter, at clocks that differ no more than by measuring them."""
        pairs = ((self.counter_hz, other.counter_hz), (self.core_hz or 0, other.core_hz or 0))
        return self.counter == other.counter and all(abs(a - b) <= CLOCK_SHARE * max(a, b) for a, b in pairs)

    def complete(self, networks: int) -> bool:
        """Whether every network was run in all rounds."""
        return all(len(self.ticks.get(number, ())) >= ROUNDS for number in range(networks))


class Kept:
    """The series of every image, by the CRC-32 of its firmware, in one file.

    Raises:
        OfaMcuError: the file is damaged.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        self._series: dict[int, Series] = {}
        if fresh or not path.is_file():
            return
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["schema"] != _SCHEMA:
                raise ValueError(f"schema {value['schema']!r}")
            self._series = {int(crc, 16): _series(one) for crc, one in value["images"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OfaMcuError(f"{path} is damaged ({error}); remove it, or measure anew with --fresh") from error

    def get(self, crc: int) -> Series | None:
        """What is known of the image."""
        return self._series.get(crc)

    def put(self, crc: int, series: Series) -> None:
        """Keeps the series of an image, on disk, too."""
        self._series[crc] = series
        images = {f"{crc:08x}": vars(one) for crc, one in sorted(self._series.items())}
        write_json(self.path, {"schema": _SCHEMA, "images": images})


def _series(value: Any) -> Series:
    ticks = {int(number): [int(one) for one in each] for number, each in value["ticks"].items()}
    core_hz = value["core_hz"]
    found = Series(str(value["counter"]), int(value["counter_hz"]), core_hz, int(value["overhead"]), ticks)
    if found.counter_hz <= 0 or not (core_hz is None or (isinstance(core_hz, int) and core_hz > 0)):
        raise ValueError("a clock is not above zero")
    return found


@dataclass(frozen=True)
class Device:
    """Where images run: the board at `port`, flashed through `upload_port` where the uploader needs one, or, without a
    port, its twin. Projects and builds lie in `folder`."""

    profile: BoardProfile
    folder: Path
    port: str | None
    upload_port: str | None = None
    say: Callable[[str], None] = lambda text: None

    @property
    def twin(self) -> Emulator | None:
        """The emulator that runs the images; None for a board."""
        return self.profile.emulator if self.port is None else None

    @contextmanager
    def running(self, bundle: Bundle) -> Iterator[Session]:
        """A conversation with the device while it runs the bundle; DeviceError where it does not come to that."""
        with ExitStack() as stack:
            if self.port is None:
                twin = self.profile.emulator
                assert twin is not None  # the caller has made sure
                elf = build_project(self._project(bundle), build_dir=self.folder / "build").elf
                link = stack.enter_context(Link(stack.enter_context(RunningEmulator(twin, elf)).url))
            else:
                if not self._runs(bundle):
                    project, build = self._project(bundle), self.folder / "build"
                    flash_board(project, self.profile, port=self.upload_port, build_dir=build, say=self.say)
                link = stack.enter_context(_opened(self.port))
            session = Session(link)
            check_firmware(link.url, session.hello, self.twin, bundle.crc32, self.profile.id)
            yield session

    def _project(self, bundle: Bundle) -> Project:
        return write_project(self.folder / "firmware", self.profile, bundle.files)

    def _runs(self, bundle: Bundle) -> bool:
        """Whether the board has the image already: flash wears with every upload."""
        assert self.port is not None
        with suppress(DeviceError), Link(self.port) as link:
            hello = Session(link, greet_timeout_s=_PEEK_S).hello
            return (hello.model_crc32, hello.board) == (bundle.crc32, self.profile.id)
        return False


def _opened(port: str) -> Link:
    """The link; a board that was just flashed may take a while to show its port again."""
    end = time.monotonic() + _PORT_S
    while True:
        try:
            return Link(port)
        except DeviceError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def measure_image(
    device: Device,
    bundle: Bundle,
    networks: Sequence[Compiled],
    kept: Kept,
    progress: Callable[[int], None] = lambda runs: None,
) -> Series:
    """Runs what is missing of the image's series; the outputs of its first round are compared with the reference.

    `progress` is told of every run.

    Raises:
        DeviceError: the device is missing, silent, or runs something else.
        MismatchError: an output differs, or the stack left its reserve.
    """
    known = kept.get(bundle.crc32)
    if known is not None and known.complete(len(networks)):
        return known
    with device.running(bundle) as session:
        series = Series.of(session.hello)
        if known is not None and known.same_clock(series):
            series = known
        for turn in range(ROUNDS):
            for number, one in enumerate(networks):
                ticks = series.ticks.setdefault(number, [])
                if len(ticks) > turn:
                    continue
                ticks.append(_run(session, bundle, number, one, check=turn == 0))
                progress(1)
            kept.put(bundle.crc32, series)
        stack = session.stack()
    if stack.spent:
        raise MismatchError(
            f"{device.profile.id} used up for probes the {stack.reserved} B of stack that are reserved; raise the "
            "reserve in firmware/src/config.h"
        )
    return series


def _run(session: Session, bundle: Bundle, number: int, one: Compiled, check: bool) -> int:
    """Ticks of one inference of a network of the bundle."""
    structure, offsets = one.graph.structure, one.plan.memory.offsets
    source, target = structure.inputs[0], structure.outputs[0]
    codes = np.random.default_rng(number).integers(-128, 128, structure.shapes[source]).astype(np.int8)
    session.write(offsets[source], codes.tobytes())
    session.write(bundle.choice, bytes([number]))
    ticks = session.infer()
    if check:
        wanted = run_reference(one.graph, {source: codes})[target].tobytes()
        if session.read(offsets[target], len(wanted)) != wanted:
            raise MismatchError(
                f"{session.link.url}: the output of probe '{structure.name}' differs from the reference; report it"
            )
    return ticks
