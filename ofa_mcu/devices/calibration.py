"""Calibrates a board: probes run on it, a latency model fitted to them, and its error on networks that were not."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ofa_mcu import __version__, schemas
from ofa_mcu.codegen.bundle import MOST, emit_bundle
from ofa_mcu.devices.bench import VIRTUAL, instructions, net_ticks
from ofa_mcu.devices.expectations import CLOCK_SHARE
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.probe_runs import ROUNDS, Device, Kept, Series, measure_image
from ofa_mcu.devices.probes import HELD_OUT_EACH, ROUNDS_OF_KINDS, held_out, pack, probes, room_of
from ofa_mcu.errors import DeviceError, OfaMcuError, UsageError
from ofa_mcu.files import check_file
from ofa_mcu.planning.compile import Compiled
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.latency import LatencyTable, Unit, write_latency
from ofa_mcu.planning.latency_files import default_path, kernels_fingerprint
from ofa_mcu.planning.latency_fit import Fit, Form, Sample, errors_of, fit, fit_form
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.runs import RUNS, Run

__all__ = ["Calibration", "Request", "calibrate"]

_TOOLCHAIN = re.compile(r"toolchain-\S+ @ \S+")


@dataclass(frozen=True)
class Request:
    """What a user asks: the board, at `port` or (None) its twin; where the table goes; measured anew or gone on with.

    rounds, each: probes of every kind, and held-out subnets of every space.
    """

    profile: BoardProfile
    port: str | None = None
    out: Path | None = None
    upload_port: str | None = None
    fresh: bool = False
    rounds: int = ROUNDS_OF_KINDS
    each: int = HELD_OUT_EACH


@dataclass(frozen=True, eq=False)
class Calibration:
    """The table, the file it went to, the form that was chosen, and what every network took."""

    table: LatencyTable
    path: Path
    form: Form
    images: int
    fitted: Sequence[tuple[str, Sample]]
    held: Sequence[tuple[str, Sample]]

    def to_json(self) -> dict[str, Any]:
        """What `boards calibrate --json` prints."""
        body = self.table.to_json()
        del body["schema"], body["kind"]
        model = self.table.model
        rows = [
            {
                "name": name,
                "held_out": held,
                "instructions_planned": sample.cost.instructions,
                "measured": round(sample.measured, 3),
                "predicted": round(model.network(sample.cost.runs), 3),
            }
            for held, part in ((False, self.fitted), (True, self.held))
            for name, sample in part
        ]
        form = {"factors": self.form.by, "weight_bytes": self.form.weights}
        file = str(self.path)
        return {
            "schema": schemas.CALIBRATE,
            "file": file,
            **body,
            "form": form,
            "images": self.images,
            "networks": rows,
        }


def calibrate(
    request: Request,
    say: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Measures, fits, and writes the table. Measurements are kept under runs/boards and not made twice.

    Raises:
        UsageError: PlatformIO does not know the board, or the table's file cannot be written.
        DeviceError: the board has no twin, or is missing or silent; what was measured by then is kept.
        MismatchError: an output differs from the reference.
    """
    profile = request.profile
    out = _checked(request)
    folder = RUNS / "boards" / (profile.id if request.port else f"{profile.id}-emulated")
    folder.mkdir(parents=True, exist_ok=True)
    with Run(folder).locked():
        show("drawing probes")
        fitted, held = list(probes(profile, request.rounds)), list(held_out(profile, request.each))
        if not held:
            raise UsageError(f"no network to hold the table of {profile.id} against fits it; it is too small for any")
        device = Device(profile, folder.absolute(), request.port, request.upload_port, say)
        networks = [*fitted, *held]
        measured, images, series = _measured(device, networks, request.fresh, say, show, progress)
        if series.core_hz and abs(series.core_hz - profile.clock_hz) > CLOCK_SHARE * profile.clock_hz:
            say(f"the board runs at {series.core_hz} Hz, not at its profile's {profile.clock_hz}; the table keeps that")
        show("fitting")
        unit, scale = _unit(series)
        samples = [Sample(one.cost, scale * value) for one, value in zip(networks, measured, strict=True)]
        seen, unseen = samples[: len(fitted)], samples[len(fitted) :]
        found = fit(seen)
        table = _table(device, series, unit, found, seen, unseen)
        write_latency(out, table)
    named = [(one.graph.structure.name, sample) for one, sample in zip(networks, samples, strict=True)]
    return Calibration(table, out, found.form, images, named[: len(fitted)], named[len(fitted) :])


