"""From a plan to layers in C: each with its places in the arena, its constants and the functions it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ofa_mcu.codegen.c_text import identifier
from ofa_mcu.codegen.cascades import write_cascade
from ofa_mcu.codegen.kernels import WRITERS
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import operator_constants
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.facts import GraphFacts
from ofa_mcu.planning.kernels.base import LayerView, Way
from ofa_mcu.planning.memory import SCRATCH_ALIGNMENT, MemoryPlan
from ofa_mcu.planning.plan import Plan
from ofa_mcu.space.shapes import Activation, Cascade, Conv2D, DepthwiseConv2D, Operator, Shape, ShapeGraph

__all__ = ["Layer", "describe", "functions_of", "make_layers"]


@dataclass(frozen=True, eq=False)
class Layer:
    """One operator in C: the name of its function, one line for people, and what the kernel's writer gave."""

    index: int
    operator: Operator
    symbol: str
    description: str
    code: LayerCode


def make_layers(graph: Int8Graph, plan: Plan, facts: GraphFacts, first: int = 0) -> list[Layer]:
    """The layers of the graph as the plan wants them; OfaMcuError where buffers overlap more than kernels allow.

    `first` is the number of the first layer, by which its functions and constants are called.
    """
    structure, memory = plan.structure, plan.memory
    layers = []
    for index, (operator, one) in enumerate(zip(structure.operators, plan.ways, strict=True), first):
        _check_places(structure, operator, one.way, memory)
        symbol = f"layer_{index:02d}_{identifier(operator.name)}"
        description = describe(structure, operator, one.way)
        if isinstance(operator, Cascade):
            code = write_cascade(graph, operator, one.way, facts, memory, index)
            layers.append(Layer(index, operator, symbol, description, code))
            continue
        prefix = f"ofa_{index:02d}"
        inputs = [
            f"{prefix}_constant{position}" if name in structure.constants else f"ofa_arena + {memory.offsets[name]}"
            for position, name in enumerate(operator.inputs)
        ]
        placed = PlacedLayer(
            graph=graph,
            prefix=prefix,
            view=LayerView(structure, operator, facts.of(operator)),
            way=one.way,
            constants=operator_constants(graph, operator),
            scales=facts.scales.get(operator.name),
            inputs=tuple(inputs),
            output=f"ofa_arena + {memory.offsets[operator.output]}",
            scratch=f"ofa_arena + {memory.scratch[operator.name]}" if one.way.scratch_bytes else "0",
            backward=operator.name in memory.backward,
            distance=f"({inputs[1]}) - (ofa_arena + {memory.offsets[operator.output]})" if len(inputs) > 1 else "",
        )
        code = WRITERS[one.way.kernel](placed)
        layers.append(Layer(index, operator, symbol, description, code))
    functions_of(layers)
    return layers


def describe(structure: ShapeGraph, operator: Operator, way: Way) -> str:
    """One line: name, type, options, shapes, multiply-accumulates, kernel."""
    details = ""
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        details = f" {operator.kernel[0]}x{operator.kernel[1]} stride {operator.stride[0]}x{operator.stride[1]}"
    activation = getattr(operator, "activation", Activation.NONE)
    if activation is not Activation.NONE:
        details += f" {activation.value}"
    shapes = [_text(structure.shapes[name]) for name in (*operator.inputs, operator.output)]
    macs = structure.macs_of(operator)
    cost = f", {macs:,} MACs" if macs else ""
    variant = f" ({way.variant})" if way.variant else ""
    kind = type(operator).__name__
    if isinstance(operator, Cascade):
        details = f" of {', '.join(step.name for step in operator.steps)}"
    return f"{operator.name}: {kind}{details}, {' + '.join(shapes[:-1])} -> {shapes[-1]}{cost}, {way.kernel}{variant}"


def _text(shape: Shape) -> str:
    return "x".join(str(extent) for extent in shape[1:]) or "1"


def _check_places(structure: ShapeGraph, operator: Operator, way: Way, memory: MemoryPlan) -> None:
    for tensor in (*operator.inputs, operator.output):
        if tensor in structure.constants:
            continue
        if tensor not in memory.offsets:
            raise OfaMcuError(f"tensor '{tensor}' of graph '{structure.name}' has no place in the arena: plan it again")
        start = memory.offsets[tensor]
        end = start + structure.bytes_of(tensor)
        if start < 0 or end > memory.arena_bytes:
            raise OfaMcuError(
                f"tensor '{tensor}' of graph '{structure.name}' takes bytes {start} to {end} of an arena of "
                f"{memory.arena_bytes}: plan it again"
            )
    taken = {
        position: (memory.offsets[name], structure.bytes_of(name))
        for position, name in enumerate(operator.inputs)
        if name in memory.offsets and name not in operator.inputs[:position]
    }
    output = memory.offsets[operator.output], structure.bytes_of(operator.output)
    for position, place in taken.items():
        if _meet(place, output) and not _allowed(way, position, place, output, operator.name in memory.backward):
            raise OfaMcuError(
                f"the output of layer '{operator.name}' overlaps its input '{operator.inputs[position]}' in the arena, "
                "which its kernel does not allow: plan it again"
            )
    if way.scratch_bytes:
        start = memory.scratch.get(operator.name, -1)
        scratch = start, way.scratch_bytes
        wrong = start < 0 or start % SCRATCH_ALIGNMENT or start + way.scratch_bytes > memory.arena_bytes
        if wrong or _meet(scratch, output) or any(_meet(scratch, place) for place in taken.values()):
            raise OfaMcuError(
                f"layer '{operator.name}' needs {way.scratch_bytes} bytes of its own to work in: plan it again"
            )


_Place = tuple[int, int]  # start, bytes


def _meet(a: _Place, b: _Place) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]


def _allowed(way: Way, position: int, source: _Place, target: _Place, backward: bool) -> bool:
    if source[0] == target[0] and ((position == 0 and way.in_place) or (position == 1 and way.in_place_second)):
        return True
    if position > 0:
        return False
    if backward:
        return way.backward_gap is not None and sum(target) - sum(source) >= way.backward_gap
    return way.forward_gap is not None and source[0] - target[0] >= way.forward_gap


def functions_of(layers: Sequence[Layer]) -> Mapping[str, tuple[str, ...]]:
    """Every function that layers call, once, in the order of first use."""
    found: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        for name, lines in layer.code.functions.items():
            if found.setdefault(name, lines) != lines:
                raise AssertionError(f"two layers give function {name} different text")
    return found
