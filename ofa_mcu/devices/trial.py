"""A run on a device with real test images: right bytes, accuracy, instructions, stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu import schemas
from ofa_mcu.devices.bench import Measurement, measure
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.expectations import surprises
from ofa_mcu.devices.firmware import build_run, run_graph
from ofa_mcu.devices.link import BAUD, Link
from ofa_mcu.devices.session import Stack
from ofa_mcu.devices.speed import SPEEDS
from ofa_mcu.devices.tflm_build import TflmOptions, build_tflm_run
from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run as run_reference
from ofa_mcu.ledger import recorded
from ofa_mcu.profiles import BoardProfile
from ofa_mcu.results import TABLES, note_results, run_column
from ofa_mcu.runs import Run
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.resample import resample, to_codes

__all__ = ["Trial", "fault_of", "try_run"]

MEMORY = ("sram_promised", "sram_linked", "flash_promised", "flash_linked")
"""What a build says of an image's bytes (build.json, and what `build --json` prints)."""

_REFERENCE_BATCH = 50


@dataclass(frozen=True, eq=False)
class Trial:
    """A measurement on test images and the share of them (0..1) that the device got right.

    task, subnet, model_crc32: what was measured. input_shape: of the model, with its batch of one. memory: bytes of the
    twin's image, linked and promised, by the names of `MEMORY`; None where nothing was built for this board. runtime:
    "compiled" or "tflm". warnings: what the firmware says of itself and is not as in the board's profile, in sentences.
    """

    board: str
    measurement: Measurement
    accuracy: float
    task: str
    subnet: str
    model_crc32: int
    input_shape: tuple[int, ...]
    memory: Mapping[str, int | None]
    runtime: str = "compiled"
    warnings: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise MismatchError where a byte differs from the reference or the stack left its reserve."""
        fault = fault_of(self.to_json())
        if fault is not None:
            raise MismatchError(fault)

    def row(self, folder: Path) -> dict[str, Any]:
        """Of the table `measurements`; `folder` is the run's."""
        found = self.to_json() | {"run": run_column(folder)}
        return {name: found[name] for name in TABLES["measurements"]}

    def to_json(self) -> dict[str, Any]:
        """What `bench --json` prints."""
        m = self.measurement
        counts, cycles = m.instructions, m.cycles
        return {
            "schema": schemas.BENCH,
            "board": self.board,
            "runtime": self.runtime,
            "task": self.task,
            "subnet": self.subnet,
            "model_crc32": self.model_crc32,
            "input_shape": list(self.input_shape),
            "transport": m.transport,
            "runs": m.images,
            "warmup": m.warmup,
            "bytes_compared": m.bytes_compared,
            "differing_bytes": m.differing_bytes,
            "instructions": counts.median if counts else None,
            "instructions_min": counts.minimum if counts else None,
            "instructions_max": counts.maximum if counts else None,
            "instructions_repeated": list(m.repeated.values) if counts else None,
            "cycles": cycles.median if cycles else None,
            "milliseconds": m.milliseconds,
            "counter": m.hello.counter,
            "images": m.images,
            "accuracy": round(self.accuracy, 5),
            "stack_used": m.stack.used,
            "stack_reserved": m.stack.reserved,
            **{name: self.memory.get(name) for name in MEMORY},
            "resent": m.resent,
            "begun_again": m.begun_again,
            "baud": m.baud,
            "arena_bytes": m.hello.arena_bytes,
            "arena_used": m.hello.arena_used_bytes,
            "core_hz": m.hello.core_hz,
            "core_hz_basis": m.hello.core_hz_basis,
            "caches": m.hello.caches,
            "kernels": m.hello.kernels,
            "flags": m.hello.flags,
            "image_crc32": m.hello.image_crc32,
            "warnings": list(self.warnings),
        }


