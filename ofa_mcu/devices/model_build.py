"""From any int8 .tflite file to a PlatformIO project for a board, and a run of it on the board's emulated twin."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen import emit_c
from ofa_mcu.devices.bench import Measurement, measure
from ofa_mcu.devices.build import BEYOND_SHELLS, build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.firmware import FirmwareBuild
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.devices.validation_records import flat_bytes
from ofa_mcu.devices.validation_twin import require_twin
from ofa_mcu.errors import InfeasibleError, MismatchError, OfaMcuError
from ofa_mcu.graph import interpreters, reference
from ofa_mcu.graph.apart import apart
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.verify import Verification, compare_with_tflm, probe_inputs
from ofa_mcu.planning.compile import Compiled, CompileOptions, compile_graph
from ofa_mcu.planning.cost import Cost
from ofa_mcu.planning.latency import LatencyTable
from ofa_mcu.planning.places import ALLOWED, ARENA, FLASH, SRAM, memory_uses
from ofa_mcu.profiles import BoardProfile

__all__ = [
    "BoardModel",
    "ModelFile",
    "TwinTrial",
    "border_codes",
    "compile_model",
    "default_folder",
    "model_files",
    "read_model",
    "try_on_twin",
    "write_model_project",
]

_HOOK = """\
/* Called after every layer of a debug build; define your own ofa_model_observe and it takes the place of this one. */
#include "ofa_model.h"

__attribute__((weak)) void ofa_model_observe(int index, const int8_t *data, int32_t bytes)
{
    (void)index;
    (void)data;
    (void)bytes;
}
"""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A .tflite file: where it lies, its bytes and their CRC-32, the graph in it."""

    path: Path
    data: bytes
    crc32: int
    graph: Int8Graph

    @property
    def name(self) -> str:
        """Name of the model, printable ASCII."""
        text = "".join(c if c.isascii() and c.isprintable() and c != " " else "_" for c in self.path.stem)
        return text or "model"


@dataclass(frozen=True, eq=False)
class BoardModel:
    """A model compiled for a board; `seconds` it took, reading included, the C compiler not.

    `latency` is the board's table, where there is one.
    """

    model: ModelFile
    profile: BoardProfile
    options: CompileOptions
    compiled: Compiled
    seconds: float
    latency: LatencyTable | None = None

    @property
    def cost(self) -> Cost:
        """The planner's promise."""
        return self.compiled.cost

    def excess(self) -> dict[str, int]:
        """Bytes by which the promise exceeds the board, by kind of `memory_uses`; empty where it fits."""
        return {
            use.kind: use.excess for use in memory_uses(self.cost, self.profile, self.options.max_sram) if use.excess
        }

    def check_fit(self) -> None:
        """Raise InfeasibleError naming what overflows, and by how much."""
        over = self.excess()
        if over:
            raise _too_large(self, over)


@dataclass(frozen=True, eq=False)
class TwinTrial:
    """What the twin did with random and extreme inputs, and what TFLite Micro says of the reference.

    `tflm` is None where TFLite Micro could not be asked; `tflm_skipped` then says why.
    """

    build: FirmwareBuild
    measurement: Measurement
    tflm: Verification | None
    tflm_skipped: str | None

    @property
    def differing_bytes(self) -> int:
        """Output bytes of the device that are not the reference's."""
        return self.measurement.differing_bytes or 0

    def check(self) -> None:
        """Raise MismatchError where a byte differs, the image breaks the promise, or the stack left its reserve."""
        measured, board = self.measurement, self.build.project.board
        if self.tflm is not None and self.tflm.differences:
            raise MismatchError(
                f"the int8 reference and {self.tflm.interpreter} disagree: {self.tflm.differences[0]}; keep the model "
                "and report it, do not deploy it"
            )
        if self.differing_bytes:
            raise MismatchError(
                f"{self.differing_bytes} of {measured.bytes_compared} output bytes of {board} differ from the "
                "reference; run ofa-mcu validate to see the first layer that does, and report it with the model"
            )
        if measured.stack.spent:
            raise MismatchError(
                f"{board} used up the {measured.stack.reserved} B of stack that are reserved; report it with the model"
            )
        self.build.check()


