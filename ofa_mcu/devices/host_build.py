"""Generated C on this machine: compiled by its own compiler, every tensor observed, no board and no emulator.

Kernels for the DSP extension have C equivalents of its instructions and give the same bytes here; those for M-profile
vectors run on their cores only.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.validation_records import (
    TENSORS,
    DebugModel,
    Observed,
    compile_all,
    compiler_run,
    kernel_include,
    kernel_sources,
    observe_folder,
    read_tensors,
)
from ofa_mcu.errors import DeviceError, MismatchError, OfaMcuError
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import kernel_named

__all__ = ["HostBuild", "host_compiler", "runs_here"]

COMPILER = "gcc"
FLAGS = ("-std=gnu11", "-O1", "-fno-strict-aliasing")
CHECKED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TIMEOUT_S = 600.0


def host_compiler() -> str:
    """This machine's C compiler; DeviceError where it is missing."""
    if shutil.which(COMPILER) is None:
        raise DeviceError(
            f"{COMPILER}, this machine's C compiler, is not on PATH; install it (apt-get install gcc libc6-dev)."
        )
    return COMPILER


def runs_here(plan: Plan) -> bool:
    """Whether this machine has a C form of every kernel of the plan: all but those for M-profile vectors have one."""
    return all(kernel_named(one.way.kernel).flavour is not Flavour.MVE for one in plan.ways)


class HostBuild:
    """The kernels compiled for this machine, and debug models linked with them; a context manager.

    `sanitize`: stray accesses and undefined behaviour end a model (needs libasan and libubsan). DeviceError where the
    compiler is missing.
    """

    def __init__(self, *, sanitize: bool = False) -> None:
        self._compiler = host_compiler()
        self._flags = (*FLAGS, *(CHECKED if sanitize else ()), f"-I{kernel_include()}", f"-I{observe_folder()}")
        self._temporary = tempfile.TemporaryDirectory(prefix="ofa-host-")
        self._folder = Path(self._temporary.name)
        sources = [*kernel_sources(), observe_folder() / "host.c"]
        try:
            self._objects = compile_all(self._compiler, self._flags, sources, self._folder)
        except BaseException:
            self._temporary.cleanup()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()

    def run(self, model: DebugModel, inputs: NDArray[np.int8]) -> Observed:
        """Every tensor for inputs (N, input bytes).

        Raises:
            MismatchError: the program failed, which no model may make it do.
            OfaMcuError: it cannot be compiled or does not end.
        """
        with tempfile.TemporaryDirectory(prefix="model-", dir=self._folder) as name:
            folder = Path(name)
            sources = [*model.write(folder, inputs), observe_folder() / "observe.c"]
            program = folder / "model"
            arguments = [*self._flags, f"-I{folder}", *map(str, (*sources, *self._objects)), "-o", str(program)]
            compiler_run([self._compiler, *arguments])
            try:
                done = subprocess.run([str(program)], cwd=folder, capture_output=True, timeout=TIMEOUT_S, check=False)
            except subprocess.TimeoutExpired as error:
                raise OfaMcuError(
                    f"the generated C did not end within {TIMEOUT_S:g} s here; try fewer inputs"
                ) from error
            if done.returncode:
                words = done.stderr.decode(errors="replace").strip().splitlines()
                why = next((line for line in words if "rror" in line), f"exit code {done.returncode}")
                raise MismatchError(f"the generated C failed on this machine ({why.strip()}); report it with the model")
            return read_tensors((folder / TENSORS).read_bytes(), model.plan.structure, len(inputs))
