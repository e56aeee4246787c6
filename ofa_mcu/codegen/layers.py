"""One layer as C: its constants, its descriptor, and the words that describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, identifier
from ofa_mcu.codegen.packing import filter_matrix, fold_bias, pack_shift, pack_weights
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    Scaling,
    operator_constants,
)
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.layout import kernel_of, layer_kernel
from ofa_mcu.space.shapes import (
    Activation,
    Conv2D,
    DepthwiseConv2D,
    Operator,
    Shape,
    ShapeGraph,
)

__all__ = ["Layer", "make_layer"]


@dataclass(frozen=True, eq=False)
class Layer:
    """What the emitter writes for one operator.

    `arrays` maps the names of constant arrays to their packed values, `fields` are the members of the descriptor of
    type `<kernel>_layer`, `description` is one line for people.
    """

    index: int
    operator: Operator
    kernel: str
    symbol: str
    arrays: Mapping[str, NDArray[np.int8] | NDArray[np.int32]]
    fields: Fields
    description: str


def make_layer(graph: Int8Graph, index: int) -> Layer:
    """The layer of operator number `index`; OfaMcuError where a kernel could not run it exactly."""
    structure = graph.structure
    operator = structure.operators[index]
    kernel = layer_kernel(structure, operator)
    _check_extents(structure, operator)
    prefix = f"ofa_{index:02d}"
    constants = operator_constants(graph, operator)
    arrays: dict[str, NDArray[np.int8] | NDArray[np.int32]] = {}
    match constants:
        case ChannelRequantization():
            parameters = graph.parameters[operator.name]
            arrays = {
                f"{prefix}_weights": pack_weights(filter_matrix(operator, parameters.weights)),
                f"{prefix}_bias": fold_bias(operator, parameters, constants.input_zero_point),
                f"{prefix}_multiplier": constants.multiplier,
                f"{prefix}_shift": pack_shift(constants.shift),
            }
            fields: Fields = {
                "filter": _filter(prefix, constants),
                **_extents(structure, operator),
            }
        case AddConstants():
            fields = _add(structure.bytes_of(operator.output), constants)
        case MeanConstants():
            fields = _mean(structure.shapes[operator.output][-1], constants)
        case _:
            raise AssertionError(f"kernel {kernel} has constants of type {type(constants).__name__}")
    return Layer(
        index=index,
        operator=operator,
        kernel=kernel,
        symbol=f"layer_{index:02d}_{identifier(operator.name)}",
        arrays=arrays,
        fields=fields,
        description=_describe(structure, operator),
    )


def _filter(prefix: str, constants: ChannelRequantization) -> Fields:
    return {
        "weights": f"{prefix}_weights",
        "bias": f"{prefix}_bias",
        "multiplier": f"{prefix}_multiplier",
        "shift": f"{prefix}_shift",
        "input_zero_point": constants.input_zero_point,
        "output_zero_point": constants.output_zero_point,
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
    }


def _extents(structure: ShapeGraph, operator: Operator) -> Fields:
    source = structure.shapes[operator.inputs[0]]
    target = structure.shapes[operator.output]
    if kernel_of(operator) == "ofa_pointwise":
        return {"pixels": target[1] * target[2], "input_channels": source[3], "output_channels": target[3]}
    if not isinstance(operator, Conv2D | DepthwiseConv2D):
        return {"inputs": structure.bytes_of(operator.inputs[0]), "outputs": target[-1]}
    window = {
        "kernel_height": operator.kernel[0],
        "kernel_width": operator.kernel[1],
        "stride_height": operator.stride[0],
        "stride_width": operator.stride[1],
        "pad_top": operator.padding.top,
        "pad_left": operator.padding.left,
    }
    if isinstance(operator, DepthwiseConv2D):
        return {
            "input_height": source[1],
            "input_width": source[2],
            "output_height": target[1],
            "output_width": target[2],
            "channels": target[3],
            **window,
        }
    return {
        "input_height": source[1],
        "input_width": source[2],
        "input_channels": source[3],
        "output_height": target[1],
        "output_width": target[2],
        "output_channels": target[3],
        **window,
    }


def _add(count: int, constants: AddConstants) -> Fields:
    if constants.left_shift != 20:
        raise OfaMcuError(
            f"the add kernel has a left shift of 20, not {constants.left_shift}: update the kernel library"
        )
    return {
        "count": count,
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


def _mean(channels: int, constants: MeanConstants) -> Fields:
    scaling = constants.scaling or Scaling(0, 0)
    return {
        "pixels": constants.count,
        "multiplier": scaling.multiplier,
        "channels": channels,
        "shift": scaling.shift,
        "input_zero_point": constants.input_zero_point,
        "output_zero_point": constants.output_zero_point,
        "rescale": int(constants.scaling is not None),
    }


def _describe(structure: ShapeGraph, operator: Operator) -> str:
    parts = [type(operator).__name__]
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        parts.append(f"{operator.kernel[0]}x{operator.kernel[1]} stride {operator.stride[0]}x{operator.stride[1]}")
    activation = getattr(operator, "activation", Activation.NONE)
    if activation is not Activation.NONE:
        parts.append(str(activation.value))
    source = " + ".join(_shape(structure.shapes[name]) for name in operator.inputs)
    macs = structure.macs_of(operator)
    return (
        f"{operator.name}: {' '.join(parts)}, {source} -> {_shape(structure.shapes[operator.output])}, "
        f"{macs:,} MACs, {kernel_of(operator)}"
    )


def _shape(shape: Shape) -> str:
    return "x".join(str(extent) for extent in shape[1:])


def _check_extents(structure: ShapeGraph, operator: Operator) -> None:
    """What include/ofa_kernels.h demands of extents; OfaMcuError where a shape is outside."""
    problem = ""
    for name in (*operator.inputs, operator.output):
        shape = structure.shapes[name]
        if shape[0] != 1 or min(shape) < 1 or (len(shape) > 2 and max(shape) > 0xFFFF):
            problem = f"tensor '{name}' has the shape {shape} instead of batch 1 and extents 1 to 65535"
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        pad = operator.padding
        source, target = structure.shapes[operator.inputs[0]], structure.shapes[operator.output]
        for axis, around in enumerate(((pad.top, pad.bottom), (pad.left, pad.right))):
            extent, stride = operator.kernel[axis], operator.stride[axis]
            if not (1 <= extent <= 255 and 1 <= stride <= 255 and min(around) >= 0 and max(around) < extent):
                problem = f"kernel {operator.kernel}, stride {operator.stride}, padding {pad} are out of range"
            elif (source[axis + 1] + sum(around) - extent) // stride + 1 != target[axis + 1]:
                problem = f"its output {target} does not follow from its input {source}, kernel, stride and padding"
    if problem:
        raise OfaMcuError(
            f"layer '{operator.name}' cannot run in C: {problem}; kernels and strides of 1 to 255 with padding below "
            "the kernel's extent are supported"
        )
