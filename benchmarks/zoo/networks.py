"""The networks of the zoo: kinds that people run on microcontrollers, each with random weights of a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from benchmarks.zoo.growing import Grower
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import (
    Activation,
    AveragePool2D,
    Concatenation,
    MaxPool2D,
    Pad,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Squeeze,
    StridedSlice,
    Transpose,
)

__all__ = ["NETWORKS"]

RELU, RELU6, LINEAR = Activation.RELU, Activation.RELU6, Activation.NONE


def resnet8() -> Int8Graph:
    """MLPerf Tiny's image classifier: 32 x 32 x 3, 3 x 3 convolutions, three residual sums, 12.5 M MACs."""
    net = Grower("resnet8", 1, (1, 32, 32, 3), images=8)
    current = net.conv("input", 16, 3, 1, RELU)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        branch = net.conv(net.conv(current, channels, 3, stride, RELU), channels, 3)
        shortcut = current if stride == 1 else net.conv(current, channels, 1, stride)
        current = net.add(shortcut, branch, RELU)
    pooled = net.moved(AveragePool2D, current, kernel=(8, 8), stride=(8, 8))
    flat = net.moved(Reshape, pooled, (1, 64))
    return net.graph(net.softmax(net.dense(flat, 10)))


def ad01() -> Int8Graph:
    """MLPerf Tiny's anomaly detector: an autoencoder of ten fully connected layers, 640 to 8 to 640."""
    net = Grower("ad01", 2, (1, 640), images=64)
    current = "input"
    for channels in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        current = net.dense(current, channels, RELU)
    return net.graph(net.dense(current, 640))


def person_detect() -> Int8Graph:
    """96 x 96 grey values; the first layer is depthwise with multiplier 8, then MobileNetV1 at a quarter's width."""
    net = Grower("person_detect", 3, (1, 96, 96, 1), images=4, spread=0.7)
    current = net.depthwise("input", 3, 2, RELU6, multiplier=8)
    blocks = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    for channels, stride in blocks:
        current = net.conv(net.depthwise(current, 3, stride, RELU6), channels, 1, 1, RELU6)
    pooled = net.moved(AveragePool2D, current, kernel=(3, 3), stride=(3, 3))
    logits = net.moved(Reshape, net.conv(pooled, 2), (1, 2))
    return net.graph(net.softmax(logits))


def _inverted(net: Grower, source: str, channels: int, expand: int, stride: int, kernel: int = 3) -> str:
    """An inverted residual block."""
    depth = net.shapes[source][3]
    hidden = source if expand == 1 else net.conv(source, depth * expand, 1, 1, RELU6)
    output = net.conv(net.depthwise(hidden, kernel, stride, RELU6), channels)
    return net.add(source, output) if stride == 1 and channels == depth else output


