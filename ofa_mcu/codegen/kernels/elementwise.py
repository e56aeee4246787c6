"""C of sums, differences, products, functions of one code, softmax and float borders."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import Array, LayerCode, PlacedLayer
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN
from ofa_mcu.graph.constants import ADD_LEFT_SHIFT, AddConstants, MulConstants
from ofa_mcu.graph.tables import SoftmaxConstants, TableConstants
from ofa_mcu.planning.affine import AffineForm, affine_form
from ofa_mcu.planning.kernels.elementwise_loops import broadcast_loops
from ofa_mcu.planning.sum_tables import sum_tables
from ofa_mcu.space.shapes import Sub

__all__ = ["ELEMENTWISE_WRITERS", "constant_arrays", "table_order"]


def constant_arrays(layer: PlacedLayer) -> dict[str, Array]:
    """The layer's constant inputs under the names that `layer.inputs` gives them."""
    constants = layer.graph.constants
    return {
        expression: np.ascontiguousarray(constants[name])
        for name, expression in zip(layer.operator.inputs, layer.inputs, strict=True)
        if name in layer.graph.structure.constants
    }


def table_order(table: Array) -> Array:
    """A table over codes -128 .. 127, (256, ...), in the order of their bytes: 0 .. 127, then -128 .. -1."""
    return np.roll(table, len(table) // 2, axis=0)


def _size(layer: PlacedLayer, tensor: str) -> int:
    return int(np.prod(layer.graph.structure.shapes[tensor]))


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)});"


def _form(layer: PlacedLayer) -> AffineForm:
    assert isinstance(layer.constants, AddConstants)
    form = affine_form(layer.constants, subtract=isinstance(layer.operator, Sub))
    if form is None:
        raise OfaMcuError(f"layer '{layer.operator.name}' has no proved affine form: plan it again with its facts")
    return form


def _affine(layer: PlacedLayer) -> LayerCode:
    form = _form(layer)
    fields: Fields = {
        "count": _size(layer, layer.operator.output),
        "first": form.first,
        "second": form.second,
        "base": form.base,
        "offset": form.offset,
        "dead_zone": form.dead_zone,
        "clamp_min": form.clamp_min,
        "clamp_max": form.clamp_max,
    }
    clamped = (form.clamp_min, form.clamp_max) != (INT8_MIN, INT8_MAX)
    function = layer.way.kernel + "_signed" * bool(form.dead_zone) + "_clamped" * clamped
    body = (*descriptor("ofa_affine_layer", fields), _call(function, "&layer", *layer.inputs, layer.output))
    return LayerCode({}, body, headers=("ofa_affine.h",))


def _lookup(layer: PlacedLayer) -> LayerCode:
    assert isinstance(layer.constants, AddConstants)
    tables = sum_tables(layer.constants, subtract=isinstance(layer.operator, Sub))
    if tables is None:
        raise OfaMcuError(f"layer '{layer.operator.name}' has no proved tables: plan it again with its facts")
    names = [f"{layer.prefix}_{name}" for name in ("first", "second", "codes")]
    arrays: dict[str, Array] = {
        names[0]: table_order(tables.first.astype(np.int32)),
        names[1]: table_order(tables.second.astype(np.int32)),
        names[2]: tables.codes.astype(np.int8),
    }
    fields: Fields = {
        "count": _size(layer, layer.operator.output),
        "first": names[0],
        "second": names[1],
        "codes": names[2],
        "offset": tables.offset,
        "dead_zone": tables.dead_zone,
    }
    function = "ofa_add_lookup_signed" if tables.dead_zone else "ofa_add_lookup"
    body = (*descriptor("ofa_lookup_layer", fields), _call(function, "&layer", *layer.inputs, layer.output))
    return LayerCode(arrays, body, headers=("ofa_affine.h",))


def _add_fields(layer: PlacedLayer) -> Fields:
    constants = layer.constants
    assert isinstance(constants, AddConstants)
    if constants.left_shift != ADD_LEFT_SHIFT:
        raise OfaMcuError(
            f"layer '{layer.operator.name}' shifts codes by {constants.left_shift}, for which there is no kernel: "
            f"use a left shift of {ADD_LEFT_SHIFT}"
        )
    return {
        "count": _size(layer, layer.operator.output),
        "first_multiplier": constants.first.multiplier,
        "second_multiplier": constants.second.multiplier,
        "output_multiplier": constants.output.multiplier,
        "first_zero_point": constants.first_zero_point,
        "first_shift": constants.first.shift,
        "second_zero_point": constants.second_zero_point,
        "second_shift": constants.second.shift,
        "output_zero_point": constants.output_zero_point,
        "output_shift": constants.output.shift,
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
    }


