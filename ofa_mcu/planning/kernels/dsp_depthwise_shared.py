"""Depthwise convolution for the DSP extension by functions that layers of different sizes share.

These know the kernel, the stride and the rounding; widths, channels and the distance between planes they learn at run
time. Rows of pixels always follow 32 or 64 words apart, and planes of narrow rows lie side by side in these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.dsp_depthwise_shape import GROUP, Planes, planes_of
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Pattern, Rounded

__all__ = ["DSP_DEPTHWISE_SHARED", "SharedDesign", "narrow_blocks", "plane_distance", "shared_design_of"]

_NAME = "ofa_dsp_depthwise_shared"
_DESCRIPTOR_BYTES = 64
_PITCHES = (32, 64)
"""Words from row to row."""

_STRIPS = (2, 4)


@dataclass(frozen=True)
class SharedDesign:
    """A layer run in strips of `strip` rows of outputs, with rows of pixels `pattern.row_words` apart."""

    planes: Planes
    pattern: Pattern
    strip: int

    @property
    def whole(self) -> bool:
        """Whether all rows are one strip."""
        return self.strip == self.planes.rows.outputs

    @property
    def variant(self) -> str:
        """What `--explain` calls it."""
        rows = "whole planes" if self.whole else f"strips of {self.strip}"
        shift = ", any shift" * self.pattern.rounded.per_channel
        return f"{rows}, rows of {self.pattern.row_words} words{shift}"

    @property
    def left(self) -> int:
        """Pixels that share their word with padding in front of them."""
        return self.planes.columns.before % 2

    @property
    def quads(self) -> int:
        """Pixels of a row in fours."""
        return (self.planes.columns.used - self.left) // 4

    @property
    def rest_pixels(self) -> int:
        """Pixels after these."""
        return (self.planes.columns.used - self.left) % 4

    @property
    def blocks(self) -> int:
        """Whole blocks along a row."""
        return self.planes.columns.outputs // self.pattern.columns

    @property
    def rest(self) -> int:
        """Columns of outputs after these."""
        return self.planes.columns.outputs % self.pattern.columns

    @property
    def rests(self) -> tuple[int, ...]:
        """Columns of the narrower blocks after the whole ones."""
        return tuple(columns for columns in narrow_blocks(self.pattern) if self.rest & columns)

    @property
    def skip_words(self) -> int:
        """Words from where the last block of a unit of rows leaves the pixels to the next unit."""
        moved = self.planes.columns.outputs * self.pattern.stride[1] // 2
        return self.pattern.unit * self.pattern.stride[0] * self.pattern.row_words - moved

    @cached_property
    def rows(self) -> int:
        """Rows of pixels of a strip."""
        return (self.strip - 1) * self.planes.rows.stride + self.planes.rows.taps

    @property
    def span_words(self) -> int:
        """Words from the first of a plane to its last."""
        return (self.rows - 1) * self.pattern.row_words + self.planes.row_words

    @cached_property
    def plane_words(self) -> int:
        """Words from plane to plane."""
        return plane_distance(self.pattern.row_words, self.planes.row_words, self.rows)

    @property
    def fill_words(self) -> int:
        """Words of all planes."""
        return (GROUP - 1) * self.plane_words + self.span_words

    @property
    def counts(self) -> tuple[float, ...]:
        """Values of the kernel's features."""
        planes, pattern = self.planes, self.pattern
        strips = planes.strips(self.strip)
        units = sum(-(-rows // pattern.unit) for rows, _ in strips)
        sweeps = sum(1 + (rows % pattern.unit != 0) for rows, _ in strips)
        split_rows = planes.groups * sum(rows for _, rows in strips)
        parted = moves = fills = filled = 0
        if len(strips) > 1:
            parted = planes.groups * len(strips)
            kept = planes.rows.taps - planes.rows.stride
            have, fresh = planes.rows.before, planes.rows.before
            for rows, real in strips:
                fresh += (rows - 1) * planes.rows.stride + planes.rows.taps - have - real
                have = kept
            fills = planes.groups * GROUP * fresh
            filled = fills * planes.row_words
            moves = planes.groups * (len(strips) - 1) * GROUP * kept
        widths = (pattern.columns,) * self.blocks + self.rests
        known = planes.channels * units * sum(pattern.block_instructions(columns, 0) for columns in widths)
        blocks = planes.channels * units * len(widths)
        return (
            1,
            planes.groups,
            parted,
            split_rows,
            split_rows * self.quads,
            split_rows * (self.left + self.rest_pixels // 2 + self.rest_pixels % 2),
            planes.groups * sweeps,
            planes.channels * sweeps,
            planes.channels * units,
            known if pattern.held else 0,
            0 if pattern.held else known,
            blocks if pattern.held else 0,
            0 if pattern.held else blocks,
            fills,
            filled + self.fill_words,
            moves,
            moves * planes.row_words,
        )

    @property
    def way(self) -> Way:
        """The way as the planner sees it."""
        planes, pattern = self.planes, self.pattern
        widths = (pattern.columns, *narrow_blocks(pattern))
        spelled = sum(pattern.block_instructions(columns, 0) for columns in widths)
        held = pattern.held
        return Way(
            kernel=_NAME,
            variant=self.variant,
            counts=self.counts,
            constant_bytes=4 * planes.channels * pattern.channel_words + _DESCRIPTOR_BYTES,
            code=(
                Code("ofa_dsp_depthwise_planes"),
                Code("ofa_dsp_split_any"),
                Code(
                    "dsp_depthwise_shared",
                    (pattern,),
                    (1, spelled if held else 0, 0 if held else spelled, len(widths) * pattern.unit),
                ),
            ),
            scratch_bytes=4 * self.fill_words,
            overread=planes.overread,
            forward_gap=planes.lead(self.strip) * planes.channels,
        )


def narrow_blocks(pattern: Pattern) -> tuple[int, ...]:
    """Columns of the blocks that come after the whole ones, each at most once."""
    return (2, 1) if pattern.columns == 4 else (1,)


@lru_cache(4096)
def plane_distance(pitch: int, used: int, rows: int) -> int:
    """The least distance between planes of `rows` rows, `used` words each and `pitch` apart, that share no word."""
    span = (rows - 1) * pitch + used
    for distance in range(used, span):
        apart = [count * distance for count in range(1, GROUP)]
        if all(words >= span or used <= words % pitch <= pitch - used for words in apart):
            return distance
    return span


@lru_cache(4096)
def _pattern_of(planes: Planes) -> Pattern | None:
    """The pattern with rows as close together as it can be; None where there is none."""
    pitch = next((pitch for pitch in _PITCHES if planes.row_words <= pitch), 0)
    if not pitch or planes.kernel[0] * planes.kernel[1] == 1:
        return None
    plain = Rounded(1, False, False, False)
    pattern = Pattern(planes.kernel, planes.stride, pitch, 1, 4, plain)
    if pattern.held and planes.kernel[0] > 1 and planes.stride == (1, 1):
        return replace(pattern, unit=2, columns=2) if planes.rows.outputs > 1 else None
    return pattern


def _designs(planes: Planes, rounded: Rounded) -> Iterator[SharedDesign]:
    found = _pattern_of(planes)
    if found is None:
        return
    outputs = planes.rows.outputs
    strips = [outputs]
    for strip in _STRIPS:
        while found.unit == 2 and outputs % strip == 1:
            strip += 2
        if strip < outputs and strip not in strips:
            strips.append(strip)
    roundings = (rounded,) if rounded.per_channel else (rounded, replace(rounded, shift=0))
    for one in roundings:
        for pitch in _PITCHES:
            if pitch >= found.row_words and (pitch == found.row_words or found.held):
                pattern = replace(found, row_words=pitch, rounded=one)
                for strip in strips:
                    yield SharedDesign(planes, pattern, strip)


@lru_cache(4096)
def _ways(planes: Planes, rounded: Rounded) -> tuple[Way, ...]:
    return tuple(design.way for design in _designs(planes, rounded))


def _ways_of(view: LayerView) -> tuple[Way, ...]:
    rounded, planes = Rounded.of(view), planes_of(view)
    return () if rounded is None or planes is None else _ways(planes, rounded)


def shared_design_of(view: LayerView, way: Way) -> SharedDesign:
    """The design that the way of the layer stands for."""
    rounded, planes = Rounded.of(view), planes_of(view)
    assert rounded is not None
    assert planes is not None
    return next(design for design in _designs(planes, rounded) if design.variant == way.variant)


DSP_DEPTHWISE_SHARED = Kernel(
    name=_NAME,
    flavour=Flavour.DSP,
    features=(
        "layers",
        "groups",
        "strips of groups",
        "rows taken apart",
        "quads of these",
        "words beside these",
        "sweeps of groups",
        "sweeps of channels",
        "units of rows",
        "known instructions with held weights",
        "known instructions with streamed weights",
        "blocks with held weights",
        "blocks with streamed weights",
        "rows filled",
        "words filled",
        "rows moved",
        "words moved",
    ),
    ways=_ways_of,
    code_terms={
        "ofa_dsp_depthwise_planes": ("function",),
        "ofa_dsp_split_any": ("function",),
        "dsp_depthwise_shared": ("function", "held instructions", "streamed instructions", "rows of blocks"),
    },
)