def _checked(request: Request) -> Path:
    """The file of the table; UsageError or DeviceError where nothing could come of the request."""
    profile = request.profile
    core_model(core_of(profile))  # a core without figures is told here
    if request.port is None and profile.emulator is None:
        raise DeviceError(f"board {profile.id} has no emulated twin; name the port of the board itself with --port")
    if request.port is not None and profile.platformio is None:
        raise UsageError(f"PlatformIO does not know the board {profile.id}; only its emulated twin can be run")
    out = request.out or default_path(profile.id, request.port is not None)
    check_file(out, "--out")
    if request.port is not None:
        Link(request.port).close()
    return out


def _table(
    device: Device, series: Series, unit: Unit, found: Fit, seen: Sequence[Sample], unseen: Sequence[Sample]
) -> LatencyTable:
    """The model with all that is known of it; `unseen` are the networks held out."""
    profile = device.profile
    figures = core_model(core_of(profile))
    return LatencyTable(
        board=profile.id,
        core=figures.core,
        unit=unit,
        clock_hz=series.core_hz or profile.clock_hz,
        counter=series.counter,
        compiler=figures.compiler if device.twin else _toolchain(device.folder, profile.id),
        flags=figures.flags if device.twin else "-O2 and what the framework sets",
        kernels=kernels_fingerprint(figures.core),
        version=__version__,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        model=found.model,
        probes=len(seen),
        fitted=found.fitted,
        held_out=errors_of(found.model, unseen),
        one_factor=errors_of(fit_form(seen, Form("all", False)), unseen),
    )


def _measured(
    device: Device,
    networks: Sequence[Compiled],
    fresh: bool,
    say: Callable[[str], None],
    show: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[list[float], int, Series]:
    """What every network took, instructions in the twin, else net ticks; how many images that were, and the last's
    series."""
    kept = Kept(device.folder / "measurements.json", fresh)
    images = pack(networks, room_of(device.profile), MOST)
    salt = f"{device.profile.id} {kernels_fingerprint(core_of(device.profile))}"
    measured: list[float] = [0.0] * len(networks)
    done, total = 0, ROUNDS * len(networks)
    found: Series | None = None

    def step(runs: int) -> None:
        nonlocal done
        done += runs
        progress(done, total)

    for index, numbers in enumerate(images, 1):
        show(f"image {index} of {len(images)}: {len(numbers)} networks")
        mine = [networks[number] for number in numbers]
        bundle = emit_bundle(mine, f"probes {index} of {len(images)}", salt)
        try:
            series = measure_image(device, bundle, mine, kept, step)
        except BaseException:
            if index > 1 or kept.get(bundle.crc32):
                say(f"{index - 1} of {len(images)} images are measured; the same command goes on from there")
            raise
        done = ROUNDS * sum(map(len, images[:index]))
        if found is not None and not found.same_clock(series):
            raise OfaMcuError(
                f"{kept.path} holds measurements at different clocks ({found.counter_hz} and {series.counter_hz} Hz); "
                "measure anew with --fresh"
            )
        found = series
        for place, number in enumerate(numbers):
            raw = series.ticks[place]
            twin = device.twin
            counts = instructions(raw, series.overhead, twin) if twin else net_ticks(raw, series.overhead)
            measured[number] = statistics.median(counts.values)
    assert found is not None  # there is an image for every network
    return measured, len(images), found


def _unit(series: Series) -> tuple[Unit, float]:
    """What the counts are, and what to multiply them by."""
    if series.counter == VIRTUAL:
        return Unit.INSTRUCTIONS, 1.0
    if series.counter_hz == series.core_hz:
        return Unit.CYCLES, 1.0
    return Unit.MICROSECONDS, 1e6 / series.counter_hz


def _toolchain(folder: Path, environment: str) -> str:
    """The compiler's package, as PlatformIO named it when it built the last image."""
    log = folder / "firmware" / ".pio" / f"{environment}.log"
    found = _TOOLCHAIN.search(log.read_text(encoding="utf-8")) if log.is_file() else None
    return found[0] if found else "unknown"
