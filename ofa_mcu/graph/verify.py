"""Compares the numpy reference, tensor by tensor and byte by byte, with TFLite Micro and with LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import MismatchError
from ofa_mcu.graph import interpreters, reference
from ofa_mcu.graph.interpreters import TflmArena
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.space.shapes import Shape

__all__ = [
    "Difference",
    "TflmArena",
    "Verification",
    "compare_tensors",
    "compare_with_litert",
    "compare_with_tflm",
    "probe_inputs",
    "verify",
]


@dataclass(frozen=True)
class Difference:
    """One tensor that differs: how many of its bytes over all images, and the first of them."""

    layer: str
    tensor: str
    differing_bytes: int
    bytes: int
    image: int
    position: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        where = ", ".join(map(str, self.position))
        return (
            f"layer '{self.layer}' differs in {self.differing_bytes} of {self.bytes} bytes of '{self.tensor}', first "
            f"in image {self.image} at ({where}): reference {self.expected}, interpreter {self.found}"
        )


@dataclass(frozen=True)
class Verification:
    """Outcome of a comparison over `images` inputs; `differences` in execution order, the first is the cause."""

    interpreter: str
    images: int
    tensors: int
    bytes_compared: int
    differences: tuple[Difference, ...]
    arena: TflmArena | None = None

    @property
    def differing_bytes(self) -> int:
        """Bytes that differ, over all tensors and images."""
        return sum(difference.differing_bytes for difference in self.differences)


def probe_inputs(graph: Int8Graph, seed: int = 0, random: int = 2) -> dict[str, NDArray[Any]]:
    """Images that go to the edges: all -128, all 127, all zero point, then `random` uniform ones: name to (N, ...).

    A float32 input gets values from far below to far above what its QUANTIZE can tell apart.
    """
    rng = np.random.default_rng(seed)
    inputs: dict[str, NDArray[Any]] = {}
    for name in graph.structure.inputs:
        shape = reference.image_shape(graph.structure.shapes[name])
        if name in graph.structure.floats:
            inputs[name] = _probe_floats(graph, name, shape, rng, random)
            continue
        flat = [np.full(shape, code, np.int8) for code in (-128, 127, graph.quantization[name].zero_point)]
        inputs[name] = np.stack([*flat, *rng.integers(-128, 128, (random, *shape), dtype=np.int8)])
    return inputs


def _probe_floats(
    graph: Int8Graph, name: str, shape: Shape, rng: np.random.Generator, random: int
) -> NDArray[np.float32]:
    readers = [graph.quantization[op.output] for op in graph.structure.operators if name in op.inputs]
    scale, zero = (readers[0].scale, readers[0].zero_point) if readers else (1.0, 0)
    steps = [np.full(shape, code - zero) for code in (-300.0, 300.0, 0.0)]
    # among the random ones some exactly between two codes
    halves = [np.round(2.0 * rng.uniform(-140.0, 140.0, shape)) / 2.0 for _ in range(random // 2)]
    steps += [*halves, *(rng.uniform(-140.0, 140.0, shape) - zero for _ in range(random - len(halves)))]
    return np.stack([step * scale for step in steps]).astype(np.float32)


def compare_tensors(
    graph: Int8Graph, expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> list[Difference]:
    """Differences of the tensors in `found` (N, ...) from `expected`, in execution order."""
    writers = {name: name for name in graph.structure.inputs}
    writers |= {operator.output: operator.name for operator in graph.structure.operators}
    differences = []
    for tensor, layer in writers.items():
        if tensor not in found:
            continue
        theirs = found[tensor].reshape(expected[tensor].shape)
        places = np.argwhere(expected[tensor] != theirs)
        if len(places):
            image, *position = (int(i) for i in places[0])
            differences.append(
                Difference(
                    layer=layer,
                    tensor=tensor,
                    differing_bytes=len(places),
                    bytes=theirs.size,
                    image=image,
                    position=tuple(position),
                    expected=expected[tensor][tuple(places[0])].item(),
                    found=theirs[tuple(places[0])].item(),
                )
            )
    return differences


def compare_with_tflm(
    graph: Int8Graph, tflite: bytes, inputs: Mapping[str, NDArray[Any]] | None = None, *, arena: bool = True
) -> Verification:
    """Runs the file in TFLite Micro's host interpreter and compares every activation with the reference.

    `inputs` maps graph inputs to (N, ...), default `probe_inputs`; `arena` also measures TFLite Micro's arena.
    Raises OfaMcuError where TFLite Micro is not installed or refuses the file; differences are returned.
    """
    inputs = probe_inputs(graph) if inputs is None else inputs
    ordered = {name: inputs[name] for name in graph.structure.inputs}
    expected = reference.run(graph, ordered)
    found = interpreters.tflm_tensors(tflite, ordered, list(expected))
    measured = interpreters.tflm_arena(tflite, ordered) if arena else None
    return _verification(graph, f"TFLite Micro {interpreters.tflm_version()}", expected, found, measured)


def compare_with_litert(
    graph: Int8Graph, tflite: bytes, inputs: Mapping[str, NDArray[Any]] | None = None
) -> Verification | None:
    """The same with LiteRT's reference kernels, a second witness; None where LiteRT is not installed."""
    version = interpreters.litert_version()
    if version is None:
        return None
    inputs = probe_inputs(graph) if inputs is None else inputs
    expected = reference.run(graph, inputs)
    found = interpreters.litert_tensors(tflite, {name: inputs[name] for name in graph.structure.inputs}, list(expected))
    return _verification(graph, f"LiteRT {version} reference kernels", expected, found, None)


def verify(
    graph: Int8Graph, tflite: bytes | None = None, inputs: Mapping[str, NDArray[Any]] | None = None
) -> Verification:
    """`compare_with_tflm`, where any difference raises MismatchError naming the first differing layer.

    `tflite` is the file to run, default what `write_tflite` gives for the graph.
    """
    result = compare_with_tflm(graph, write_tflite(graph) if tflite is None else tflite, inputs)
    if result.differences:
        raise MismatchError(
            f"the int8 reference and {result.interpreter} disagree on graph '{graph.structure.name}': "
            f"{result.differences[0]}; keep the model and report it, do not deploy it"
        )
    return result


def _verification(
    graph: Int8Graph,
    interpreter: str,
    expected: Mapping[str, NDArray[Any]],
    found: Mapping[str, NDArray[Any]],
    arena: TflmArena | None,
) -> Verification:
    return Verification(
        interpreter=interpreter,
        images=len(next(iter(found.values()))),
        tensors=len(found),
        bytes_compared=sum(value.size for value in found.values()),
        differences=tuple(compare_tensors(graph, expected, found)),
        arena=arena,
    )
