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
from ofa_mcu.space.space import SearchSpace, scaled_channels
from ofa_mcu.space.subnet import Subnet

__all__ = ["block_prefix", "shape_graph"]


def block_prefix(stage: int, block: int) -> str:
    """Name prefix of a block's operators, shared by shape graph, supernet and extracted network."""
    return f"s{stage}b{block}"


class _Builder:
    """Appends operators one after another, keeping track of the shapes they produce."""

    def __init__(self, input_shape: Shape) -> None:
        self.shapes: dict[str, Shape] = {"input": input_shape}
        self.operators: list[Operator] = []

    def conv(self, name: str, source: str, channels: int, kernel: int, stride: int, activation: Activation) -> str:
        _, height, width, _ = self.shapes[source]
        padding = _square_padding(height, width, kernel, stride)
        self.shapes[name] = (1, -(-height // stride), -(-width // stride), channels)
        self.operators.append(
            Conv2D(
                name=name,
                inputs=(source,),
                output=name,
                kernel=(kernel, kernel),
                stride=(stride, stride),
                padding=padding,
                activation=activation,
            )
        )
        return name

    def depthwise(self, name: str, source: str, kernel: int, stride: int) -> str:
        _, height, width, channels = self.shapes[source]
        padding = _square_padding(height, width, kernel, stride)
        self.shapes[name] = (1, -(-height // stride), -(-width // stride), channels)
        self.operators.append(
            DepthwiseConv2D(
                name=name,
                inputs=(source,),
                output=name,
                kernel=(kernel, kernel),
                stride=(stride, stride),
                padding=padding,
                activation=Activation.RELU6,
            )
        )
        return name

    def add(self, name: str, first: str, second: str) -> str:
        self.shapes[name] = self.shapes[first]
        self.operators.append(Add(name=name, inputs=(first, second), output=name))
        return name

    def mean(self, name: str, source: str) -> str:
        self.shapes[name] = (1, self.shapes[source][-1])
        self.operators.append(Mean(name=name, inputs=(source,), output=name))
        return name

    def dense(self, name: str, source: str, features: int) -> str:
        self.shapes[name] = (1, features)
        self.operators.append(FullyConnected(name=name, inputs=(source,), output=name))
        return name


def _square_padding(height: int, width: int, kernel: int, stride: int) -> Padding:
    return Padding(*same_padding(height, kernel, stride), *same_padding(width, kernel, stride))


def shape_graph(space: SearchSpace, subnet: Subnet) -> ShapeGraph:
    """The network of `subnet`: input (1, r, r, C), output `logits` (1, classes).

    Raises:
        UsageError: the subnet is not in the space.
    """
    space.validate(subnet)
    net = _Builder((1, subnet.resolution, subnet.resolution, space.input_channels))
    channels = scaled_channels(space.stem_channels, subnet.width)
    x = net.conv("stem", "input", channels, space.stem_kernel, space.stem_stride, Activation.RELU6)
    for s, (stage, blocks) in enumerate(zip(space.stages, subnet.stages, strict=True)):
        out_channels = scaled_channels(stage.channels, subnet.width)
        for b, choice in enumerate(blocks):
            stride = stage.stride if b == 0 else 1
            prefix = block_prefix(s, b)
            y = net.conv(f"{prefix}.expand", x, channels * choice.expand, 1, 1, Activation.RELU6)
            y = net.depthwise(f"{prefix}.depthwise", y, choice.kernel, stride)
            y = net.conv(f"{prefix}.project", y, out_channels, 1, 1, Activation.NONE)
            if stride == 1 and channels == out_channels:
                y = net.add(f"{prefix}.add", x, y)
            x, channels = y, out_channels
    x = net.conv("head", x, scaled_channels(space.head_channels, subnet.width), 1, 1, Activation.RELU6)
    x = net.mean("pool", x)
    x = net.dense("logits", x, space.classes)
    return ShapeGraph(str(subnet), net.shapes, tuple(net.operators), ("input",), (x,))
