"""Reads one operator of a .tflite file: its inputs, its options in explicit form, its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.flatbuffer import FlatTable
from ofa_mcu.graph.tflite_options import (
    ACTIVATION_CODES,
    BinarySlot,
    BuiltinOperator,
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
from ofa_mcu.graph.tflite_schema import TensorType
from ofa_mcu.graph.tflite_slices import resolve_slice
from ofa_mcu.graph.tflite_tensors import TensorReader
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
    Binary,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    MaxPool2D,
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

__all__ = ["OperatorSite", "read_operator"]

_ACTIVATIONS = {code: activation for activation, code in ACTIVATION_CODES.items()}
_BINARIES: dict[BuiltinOperator, type[Binary]] = {
    BuiltinOperator.ADD: Add,
    BuiltinOperator.SUB: Sub,
    BuiltinOperator.MUL: Mul,
}
_POOLS: dict[BuiltinOperator, type[Pool2D]] = {
    BuiltinOperator.AVERAGE_POOL_2D: AveragePool2D,
    BuiltinOperator.MAX_POOL_2D: MaxPool2D,
}
_PLAIN: dict[BuiltinOperator, type[Operator]] = {
    BuiltinOperator.DEQUANTIZE: Dequantize,
    BuiltinOperator.HARD_SWISH: HardSwish,
    BuiltinOperator.LOGISTIC: Logistic,
    BuiltinOperator.QUANTIZE: Quantize,
    BuiltinOperator.RELU: Relu,
    BuiltinOperator.RELU6: Relu6,
    BuiltinOperator.RESHAPE: Reshape,
}


@dataclass(frozen=True)
class OperatorSite:
    """One operator in its file: tensor indices, options, and `where`, which names it in errors."""

    tensors: TensorReader
    name: str
    where: str
    sources: list[int]
    target: int
    options: FlatTable | None

    def number(self, slot: int, code: str = "i", default: int = 0) -> int:
        """A field of the options, its default where there are none."""
        return self.options.scalar(slot, code, default) if self.options else default

    def activation(self, slot: int) -> Activation:
        """The fused activation."""
        code = self.number(slot, "b")
        if code not in _ACTIVATIONS:
            raise OfaMcuError(
                f"{self.where} has fused activation {code}, which is not supported: "
                "export a model with none, RELU, RELU6 or RELU_N1_TO_1"
            )
        return _ACTIVATIONS[code]

    def integers(self, position: int) -> list[int]:
        """The constant list at a position among the inputs."""
        return self.tensors.integers(self.sources[position], self.where)

    def source_shape(self) -> tuple[int, ...]:
        """Shape of the first input."""
        return self.tensors.shapes[self.tensors.names[self.sources[0]]]

    def require_plain(self, slot: int, plain: int, what: str, code: str = "i") -> None:
        """Raises unless the option has its plain value."""
        if self.number(slot, code, plain) != plain:
            raise OfaMcuError(f"{self.where} uses {what}, which is not supported: export the model without it")


def read_operator(site: OperatorSite, kind: BuiltinOperator) -> Operator:
    """The operator; its parameters, constants and output are recorded with the tensors."""
    tensors = site.tensors
    inputs = len(site.sources) if kind is BuiltinOperator.CONCATENATION else 2 if kind in _BINARIES else 1
    names = tuple(
        tensors.operand(index, site.where, real=kind is BuiltinOperator.QUANTIZE) for index in site.sources[:inputs]
    )
    border = kind is BuiltinOperator.DEQUANTIZE
    output = tensors.activation(site.target, f"the output of {site.where}", border=border)
    common: dict[str, Any] = {"name": site.name, "inputs": names, "output": output}
    if kind in _BINARIES:
        return _BINARIES[kind](**common, activation=site.activation(BinarySlot.ACTIVATION))
    if kind in _POOLS:
        kernel = site.number(PoolSlot.KERNEL_H), site.number(PoolSlot.KERNEL_W)
        return _POOLS[kind](**common, **_window(site, PoolSlot, kernel))
    if kind in _PLAIN:
        return _PLAIN[kind](**common)
    match kind:
        case BuiltinOperator.CONV_2D:
            return _conv(site, common)
        case BuiltinOperator.DEPTHWISE_CONV_2D:
            return _depthwise(site, common)
        case BuiltinOperator.FULLY_CONNECTED:
            site.require_plain(FullyConnectedSlot.WEIGHTS_FORMAT, 0, "shuffled weights", "b")
            tensors.parameters[site.name] = tensors.read_parameters(site.sources, 0, site.where)
            keep = bool(site.number(FullyConnectedSlot.KEEP_NUM_DIMS, "?"))
            return FullyConnected(
                **common, activation=site.activation(FullyConnectedSlot.ACTIVATION), keep_num_dims=keep
            )
        case BuiltinOperator.MEAN:
            rank = len(site.source_shape())
            axes = tuple(sorted({_axis(site, axis, rank) for axis in site.integers(1)}))
            return Mean(**common, axes=axes, keep_dims=bool(site.number(ReducerSlot.KEEP_DIMS, "?")))
        case BuiltinOperator.PAD | BuiltinOperator.PADV2:
            return _pad(site, common, kind is BuiltinOperator.PADV2)
        case BuiltinOperator.SOFTMAX:
            return Softmax(**common, beta=site.options.real(SoftmaxSlot.BETA) if site.options else 1.0)
        case BuiltinOperator.CONCATENATION:
            site.require_plain(ConcatenationSlot.ACTIVATION, 0, "a fused activation", "b")
            return Concatenation(
                **common, axis=_axis(site, site.number(ConcatenationSlot.AXIS), len(site.source_shape()))
            )
        case BuiltinOperator.SQUEEZE:
            return _squeeze(site, common)
        case BuiltinOperator.STRIDED_SLICE:
            return _slice(site, common)
        case BuiltinOperator.TRANSPOSE:
            rank = len(site.source_shape())
            return Transpose(**common, permutation=tuple(_axis(site, axis, rank) for axis in site.integers(1)))
        case BuiltinOperator.RESIZE_NEAREST_NEIGHBOR:
            return ResizeNearestNeighbor(
                **common,
                align_corners=bool(site.number(ResizeSlot.ALIGN_CORNERS, "?")),
                half_pixel_centers=bool(site.number(ResizeSlot.HALF_PIXEL_CENTERS, "?")),
            )
    raise AssertionError(kind)


def _axis(site: OperatorSite, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise OfaMcuError(f"{site.where} names axis {axis} of {rank}: export the model again")
    return axis % rank


def _conv(site: OperatorSite, common: dict[str, Any]) -> Conv2D:
    parameters = site.tensors.read_parameters(site.sources, 0, site.where)
    site.tensors.parameters[site.name] = parameters
    source = site.source_shape()
    depth = parameters.weights.shape[3]
    if depth != source[-1] and source[-1] % max(depth, 1) == 0:
        raise OfaMcuError(
            f"{site.where} is a convolution in {source[-1] // max(depth, 1)} groups, which is not supported: "
            "export a model with depthwise or plain convolutions"
        )
    return Conv2D(**common, **_window(site, ConvSlot, parameters.weights.shape[1:3]))


def _depthwise(site: OperatorSite, common: dict[str, Any]) -> DepthwiseConv2D:
    parameters = site.tensors.read_parameters(site.sources, 3, site.where)
    site.tensors.parameters[site.name] = parameters
    multiplier, rest = divmod(len(parameters.bias), site.source_shape()[-1])
    if rest or multiplier != site.number(DepthwiseSlot.DEPTH_MULTIPLIER, default=0):
        raise OfaMcuError(
            f"{site.where} has depth multiplier {site.number(DepthwiseSlot.DEPTH_MULTIPLIER)} but "
            f"{len(parameters.bias)} output channels for {site.source_shape()[-1]}: export the model again"
        )
    return DepthwiseConv2D(
        **common, **_window(site, DepthwiseSlot, parameters.weights.shape[1:3]), depth_multiplier=multiplier
    )


def _window(
    site: OperatorSite, slots: type[ConvSlot | DepthwiseSlot | PoolSlot], kernel: tuple[int, ...]
) -> dict[str, Any]:
    """Kernel, stride, dilation, padding and activation of a window."""
    if site.options is None:
        raise OfaMcuError(f"{site.where} has no options: export the model again")
    stride = site.number(slots.STRIDE_H), site.number(slots.STRIDE_W)
    window: dict[str, Any] = {"kernel": kernel, "stride": stride, "activation": site.activation(slots.ACTIVATION)}
    dilation = (1, 1)
    if issubclass(slots, ConvSlot | DepthwiseSlot):
        dilation = site.number(slots.DILATION_H, default=1), site.number(slots.DILATION_W, default=1)
        window["dilation"] = dilation
    if min(*kernel, *stride, *dilation) < 1:
        raise OfaMcuError(
            f"{site.where} has kernel {tuple(kernel)}, stride {stride} and dilation {dilation}: "
            "export the model again with positive ones"
        )
    shape = site.source_shape()
    if len(shape) != 4:
        raise OfaMcuError(f"{site.where} reads a tensor of shape {shape}: export the model with images (1, H, W, C)")
    padding = Padding()
    if site.number(slots.PADDING, "b") == PaddingCode.SAME:
        extent = [window_extent(kernel[axis], dilation[axis]) for axis in (0, 1)]
        vertical = same_padding(shape[1], extent[0], stride[0])
        padding = Padding(*vertical, *same_padding(shape[2], extent[1], stride[1]))
    return {**window, "padding": padding}


def _pad(site: OperatorSite, common: dict[str, Any], has_value: bool) -> Pad:
    flat = site.integers(1)
    value = None
    if has_value:
        value = int(site.tensors.constant(site.sources[2], TensorType.INT8, site.where).reshape(-1)[0])
        given = site.tensors.tensor_quantization(site.sources[2], f"the padding value of {site.where}")
        if given != site.tensors.quantization[common["output"]]:
            raise OfaMcuError(
                f"{site.where} pads with a value of another quantization than its output: export the model again"
            )
    return Pad(**common, padding=tuple(zip(flat[::2], flat[1::2], strict=True)), value=value)


def _squeeze(site: OperatorSite, common: dict[str, Any]) -> Squeeze:
    shape = site.source_shape()
    given = site.options.numbers(SqueezeSlot.AXES, "i4").tolist() if site.options else []
    axes = {_axis(site, int(axis), len(shape)) for axis in given}
    return Squeeze(**common, axes=tuple(sorted(axes or {axis for axis, extent in enumerate(shape) if extent == 1})))


def _slice(site: OperatorSite, common: dict[str, Any]) -> StridedSlice:
    for slot, what in ((SliceSlot.ELLIPSIS_MASK, "an ellipsis"), (SliceSlot.NEW_AXIS_MASK, "new axes")):
        site.require_plain(slot, 0, what)
    begin, end, strides = (site.integers(position) for position in (1, 2, 3))
    shape = site.source_shape()
    if any(len(values) != len(shape) for values in (begin, end, strides)) or 0 in strides:
        raise OfaMcuError(
            f"{site.where} slices {begin} to {end} in steps of {strides} from a shape {shape}: "
            "export a model that gives every axis a range and a step"
        )
    if site.number(SliceSlot.OFFSET, "?"):
        end = [start + length for start, length in zip(begin, end, strict=True)]
    masks = (site.number(slot) for slot in (SliceSlot.BEGIN_MASK, SliceSlot.END_MASK, SliceSlot.SHRINK_AXIS_MASK))
    return StridedSlice(**common, **resolve_slice(shape, begin, end, strides, *masks))
