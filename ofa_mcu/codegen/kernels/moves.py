"""C of the operators that only move codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import Array, LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.elementwise import constant_arrays
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.reference_layout import nearest
from ofa_mcu.planning.kernels.moves import Move, layer_moves
from ofa_mcu.space.shapes import Pad, ResizeNearestNeighbor

__all__ = ["MOVE_WRITERS"]


def _layer_moves(layer: PlacedLayer) -> tuple[Move, ...]:
    shapes = layer.graph.structure.shapes
    sources = tuple(shapes[name] for name in layer.operator.inputs)
    moves = layer_moves(layer.operator, sources, shapes[layer.operator.output])
    if moves is None:
        raise OfaMcuError(f"layer '{layer.operator.name}' needs more loops than there are: plan it again")
    return moves


def _at(expression: str, offset: int) -> str:
    return f"{expression} + {offset}" if offset else expression


def _move(name: str, move: Move, source: str, target: str) -> tuple[str, ...]:
    def numbers(values: tuple[int, ...]) -> str:
        return f"{{{', '.join(map(str, values))}}}"

    fields: Fields = {
        "counts": numbers(move.counts),
        "from": numbers(move.from_steps),
        "to": numbers(move.to_steps),
        "run": move.run,
        "input_step": move.input_step,
        "words": int(move.aligned),
    }
    call = f"ofa_move(&{name}, {_at(source, move.source)}, {_at(target, move.start)});"
    return (*descriptor("ofa_move_layer", fields, name), call)


def _moves(layer: PlacedLayer) -> LayerCode:
    moves = _layer_moves(layer)
    lines: list[str] = []
    for position, (move, source) in enumerate(zip(moves, layer.inputs, strict=True)):
        name = "layer" if len(moves) == 1 else f"part{position}"
        lines += _move(name, move, source, layer.output)
    return LayerCode(constant_arrays(layer), tuple(lines), headers=("ofa_operators.h",))


def _pad(layer: PlacedLayer) -> LayerCode:
    operator = layer.operator
    assert isinstance(operator, Pad)
    value = operator.value
    if value is None:
        value = layer.graph.quantization[operator.output].zero_point
    count = layer.graph.structure.bytes_of(operator.output)
    body = (
        f"ofa_fill({value}, {count}, {layer.output});",
        *_move("layer", _layer_moves(layer)[0], layer.inputs[0], layer.output),
    )
    return LayerCode({}, body, headers=("ofa_operators.h",))


def _resize(layer: PlacedLayer) -> LayerCode:
    operator = layer.operator
    assert isinstance(operator, ResizeNearestNeighbor)
    source, target = layer.view.source, layer.view.target
    names = f"{layer.prefix}_rows", f"{layer.prefix}_columns"
    arrays: dict[str, Array] = {
        name: nearest(operator, source[axis], target[axis]).astype(np.int16)
        for name, axis in zip(names, (1, 2), strict=True)
    }
    fields: Fields = {
        "rows": names[0],
        "columns": names[1],
        "input_width": source[2],
        "output_height": target[1],
        "output_width": target[2],
        "channels": target[3],
    }
    body = (*descriptor("ofa_resize_layer", fields), f"ofa_resize(&layer, {layer.inputs[0]}, {layer.output});")
    return LayerCode(arrays, body, headers=("ofa_operators.h",))


MOVE_WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_move": _moves,
    "ofa_pad": _pad,
    "ofa_resize": _resize,
}
"""By the name of the kernel."""