def fault_of(bench: Mapping[str, Any]) -> str | None:
    """Why a measurement, as `Trial.to_json` has it, does not pass; None where it does."""
    board, differing, used, reserved = (
        bench[name] for name in ("board", "differing_bytes", "stack_used", "stack_reserved")
    )
    if differing:
        return (
            f"{differing} of {bench['bytes_compared']} output bytes of {board} differ from the reference; build again, "
            "and run the test suite if it stays so"
        )
    if Stack(used, reserved).spent:
        return (
            f"{board} used up the {reserved} B of stack that are reserved; raise the reserve in firmware/src/config.h"
        )
    return None


def _examples(graph: Int8Graph, inputs: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Input codes (n, input bytes) of test examples and the outputs (n, output bytes) that the reference gives."""
    source, target = graph.structure.inputs[0], graph.structure.outputs[0]
    _, height, width, _ = graph.structure.shapes[source]
    codes = to_codes(resample(inputs, (height, width)))
    parts = [
        run_reference(graph, {source: codes[begin : begin + _REFERENCE_BATCH]})[target]
        for begin in range(0, len(codes), _REFERENCE_BATCH)
    ]
    return codes.reshape(len(codes), -1), np.concatenate(parts).reshape(len(codes), -1)


def _built_bytes(run: Run, board: str, name: str) -> dict[str, int | None]:
    """Bytes of the image that the run's last build left for the board's twin; nothing where there is none."""
    try:
        built = run.read(name)
    except OfaMcuError:
        return {}
    return {name: built.get(name) for name in MEMORY} if built.get("board") == board else {}


def try_run(
    run: Run,
    profile: BoardProfile,
    port: str | None,
    images: int,
    data_dir: Path | None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    baud: int | None = None,
    tflm: TflmOptions | None = None,
    noted: bool = True,
    runtime: str | None = None,
) -> Trial:
    """Measure `images` test images on the board at `port`, or, without one, on the emulated twin (built first).

    `baud` is the speed of a port that has one, where it is sound; None: the highest that is. With `tflm` it is TFLite
    Micro that is built for the twin, not compiled code. `noted`: it goes into the file of results, too. `runtime` is
    what should run ("compiled", "tflm"), None for any. What is not as in the profile is said, and among the trial's
    warnings.

    Raises:
        DeviceError: the device is missing, silent, garbling, gone, or runs another model.
    """
    graph, crc = run_graph(run)
    with ExitStack() as stack:
        watch = stack.enter_context(recorded(run.folder, "measure"))
        # the device first: if it is not there, nobody waits for the reference
        if port is not None:
            link = stack.enter_context(Link(port))
        else:
            with watch.exclude():  # it has an entry of its own
                made = build_run(run, profile, say) if tflm is None else build_tflm_run(run, profile, tflm, say)
            assert profile.emulator is not None  # build_run says so otherwise
            emulator = stack.enter_context(RunningEmulator(profile.emulator, made.build.elf))
            link = stack.enter_context(Link(emulator.url))
        test = task_named(run.task, data_dir).load(data_dir).test
        count = min(images, len(test))
        inputs, expected = _examples(graph, test.inputs[:count])
        twin = profile.emulator if port is None else None
        speeds = SPEEDS if baud is None else () if baud == BAUD else (baud,)
        measured = measure(
            link, inputs, expected, twin=twin, board=profile.id, model_crc32=crc, speeds=speeds, progress=progress
        )
    accuracy = float((measured.outputs.argmax(1) == test.labels[:count]).mean())
    found = measured.hello.runtime or ("compiled" if measured.hello.arena_used_bytes is None else "tflm")
    warnings = surprises(measured.hello, profile, runtime or found, emulated=port is None)
    for warning in warnings:
        say(f"warning: {warning}")
    trial = Trial(
        profile.id,
        measured,
        accuracy,
        task=run.task,
        subnet=run.subnet,
        model_crc32=crc,
        input_shape=tuple(graph.structure.shapes[graph.structure.inputs[0]]),
        memory=_built_bytes(run, profile.id, "build.json" if found == "compiled" else "build-tflm.json"),
        runtime=found,
        warnings=warnings,
    )
    run.write("bench.json" if found == "compiled" else "bench-tflm.json", trial.to_json())
    if noted:
        note_results("measurements", [trial.row(run.folder)], say)
    return trial
