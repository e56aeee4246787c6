"""Networks to calibrate a board with: small ones of few layers for the fit, subnets of our spaces to hold it against.

Shapes are drawn from the range that the spaces and their like use; weights are random. Each network is compiled as any
model is, so that what is measured is what the planner speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ofa_mcu.graph.random_weights import quantized
from ofa_mcu.planning.compile import Compiled, compile_graph
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.lowering import GraphBuilder, shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.space.shapes import Activation, ShapeGraph

__all__ = ["HELD_OUT_EACH", "ROUNDS_OF_KINDS", "Room", "held_out", "pack", "probes", "room_of"]

ROUNDS_OF_KINDS = 4
"""Probes of every kind."""
HELD_OUT_EACH = 3
"""Subnets of every space."""

_SHARE = 0.6
"""Of the board's memories, that networks may take: firmware, stack and a framework need some, too."""
_MOST_FLASH = 512 * 1024
"""Bytes of networks of an image; more take long to upload."""
_LEAST, _MOST = 10_000, 4_000_000
"""Instructions of a probe: enough for any counter, and not long."""
_TRIES = 60
_SEED = 20_011

Draw = Callable[[np.random.Generator], tuple[GraphBuilder, str]]


@dataclass(frozen=True)
class Room:
    """Bytes that the networks of one image may take: their arena, and their code and constants together."""

    arena: int
    flash: int


def room_of(profile: BoardProfile) -> Room:
    """What the board's memories leave."""
    return Room(int(_SHARE * profile.ram_bytes), min(int(_SHARE * profile.flash_bytes), _MOST_FLASH))


def flash_of(one: Compiled) -> int:
    """Bytes of code and constants of a network; what it shares with others is counted for each."""
    return one.cost.flash_code_bytes + one.cost.flash_weight_bytes


def probes(profile: BoardProfile, rounds: int = ROUNDS_OF_KINDS) -> Iterator[Compiled]:
    """`rounds` networks of every kind, each small enough for a third of an image; equal core and room, equal probes."""
    room = room_of(profile)
    for number in range(rounds):
        for index, draw in enumerate(_KINDS):
            rng = np.random.default_rng((_SEED, index, number))
            for _ in range(_TRIES):
                build, output = draw(rng)
                graph = build.graph(f"{draw.__name__.strip('_')} {number}", output)
                # the planner of shapes is quick: what is much too large is not drawn weights for
                if graph.macs > _MOST or graph.parameters > room.flash // 3:
                    continue
                found = _compiled(graph, profile, rng)
                fits = found.cost.arena_bytes <= room.arena and flash_of(found) <= room.flash // 3
                if fits and _LEAST <= found.cost.instructions <= _MOST:
                    yield found
                    break


def held_out(profile: BoardProfile, each: int = HELD_OUT_EACH) -> Iterator[Compiled]:
    """Up to `each` subnets of every space that comes with the tool, of those that fit into an image of their own."""
    room = room_of(profile)
    for space in SPACES.values():
        rng = np.random.default_rng((_SEED, space.size % 2**32))
        drawn = [*space.sample_balanced(rng, 4 * each), space.smallest]
        kept = 0
        for subnet in dict.fromkeys(drawn):
            graph = shape_graph(space, subnet)
            if kept == each or graph.parameters > room.flash:
                continue
            found = _compiled(replace(graph, name=f"{space.name} {subnet}"), profile, rng)
            if found.cost.arena_bytes <= room.arena and flash_of(found) <= room.flash:
                kept += 1
                yield found


def pack(networks: Sequence[Compiled], room: Room, most: int) -> list[list[int]]:
    """Numbers of the networks by image, at most `most` in each: the largest first, each into the first image that has
    room for it."""
    images: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(networks)), key=lambda n: (-flash_of(networks[n]), n)):
        need = flash_of(networks[number])
        where = next(
            (image for image, rest in enumerate(left) if need <= rest and len(images[image]) < most), len(images)
        )
        if where == len(images):
            images.append([])
            left.append(room.flash)
        images[where].append(number)
        left[where] -= need
    return [sorted(image) for image in images]


def _compiled(graph: ShapeGraph, profile: BoardProfile, rng: np.random.Generator) -> Compiled:
    return compile_graph(quantized(graph, rng), profile)


