"""Cascades of a network: which layers can run together some rows at a time, and the loops that they then run in.

A chain is a convolution that widens (or reads few channels), the depthwise layer behind it and, where there are, the
pointwise layer behind that and the sum with the chain's own input: an inverted residual, or a stem with a separable
block. What is written first is the largest tensor around; in a cascade only those of its rows exist that the
depthwise window covers, in a rolling buffer from which rows move on. Nothing is computed twice. (MCUNetV2's patches,
arXiv:2110.15352, compute the borders of patches again; rolling buffers are what Arm's Vela calls cascading.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

from ofa_mcu.space.shapes import (
    Add,
    Cascade,
    Conv2D,
    ConvAdd,
    DepthwiseConv2D,
    Operator,
    ShapeGraph,
    is_pointwise,
    window_extent,
)

__all__ = ["Chain", "Rolling", "Stripes", "chains_of", "stripes_of"]

_WORD = 4
_MOST_ROWS = 8
"""Rows of the depthwise output that are computed at once, at most."""


@dataclass(frozen=True)
class Chain:
    """Operators `first`..`last` of a network (both included) that can run as `cascade`."""

    first: int
    last: int
    cascade: Cascade


def chains_of(structure: ShapeGraph) -> tuple[Chain, ...]:
    """The chains of a network, in order; no two have an operator in common."""
    operators = structure.operators
    readers: dict[str, int] = {}
    for operator in operators:
        for name in operator.inputs:
            readers[name] = readers.get(name, 0) + 1
    private = {name for name, count in readers.items() if count == 1}.difference(structure.outputs)
    found: list[Chain] = []
    index = 0
    while index + 1 < len(operators):
        steps = _chain_at(structure, operators[index:], private)
        if steps:
            found.append(Chain(index, index + len(steps) - 1, _cascade(steps)))
        index += len(steps) or 1
    return tuple(found)


def _cascade(steps: Sequence[Operator]) -> Cascade:
    return Cascade(
        name=f"{steps[0].name}..{steps[-1].name}",
        inputs=steps[0].inputs,
        output=steps[-1].output,
        steps=tuple(steps),
    )


def _chain_at(structure: ShapeGraph, operators: Sequence[Operator], private: set[str]) -> list[Operator]:
    """The operators of the chain that these begin with; none where they begin with no chain."""
    widen, depthwise, *rest = operators
    source = widen.inputs[0]
    if not isinstance(widen, Conv2D) or not isinstance(depthwise, DepthwiseConv2D):
        return []
    if depthwise.inputs != (widen.output,) or depthwise.depth_multiplier != 1 or widen.output not in private:
        return []
    if source in structure.constants | structure.floats:
        return []
    steps: list[Operator] = [widen, depthwise]
    if rest and isinstance(rest[0], Conv2D) and _reads(rest[0], depthwise.output) and depthwise.output in private:
        steps.append(rest[0])
        second = rest[1] if len(rest) > 1 else None
        if isinstance(second, Add) and _sums(structure, second, rest[0].output, source) and rest[0].output in private:
            steps.append(second)
    elif rest and isinstance(rest[0], ConvAdd) and rest[0].inputs == (depthwise.output, source):
        steps += rest[:1] if depthwise.output in private and is_pointwise(rest[0]) else []
    wide = structure.bytes_of(widen.output)
    ends = max(structure.bytes_of(source), structure.bytes_of(steps[-1].output))
    return steps if wide > ends else []


def _reads(operator: Conv2D, tensor: str) -> bool:
    return is_pointwise(operator) and operator.inputs == (tensor,)


def _sums(structure: ShapeGraph, operator: Add, tensor: str, source: str) -> bool:
    shapes = {structure.shapes[name] for name in (tensor, source, operator.output)}
    return sorted(operator.inputs) == sorted((tensor, source)) and len(shapes) == 1


@dataclass(frozen=True)
class Rolling:
    """The rows of a tensor that a layer's window covers, and how they get there.

    A run of the layer reads `rows` rows of `row_bytes` each; windows of two runs lie `shift` rows apart. `fresh` rows
    come at a time, of `height` the tensor has; `pad_top` rows of zero points are above it, and below it what is missing
    in the last of `runs` windows.
    """

    rows: int
    shift: int
    fresh: int
    row_bytes: int
    height: int
    pad_top: int
    runs: int

    @property
    def bytes(self) -> int:
        """Of the buffer."""
        return self.rows * self.row_bytes

    @property
    def kept(self) -> int:
        """Bytes that a window has in common with the next one."""
        return (self.rows - self.shift) * self.row_bytes

    @property
    def deliveries(self) -> int:
        """How often fresh rows of the tensor come."""
        end = (self.runs - 1) * self.shift + self.rows - self.pad_top
        return min(end, self.height) // self.fresh

    @property
    def missing(self) -> int:
        """How often rows of zero points come in their stead."""
        end = (self.runs - 1) * self.shift + self.rows - self.pad_top
        return max(end - self.height, 0) // self.fresh


@dataclass(frozen=True)
class Stripes:
    """A cascade whose depthwise layer writes `rows` rows at a time.

    `window` is what the depthwise layer reads. `entry` is what the first layer reads where its window covers several
    rows; else it reads the cascade's input itself. `structure` has the layers as they run, on tensors of some rows;
    `runs` says how often each runs. `stand_ins` are names that only these layers have, for more rows of a tensor, or
    others: the window's, and those of the input that the sum reads; each maps to the tensor.
    """

    cascade: Cascade
    rows: int
    window: Rolling
    entry: Rolling | None
    structure: ShapeGraph
    runs: tuple[int, ...]
    stand_ins: Mapping[str, str]

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The layers as they run."""
        return self.structure.operators

    @property
    def adds(self) -> bool:
        """Whether the last step adds the cascade's input."""
        return isinstance(self.steps[-1], Add | ConvAdd)

    @cached_property
    def forward_gap(self) -> int:
        """Bytes that the input must start above the output where nothing is added: no row still to be read goes."""
        stripe, window, source = self.stripe_bytes, self.window, self.input_row
        gap = 0
        for run in range(window.runs):
            taken = min(run * window.shift + window.rows - window.pad_top, window.height) // window.fresh
            if self.entry is None:
                read, height = taken * window.fresh, window.height
            else:
                entry = self.entry
                end = (taken - 1) * entry.shift + entry.rows - entry.pad_top
                read, height = min(end, entry.height), entry.height
            if read < height:
                gap = max(gap, (run + 1) * stripe - read * source)
        return gap

    @property
    def stripe_bytes(self) -> int:
        """What a run of the last layer writes."""
        return self.structure.bytes_of(self.steps[-1].output)

    @property
    def input_row(self) -> int:
        """Bytes of a row of the cascade's input."""
        _, _, width, depth = self.structure.shapes[self.steps[0].inputs[0]]
        return width * depth


