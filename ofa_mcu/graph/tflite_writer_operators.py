"""An operator in the terms of the .tflite format: code, version, options table, and the constants that steer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_options import (
    ACTIVATION_CODES,
    VERSIONS,
    BinarySlot,
    BuiltinOperator,
    BuiltinOptions,
    ConcatenationSlot,
    ConvSlot,
    DepthwiseSlot,
    FullyConnectedSlot,
    PaddingCode,
    PoolSlot,
    ReducerSlot,
    ResizeSlot,
    SliceSlot,
    SoftmaxSlot,
    SqueezeSlot,
)
from ofa_mcu.space.shapes import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    Mean,
    Mul,
    Operator,
    Pad,
    Padding,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
    same_padding,
    window_extent,
)

__all__ = ["OperatorForm", "operator_form"]

_Scalars = Sequence[tuple[int, str, float, float]]
_Lists = Sequence[tuple[str, tuple[int, ...], Sequence[int]]]


@dataclass(frozen=True)
class OperatorForm:
    """`scalars` are (slot, type, value, default) of the options table, `vectors` its int32 lists by slot.

    `lists` are the int32 constants that follow the operands: what for, shape, values. A `value` is the int8 constant
    with the output's quantization that follows them.
    """

    code: BuiltinOperator
    version: int
    kind: BuiltinOptions = BuiltinOptions.NONE
    scalars: _Scalars = ()
    vectors: Sequence[tuple[int, Sequence[int]]] = ()
    lists: _Lists = ()
    value: int | None = None


def _form(
    code: BuiltinOperator, kind: BuiltinOptions = BuiltinOptions.NONE, scalars: _Scalars = (), version: int = 0
) -> OperatorForm:
    return OperatorForm(code, version or VERSIONS.get(code, 2), kind, scalars)


def _list(code: BuiltinOperator, kind: BuiltinOptions, what: str, values: Sequence[int]) -> OperatorForm:
    return OperatorForm(code, VERSIONS.get(code, 2), kind, lists=[(what, (len(values),), values)])


def operator_form(graph: Int8Graph, operator: Operator) -> OperatorForm:
    """The operator's form; OfaMcuError where the format cannot express it."""
    codes, kinds = BuiltinOperator, BuiltinOptions
    match operator:
        case Conv2D():
            scalars = _window(graph, operator, ConvSlot)
            scalars += _dilation(operator, ConvSlot)
            return _form(codes.CONV_2D, kinds.CONV_2D, scalars)
        case DepthwiseConv2D():
            scalars = [(int(DepthwiseSlot.DEPTH_MULTIPLIER), "i", operator.depth_multiplier, 0)]
            scalars += _window(graph, operator, DepthwiseSlot)
            scalars += _dilation(operator, DepthwiseSlot)
            return _form(codes.DEPTHWISE_CONV_2D, kinds.DEPTHWISE_CONV_2D, scalars)
        case Pool2D():
            code = codes.AVERAGE_POOL_2D if isinstance(operator, AveragePool2D) else codes.MAX_POOL_2D
            scalars = _window(graph, operator, PoolSlot)
            scalars += [
                (PoolSlot.KERNEL_W, "i", operator.kernel[1], 0),
                (PoolSlot.KERNEL_H, "i", operator.kernel[0], 0),
            ]
            return _form(code, kinds.POOL_2D, scalars)
        case FullyConnected():
            scalars = [
                (FullyConnectedSlot.ACTIVATION, "b", ACTIVATION_CODES[operator.activation], 0),
                (FullyConnectedSlot.KEEP_NUM_DIMS, "?", operator.keep_num_dims, 0),
            ]
            per_channel = graph.parameters[operator.name].weight_scales.size > 1
            return _form(codes.FULLY_CONNECTED, kinds.FULLY_CONNECTED, scalars, 12 if per_channel else 0)
        case Add() | Sub() | Mul():
            code, kind = {
                Add: (codes.ADD, kinds.ADD),
                Sub: (codes.SUB, kinds.SUB),
                Mul: (codes.MUL, kinds.MUL),
            }[type(operator)]
            return _form(code, kind, [(BinarySlot.ACTIVATION, "b", ACTIVATION_CODES[operator.activation], 0)])
        case Mean():
            form = _list(codes.MEAN, kinds.REDUCER, "axes", operator.axes)
            return OperatorForm(
                form.code,
                form.version,
                form.kind,
                [(ReducerSlot.KEEP_DIMS, "?", operator.keep_dims, 0)],
                (),
                form.lists,
            )
        case Pad():
            code, kind = (codes.PAD, kinds.PAD) if operator.value is None else (codes.PADV2, kinds.PADV2)
            flat = [size for pair in operator.padding for size in pair]
            lists: _Lists = [("padding", (len(operator.padding), 2), flat)]
            return OperatorForm(code, 2, kind, lists=lists, value=operator.value)
        case Softmax():
            return _form(codes.SOFTMAX, kinds.SOFTMAX, [(SoftmaxSlot.BETA, "f", operator.beta, 0.0)])
        case Concatenation():
            return _form(codes.CONCATENATION, kinds.CONCATENATION, [(ConcatenationSlot.AXIS, "i", operator.axis, 0)])
        case StridedSlice():
            return _slice(operator)
        case Transpose():
            return _list(codes.TRANSPOSE, kinds.TRANSPOSE, "permutation", operator.permutation)
        case ResizeNearestNeighbor():
            scalars = [
                (ResizeSlot.ALIGN_CORNERS, "?", operator.align_corners, 0),
                (ResizeSlot.HALF_PIXEL_CENTERS, "?", operator.half_pixel_centers, 0),
            ]
            lists = [("size", (2,), graph.structure.shapes[operator.output][1:3])]
            version = 3 if operator.half_pixel_centers else 2
            return OperatorForm(
                codes.RESIZE_NEAREST_NEIGHBOR, version, kinds.RESIZE_NEAREST_NEIGHBOR, scalars, (), lists
            )
        case Reshape():
            return _list(codes.RESHAPE, kinds.NONE, "shape", graph.structure.shapes[operator.output])
        case Squeeze():
            return OperatorForm(codes.SQUEEZE, 1, kinds.SQUEEZE, vectors=[(SqueezeSlot.AXES, operator.axes)])
        case Quantize():
            real = operator.inputs[0] in graph.structure.floats
            return _form(codes.QUANTIZE, kinds.QUANTIZE, version=1 if real else 2)
        case Dequantize():
            return _form(codes.DEQUANTIZE, kinds.DEQUANTIZE)
        case HardSwish():
            return _form(codes.HARD_SWISH, kinds.HARD_SWISH)
        case Logistic():
            return _form(codes.LOGISTIC)
        case Relu():
            return _form(codes.RELU)
        case Relu6():
            return _form(codes.RELU6)
    raise OfaMcuError(
        f"layer '{operator.name}' of type {type(operator).__name__} has no form in a .tflite file: "
        "use only operators the int8 graph knows"
    )