def _channels(rng: np.random.Generator, least: int = 8, most: int = 192) -> int:
    """Evenly on a logarithmic scale; multiples of 4, most of them of 8, as in the spaces."""
    step = 8 if rng.random() < 0.7 else 4
    return max(step, int(np.exp(rng.uniform(np.log(least), np.log(most)))) // step * step)


def _size(rng: np.random.Generator, least: int = 3, most: int = 24) -> int:
    return int(np.exp(rng.uniform(np.log(least), np.log(most + 1))))


def _map(rng: np.random.Generator, channels: int) -> GraphBuilder:
    size = _size(rng)
    return GraphBuilder((1, size, size if rng.random() < 0.8 else _size(rng), channels))


def _sequence(rng: np.random.Generator, channels: int) -> GraphBuilder:
    return GraphBuilder((1, _size(rng, 8, 96), 1, channels))


def _pointwise(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = _map(rng, _channels(rng))
    return net, net.pointwise("a", "input", _channels(rng), Activation.RELU6)


def _wide_in_time(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    """Wide blocks in time one after another: where a second tensor costs too much, other kernels take over."""
    channels = 144  # of the widest subnets for keywords
    net = GraphBuilder((1, _size(rng, 16, 32), 1, channels))
    x = net.depthwise("a", "input", (5, 1), (1, 1))
    x = net.pointwise("b", x, channels, Activation.RELU6)
    x = net.depthwise("c", x, (5, 1), (1, 1))
    return net, net.pointwise("d", x, channels, Activation.RELU6)


def _expand_project(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    channels = _channels(rng, 8, 96)
    net = _map(rng, channels)
    wide = net.pointwise("a", "input", channels * int(rng.integers(2, 5)), Activation.RELU6)
    return net, net.pointwise("b", wide, _channels(rng, 8, 96), Activation.NONE)


def _depthwise(kernel: int, stride: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
        net = _map(rng, _channels(rng, 16, 256))
        return net, net.depthwise("a", "input", (kernel, kernel), (stride, stride))

    draw.__name__ = f"depthwise {kernel}x{kernel} stride {stride}"
    return draw


def _first(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    depth, size = int(rng.choice([1, 3])), _size(rng, 12, 49)
    kernel, stride = (((3, 3), (2, 2)), ((3, 3), (1, 1)), ((10, 4), (2, 2)), ((5, 5), (2, 2)))[int(rng.integers(4))]
    net = GraphBuilder((1, size, size if kernel != (10, 4) else 10, depth))
    return net, net.conv("a", "input", _channels(rng, 8, 64), kernel, stride, Activation.RELU6)


def _inverted(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    channels = _channels(rng, 8, 96)
    net = _map(rng, channels)
    wide = net.pointwise("a", "input", channels * int(rng.integers(2, 5)), Activation.RELU6)
    kernel = int(rng.choice([3, 3, 5]))
    deep = net.depthwise("b", wide, (kernel, kernel), (1, 1))
    return net, net.add("d", "input", net.pointwise("c", deep, channels, Activation.NONE))


def _separable(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = _map(rng, _channels(rng, 16, 96))
    kernel, stride = int(rng.choice([3, 5])), int(rng.choice([1, 2]))
    deep = net.depthwise("a", "input", (kernel, kernel), (stride, stride))
    return net, net.pointwise("b", deep, _channels(rng, 16, 128), Activation.RELU6)


def _end(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = _map(rng, _channels(rng, 16, 96))
    head = net.pointwise("a", "input", _channels(rng, 64, 256), Activation.RELU6)
    return net, net.dense("c", net.mean("b", head), int(rng.integers(4, 101)))


def _dense(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = GraphBuilder((1, _channels(rng, 64, 1024)))
    return net, net.dense("a", "input", int(rng.integers(10, 201)))


def _mean(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = _map(rng, _channels(rng, 32, 512))
    return net, net.mean("a", "input")


def _add(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    """Sums alone: behind another layer they would be too small a part to be told from it."""
    net = _map(rng, _channels(rng, 16, 192))
    once = net.add("a", "input", "input")
    return net, net.add("c", net.add("b", once, "input"), once)


def _sequence_first(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    net = GraphBuilder((1, _size(rng, 48, 192), 1, int(rng.choice([1, 3, 6]))))
    return net, net.conv("a", "input", _channels(rng, 8, 48), (5, 1), (2, 1), Activation.RELU6)


def _sequence_block(rng: np.random.Generator) -> tuple[GraphBuilder, str]:
    channels = _channels(rng, 8, 64)
    net = _sequence(rng, channels)
    wide = net.pointwise("a", "input", channels * int(rng.integers(2, 4)), Activation.RELU6)
    stride = int(rng.choice([1, 2]))
    deep = net.depthwise("b", wide, (int(rng.choice([3, 5])), 1), (stride, 1))
    return net, net.pointwise("c", deep, channels, Activation.NONE)


_KINDS: tuple[Draw, ...] = (
    *(_pointwise, _expand_project),
    *(_depthwise(3, 1), _depthwise(3, 2), _depthwise(5, 1), _depthwise(5, 2), _depthwise(7, 1)),
    *(_first, _inverted, _separable, _end, _dense, _mean, _add, _sequence_first, _sequence_block),
    _wide_in_time,
)