def detection() -> Int8Graph:
    """Boxes in 128 x 160 images at two resolutions: coarse features go up again and join the fine ones; 18 M MACs.

    The boxes of both come out as one list.
    """
    net = Grower("detection", 4, (1, 128, 160, 3), images=2)
    current = net.conv("input", 8, 3, 2, RELU6)
    levels: dict[int, str] = {}  # features by height
    for channels, expand, stride in (
        *((8, 1, 1), (16, 3, 2), (16, 3, 1), (24, 3, 2), (24, 4, 1)),
        *((40, 4, 2), (40, 4, 1), (96, 6, 2), (96, 4, 1), (96, 4, 1)),
    ):
        current = _inverted(net, current, channels, expand, stride)
        levels[net.shapes[current][1]] = current
    heads = []
    for height, channels in ((8, 40), (16, 24)):
        lateral = net.conv(levels[height], channels, 1, 1, RELU)
        raised = net.conv(current, channels, 1, 1, RELU6)
        raised = net.moved(ResizeNearestNeighbor, raised, (1, *net.shapes[lateral][1:3], 1))
        joined = net.moved(
            Concatenation, (raised, net.requantized(Quantize, lateral, net.quantization[raised])), axis=3
        )
        current = net.conv(net.depthwise(joined, 3, 1, RELU6), 2 * channels, 1, 1, RELU6)
        heads.append(net.logistic(net.conv(net.depthwise(current, 3, 1, RELU6), 18)))
    boxes = [net.moved(Reshape, head, (1, math.prod(net.shapes[head]) // 18, 18)) for head in heads]
    return net.graph(net.moved(Concatenation, tuple(boxes), axis=1))


def mobilenet_v2_224() -> Int8Graph:
    """MobileNetV2 at three quarters of its width on 224 x 224 images, 100 classes: 208 M MACs."""
    net = Grower("mobilenet_v2_224", 5, (1, 224, 224, 3), images=1)
    current = net.conv("input", 24, 3, 2, RELU6)
    current = _inverted(net, current, 16, 1, 1)
    for expand, channels, count, first in (
        (6, 24, 2, 2),
        (6, 24, 3, 2),
        (6, 48, 4, 2),
        (6, 72, 3, 1),
        (6, 120, 3, 2),
        (6, 240, 1, 1),
    ):
        for index in range(count):
            current = _inverted(net, current, channels, expand, first if index == 0 else 1)
    current = net.mean(net.conv(current, 1280, 1, 1, RELU6))
    return net.graph(net.softmax(net.dense(current, 100)))


def sensor() -> Int8Graph:
    """Six axes of a motion sensor, 128 samples: convolutions along time, a layer for every moment, six classes."""
    net = Grower("sensor", 6, (1, 128, 6), images=16, spread=0.8)
    current = net.moved(Reshape, "input", (1, 1, 128, 6))
    current = net.conv(current, 16, (1, 5), (1, 1), RELU)
    current = net.moved(MaxPool2D, current, kernel=(1, 2), stride=(1, 2))
    current = net.conv(current, 24, (1, 5), (1, 2), RELU, dilation=(1, 1))
    current = net.conv(current, 24, (1, 3), (1, 1), RELU, dilation=(1, 2))
    current = net.moved(Squeeze, current, axes=(1,))
    current = net.dense(current, 32, RELU, rows=True)
    current = net.mean(current, (1,))
    return net.graph(net.softmax(net.dense(net.dense(current, 20, RELU), 6)))


def _attention(net: Grower, source: str) -> str:
    """The tensor with every channel weighted by what a small network makes of all channels' means."""
    depth = net.shapes[source][3]
    means = net.mean(source, keep_dims=True)
    return net.mul(source, net.logistic(net.conv(net.conv(means, max(depth // 4, 4), 1, 1, RELU), depth)))


def mixed() -> Int8Graph:
    """Every other operator once or twice: hard swish, attention by logistic and product, halves, pools, paddings."""
    net = Grower("mixed", 7, (1, 49, 41, 3), images=4, spread=1.0)
    current = net.moved(Pad, "input", padding=((0, 0), (1, 1), (1, 1), (0, 0)))
    current = net.hard_swish(net.conv(current, 16, 3, 2, same=False))
    current = _attention(net, net.hard_swish(net.depthwise(current, (5, 3), 1)))
    current = net.requantized(Relu, net.conv(current, 20), net.quantization[current])
    _, height, width, _ = net.shapes[current]
    halves = [
        net.moved(StridedSlice, current, begin=(0, 0, 0, first), counts=(1, height, width, 10), strides=(1, 1, 1, 1))
        for first in (0, 10)
    ]
    difference = net.sub(net.conv(halves[0], 10, 3, 1), halves[1])
    current = net.moved(MaxPool2D, net.hard_swish(difference), kernel=(3, 3), stride=(2, 2))
    other = net.moved(AveragePool2D, net.conv(current, 12, 3, 1), kernel=(3, 2), stride=(1, 1))
    joined = net.moved(Concatenation, (other, net.moved(Relu6, other)), axis=3)
    joined = net.moved(Pad, joined, padding=((0, 0), (2, 0), (0, 1), (0, 0)), value=7)
    current = net.conv(joined, 13, 3, 2, RELU)
    current = net.moved(Transpose, net.depthwise(current, 3, 1, multiplier=2), permutation=(0, 3, 1, 2))
    current = net.mean(net.mean(current, (3,)), (2,))
    return net.graph(net.softmax(net.dense(current, 7)))


def two_cameras() -> Int8Graph:
    """Objects in a grey image of 64 x 80 and a heat map of 32 x 40: 16 x 20 scores and, half as fine, 8 x 10 boxes.

    What both see meets at 16 x 20; the scores are softmax over classes, the boxes go on from the layer below them.
    """
    net = Grower("two_cameras", 8, (1, 64, 80, 1), images=4)
    heat = net.input("heat", (1, 32, 40, 1), low=0.0)
    grey = net.conv("input", 8, 3, 2, RELU6)
    grey = _inverted(net, grey, 16, 3, 2)
    warm = net.conv(heat, 8, 3, 2, RELU6)
    warm = net.requantized(Quantize, net.conv(warm, 16), net.quantization[grey])
    both = net.moved(Concatenation, (grey, warm), axis=3)
    both = _inverted(net, _inverted(net, both, 24, 2, 1), 24, 2, 1)
    scores = net.softmax(net.conv(net.depthwise(both, 3, 1, RELU6), 4))
    coarse = _inverted(net, both, 32, 3, 2)
    boxes = net.conv(net.depthwise(coarse, 3, 1, RELU6), 12)
    return net.graph(net.moved(Reshape, boxes, (1, 80, 12)), net.moved(Reshape, scores, (1, 320, 4)))


NETWORKS: Mapping[str, Callable[[], Int8Graph]] = {
    build.__name__: build
    for build in (resnet8, ad01, person_detect, detection, mobilenet_v2_224, sensor, mixed, two_cameras)
}
"""By name; `build()` gives the same graph every time."""
