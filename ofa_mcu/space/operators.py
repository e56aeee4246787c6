"""Operators of a network, without weights: what each reads and writes, and its options in explicit form.

Terms are TensorFlow Lite's. Options that the file format leaves implicit (SAME, negative axes, masks of a slice) are
resolved here into numbers, so that nobody behind has to know those rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Activation",
    "Add",
    "AveragePool2D",
    "Binary",
    "Cascade",
    "Concatenation",
    "Conv2D",
    "ConvAdd",
    "DepthwiseConv2D",
    "Dequantize",
    "FullyConnected",
    "HardSwish",
    "Logistic",
    "MaxPool2D",
    "Mean",
    "Mul",
    "Operator",
    "Pad",
    "Padding",
    "Pool2D",
    "Quantize",
    "Relu",
    "Relu6",
    "Reshape",
    "ResizeNearestNeighbor",
    "Softmax",
    "Squeeze",
    "StridedSlice",
    "Sub",
    "Transpose",
    "is_pointwise",
    "same_padding",
    "window_extent",
]


class Activation(Enum):
    """Fused activation of an operator."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    RELU_N1_TO_1 = "relu_n1_to_1"


@dataclass(frozen=True)
class Padding:
    """Rows and columns around the input of a window: zero points for a convolution, nothing at all for a pool."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) of TensorFlow's SAME padding along one axis; the odd element goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def window_extent(kernel: int, dilation: int) -> int:
    """Elements from the first to the last tap of a window along one axis, both included."""
    return (kernel - 1) * dilation + 1


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step of a network: reads the tensors named in `inputs`, writes the tensor named `output`."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class Conv2D(Operator):
    """2-D convolution; weights OHWI. `kernel`, `stride` and `dilation` are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Operator):
    """Depthwise convolution; weights 1HWO. Output channel o reads input channel o // depth_multiplier."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE
    dilation: tuple[int, int] = (1, 1)
    depth_multiplier: int = 1


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Operator):
    """Matrix product; weights OI. The input counts as rows of I elements, mostly one.

    The output is (rows, O), or with `keep_num_dims` the shape of the input with O for its last extent.
    """

    activation: Activation = Activation.NONE
    keep_num_dims: bool = False


@dataclass(frozen=True, kw_only=True)
class Binary(Operator):
    """Element-wise operator of two tensors whose shapes are equal or broadcast as numpy's do."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class Add(Binary):
    """Sum of two tensors."""


@dataclass(frozen=True, kw_only=True)
class Sub(Binary):
    """First tensor less the second."""


@dataclass(frozen=True, kw_only=True)
class Mul(Binary):
    """Product of two tensors."""


@dataclass(frozen=True, kw_only=True)
class ConvAdd(Operator):
    """Sum of what a Conv2D makes of the first input, and the second input, which has the shape of the output.

    `middle` names the tensor between the two, which has a quantization but is written by nobody. `activation` is the
    convolution's, `sum_activation` the sum's; weights belong to the name of the operator.
    """

    middle: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE
    dilation: tuple[int, int] = (1, 1)
    sum_activation: Activation = Activation.NONE

    @property
    def convolution(self) -> Conv2D:
        """The first half."""
        return Conv2D(
            name=self.name,
            inputs=self.inputs[:1],
            output=self.middle,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            activation=self.activation,
            dilation=self.dilation,
        )

    @property
    def addition(self) -> Add:
        """The second half."""
        return Add(
            name=self.name,
            inputs=(self.middle, *self.inputs[1:]),
            output=self.output,
            activation=self.sum_activation,
        )


@dataclass(frozen=True, kw_only=True)
class Pool2D(Operator):
    """One value per window and channel; elements outside the input do not take part.

    Codes pass unscaled: the quantizations of input and output do not enter but for the activation.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class AveragePool2D(Pool2D):
    """Average over each window, rounded half away from zero."""


@dataclass(frozen=True, kw_only=True)
class MaxPool2D(Pool2D):
    """Largest code of each window."""


@dataclass(frozen=True, kw_only=True)
class Mean(Operator):
    """Mean over `axes` (ascending, not negative), which are dropped or kept with extent 1."""

    axes: tuple[int, ...] = (1, 2)
    keep_dims: bool = False


@dataclass(frozen=True, kw_only=True)
class Pad(Operator):
    """`padding` holds (before, after) of every axis; `value` is the code written there, None the zero point."""

    padding: tuple[tuple[int, int], ...]
    value: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reshape(Operator):
    """The same codes under the shape of the output."""


@dataclass(frozen=True, kw_only=True)
class Squeeze(Operator):
    """The same codes without the `axes` (ascending, not negative), all of extent 1."""

    axes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Softmax(Operator):
    """Softmax over the last axis; the output's scale is 1/256, its zero point -128."""

    beta: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Logistic(Operator):
    """1 / (1 + exp(-x)); the output's scale is 1/256, its zero point -128."""


@dataclass(frozen=True, kw_only=True)
class HardSwish(Operator):
    """x * clamp(x + 3, 0, 6) / 6."""


@dataclass(frozen=True, kw_only=True)
class Relu(Operator):
    """max(x, 0), scaled from the input's quantization to the output's."""


@dataclass(frozen=True, kw_only=True)
class Relu6(Operator):
    """clamp(x, 0, 6) in the input's quantization; codes pass unscaled."""


@dataclass(frozen=True, kw_only=True)
class Quantize(Operator):
    """To the output's quantization, from another one or from float32."""


@dataclass(frozen=True, kw_only=True)
class Dequantize(Operator):
    """From codes to float32."""


@dataclass(frozen=True, kw_only=True)
class Concatenation(Operator):
    """Tensors put one after the other along `axis` (not negative); codes pass unscaled."""

    axis: int


@dataclass(frozen=True, kw_only=True)
class StridedSlice(Operator):
    """Along axis i the `counts[i]` elements begin[i], begin[i] + strides[i], ...; `dropped` axes have count 1."""

    begin: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Transpose(Operator):
    """Axis i of the output is axis permutation[i] of the input."""

    permutation: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ResizeNearestNeighbor(Operator):
    """Height and width of the output from the nearest element of the input, in TensorFlow's two variants."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True, kw_only=True)
class Cascade(Operator):
    """Layers, each reading what the one before wrote, that run together some rows at a time.

    What lies between two `steps` is nowhere whole in memory: the rows that the next layer's window still needs stay in
    a rolling buffer. The last step may add the cascade's own input. Planning makes cascades, a file has none.
    """

    steps: tuple[Operator, ...]


def is_pointwise(operator: Conv2D | ConvAdd) -> bool:
    """Whether every output pixel needs its own input pixel alone."""
    return operator.kernel == (1, 1) and operator.stride == (1, 1) and operator.padding == Padding()
