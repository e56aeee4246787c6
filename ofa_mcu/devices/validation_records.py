"""A debug model's files: what it reads and what it writes, and the program around it (firmware/observe)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen import emit_c
from ofa_mcu.errors import InfeasibleError, MismatchError, OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.facts import GraphFacts
from ofa_mcu.planning.plan import Plan
from ofa_mcu.resources import resource
from ofa_mcu.space.shapes import ShapeGraph

__all__ = [
    "INPUTS",
    "TENSORS",
    "DebugModel",
    "Observed",
    "compile_all",
    "compiler_run",
    "flat_bytes",
    "kernel_include",
    "kernel_sources",
    "observe_folder",
    "read_tensors",
    "split_outputs",
]

INPUTS, TENSORS = "inputs.bin", "tensors.bin"
"""Names of the two files, as firmware/observe knows them."""

_OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")
_OUTPUT = -1  # number of the records with the model's outputs

Observed = dict[str, NDArray[np.int8]]
"""Tensor name to bytes (N, bytes of the tensor) over N inputs."""


@dataclass(frozen=True, eq=False)
class DebugModel:
    """A planned graph to be compiled so that it shows every tensor; `facts` are those of the graph."""

    graph: Int8Graph
    plan: Plan
    facts: GraphFacts

    def write(self, folder: Path, inputs: NDArray[np.int8]) -> list[Path]:
        """Writes the generated files and the inputs (N, input bytes); the C files to compile."""
        files = emit_c(self.graph, self.plan, name="debug", model_crc32=0, debug=True, facts=self.facts)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / INPUTS).write_bytes(inputs.tobytes())
        return [folder / name for name in files if name.endswith(".c")]


def kernel_include() -> Path:
    """Folder of the kernels' headers."""
    return resource("firmware") / "lib" / "ofa_kernels" / "include"


def kernel_sources() -> list[Path]:
    """The kernels' C files."""
    return sorted((resource("firmware") / "lib" / "ofa_kernels" / "src").glob("*.c"))


def observe_folder() -> Path:
    """Folder of the program around a debug model."""
    return resource("firmware") / "observe"


def compiler_run(command: Sequence[str]) -> None:
    """Runs a compiler or linker.

    Raises:
        InfeasibleError: the image exceeds the memories it is linked for.
        OfaMcuError: anything else, with the first complaint.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        excess = _OVERFLOW.findall(done.stderr)
        if excess:
            parts = " and ".join(f"its {memory} by {count} bytes" for memory, count in excess)
            raise InfeasibleError(
                f"the debug model exceeds the board: {parts}; choose a larger board (ofa-mcu boards) or leave out "
                "--emulate",
                {"code": "infeasible", "excess_bytes": {memory: int(count) for memory, count in excess}},
            )
        signs = ("error:", "undefined reference")
        complaint = next((line for line in lines if any(sign in line for sign in signs)), (lines or ["nothing"])[0])
        raise OfaMcuError(f"{command[0]} refused the generated C ({complaint}); report it with the model")


def compile_all(compiler: str, flags: Sequence[str], sources: Sequence[Path], folder: Path) -> list[Path]:
    """The objects of the sources, compiled side by side into the folder; OfaMcuError as `compiler_run`."""
    objects = [folder / f"{source.stem}.o" for source in sources]

    def one(source: Path, target: Path) -> None:
        compiler_run([compiler, *flags, "-c", str(source), "-o", str(target)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, sources, objects))
    return objects


def read_tensors(data: bytes, structure: ShapeGraph, images: int) -> Observed:
    """Every tensor that operators write, and every output, from the records of `images` inputs.

    Raises MismatchError where the records are not those of the network.
    """
    expected = [(index, operator.output) for index, operator in enumerate(structure.operators)]
    expected += [(_OUTPUT, name) for name in structure.outputs]
    parts: dict[str, list[NDArray[np.int8]]] = {}
    position = 0
    for image in range(images):
        seen: dict[str, NDArray[np.int8]] = {}
        for index, name in expected:
            size = structure.bytes_of(name)
            header = np.frombuffer(data[position : position + 8], np.int32).tolist()
            if header != [index, size] or len(data) < position + 8 + size:
                raise MismatchError(
                    f"the debug model stopped in input {image} at tensor '{name}'; report it with the model"
                )
            # of an output what the caller reads counts, should something have been written over it
            seen[name] = np.frombuffer(data, np.int8, size, position + 8)
            position += 8 + size
        for name, values in seen.items():
            parts.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in parts.items()}


def flat_bytes(tensors: Mapping[str, NDArray[np.generic]], names: Sequence[str]) -> NDArray[np.int8]:
    """Tensors (N, ...) side by side as bytes (N, bytes)."""
    return np.concatenate(
        [np.ascontiguousarray(tensors[name]).reshape(len(tensors[name]), -1).view(np.int8) for name in names], axis=1
    )


def split_outputs(structure: ShapeGraph, outputs: NDArray[np.int8]) -> Observed:
    """Output tensors by name from what a device gives (N, bytes of all outputs)."""
    ends = np.cumsum([structure.bytes_of(name) for name in structure.outputs])
    return dict(zip(structure.outputs, np.split(outputs, ends[:-1], axis=1), strict=True))
