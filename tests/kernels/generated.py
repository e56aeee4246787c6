"""Generated layers on the host: compiled with sanitizers, compared tensor by tensor with the reference."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.plan import Plan
from tests.codegen.models import write_model
from tests.kernels.toolchain import build, host_flags, kernel_sources

__all__ = ["Host", "drawn_inputs"]

_MAIN = Path(__file__).parent.parent / "codegen" / "model_main.c"


def drawn_inputs(graph: Int8Graph, rng: np.random.Generator, count: int) -> np.ndarray:
    """Images of codes, or of float values around them, the extremes among them."""
    (name,) = graph.structure.inputs
    shape = (count, *graph.structure.shapes[name][1:])
    if name in graph.structure.floats:
        values: np.ndarray = (rng.normal(0.0, 3.0, shape) * rng.choice([1e-3, 0.1, 1.0, 50.0])).astype(np.float32)
        return values
    images = rng.integers(-128, 128, shape, dtype=np.int8)
    images[-1] = rng.choice(np.array([-128, 127], np.int8), shape[1:])
    return images


class Host:
    """The kernels compiled once; models linked to them and run."""

    def __init__(self, folder: Path, *, sanitize: bool = True, no_long_multiply: bool = False) -> None:
        self.folder = folder
        self._flags = (*host_flags(sanitize=sanitize, no_long_multiply=no_long_multiply), "-O1")
        self._kernels = [folder / f"{source.stem}.o" for source in kernel_sources()]
        for source, target in zip(kernel_sources(), self._kernels, strict=True):
            build("gcc", self._flags, "-c", source, "-o", target)

    def check(self, graph: Int8Graph, plan: Plan, images: np.ndarray) -> None:
        """Every tensor of every image equals the reference."""
        write_model(self.folder, graph, plan, debug=True)
        program = self.folder / "model"
        sources = [self.folder / "ofa_model.c", self.folder / "ofa_weights.c", _MAIN]
        build("gcc", self._flags, f"-I{self.folder}", *sources, *self._kernels, "-o", program)
        done = subprocess.run([str(program)], input=images.tobytes(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        wanted = run(graph, {graph.structure.inputs[0]: images})
        structure = graph.structure
        position = 0
        for image in range(len(images)):
            for index, (operator, one) in enumerate(zip(structure.operators, plan.ways, strict=True)):
                number, size = np.frombuffer(done.stdout, np.int32, 2, position)
                assert (number, size) == (index, structure.bytes_of(operator.output))
                kind = np.float32 if operator.output in structure.floats else np.int8
                tensor = wanted[operator.output][image]
                got = np.frombuffer(done.stdout, kind, tensor.size, position + 8)
                position += 8 + int(size)
                if not np.array_equal(got, tensor.ravel()):
                    different = np.flatnonzero(got != tensor.ravel())
                    pytest.fail(f"{operator} in way {one.way}: {len(different)} codes differ, first {different[:4]}")
            position += structure.bytes_of(structure.outputs[0])
        assert position == len(done.stdout)
