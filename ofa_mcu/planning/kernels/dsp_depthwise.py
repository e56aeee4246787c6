"""Depthwise convolution for the DSP extension: the ways to run a layer, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.dsp_depthwise_shape import GROUP, Planes, planes_of
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Rounded, Split, Sweep

__all__ = ["DSP_DEPTHWISE", "Design", "design_of"]

_NAME = "ofa_dsp_depthwise"
_DESCRIPTOR_BYTES = 48
_BLOCK, _LONE = 6, 20
"""About what a block costs beside its known instructions, and more of one that is one column wide."""
_STRIPS = (1, 2, 4, 8)
_UNROLLS = {"": 6, ", looped": 2}


@dataclass(frozen=True)
class Design:
    """A layer run in strips of `strip` rows of outputs, with blocks in loops of up to `unroll`."""

    planes: Planes
    rounded: Rounded
    strip: int
    unroll: int

    @property
    def whole(self) -> bool:
        """Whether all rows are one strip."""
        return self.strip == self.planes.rows.outputs

    @property
    def variant(self) -> str:
        """What `--explain` calls it."""
        rows = "whole planes" if self.whole else f"strips of {self.strip}"
        return rows + next(name for name, count in _UNROLLS.items() if count == self.unroll)

    @cached_property
    def split(self) -> Split:
        """How rows are taken apart."""
        columns = self.planes.columns
        return Split(
            width=columns.used,
            pitch=self.planes.channels,
            left=columns.before % 2,
            row_bytes=columns.size * self.planes.channels,
            row_words=self.planes.row_words,
            plane_words=self.planes.plane_words(self.strip),
            unroll=self.unroll,
        )

    @cached_property
    def sweep(self) -> Sweep:
        """How rows of outputs are computed."""
        unit, columns = _block_of(self.planes)
        return Sweep(
            kernel=self.planes.kernel,
            stride=self.planes.stride,
            outputs=self.planes.columns.outputs,
            pitch=self.planes.channels,
            row_bytes=self.planes.columns.outputs * self.planes.channels,
            row_words=self.planes.row_words,
            plane_words=self.planes.plane_words(self.strip),
            unit=unit,
            columns=columns,
            unroll=self.unroll,
            rounded=self.rounded,
        )

    @property
    def counts(self) -> tuple[float, ...]:
        """Values of `_FEATURES`."""
        planes, split, sweep = self.planes, self.split, self.sweep
        strips = planes.strips(self.strip)
        units = sum(-(-rows // sweep.unit) for rows, _ in strips)
        sweeps = sum(1 + (rows % sweep.unit != 0) for rows, _ in strips)
        split_rows = sum(rows for _, rows in strips)
        filled = GROUP * sweep.plane_words
        parted = moves = moved = fills = filled_rows = 0
        if len(strips) > 1:
            parted = planes.groups * len(strips)
            kept = planes.rows.taps - planes.rows.stride
            have, fresh = planes.rows.before, 0
            fills = have > 0
            for rows, real in strips:
                missing = (rows - 1) * planes.rows.stride + planes.rows.taps - have - real
                fresh += missing
                fills += missing > 0
                have = kept
            moves = planes.groups * (len(strips) - 1) * (kept > 0)
            moved = max(kept, 0) * planes.row_words  # of each of the group's planes
            fills *= planes.groups
            filled_rows = planes.groups * GROUP * (fresh + planes.rows.before)
            filled += filled_rows * planes.row_words
        blocks = planes.channels * units * (sweep.whole + (sweep.rest > 0))
        known = planes.channels * units * sweep.unit_instructions
        return (
            1,
            planes.groups,
            parted,
            planes.groups * split_rows,
            planes.groups * split_rows * split.row_instructions,
            planes.groups * split_rows * split.turns,
            planes.groups * sweeps,
            planes.channels * sweeps,
            planes.channels * sweeps * sweep.channel_words,
            planes.channels * units,
            planes.channels * units * sweep.turns,
            known if sweep.held else 0,
            0 if sweep.held else known,
            0 if sweep.held else blocks,
            fills,
            filled_rows,
            filled,
            moves,
            moves * (moved >= 4),
            moves * GROUP * (moved // 4),
            moves * GROUP * (moved % 4),
        )

    @property
    def way(self) -> Way:
        """The way as the planner sees it."""
        planes, split, sweep = self.planes, self.split, self.sweep
        table = 4 * planes.channels * sweep.channel_words
        return Way(
            kernel=_NAME,
            variant=self.variant,
            counts=self.counts,
            constant_bytes=table + _DESCRIPTOR_BYTES,
            code=(
                Code("ofa_dsp_depthwise_planes"),
                Code("dsp_depthwise_split", (split,), _split_terms(split)),
                Code("dsp_depthwise_sweep", (sweep,), _sweep_terms(sweep)),
            ),
            scratch_bytes=4 * GROUP * sweep.plane_words,
            overread=planes.overread,
            forward_gap=self.forward_gap,
        )

    @property
    def forward_gap(self) -> int:
        """Bytes by which the input must start above the output, if these overlap."""
        return self.planes.lead(self.strip) * self.planes.channels


@lru_cache(4096)
def _block_of(planes: Planes) -> tuple[int, int]:
    """Rows and columns of the outputs that are computed together."""
    taps, stride = planes.kernel, planes.stride
    plain = Rounded(1, False, False, False)

    def sweep(columns: int) -> Sweep:
        outputs = planes.columns.outputs
        return Sweep(taps, stride, 1, 1, columns, plain, outputs, pitch=1, row_bytes=1, plane_words=1, unroll=outputs)

    narrow, wide = sweep(4), sweep(6)
    if narrow.held:
        return (2, 2) if taps[0] > 1 and stride == (1, 1) and planes.rows.outputs > 1 else (1, 4)

    def cost(one: Sweep) -> int:
        return one.unit_instructions + _BLOCK * len(one.blocks) + _LONE * (one.rest == 1)

    return 1, 6 if cost(wide) < cost(narrow) else 4


def _split_terms(split: Split) -> tuple[float, ...]:
    """Values of the code terms of a function that takes rows apart."""
    return 1, sum(split.spelled), bool(split.turns), len(split.bases)


def _sweep_terms(sweep: Sweep) -> tuple[float, ...]:
    """Values of the code terms of a function that computes rows."""
    known = sum(sweep.spelled)
    return 1, known if sweep.held else 0, 0 if sweep.held else known, bool(sweep.turns), len(sweep.blocks)


def _strips_of(planes: Planes) -> Iterator[int]:
    """Rows of outputs of a strip that are worth a way: all, and fewer for less scratch memory."""
    outputs = planes.rows.outputs
    unit = _block_of(planes)[0]
    found = [outputs]
    for wanted in _STRIPS:
        strip = -(-wanted // unit) * unit
        while unit == 2 and outputs % strip == 1:
            strip += unit
        if strip < outputs and strip not in found:
            found.append(strip)
    return iter(found)


@lru_cache(4096)
def _ways(planes: Planes, rounded: Rounded) -> tuple[Way, ...]:
    return tuple(
        Design(planes, rounded, strip, unroll).way for strip in _strips_of(planes) for unroll in _UNROLLS.values()
    )


def _ways_of(view: LayerView) -> tuple[Way, ...]:
    rounded, planes = Rounded.of(view), planes_of(view)
    return () if rounded is None or planes is None else _ways(planes, rounded)


def design_of(view: LayerView, way: Way) -> Design:
    """The design that the way of the layer stands for."""
    rounded, planes = Rounded.of(view), planes_of(view)
    assert rounded is not None
    assert planes is not None
    designs = (Design(planes, rounded, strip, unroll) for strip in _strips_of(planes) for unroll in _UNROLLS.values())
    return next(design for design in designs if design.variant == way.variant)


DSP_DEPTHWISE = Kernel(
    name=_NAME,
    flavour=Flavour.DSP,
    features=(
        "layers",
        "groups",
        "strips of groups",
        "rows taken apart",
        "known instructions of these",
        "turns of these",
        "sweeps of groups",
        "sweeps of channels",
        "constants of these",
        "units of rows",
        "turns along units",
        "known instructions with held weights",
        "known instructions with streamed weights",
        "blocks with streamed weights",
        "fills of rows",
        "rows filled",
        "words filled",
        "moves of rows",
        "moves by fours",
        "words moved by fours",
        "words moved by ones",
    ),
    ways=_ways_of,
    code_terms={
        "ofa_dsp_depthwise_planes": ("function",),
        "dsp_depthwise_split": ("function", "instructions", "loop", "pointers"),
        "dsp_depthwise_sweep": ("function", "held instructions", "streamed instructions", "loop", "blocks"),
    },
)
