"""A cascade in C: a function for each of its layers on some rows, and the loops that run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ofa_mcu.codegen.c_text import comment, identifier
from ofa_mcu.codegen.kernels import WRITERS
from ofa_mcu.codegen.kernels.base import Array, LayerCode, PlacedLayer
from ofa_mcu.graph.constants import operator_constants
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.cascades import Places, places_of, stripes_in
from ofa_mcu.planning.chains import Rolling, Stripes
from ofa_mcu.planning.facts import GraphFacts
from ofa_mcu.planning.kernels.base import LayerView, Way
from ofa_mcu.planning.memory import MemoryPlan
from ofa_mcu.space.shapes import Add, Cascade, ConvAdd, Operator

__all__ = ["write_cascade"]

_FROM, _TO = "from", "to"


def write_cascade(
    graph: Int8Graph, operator: Cascade, way: Way, facts: GraphFacts, memory: MemoryPlan, index: int
) -> LayerCode:
    """C of layer number `index`, which runs in a way of `cascade_ways`."""
    stripes = stripes_in(graph.structure, operator, way)
    places = places_of(stripes, way.parts)
    start = memory.scratch[operator.name]
    source, target = memory.offsets[operator.inputs[0]], memory.offsets[operator.output]
    rows = _rows(graph, stripes)
    arrays: dict[str, Array] = {}
    functions: dict[str, tuple[str, ...]] = {}
    headers: dict[str, None] = {}
    names = []
    for number, (step, given, part) in enumerate(zip(stripes.steps, operator.steps, way.parts, strict=True)):
        prefix = f"ofa_{index:02d}_{number}"
        view = LayerView(stripes.structure, step, facts.of(given))
        inputs, distance = _inputs(step, stripes, source - target)
        code = WRITERS[part.kernel](
            PlacedLayer(
                graph=rows,
                prefix=prefix,
                view=view,
                way=part,
                constants=operator_constants(graph, given),
                scales=facts.scales.get(given.name),
                inputs=inputs,
                output=_TO,
                scratch=f"ofa_arena + {start + places.work}" if part.scratch_bytes else "0",
                backward=False,
                distance=distance,
            )
        )
        name = f"rows_{index:02d}_{number}_{identifier(given.name)}".rstrip("_")
        names.append(name)
        arrays |= code.arrays
        functions |= code.functions
        functions[name] = _function(name, given.name, code)
        headers |= dict.fromkeys(code.headers)
    body = _loops(graph, stripes, places, names, (source, start, target))
    return LayerCode(arrays, tuple(body), functions, ("ofa_operators.h", *headers))


def _rows(graph: Int8Graph, stripes: Stripes) -> Int8Graph:
    """The graph of the layers as they run; tensors that stand for rows of another one are quantized as that is."""
    known = graph.quantization
    alike = {name: known[tensor] for name, tensor in stripes.stand_ins.items()}
    return replace(graph, structure=stripes.structure, quantization={**known, **alike})


def _inputs(step: Operator, stripes: Stripes, apart: int) -> tuple[tuple[str, ...], str]:
    """What a layer reads, in C, and how far that which it adds lies from what it writes."""
    if isinstance(step, ConvAdd):
        return (_FROM, f"{_TO} + ({apart})"), str(apart)
    if isinstance(step, Add):
        return tuple(f"{_TO} + ({apart})" if name in stripes.stand_ins else _FROM for name in step.inputs), ""
    return (_FROM,), ""


def _function(name: str, layer: str, code: LayerCode) -> tuple[str, ...]:
    return (
        comment(f"Some rows of {layer}"),
        f"static __attribute__((noinline)) void {name}(const int8_t *{_FROM}, int8_t *{_TO})",
        "{",
        *(f"    {line}" if line else "" for line in code.body),
        "}",
    )


def _loops(
    graph: Int8Graph, stripes: Stripes, places: Places, names: Sequence[str], where: tuple[int, int, int]
) -> list[str]:
    """Lines of the function that runs the layers; `where` are offsets of input, working memory and output."""
    source, start, target = where
    window, entry, steps = stripes.window, stripes.entry, stripes.steps
    quantization = graph.quantization
    lines = [f"const int8_t *input = ofa_arena + {source};", f"int8_t *output = ofa_arena + {target};"]
    lines += _buffer("window", start + places.window, window, quantization[steps[0].output].zero_point)
    if entry is not None:
        lines += _buffer("entry", start + places.entry, entry, quantization[steps[0].inputs[0]].zero_point)
    lines.append(f"for (int32_t stripe = 0; stripe < {window.runs}; ++stripe) {{")
    if entry is None:
        step = window.fresh * stripes.input_row
        run = [f"{names[0]}(input, window_fresh);", f"input += {step};"]
    else:
        rows = entry.fresh * entry.row_bytes
        come = [f"ofa_carry(input, {rows}, entry_fresh);", f"input += {rows};"]
        run = [
            *_filled("entry", entry, come, quantization[steps[0].inputs[0]].zero_point),
            f"{names[0]}(entry, window_fresh);",
            *_moved("entry", entry),
        ]
    inner = _filled("window", window, run, quantization[steps[0].output].zero_point)
    narrow = f"ofa_arena + {start + places.narrow}"
    reads, writes = ["window", narrow, "window"], [narrow, "window"]
    last = len(names) - 2
    for number, name in enumerate(names[1:]):
        inner.append(f"{name}({reads[number]}, {'output' if number == last else writes[number]});")
    inner.append(f"output += {stripes.stripe_bytes};")
    inner += _moved("window", window)
    return [*lines, *(f"    {line}" for line in inner), "}"]


def _buffer(name: str, offset: int, buffer: Rolling, zero_point: int) -> list[str]:
    """Its variables: where it is, where fresh rows go, and how often rows are still to come where they may run out."""
    pad = buffer.pad_top * buffer.row_bytes
    lines = [f"int8_t *const {name} = ofa_arena + {offset};", f"int8_t *{name}_fresh = {name} + {pad};"]
    if buffer.missing:
        lines.append(f"int32_t {name}_left = {buffer.deliveries};")
    if pad:
        lines.append(f"ofa_fill({zero_point}, {pad}, {name});")
    return lines


def _filled(name: str, buffer: Rolling, come: Sequence[str], zero_point: int) -> list[str]:
    """The loop that fills a window, with what makes fresh rows."""
    size = buffer.fresh * buffer.row_bytes
    body = list(come)
    if buffer.missing:
        body = [
            f"if ({name}_left == 0) {{",
            f"    ofa_fill({zero_point}, {size}, {name}_fresh);",
            "} else {",
            f"    --{name}_left;",
            *(f"    {line}" for line in come),
            "}",
        ]
    head = f"for (; {name}_fresh < {name} + {buffer.bytes}; {name}_fresh += {size}) {{"
    return [head, *(f"    {line}" for line in body), "}"]


def _moved(name: str, buffer: Rolling) -> list[str]:
    """What the next window has in common with this one goes to its start."""
    lines = []
    if buffer.kept:
        lines.append(f"ofa_carry({name} + {buffer.shift * buffer.row_bytes}, {buffer.kept}, {name});")
    return [*lines, f"{name}_fresh = {name}{f' + {buffer.kept}' if buffer.kept else ''};"]