def _add(layer: PlacedLayer) -> LayerCode:
    body = (
        *descriptor("ofa_add_layer", _add_fields(layer)),
        _call("ofa_add", "&layer", *layer.inputs, layer.output),
    )
    return LayerCode({}, body)


def _shape_fields(layer: PlacedLayer) -> Fields:
    shapes = layer.graph.structure.shapes
    first, second = (shapes[name] for name in layer.operator.inputs)
    loops = broadcast_loops(first, second, shapes[layer.operator.output])
    if loops is None:
        raise OfaMcuError(f"layer '{layer.operator.name}' needs more than four loops: plan it again")

    def numbers(values: tuple[int, ...]) -> str:
        return f"{{{', '.join(map(str, values))}}}"

    return {"counts": numbers(loops.counts), "first": numbers(loops.first), "second": numbers(loops.second)}


def _add_broadcasting(layer: PlacedLayer) -> LayerCode:
    fields: Fields = {
        "shape": _shape_fields(layer),
        "add": _add_fields(layer),
        "sign": -1 if isinstance(layer.operator, Sub) else 1,
    }
    body = (
        *descriptor("ofa_add_broadcast_layer", fields),
        _call("ofa_add_broadcasting", "&layer", *layer.inputs, layer.output),
    )
    return LayerCode(constant_arrays(layer), body, headers=("ofa_operators.h",))


def _mul(layer: PlacedLayer) -> LayerCode:
    constants = layer.constants
    assert isinstance(constants, MulConstants)
    fields: Fields = {
        "shape": _shape_fields(layer),
        "multiplier": constants.scaling.multiplier,
        "shift": constants.scaling.shift,
        "first_zero_point": constants.first_zero_point,
        "second_zero_point": constants.second_zero_point,
        "output_zero_point": constants.output_zero_point,
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
    }
    body = (*descriptor("ofa_mul_layer", fields), _call("ofa_mul", "&layer", *layer.inputs, layer.output))
    return LayerCode(constant_arrays(layer), body, headers=("ofa_operators.h",))


def _table(layer: PlacedLayer) -> LayerCode:
    assert isinstance(layer.constants, TableConstants)
    name = f"{layer.prefix}_table"
    count = str(_size(layer, layer.operator.output))
    body = (_call(layer.way.kernel, name, count, layer.inputs[0], layer.output),)
    return LayerCode({name: table_order(layer.constants.table)}, body, headers=("ofa_operators.h",))


def _softmax(layer: PlacedLayer) -> LayerCode:
    constants = layer.constants
    assert isinstance(constants, SoftmaxConstants)
    name = f"{layer.prefix}_exponentials"
    fields: Fields = {"exponentials": name, "rows": constants.rows, "depth": constants.depth}
    body = (
        *descriptor("ofa_softmax_layer", fields),
        _call("ofa_softmax", "&layer", layer.inputs[0], layer.output),
    )
    return LayerCode({name: constants.exponentials}, body, headers=("ofa_operators.h",))


def _float_literal(value: float) -> str:
    """A float32 number exactly."""
    return f"{float(np.float32(value)).hex()}f"


def _border(layer: PlacedLayer, function: str, tensor: str, source: str, target: str) -> LayerCode:
    given = layer.graph.quantization[tensor]
    count = str(_size(layer, layer.operator.output))
    body = (_call(function, _float_literal(given.scale), str(given.zero_point), count, source, target),)
    return LayerCode({}, body, headers=("ofa_operators.h",))


def _quantize(layer: PlacedLayer) -> LayerCode:
    source = f"(const float *)(const void *)({layer.inputs[0]})"
    return _border(layer, "ofa_quantize", layer.operator.output, source, layer.output)


def _dequantize(layer: PlacedLayer) -> LayerCode:
    target = f"(float *)(void *)({layer.output})"
    return _border(layer, "ofa_dequantize", layer.operator.inputs[0], layer.inputs[0], target)


ELEMENTWISE_WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_dsp_add": _affine,
    "ofa_add_affine": _affine,
    "ofa_add_lookup": _lookup,
    "ofa_add": _add,
    "ofa_add_broadcasting": _add_broadcasting,
    "ofa_mul": _mul,
    "ofa_table": _table,
    "ofa_softmax": _softmax,
    "ofa_quantize": _quantize,
    "ofa_dequantize": _dequantize,
}
"""By the name of the kernel."""
