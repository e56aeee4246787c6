"""From a subnet to the shape graph of the network that will run: same operators, same order, no weights."""

from __future__ import annotations

from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    Shape,
    ShapeGraph,
    same_padding,
)
from ofa_mcu.space.space import BlockKind, SearchSpace, scaled_channels
from ofa_mcu.space.subnet import Subnet

__all__ = ["GraphBuilder", "block_prefix", "shape_graph"]

Pair = tuple[int, int]


def block_prefix(stage: int, block: int) -> str:
    """Name prefix of a block's operators, shared by shape graph, supernet and extracted network."""
    return f"s{stage}b{block}"


class GraphBuilder:
    """Appends operators one after another, keeping track of the shapes they produce.

    Every method names an operator and what it reads, pads as SAME, and gives back the name of the tensor it writes.
    """

    def __init__(self, input_shape: Shape) -> None:
        """Begin with the tensor `input` (1, H, W, C)."""
        self.shapes: dict[str, Shape] = {"input": input_shape}
        self.operators: list[Operator] = []

    def conv(self, name: str, source: str, channels: int, kernel: Pair, stride: Pair, activation: Activation) -> str:
        """A convolution with batch norm."""
        padding = self._windows(name, source, channels, kernel, stride)
        self.operators.append(
            Conv2D(
                name=name,
                inputs=(source,),
                output=name,
                kernel=kernel,
                stride=stride,
                padding=padding,
                activation=activation,
            )
        )
        return name

    def pointwise(self, name: str, source: str, channels: int, activation: Activation) -> str:
        """A convolution of 1x1."""
        return self.conv(name, source, channels, (1, 1), (1, 1), activation)

    def depthwise(self, name: str, source: str, kernel: Pair, stride: Pair) -> str:
        """A depthwise convolution with batch norm and ReLU6.

        Along a side of one row or column its kernel has just that one: more would meet nothing but padding.
        """
        _, height, width, _ = self.shapes[source]
        kernel = (1 if height == 1 else kernel[0], 1 if width == 1 else kernel[1])
        padding = self._windows(name, source, self.shapes[source][-1], kernel, stride)
        self.operators.append(
            DepthwiseConv2D(
                name=name,
                inputs=(source,),
                output=name,
                kernel=kernel,
                stride=stride,
                padding=padding,
                activation=Activation.RELU6,
            )
        )
        return name

    def _windows(self, name: str, source: str, channels: int, kernel: Pair, stride: Pair) -> Padding:
        """Records the shape of what windows over `source` give; their SAME padding."""
        _, height, width, _ = self.shapes[source]
        self.shapes[name] = (1, -(-height // stride[0]), -(-width // stride[1]), channels)
        return Padding(*same_padding(height, kernel[0], stride[0]), *same_padding(width, kernel[1], stride[1]))

    def add(self, name: str, first: str, second: str, activation: Activation = Activation.NONE) -> str:
        """A sum of two tensors of one shape."""
        self.shapes[name] = self.shapes[first]
        self.operators.append(Add(name=name, inputs=(first, second), output=name, activation=activation))
        return name

    def mean(self, name: str, source: str) -> str:
        """The mean over height and width."""
        self.shapes[name] = (1, self.shapes[source][-1])
        self.operators.append(Mean(name=name, inputs=(source,), output=name))
        return name

    def dense(self, name: str, source: str, features: int) -> str:
        """A fully connected layer."""
        self.shapes[name] = (1, features)
        self.operators.append(FullyConnected(name=name, inputs=(source,), output=name))
        return name

    def graph(self, name: str, output: str) -> ShapeGraph:
        """The network that ends with the tensor `output`."""
        return ShapeGraph(name, self.shapes, tuple(self.operators), ("input",), (output,))


def shape_graph(space: SearchSpace, subnet: Subnet) -> ShapeGraph:
    """The network of `subnet`: input (1, H, W, C), output `logits` (1, classes).

    Raises:
        UsageError: the subnet is not in the space.
    """
    space.validate(subnet)
    net = GraphBuilder((1, *space.input_size(subnet.resolution), space.input_channels))
    channels = scaled_channels(space.stem_channels, subnet.width)
    kernel, stride = space.window(space.stem_kernel), space.window(space.stem_stride)
    x = net.conv("stem", "input", channels, kernel, stride, Activation.RELU6)
    for s, (stage, blocks) in enumerate(zip(space.stages, subnet.stages, strict=True)):
        channels = scaled_channels(stage.channels, subnet.width)
        build = _separable if stage.kind is BlockKind.SEPARABLE else _inverted
        for b, choice in enumerate(blocks):
            stride = space.window(stage.stride if b == 0 else 1)
            x = build(net, block_prefix(s, b), x, channels, space.window(choice.kernel), stride, choice.expand)
    if space.head_channels:
        x = net.pointwise("head", x, scaled_channels(space.head_channels, subnet.width), Activation.RELU6)
    x = net.mean("pool", x)
    return net.graph(str(subnet), net.dense("logits", x, space.classes))


def _inverted(net: GraphBuilder, prefix: str, x: str, channels: int, kernel: Pair, stride: Pair, expand: int) -> str:
    """An inverted residual; its sum where input and output have one shape."""
    y = net.pointwise(f"{prefix}.expand", x, net.shapes[x][-1] * expand, Activation.RELU6)
    y = net.depthwise(f"{prefix}.depthwise", y, kernel, stride)
    y = net.pointwise(f"{prefix}.project", y, channels, Activation.NONE)
    same = stride == (1, 1) and net.shapes[x][-1] == channels
    return net.add(f"{prefix}.add", x, y) if same else y


def _separable(net: GraphBuilder, prefix: str, x: str, channels: int, kernel: Pair, stride: Pair, expand: int) -> str:
    """A depthwise-separable block, both layers with ReLU6."""
    y = net.depthwise(f"{prefix}.depthwise", x, kernel, stride)
    return net.pointwise(f"{prefix}.pointwise", y, channels, Activation.RELU6)