def stripes_of(structure: ShapeGraph, cascade: Cascade) -> tuple[Stripes, ...]:
    """The ways to cut a cascade into stripes; none where rows of some tensor are no whole words."""
    depthwise = cascade.steps[1]
    height = structure.shapes[depthwise.output][1]
    sizes = [rows for rows in range(1, min(_MOST_ROWS, height - 1) + 1) if height % rows == 0]
    found = [_stripes(structure, cascade, rows) for rows in sizes]
    return tuple(one for one in found if one is not None)


def _stripes(structure: ShapeGraph, cascade: Cascade, rows: int) -> Stripes | None:
    widen, depthwise, *rest = cascade.steps
    assert isinstance(widen, Conv2D)
    assert isinstance(depthwise, DepthwiseConv2D)
    shapes = structure.shapes
    window = _rolling(structure, depthwise, rows, shapes[depthwise.output][1] // rows)
    if window is None:
        return None
    runs = window.deliveries
    entry = None
    if not is_pointwise(widen):
        entry = _rolling(structure, widen, window.fresh, runs)
        if entry is None:
            return None
    cut = {
        widen.inputs[0]: _cut(shapes[widen.inputs[0]], window.fresh if entry is None else entry.rows),
        widen.output: _cut(shapes[widen.output], window.fresh),
    }
    steps: list[Operator] = [_flat(widen)]
    # The depthwise layer reads all rows of its window, the layer before it writes some of them.
    whole, added = (_unknown(shapes, name) for name in (f"{widen.output}/window", f"{widen.inputs[0]}/sum"))
    stand_ins = {whole: widen.output}
    steps.append(replace(_flat(depthwise), inputs=(whole,)))
    cut[whole] = _cut(shapes[widen.output], window.rows)
    for step in (depthwise, *rest):
        cut[step.output] = _cut(shapes[step.output], rows)
    for step in rest:
        if isinstance(step, Add | ConvAdd):
            stand_ins[added] = widen.inputs[0]
            cut[added] = _cut(shapes[widen.inputs[0]], rows)
            step = replace(step, inputs=tuple(added if one == widen.inputs[0] else one for one in step.inputs))
        steps.append(step)
    piece = ShapeGraph(cascade.name, cut, tuple(steps), cascade.inputs, (cascade.output,))
    counts = (runs, *(window.runs,) * (1 + len(rest)))
    found = Stripes(cascade, rows, window, entry, piece, counts, stand_ins)
    pieces = [piece.bytes_of(name) for name in (steps[0].output, depthwise.output, cascade.output)]
    pieces.append(found.input_row * (window.fresh if entry is None else entry.fresh))
    if any(size % _WORD for size in pieces) or window.row_bytes % _WORD or (entry and entry.row_bytes % _WORD):
        return None
    if len(steps) > 3 and piece.bytes_of(steps[2].output) > window.shift * window.row_bytes:
        return None  # there is no room for the sum's first operand
    return found


def _unknown(known: Mapping[str, object], wish: str) -> str:
    """A name like the wish that no tensor has."""
    while wish in known:
        wish += "'"
    return wish


def _cut(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    return (shape[0], rows, *shape[2:])


def _flat(operator: Conv2D | DepthwiseConv2D) -> Conv2D | DepthwiseConv2D:
    """The layer on rows among which those of its padding are."""
    return replace(operator, padding=replace(operator.padding, top=0, bottom=0))


def _rolling(structure: ShapeGraph, operator: Conv2D | DepthwiseConv2D, unit: int, runs: int) -> Rolling | None:
    """The window of a layer that writes `unit` rows at a time; None where it skips rows."""
    _, height, width, depth = structure.shapes[operator.inputs[0]]
    extent = window_extent(operator.kernel[0], operator.dilation[0])
    shift, top = unit * operator.stride[0], operator.padding.top
    rows = shift - operator.stride[0] + extent
    if extent < operator.stride[0] or rows <= top:
        return None
    fresh = gcd(rows - top, shift, height)
    return Rolling(rows, shift, fresh, width * depth, height, top, runs)
