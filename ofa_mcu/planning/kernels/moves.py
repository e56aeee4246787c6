"""Operators that only move codes, as runs of bytes in nested loops; padding; repeated rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from ofa_mcu.graph.reference_layout import nearest
from ofa_mcu.planning.kernels.base import Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.elementwise import library, padded
from ofa_mcu.planning.kernels.elementwise_loops import LEVELS, merged, strides
from ofa_mcu.space.shapes import (
    Concatenation,
    Operator,
    Pad,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    Squeeze,
    StridedSlice,
    Transpose,
)

__all__ = ["MOVE_KERNELS", "Move", "layer_moves"]

_MOVE_BYTES, _RESIZE_BYTES = 60, 16
_WORD = 4
_LARGEST_INDEX = 0x7FFF


@dataclass(frozen=True)
class Move:
    """Runs moved in four loops: where the first one starts in input and output, and the steps of each loop, in bytes.

    A run is dense in the output; in the input its bytes lie `input_step` apart.
    """

    source: int
    start: int
    counts: tuple[int, ...]
    from_steps: tuple[int, ...]
    to_steps: tuple[int, ...]
    run: int
    input_step: int

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return prod(self.counts)

    @property
    def aligned(self) -> bool:
        """Whether every run starts at a multiple of four on both sides."""
        steps = [
            step
            for count, *both in zip(self.counts, self.from_steps, self.to_steps, strict=True)
            for step in both
            if count > 1
        ]
        return all(step % _WORD == 0 for step in (self.source, self.start, *steps))


def _move(source: int, start: int, counts: Sequence[int], from_: Sequence[int], to: Sequence[int]) -> Move | None:
    """The move of those loops, the innermost dense in the output; None where they are too many."""
    loops = merged(counts, from_, to)
    run, input_step = 1, 1
    if loops and loops[-1][2] == 1:
        run, input_step, _ = loops.pop()
    if len(loops) > LEVELS:
        return None
    full = [(1, 0, 0)] * (LEVELS - len(loops)) + loops
    all_counts, from_steps, to_steps = zip(*full, strict=True)
    return Move(source, start, tuple(all_counts), tuple(from_steps), tuple(to_steps), run, input_step)


def _concatenation(operator: Concatenation, sources: Sequence[Shape], target: Shape) -> list[Move | None]:
    moves: list[Move | None] = []
    start = 0
    whole = prod(target[operator.axis :])
    for shape in sources:
        run = prod(shape[operator.axis :])
        moves.append(_move(0, start, (prod(shape[: operator.axis]), run), (run, 1), (whole, 1)))
        start += run
    return moves


def _slice(operator: StridedSlice, source: Shape) -> Move | None:
    steps = strides(source)
    begin = sum(first * step for first, step in zip(operator.begin, steps, strict=True))
    from_ = [stride * step for stride, step in zip(operator.strides, steps, strict=True)]
    return _move(begin, 0, operator.counts, from_, strides(operator.counts))


def _pad(operator: Pad, source: Shape, target: Shape) -> Move | None:
    to = strides(target)
    start = sum(before * step for (before, _), step in zip(operator.padding, to, strict=True))
    return _move(0, start, source, strides(source), to)


def layer_moves(operator: Operator, sources: tuple[Shape, ...], target: Shape) -> tuple[Move, ...] | None:
    """The moves of an operator, one for every input; None where it is none that only moves or has too many loops."""
    source = sources[0]
    found: list[Move | None]
    match operator:
        case Concatenation():
            found = _concatenation(operator, sources, target)
        case StridedSlice():
            found = [_slice(operator, source)]
        case Transpose():
            steps = strides(source)
            from_ = [steps[axis] for axis in operator.permutation]
            found = [_move(0, 0, target, from_, strides(target))]
        case Reshape() | Squeeze():
            found = [_move(0, 0, (prod(source),), (1,), (1,))]
        case Pad():
            found = [_pad(operator, source, target)]
        case _:
            return None
    moves = tuple(move for move in found if move is not None)
    return moves if len(moves) == len(found) else None


_FIRST_TURNS = ("runs_with_sixteens", "runs_with_fours", "runs_with_ones")
_COPY_FEATURES = (
    *("sixteens", "fours", "ones", *_FIRST_TURNS),
    *("loose_sixteens", "loose_fours", *(f"loose_{name}" for name in _FIRST_TURNS)),
)
_GATHER_FEATURES = ("gathered_runs", "gathered_fours", "gathered_ones", "gathered_with_fours", "gathered_with_ones")


def _copies(run: int, runs: int, aligned: bool) -> tuple[int, ...]:
    """As `_COPY_FEATURES` names them.

    What is not aligned some cores copy byte by byte: those words are counted once more. The first turn of a loop costs
    more than the others, if it is that loop.
    """
    sixteens, rest = divmod(run, 16)
    fours, ones = divmod(rest, _WORD)
    turns = (runs * sixteens, runs * fours, runs * ones)
    first = tuple(runs if count else 0 for count in (sixteens, fours, ones))
    return (*turns, *first, 0, 0, 0, 0, 0) if aligned else (*turns, 0, 0, 0, *turns[:2], *first)


def _counts(move: Move) -> tuple[int, ...]:
    """As `_MOVE_FEATURES` names them."""
    outer, planes, rows, _ = move.counts
    runs = move.runs
    if move.input_step == 1:
        moved = (*_copies(move.run, runs, move.aligned), *(0,) * len(_GATHER_FEATURES))
    else:
        fours, ones = divmod(move.run, 4)
        gathered = (runs, runs * fours, runs * ones, runs if fours else 0, runs if ones else 0)
        moved = (*(0,) * len(_COPY_FEATURES), *gathered)
    return (1, outer, outer * planes, outer * planes * rows, runs, *moved)


_MOVE_FEATURES = (
    *("calls", "outer", "planes", "rows", "runs"),
    *(*_COPY_FEATURES, *_GATHER_FEATURES),
)


def _keeps_order(operator: Operator) -> bool:
    """Whether no code moves to a place above its own."""
    if isinstance(operator, StridedSlice):
        return min(operator.strides) > 0
    return isinstance(operator, Reshape | Squeeze)


def _sources(view: LayerView) -> tuple[Shape, ...]:
    return tuple(view.structure.shapes[name] for name in view.operator.inputs)


def _moves(view: LayerView) -> tuple[Way, ...]:
    operator, structure = view.operator, view.structure
    if isinstance(operator, Pad) or not structure.floats.isdisjoint((*operator.inputs, operator.output)):
        return ()
    moves = layer_moves(operator, _sources(view), view.target)
    if moves is None:
        return ()
    constants = [padded(structure.bytes_of(name)) for name in operator.inputs if name in structure.constants]
    return (
        Way(
            kernel="ofa_move",
            variant="",
            counts=tuple(map(sum, zip(*map(_counts, moves), strict=True))),
            constant_bytes=_MOVE_BYTES * len(moves) + sum(constants),
            code=library("ofa_move"),
            forward_gap=0 if _keeps_order(operator) and operator.inputs[0] not in structure.constants else None,
        ),
    )


def _pads(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Pad):
        return ()
    moves = layer_moves(view.operator, _sources(view), view.target)
    if moves is None:
        return ()
    counts = (*_counts(moves[0]), *divmod(prod(view.target), 16))
    return (Way("ofa_pad", "", counts, _MOVE_BYTES, (*library("ofa_fill"), *library("ofa_move"))),)


@lru_cache(maxsize=1024)
def _fresh_rows(operator: ResizeNearestNeighbor, size: int, output: int) -> int:
    """Output rows that do not repeat the one above."""
    return len(set(nearest(operator, size, output).tolist()))


def _resize(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, ResizeNearestNeighbor) or max(view.source[1:3]) > _LARGEST_INDEX:
        return ()
    _, height, width, channels = view.target
    fresh = _fresh_rows(operator, view.source[1], height)
    aligned = channels % _WORD == 0
    turns = dict(zip(_COPY_FEATURES, _copies(channels, fresh * width, aligned), strict=True))
    for name, count in zip(_COPY_FEATURES, _copies(width * channels, height - fresh, aligned), strict=True):
        if not name.endswith(_FIRST_TURNS):  # which do not show in whole rows
            turns[name] += count
    counts = (1, fresh, height - fresh, fresh * width, *turns.values())
    tables = padded(2 * height) + padded(2 * width)
    return (Way("ofa_resize", "", counts, _RESIZE_BYTES + tables, library("ofa_resize")),)


_FUNCTION = ("functions",)

MOVE_KERNELS: tuple[Kernel, ...] = (
    Kernel("ofa_move", Flavour.PORTABLE, _MOVE_FEATURES, _moves, {"ofa_move": _FUNCTION}),
    Kernel(
        "ofa_pad",
        Flavour.PORTABLE,
        (*_MOVE_FEATURES, "fill_sixteens", "fill_ones"),
        _pads,
        {"ofa_fill": _FUNCTION, "ofa_move": _FUNCTION},
    ),
    Kernel(
        "ofa_resize",
        Flavour.PORTABLE,
        ("calls", "fresh_rows", "repeated_rows", "pixels", *_COPY_FEATURES),
        _resize,
        {"ofa_resize": _FUNCTION},
    ),
)
"""What only moves codes."""
