"""Random int8 graphs over every operator, with quantizations from one end to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.output_shapes import output_shape
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
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
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    ShapeGraph,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
    same_padding,
    window_extent,
)
from tests.graph.strategies import GraphBuilder

__all__ = ["KINDS", "WideBuilder", "many_ended", "quantization", "wide_graph", "wide_graphs"]

UNIT = Quantization(1.0 / 256.0, -128)


def quantization(scale: float, zero_point: int) -> Quantization:
    """With the scale as a float32 number."""
    return Quantization(float(np.float32(scale)), zero_point)


@dataclass
class WideBuilder(GraphBuilder):
    """Appends operators of every kind; `grow` picks random options for one that fits the source."""

    constants: dict[str, np.ndarray] = field(default_factory=dict)
    floats: set[str] = field(default_factory=set)
    inputs: list[str] = field(default_factory=lambda: ["input"])

    def constant(self, shape: Shape, given: Quantization | None = None) -> str:
        """A constant tensor of random codes."""
        name = f"const{len(self.constants)}"
        self.tensor(name, shape, given)
        self.constants[name] = self.rng.integers(-128, 128, shape, dtype=np.int8)
        return name

    def append(
        self,
        kind: type[Operator],
        sources: tuple[str, ...],
        target: Quantization | None,
        shape: Shape = (1,),
        **options: Any,
    ) -> str:
        """An operator; the shape it writes is inferred, `shape` says what cannot be."""
        name = f"{kind.__name__.lower()}{len(self.operators)}"
        operator = kind(name=name, inputs=sources, output=f"{name}/out", **options)
        self.tensor(operator.output, shape, target)
        self.shapes[operator.output] = output_shape(self.done("probe", ()), operator)
        self.operators.append(operator)
        return operator.output

    def done(self, name: str, outputs: tuple[str, ...], inputs: tuple[str, ...] = ()) -> Int8Graph:
        """The graph of everything appended so far."""
        structure = ShapeGraph(
            name,
            dict(self.shapes),
            tuple(self.operators),
            inputs or tuple(self.inputs),
            outputs,
            frozenset(self.floats),
            frozenset(self.constants),
        )
        return Int8Graph(structure, dict(self.quantization), dict(self.parameters), dict(self.constants))

    def any_activation(self) -> Activation:
        return list(Activation)[int(self.rng.integers(4))]

    def near(self, source: str, low: float = 0.3, high: float = 3.0) -> Quantization:
        """A quantization whose scale is about the source's."""
        return quantization(self.quantization[source].scale * self.rng.uniform(low, high), self._zero_point())

    def grow(self, kind: type[Operator], source: str) -> str:
        """One operator of the kind behind the source; whatever does not fit its shape gets a reshape first."""
        source = self._fitted(kind, source)
        rng, shape, here = self.rng, self.shapes[source], self.quantization[source]
        if kind in (Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D):
            return self._window(kind, source)
        if kind is FullyConnected:
            return self._rows(source)
        if kind in (Add, Sub, Mul):
            return self._binary(kind, source)
        if kind is Mean:
            axes = tuple(sorted(rng.choice(np.arange(1, len(shape)), int(rng.integers(1, len(shape))), replace=False)))
            if len(axes) == len(shape) - 1 and len(shape) == 2:
                axes = (1,)
            options: dict[str, Any] = {"axes": tuple(int(a) for a in axes), "keep_dims": bool(rng.random() < 0.5)}
            return self.append(kind, (source,), self.near(source) if rng.random() < 0.7 else here, **options)
        if kind is Pad:
            padding = ((0, 0), *((int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in shape[1:]))
            value = int(rng.integers(-128, 128)) if rng.random() < 0.5 else None
            return self.append(kind, (source,), here, padding=padding, value=value)
        if kind is Reshape:
            return self.append(kind, (source,), here, self._factored(prod(shape)))
        if kind is Squeeze:
            return self.append(kind, (source,), here, axes=tuple(i for i, n in enumerate(shape) if n == 1 and i))
        if (
            kind is Softmax and shape[-1] < 256
        ):  # TFLite Micro shifts by more than 31 bits where more exponentials sum up
            return self.append(kind, (source,), UNIT, beta=float(rng.choice([1.0, 1.0, 0.5, 3.0])))
        if kind in (Softmax, Logistic):
            return self.append(Logistic, (source,), UNIT)
        if kind is HardSwish:
            return self.append(kind, (source,), self.near(source, 0.1, 3.0))
        if kind in (Relu, Quantize):
            return self.append(kind, (source,), self.near(source, 0.05, 5.0) if rng.random() < 0.8 else here)
        if kind is Relu6:
            return self.append(kind, (source,), here)
        if kind is Concatenation:
            axis = int(rng.integers(1, len(shape)))
            others = [self.constant((*shape[:axis], int(rng.integers(1, 4)), *shape[axis + 1 :]), here), source]
            names = [source, *others[: int(rng.integers(1, 3))]]
            return self.append(kind, tuple(names[int(i)] for i in rng.permutation(len(names))), here, axis=axis)
        if kind is StridedSlice:
            return self.append(kind, (source,), here, **self._slice(shape))
        if kind is Transpose:
            order = (0, *(int(axis) + 1 for axis in rng.permutation(len(shape) - 1)))
            return self.append(kind, (source,), here, permutation=order)
        assert kind is ResizeNearestNeighbor
        corners = bool(rng.random() < 0.4)
        options = {"align_corners": corners, "half_pixel_centers": not corners and bool(rng.random() < 0.5)}
        size = (1, int(rng.integers(1, 20)), int(rng.integers(1, 20)), 1)
        return self.append(kind, (source,), here, size, **options)

    def _fitted(self, kind: type[Operator], source: str) -> str:
        shape = self.shapes[source]
        images = (Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D, ResizeNearestNeighbor)
        if (kind in images and (len(shape) != 4 or shape[0] != 1)) or shape[0] != 1 or len(shape) < 2:
            return self.append(Reshape, (source,), self.quantization[source], self._factored(prod(shape), 4))
        if kind is Squeeze and 1 not in shape[1:]:
            return self.append(Reshape, (source,), self.quantization[source], (*shape[:1], 1, *shape[1:]))
        return source

    def _factored(self, count: int, rank: int = 0) -> Shape:
        rank = rank or int(self.rng.integers(2, 5))
        shape = [1]
        while len(shape) < rank - 1:
            shape.append(int(self.rng.choice([n for n in range(1, 9) if count % n == 0])))
            count //= shape[-1]
        return (*shape, count)

    def _window(self, kind: type[Operator], source: str) -> str:
        rng = self.rng
        _, height, width, depth = self.shapes[source]
        same = bool(rng.random() < 0.6)
        limits = (7, 7) if same else (min(height, 7), min(width, 7))
        kernel = tuple(int(rng.integers(1, limit + 1)) for limit in limits)
        stride = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        dilation: tuple[int, ...] = (1, 1)
        options: dict[str, Any] = {"kernel": kernel, "stride": stride, "activation": self.any_activation()}
        if kind in (Conv2D, DepthwiseConv2D) and rng.random() < 0.4:
            dilation = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            if not same:
                dilation = tuple(
                    d if window_extent(k, d) <= size else 1
                    for k, d, size in zip(kernel, dilation, (height, width), strict=True)
                )
            options["dilation"] = dilation
        if same:
            extent = [window_extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
            options["padding"] = Padding(
                *same_padding(height, extent[0], stride[0]), *same_padding(width, extent[1], stride[1])
            )
        if kind in (AveragePool2D, MaxPool2D):
            return self.append(kind, (source,), self.quantization[source], **options)
        name = f"{kind.__name__.lower()}{len(self.operators)}"
        multiplier = int(rng.choice([1, 1, 2, 3, 8])) if depth < 30 else 1
        channels = int(rng.integers(1, 20)) if kind is Conv2D else depth * multiplier
        shape = (channels, *kernel, depth) if kind is Conv2D else (1, *kernel, channels)
        if kind is DepthwiseConv2D:
            options["depth_multiplier"] = multiplier
        target = self._quantization(options["activation"])
        self.quantization[f"{name}/out"] = target
        self._weights(name, source, f"{name}/out", shape, channels, prod(kernel) * (depth if kind is Conv2D else 1))
        return self.append(kind, (source,), target, **options)

    def _rows(self, source: str) -> str:
        rng, shape = self.rng, self.shapes[source]
        keep = bool(rng.random() < 0.4)
        depth = shape[-1] if keep or rng.random() < 0.5 else prod(shape)
        channels = int(rng.integers(1, 12))
        name, target = f"fullyconnected{len(self.operators)}", self._quantization()
        self.quantization[f"{name}/out"] = target
        self._weights(name, source, f"{name}/out", (channels, depth), channels, depth, bool(rng.random() < 0.3))
        return self.append(FullyConnected, (source,), target, activation=self.any_activation(), keep_num_dims=keep)

    def _binary(self, kind: type[Operator], source: str) -> str:
        rng, shape = self.rng, self.shapes[source]
        partners = [n for n, s in self.shapes.items() if s == shape and n not in self.floats and self._written(n)]
        if rng.random() < 0.5:
            other = partners[int(rng.integers(len(partners)))]
        else:
            broadcast = tuple(n if rng.random() < 0.6 else 1 for n in shape)
            other = self.constant([(1,), shape[-1:], broadcast, ()][int(rng.integers(4))] if len(shape) < 5 else shape)
        names = (source, other) if rng.random() < 0.5 else (other, source)
        scales = [self.quantization[name].scale for name in names]
        whole = 60.0 * scales[0] * scales[1] if kind is Mul else max(scales)
        target = quantization(whole * rng.uniform(0.4, 2.0), self._zero_point())
        return self.append(kind, names, target, activation=self.any_activation())

    def _written(self, name: str) -> bool:
        return name in (*self.inputs, *self.constants, *(op.output for op in self.operators))

    def _slice(self, shape: Shape) -> dict[str, Any]:
        begin, counts, strides = [0], [1], [1]
        dropped: list[int] = []
        for axis, extent in enumerate(shape[1:], start=1):
            first, last = (int(i) for i in self.rng.integers(0, extent, 2))
            step = int(self.rng.integers(1, 4)) * (1 if last >= first else -1)
            count = (last - first) // step + 1
            if self.rng.random() < 0.15 and len(dropped) < len(shape) - 2:
                count, step = 1, 1
                dropped.append(axis)
            begin.append(first)
            counts.append(count)
            strides.append(step if count > 1 else 1)
        return {"begin": tuple(begin), "counts": tuple(counts), "strides": tuple(strides), "dropped": tuple(dropped)}


KINDS: tuple[type[Operator], ...] = (
    *(Conv2D, DepthwiseConv2D, FullyConnected, Add, Sub, Mul, AveragePool2D, MaxPool2D, Mean, Pad, Reshape, Squeeze),
    *(Softmax, Logistic, HardSwish, Relu, Relu6, Quantize, Concatenation, StridedSlice, Transpose),
    ResizeNearestNeighbor,
)


def wide_graph(rng: np.random.Generator, *, max_ops: int = 6, first: type[Operator] | None = None) -> Int8Graph:
    """A random graph over every operator; `first` is what it begins with, float borders now and then."""
    build = WideBuilder(rng)
    shape = (1, int(rng.integers(1, 13)), int(rng.integers(1, 13)), int(rng.integers(1, 10)))
    real = bool(rng.random() < 0.2)
    current = build.tensor("input", shape)
    if real:
        build.floats.add("input")
        given = build.quantization.pop("input")
        current = build.append(Quantize, ("input",), given)
    for index in range(int(rng.integers(1, max_ops + 1))):
        kind = first if first and not index else KINDS[int(rng.integers(len(KINDS)))]
        if prod(build.shapes[current]) > 20_000:
            break
        current = build.grow(kind, current)
    if real and rng.random() < 0.5:
        name = f"dequantize{len(build.operators)}"
        build.operators.append(Dequantize(name=name, inputs=(current,), output=name))
        build.shapes[name] = build.shapes[current]
        build.floats.add(name)
        current = name
    return build.done("wide", (current,))


def many_ended(rng: np.random.Generator, *, max_ops: int = 8, first: type[Operator] | None = None) -> Int8Graph:
    """A random graph of one to three inputs, some float32, some unread, and of one to four outputs of every kind.

    Outputs are ends, tensors that are read on, inputs, constants, dequantized tensors, the same one twice.
    """
    build = WideBuilder(rng)
    build.inputs = ["input", *(f"input{i}" for i in range(1, int(rng.integers(1, 4))))]
    alive: list[str] = []
    for name in build.inputs:
        size = (1, int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.integers(1, 8)))
        if alive and rng.random() < 0.4:
            size = build.shapes[alive[0]]  # type: ignore[assignment]
        given = build.quantization[build.tensor(name, size)]
        if rng.random() < 0.3:
            build.floats.add(name)
            del build.quantization[name]
            alive += [build.append(Quantize, (name,), given) for _ in range(1 + int(rng.random() < 0.2))]
        else:
            alive.append(name)
    for index in range(int(rng.integers(1, max_ops + 1))):
        source = alive[-1 - int(rng.integers(min(3, len(alive))))]
        if prod(build.shapes[source]) > 10_000:
            continue
        if rng.random() < 0.2 and len(alive) > 1:
            alive.append(_joined(build, source, alive[int(rng.integers(len(alive)))]))
            continue
        kind = first if first and not index else KINDS[int(rng.integers(len(KINDS)))]
        alive.append(build.grow(kind, source))
    outputs = [alive[-1]]
    for _ in range(int(rng.integers(0, 4))):
        choice = rng.random()
        written = [*build.inputs, *(op.output for op in build.operators)]
        if choice < 0.1 and build.constants:
            written = list(build.constants)
        elif choice < 0.2:
            written = outputs
        elif choice < 0.7:
            written = alive
        outputs.append(written[int(rng.integers(len(written)))])
    for index, name in enumerate(outputs):
        if rng.random() < 0.2 and name not in (*build.floats, *build.constants):
            real = f"dequantize{len(build.operators)}"
            build.operators.append(Dequantize(name=real, inputs=(name,), output=real))
            build.shapes[real] = build.shapes[name]
            build.floats.add(real)
            outputs[index] = real
    rng.shuffle(outputs)
    return build.done("many_ended", tuple(outputs))


def _joined(build: WideBuilder, first: str, second: str) -> str:
    """All codes of both in one row, in the quantization of the first."""
    given = build.quantization[first]
    if build.quantization[second] != given:
        second = build.append(Quantize, (second,), given)
    rows = [build.append(Reshape, (name,), given, (1, prod(build.shapes[name]))) for name in (first, second)]
    return build.append(Concatenation, tuple(rows), given, axis=1)


def wide_graphs(max_ops: int = 6) -> st.SearchStrategy[Int8Graph]:
    """Hypothesis strategy of random graphs over every operator, one in two with several inputs and outputs."""
    return st.builds(
        lambda seed, ops, draw: draw(np.random.default_rng(seed), max_ops=ops),
        seed=st.integers(0, 2**32 - 1),
        ops=st.integers(1, max_ops),
        draw=st.sampled_from((wide_graph, many_ended)),
    )
