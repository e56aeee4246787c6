"""The generated functions of the DSP depthwise kernel, from shapes: what they do, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ofa_mcu.planning.kernels.base import Facts, LayerView, Rounding
from ofa_mcu.planning.kernels.dsp_depthwise_block import HELD_WORDS, REACH, Block, LoadPixels, weight_words
from ofa_mcu.planning.kernels.dsp_depthwise_shape import GROUP

__all__ = ["Pattern", "Rounded", "Split", "Sweep"]

_REGISTERS = 14
_NEAR = 4095
"""Bytes that loads and stores reach from their base."""


@dataclass(frozen=True)
class Rounded:
    """How sums become codes: one shift (0: one for each channel), a dead zone, clamps below and above."""

    shift: int
    dead_zone: bool
    clamp_low: bool
    clamp_high: bool

    @classmethod
    def of(cls, view: LayerView) -> Rounded | None:
        """None where no fast rounding is proved."""
        facts: Facts = view.facts
        if facts.rounding is Rounding.GENERAL:
            return None
        shift = facts.shift if facts.rounding is Rounding.UNIFORM else 0
        return cls(shift, view.dead_zone, facts.clamp_low, facts.clamp_high)

    @property
    def per_channel(self) -> bool:
        """Whether every channel has a shift of its own."""
        return self.shift == 0

    @property
    def header(self) -> tuple[str, ...]:
        """Words in front of a channel's weights."""
        words = ["bias", "multiplier", "offset"]
        if self.dead_zone:
            words.append("dead_zone")
        if self.per_channel:
            words.append("shift")
        if self.clamp_high:
            words.append("high")
        if self.clamp_low:
            words.append("low")
        return tuple(words)

    @property
    def instructions(self) -> int:
        """Instructions for the code of one output, its store included."""
        return 3 + 2 * self.dead_zone + self.per_channel + 2 * self.clamp_low + 2 * self.clamp_high

    @property
    def loads(self) -> int:
        """Loads of constants for a block."""
        return 2 + self.dead_zone + self.per_channel + self.clamp_low + self.clamp_high


