"""The kernels on the host, called layer by layer through a child process."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.layers import make_layer
from ofa_mcu.graph.ir import Int8Graph
from tests.kernels.toolchain import build, host_flags, kernel_sources

__all__ = ["KernelRunner", "flat_fields"]

_KERNELS = ("ofa_pointwise", "ofa_conv2d", "ofa_depthwise", "ofa_fully_connected", "ofa_add", "ofa_mean")
_NOTHING = np.zeros(0, np.int8)


def flat_fields(fields: Mapping[str, Any]) -> list[int]:
    """The numbers of a descriptor in order, those of its filter first."""
    numbers: list[int] = []
    for value in fields.values():
        if isinstance(value, Mapping):
            numbers += flat_fields(value)
        elif isinstance(value, int):
            numbers.append(value)
    return numbers


class KernelRunner:
    """A process of runner.c; buffers are allocations of exact size, so sanitizers see every stray access."""

    def __init__(self, folder: Path, *, sanitize: bool, no_long_multiply: bool) -> None:
        program = folder / f"runner_{int(sanitize)}{int(no_long_multiply)}"
        flags = host_flags(sanitize=sanitize, no_long_multiply=no_long_multiply)
        build("gcc", flags, Path(__file__).with_name("runner.c"), *kernel_sources(), "-o", program)
        self._errors = (folder / f"{program.name}.log").open("w+")
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )

    def __enter__(self) -> KernelRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        if self._process.poll() is None:
            self._process.stdin.write(np.int32(-1).tobytes())
        self._process.stdin.close()
        self._process.stdout.close()
        code = self._process.wait(20)
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        assert kind is not None or code == 0, text

    def call(
        self,
        kernel: str,
        fields: Sequence[int],
        arrays: Sequence[NDArray[np.int8] | NDArray[np.int32]],
        inputs: Sequence[NDArray[np.int8]],
        output_bytes: int,
        place: int = 0,
    ) -> NDArray[np.int8]:
        """The output codes of one kernel call; `place` 1 or 2 writes over that input."""
        header = [_KERNELS.index(kernel), len(fields), *fields]
        parts = [np.array(header, np.int32).tobytes()]
        buffers = [*arrays, *[_NOTHING] * (4 - len(arrays)), *inputs, *[_NOTHING] * (2 - len(inputs))]
        for buffer in buffers:
            parts += [np.int32(buffer.nbytes).tobytes(), np.ascontiguousarray(buffer).tobytes()]
        parts.append(np.array([output_bytes, place], np.int32).tobytes())
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(b"".join(parts))
            self._process.stdin.flush()
            answer = self._process.stdout.read(output_bytes)
        except BrokenPipeError:
            answer = b""
        if len(answer) != output_bytes:
            code = self._process.wait(20)
            self._errors.seek(0)
            raise AssertionError(f"the runner ended with {code} in {kernel} {fields}:\n{self._errors.read()}")
        return np.frombuffer(answer, np.int8)

    def run_layer(
        self, graph: Int8Graph, index: int, inputs: Sequence[NDArray[np.int8]], place: int = 0
    ) -> NDArray[np.int8]:
        """Operator number `index` on its inputs (each one image), as the generator would configure it."""
        layer = make_layer(graph, index)
        structure = graph.structure
        arrays = list(layer.arrays.values())
        if arrays:
            arrays[3] = arrays[3][: structure.shapes[layer.operator.output][-1]]
        size = structure.bytes_of(layer.operator.output)
        return self.call(layer.kernel, flat_fields(layer.fields), arrays, inputs, size, place)