def _window(
    graph: Int8Graph, operator: Conv2D | DepthwiseConv2D | Pool2D, slots: type[ConvSlot | DepthwiseSlot | PoolSlot]
) -> list[tuple[int, str, float, float]]:
    return [
        (int(slots.PADDING), "b", _padding_code(graph, operator), 0),
        (int(slots.STRIDE_W), "i", operator.stride[1], 0),
        (int(slots.STRIDE_H), "i", operator.stride[0], 0),
        (int(slots.ACTIVATION), "b", ACTIVATION_CODES[operator.activation], 0),
    ]


def _dilation(
    operator: Conv2D | DepthwiseConv2D, slots: type[ConvSlot | DepthwiseSlot]
) -> list[tuple[int, str, float, float]]:
    return [
        (int(slots.DILATION_W), "i", operator.dilation[1], 1),
        (int(slots.DILATION_H), "i", operator.dilation[0], 1),
    ]


def _padding_code(graph: Int8Graph, operator: Conv2D | DepthwiseConv2D | Pool2D) -> PaddingCode:
    _, height, width, _ = graph.structure.shapes[operator.inputs[0]]
    dilation = (1, 1) if isinstance(operator, Pool2D) else operator.dilation
    rows, columns = (window_extent(operator.kernel[axis], dilation[axis]) for axis in (0, 1))
    vertical = same_padding(height, rows, operator.stride[0])
    horizontal = same_padding(width, columns, operator.stride[1])
    if operator.padding == Padding(*vertical, *horizontal):
        return PaddingCode.SAME
    if operator.padding == Padding():
        return PaddingCode.VALID
    pad = operator.padding
    raise OfaMcuError(
        f"layer '{operator.name}' of graph '{graph.structure.name}' pads {pad.top}, {pad.bottom}, {pad.left}, "
        f"{pad.right} (top, bottom, left, right), which TensorFlow Lite cannot express: use SAME padding, here "
        f"{', '.join(map(str, (*vertical, *horizontal)))}, or none"
    )


def _slice(operator: StridedSlice) -> OperatorForm:
    """Ends one past the last element; where that is before the first of all, the mask that means the very end."""
    ends, mask, dropped = [], 0, 0
    for axis, (begin, count, stride) in enumerate(zip(operator.begin, operator.counts, operator.strides, strict=True)):
        last = begin + (count - 1) * stride
        end = last + (1 if stride > 0 else -1)
        if end < 0:
            mask |= 1 << axis
        ends.append(max(end, 0))
        dropped |= (axis in operator.dropped) << axis
    rank = (len(ends),)
    return OperatorForm(
        BuiltinOperator.STRIDED_SLICE,
        2,
        BuiltinOptions.STRIDED_SLICE,
        [(SliceSlot.END_MASK, "i", mask, 0), (SliceSlot.SHRINK_AXIS_MASK, "i", dropped, 0)],
        lists=[("begin", rank, operator.begin), ("end", rank, ends), ("strides", rank, operator.strides)],
    )