def read_model(path: Path) -> ModelFile:
    """Reads a .tflite file.

    Raises:
        OfaMcuError: it cannot be read, is no TensorFlow Lite file, or has something that is not supported; the message
            names the operator and its index.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OfaMcuError(
            f"{path} cannot be read ({error.strerror or type(error).__name__}); give the path of a .tflite file"
        ) from error
    return ModelFile(path, data, zlib.crc32(data), read_tflite(data, path.name))


def compile_model(
    path: Path, profile: BoardProfile, options: CompileOptions | None = None, latency: LatencyTable | None = None
) -> BoardModel:
    """Reads and compiles a file for a board; errors are those of `read_model` and `compile_graph`. Writes nothing."""
    begin = time.perf_counter()
    options = options or CompileOptions()
    model = read_model(path)
    compiled = compile_graph(model.graph, profile, options)
    return BoardModel(model, profile, options, compiled, time.perf_counter() - begin, latency)


def default_folder(path: Path, board: str) -> Path:
    """Where the project of a model goes if nobody says: `<model>-<board>` in the current folder, without what
    PlatformIO cannot build."""
    return Path(f"{BEYOND_SHELLS.sub('_', path.stem) or 'model'}-{board}")


def model_files(made: BoardModel, *, debug: bool = False) -> dict[str, str]:
    """The generated files, name to text; a debug build calls a hook after every layer."""
    model, compiled = made.model, made.compiled
    files = emit_c(
        compiled.graph,
        compiled.plan,
        name=model.name,
        model_crc32=model.crc32,
        debug=debug,
        facts=compiled.facts,
        source=model.graph,
    )
    return {**files, "ofa_observe.c": _HOOK} if debug else files


def write_model_project(
    made: BoardModel, folder: Path, files: Mapping[str, str], say: Callable[[str], None] = lambda text: None
) -> Project:
    """Writes the project of `model_files`; errors are those of `write_project`."""
    project = write_project(folder, made.profile, files, made.options.stack_bytes)
    if project.set_aside is not None:
        say(f"the project had been changed by hand; the changed one is now {project.set_aside}")
    return project


def try_on_twin(
    made: BoardModel,
    project: Project,
    *,
    random: int = 2,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TwinTrial:
    """Builds the project for the twin and runs extreme inputs and `random` random ones there.

    Raises:
        DeviceError: the board has no twin, compiler or emulator are missing, or the twin does not answer.
        InfeasibleError: the image does not fit the board.
    """
    twin = require_twin(made.profile)
    inputs = probe_inputs(made.model.graph, seed, random)
    # the twin first: if the image does not fit, nobody waits for the reference
    try:
        build = build_project(project)
    except InfeasibleError as error:
        excess = error.details.get("excess_bytes")
        named = (
            {(SRAM if k == "RAM" else str(k)): int(n) for k, n in excess.items()} if isinstance(excess, dict) else {}
        )
        raise _too_large(made, named) from error
    codes, wanted = border_codes(made, inputs)
    with RunningEmulator(twin, build.elf) as emulator, Link(emulator.url) as link:
        measured = measure(
            link,
            codes,
            wanted,
            twin=twin,
            board=made.profile.id,
            model_crc32=made.model.crc32,
            progress=progress,
        )
    tflm, skipped = _ask_tflm(made.model, inputs)
    return TwinTrial(FirmwareBuild(project, build, read_image(build.elf), made.cost), measured, tflm, skipped)


def _ask_tflm(model: ModelFile, inputs: Mapping[str, NDArray[Any]]) -> tuple[Verification | None, str | None]:
    """TFLite Micro's word on the reference; where there is none, why."""
    try:
        name = f"TFLite Micro {interpreters.tflm_version()}"
        return apart(lambda: compare_with_tflm(model.graph, model.data, inputs, arena=False), name), None
    except OfaMcuError as error:
        return None, str(error)


def _too_large(made: BoardModel, over: Mapping[str, int]) -> InfeasibleError:
    uses = {use.kind: use for use in memory_uses(made.cost, made.profile, made.options.max_sram)}
    names = {SRAM: "its SRAM", ARENA: "the memory of its arena", FLASH: "its flash", ALLOWED: "the SRAM it may take"}
    parts = " and ".join(
        f"{names[kind]} ({uses[kind].where}) of {uses[kind].there:,} bytes by {count:,} "
        f"(promised {uses[kind].needed:,})"
        for kind, count in over.items()
    )
    remedy = "allow more" if over.keys() == {ALLOWED} else "choose a larger board (ofa-mcu boards)"
    binding = uses[max(over, key=lambda kind: over[kind] / uses[kind].there) if over else SRAM]
    return InfeasibleError(
        f"{made.model.path.name} exceeds {made.profile.id}: {parts}; {remedy} or a smaller model",
        {
            "code": "infeasible",
            "constraint": FLASH if binding.kind == FLASH else SRAM,
            "region": binding.where,
            "needed": binding.needed,
            "budget": binding.there,
            "excess_bytes": dict(over),
        },
    )


def border_codes(made: BoardModel, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """What the device is given (N, bytes of all inputs) for inputs of the file and must answer (N, of all outputs)."""
    source = made.compiled.optimized.expected(reference.run(made.model.graph, inputs))
    structure = made.compiled.graph.structure
    return flat_bytes(source, structure.inputs), flat_bytes(source, structure.outputs)
