"""Inputs and outputs of a model in C: what the header says of each, and the functions that give their places.

A model of one input has `ofa_model_input()`, one of several only `ofa_model_input_at(index)`, which the first has, too;
outputs likewise. An output whose codes are constant lies in flash.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import comment
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Shape, ShapeGraph

__all__ = ["accessor", "check_ends", "constant_outputs", "end_functions", "end_prototypes", "end_sizes"]

_RULES = {
    "input": "int8 codes of inputs: round(value / scale) + zero point, clamped to -128..127",
    "output": "int8 codes of outputs: value = scale * (code - zero point)",
}


def accessor(structure: ShapeGraph, kind: str, index: int) -> str:
    """The C expression that gives the place of an end; `kind` is "input" or "output"."""
    return f"ofa_model_{kind}()" if len(_names(structure, kind)) == 1 else f"ofa_model_{kind}_at({index})"


def check_ends(structure: ShapeGraph) -> None:
    """Raise OfaMcuError unless every input is of batch 1."""
    for name in structure.inputs:
        shape = structure.shapes[name]
        if shape[:1] != (1,):
            raise OfaMcuError(
                f"input '{name}' of graph '{structure.name}' has shape {shape}: C is generated for batch 1, "
                "export the model with it"
            )


def constant_outputs(graph: Int8Graph) -> dict[str, NDArray[np.int8]]:
    """Name of the C array to the codes of each output that is a constant, once for every tensor."""
    names = {name: _array(graph.structure, name) for name in graph.structure.outputs if name in graph.constants}
    return {array: graph.constants[name] for name, array in names.items()}


def end_sizes(graph: Int8Graph, source: Int8Graph) -> list[str]:
    """Macros with count, bytes, scale and zero point of the ends, and what each of them is.

    `source` is the graph before the passes: with the names and shapes that the model's author knows.
    """
    lines: list[str] = []
    for kind in ("input", "output"):
        known = _names(source.structure, kind)
        lines.append(comment(f"{_RULES[kind]}; all {kind}s side by side have OFA_MODEL_{kind.upper()}_BYTES"))
        lines.append(f"#define OFA_MODEL_{kind.upper()}S {len(known)}")
        for index, (name, original) in enumerate(zip(_names(graph.structure, kind), known, strict=True)):
            prefix = f"OFA_MODEL_{kind.upper()}_{index}"
            shape = _extents(source.structure.shapes[original])
            what = f"{kind.capitalize()} {index}, '{original}': {shape}"
            size = f"#define {prefix}_BYTES {graph.structure.bytes_of(name)}"
            if name in graph.structure.floats:
                lines += [comment(f"{what} float32 values"), size]
                continue
            given = graph.quantization[name]
            was = ", float32 in the file" if original in source.structure.floats else ""
            lines += [
                comment(f"{what} int8 codes{was}"),
                size,
                f"#define {prefix}_SCALE {_float(given.scale)}",
                f"#define {prefix}_ZERO_POINT ({given.zero_point})",
            ]
        lines.append("")
    return lines


def end_prototypes(structure: ShapeGraph) -> list[str]:
    """The declarations; where there is one end, its index is of no consequence and costs nothing."""
    lines: list[str] = []
    shapes = structure.shapes
    for kind, constant in _KINDS.items():
        names, macro = _names(structure, kind), f"OFA_MODEL_{kind.upper()}"
        if len(names) == 1:
            axes = ", height x width x channels" if kind == "input" else ""
            lines += [
                comment(f"{kind.capitalize()} codes{axes}: {_extents(shapes[names[0]])}"),
                f"{constant}int8_t *ofa_model_{kind}(void);",
                f"static inline {constant}int8_t *ofa_model_{kind}_at(int index)",
                *("{", "    (void)index;", f"    return ofa_model_{kind}();", "}"),
                f"static inline int32_t ofa_model_{kind}_bytes_at(int index)",
                *("{", "    (void)index;", f"    return {macro}_BYTES;", "}", ""),
            ]
            continue
        lines += [
            comment(f"Place and bytes of {kind} `index`, 0 to {len(names) - 1}."),
            f"{constant}int8_t *ofa_model_{kind}_at(int index);",
            f"int32_t ofa_model_{kind}_bytes_at(int index);",
            "",
        ]
    return lines


def end_functions(structure: ShapeGraph, offsets: Mapping[str, int]) -> list[str]:
    """The definitions; `offsets` has the places in the arena."""
    lines: list[str] = []
    for kind, constant in _KINDS.items():
        names = _names(structure, kind)
        places = [
            _array(structure, name) if name in structure.constants else f"ofa_arena + {offsets[name]}" for name in names
        ]
        if len(names) == 1:
            lines += [f"{constant}int8_t *ofa_model_{kind}(void)", "{", f"    return {places[0]};", "}", ""]
            continue
        count = f"OFA_MODEL_{kind.upper()}S"
        sizes = [f"OFA_MODEL_{kind.upper()}_{index}_BYTES" for index in range(len(names))]
        lines += [
            f"static {constant}int8_t *const {kind}_places[{count}] = {{",
            *(f"    {place}," for place in places),
            "};",
            f"static const int32_t {kind}_sizes[{count}] = {{",
            *(f"    {size}," for size in sizes),
            "};",
            "",
            f"{constant}int8_t *ofa_model_{kind}_at(int index)",
            *("{", f"    return {kind}_places[index];", "}", ""),
            f"int32_t ofa_model_{kind}_bytes_at(int index)",
            *("{", f"    return {kind}_sizes[index];", "}", ""),
        ]
    return lines


_KINDS = {"input": "", "output": "const "}


def _names(structure: ShapeGraph, kind: str) -> tuple[str, ...]:
    return structure.inputs if kind == "input" else structure.outputs


def _array(structure: ShapeGraph, output: str) -> str:
    return f"ofa_output_{structure.outputs.index(output)}"


def _extents(shape: Shape) -> str:
    return " x ".join(str(extent) for extent in shape[1:]) if shape[:1] == (1,) else " x ".join(map(str, shape))


def _float(value: float) -> str:
    """A float32 number as a C literal that gives it back exactly."""
    return f"{float(f'{value:.9g}')!r}f"