@dataclass(frozen=True)
class Split:
    """The function that takes rows of four channels apart.

    `width` pixels of `pitch` bytes, the first being number `left` of the padded row; rows follow `row_bytes` apart in
    the input and `row_words` in a plane, planes `plane_words`.
    """

    width: int
    pitch: int
    left: int
    row_bytes: int
    row_words: int
    plane_words: int
    unroll: int

    @property
    def lone_first(self) -> bool:
        """Whether the first pixel shares its word with padding."""
        return self.left % 2 == 1

    @property
    def quads(self) -> int:
        """Steps of four pixels."""
        return (self.width - self.lone_first) // 4

    @property
    def rest(self) -> int:
        """Pixels after these."""
        return (self.width - self.lone_first) % 4

    @property
    def unrolled(self) -> int:
        """Quads in one turn of the loop along a row; 0: all of them, without a loop."""
        if self.quads <= self.unroll:
            return 0
        return next(count for count in range(self.unroll, 0, -1) if self.quads % count == 0)

    @property
    def turns(self) -> int:
        """Turns of the loop along a row."""
        return self.quads // self.unrolled if self.unrolled else 0

    @cached_property
    def bases(self) -> tuple[int, ...]:
        """Where pointers into the planes stand, in words from the first plane's row, so that LDRD reaches."""
        span = 2 * (self.unrolled or self.quads) + 2
        if 3 * self.plane_words + span <= REACH:
            return (0,)
        if 3 * self.plane_words + span <= 2 * REACH:
            return (3 * self.plane_words // 2,)
        if self.plane_words + span <= REACH:
            return (0, 2 * self.plane_words)
        return (self.plane_words // 2, 2 * self.plane_words + self.plane_words // 2)

    def reaches(self, words: int) -> bool:
        """Whether STRD reaches so many words from its base."""
        return -REACH <= words < REACH

    def place(self, channel: int, word: int) -> tuple[int, int]:
        """The base and the words from it to a word of the row of a channel."""
        base = 0 if len(self.bases) == 1 else channel // 2
        return base, channel * self.plane_words + word - self.bases[base]

    @cached_property
    def spelled(self) -> tuple[int, int]:
        """Known instructions of the quads in the loop, or of all where there is none, and of the pixels around them."""
        quads = range(self.unrolled or self.quads)
        singles = sum(
            not self.reaches(self.place(channel, 2 * quad)[1] + 1) for channel in range(GROUP) for quad in quads
        )
        around = 11 * self.lone_first + 12 * (self.rest // 2) + 11 * (self.rest % 2)
        last = self.lone_first + 4 * len(quads)
        far = sum(pixel * self.pitch > _NEAR for pixel in range(self.lone_first, last))
        first = self.lone_first if self.unrolled else last
        around += sum(pixel * self.pitch > _NEAR for pixel in range(first, first + self.rest))
        return 20 * len(quads) + singles + far, around

    @property
    def row_instructions(self) -> int:
        """Known instructions of a row."""
        return self.spelled[0] * (self.turns or 1) + self.spelled[1]


@dataclass(frozen=True)
class Pattern:
    """What outputs are computed together: `unit` rows by `columns` of them; rows of pixels are `row_words` apart."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    row_words: int
    unit: int
    columns: int
    rounded: Rounded

    @property
    def words_per_row(self) -> int:
        """Words of weights of a row of taps."""
        return len(weight_words(self.kernel[1], self.stride[1], 1)[0])

    @property
    def weight_words(self) -> int:
        """Words of weights of a channel."""
        return self.kernel[0] * self.words_per_row

    @property
    def held(self) -> bool:
        """Whether weights stay in registers."""
        return self.weight_words <= HELD_WORDS

    @property
    def reload(self) -> bool:
        """Whether two words of the held weights are read again with each block, for want of registers."""
        sums = self.unit * self.columns
        constants = 4 if self.rounded.dead_zone else 2
        return self.held and self.weight_words >= 2 and self.weight_words + sums + constants + 2 > _REGISTERS

    @property
    def channel_words(self) -> int:
        """Words of constants of a channel."""
        return len(self.rounded.header) + self.weight_words

    def block(self, columns: int) -> Block:
        """A block so many columns wide."""
        return Block(self.kernel, self.stride, self.unit, columns, self.held, self.reload)

    def block_instructions(self, columns: int, first: int) -> int:
        """Instructions of a block that are known; its pixels start `first` words from the pointer."""
        count = 0
        for step in self.block(columns).steps():
            count += 1
            if isinstance(step, LoadPixels) and step.count == 2:
                count += first + step.row * self.row_words + step.word + 1 > REACH
        outputs = self.unit * columns
        return count + outputs * self.rounded.instructions + self.rounded.loads


@dataclass(frozen=True)
class Sweep(Pattern):
    """The function that computes rows of outputs of up to four channels from their planes.

    Rows have `outputs` outputs of `pitch` bytes; at most `unroll` blocks are spelled out in a turn.
    """

    outputs: int
    pitch: int
    row_bytes: int
    plane_words: int
    unroll: int

    @property
    def whole(self) -> int:
        """Whole blocks in a row."""
        return self.outputs // self.columns

    @property
    def rest(self) -> int:
        """Columns of the narrower block at the end of a row."""
        return self.outputs % self.columns

    @property
    def unrolled(self) -> int:
        """Blocks in one turn of the loop along a row; 0: all of them, without a loop."""
        if self.whole <= self.unroll:
            return 0
        return next(count for count in range(self.unroll, 0, -1) if self.whole % count == 0)

    @property
    def turns(self) -> int:
        """Turns of the loop along a row."""
        return self.whole // self.unrolled if self.unrolled else 0

    @property
    def blocks(self) -> tuple[int, ...]:
        """Columns of every block that the code spells out, in order."""
        return (self.columns,) * (self.unrolled or self.whole) + ((self.rest,) if self.rest else ())

    @cached_property
    def spelled(self) -> tuple[int, int]:
        """Known instructions of the blocks in the loop, or of all where there is none, and of those after it."""
        step = self.columns * self.stride[1] // 2
        spelled = self.unrolled or self.whole
        looped = sum(self.block_instructions(self.columns, i * step) for i in range(spelled))
        looped += self._far(0, spelled * self.columns)
        before = 0 if self.unrolled else self.whole
        after = self.block_instructions(self.rest, before * step) if self.rest else 0
        return looped, after + self._far(before * self.columns, self.rest)

    def _far(self, first: int, columns: int) -> int:
        """Stores to these columns that need an instruction more to reach."""
        places = (row * self.row_bytes + (first + i) * self.pitch for row in range(self.unit) for i in range(columns))
        return sum(place > _NEAR for place in places)

    @property
    def unit_instructions(self) -> int:
        """Known instructions of `unit` rows."""
        return self.spelled[0] * (self.turns or 1) + self.spelled[1]
