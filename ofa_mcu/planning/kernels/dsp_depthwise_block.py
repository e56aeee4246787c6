"""What the DSP depthwise kernel computes side by side: the order of loads and multiplications of a block of outputs.

A block is one or two rows by a few columns of outputs of one channel, starting at an even pixel. Each row of pixels it
reaches over is read once. Few weights stay in registers; many are read with each block, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["REACH", "Block", "LoadPixels", "LoadWeights", "Product", "Step", "weight_words"]

REACH = 255
"""Words that LDRD reaches from its base."""

HELD_WORDS = 6
"""Words of weights that stay in registers, at most."""

_REGISTERS = 14


@dataclass(frozen=True)
class LoadPixels:
    """Words `word` .. `word + count - 1` of row `row`."""

    row: int
    word: int
    count: int


@dataclass(frozen=True)
class LoadWeights:
    """`count` words of weights, the first being number `index`."""

    index: int
    count: int


@dataclass(frozen=True)
class Product:
    """To output number `output`: pixels of word `word` times weights of word `index`.

    `kind` is D for both halves; else T or B for a half of the pixels and T or B for one of the weights.
    """

    output: int
    word: int
    index: int
    kind: str


Step = LoadPixels | LoadWeights | Product


@lru_cache(256)
def weight_words(taps: int, stride: int, held_rows: int) -> tuple[tuple[tuple[int, int | None], ...], ...]:
    """For each of `held_rows` rows of taps its words of weights: the taps in their low and high halves."""
    pairs = [(tap, tap + 1) for tap in range(taps - 1) if stride == 1 or tap % 2 == 0]
    if taps == 1 or (stride == 2 and taps % 2):
        return (((*pairs, (taps - 1, None))),) * held_rows
    return (tuple(pairs),) * held_rows


@dataclass(frozen=True)
class Block:
    """`rows` x `columns` outputs of a kernel `kernel` with strides `stride`; pixels of a row follow `row_words` apart.

    `held`: weights stay in registers, but for the last two words where `reload`.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    rows: int
    columns: int
    held: bool
    reload: bool = False

    @property
    def outputs(self) -> int:
        """Outputs of the block."""
        return self.rows * self.columns

    @property
    def words_per_row(self) -> int:
        """Words of weights of a row of taps."""
        return len(weight_words(self.kernel[1], self.stride[1], 1)[0])

    def products(self, row: int) -> list[Product]:
        """Everything that multiplies pixels of that row, in the order of the pixels."""
        words = weight_words(self.kernel[1], self.stride[1], 1)[0]
        pair_of = {low: index for index, (low, high) in enumerate(words) if high is not None}
        half_of = {tap: (index, half) for index, pair in enumerate(words) for half, tap in zip("BT", pair, strict=True)}
        found = []
        for out_row in range(self.rows):
            tap_row = row - out_row * self.stride[0]
            if not 0 <= tap_row < self.kernel[0]:
                continue
            base = tap_row * len(words)
            for column in range(self.columns):
                output = out_row * self.columns + column
                first = column * self.stride[1]
                tap = 0
                while tap < self.kernel[1]:
                    pixel = first + tap
                    if pixel % 2 == 0 and tap in pair_of:
                        found.append(Product(output, pixel // 2, base + pair_of[tap], "D"))
                        tap += 2
                    else:
                        index, half = half_of[tap]
                        found.append(Product(output, pixel // 2, base + index, "BT"[pixel % 2] + half))
                        tap += 1
        return sorted(found, key=lambda product: product.word)

    @property
    def pixel_rows(self) -> int:
        """Rows of pixels that it reaches over."""
        return (self.rows - 1) * self.stride[0] + self.kernel[0]

    def steps(self) -> tuple[Step, ...]:
        """Loads and multiplications in order."""
        return _steps(self)


def _pairs(numbers: Iterable[int], first: int = 0) -> list[tuple[int, ...]]:
    """Numbers to be read two at once where they are an even and the next odd one, counted from `first`."""
    wanted = sorted(numbers)
    found: list[tuple[int, ...]] = []
    for number in wanted:
        if found and len(found[-1]) == 1 and found[-1][0] == number - 1 and (number - first) % 2:
            found[-1] = (number - 1, number)
        else:
            found.append((number,))
    return found


@lru_cache(1024)
def _steps(block: Block) -> tuple[Step, ...]:
    steps: list[Step] = []
    per_row = block.words_per_row
    by_pixels = block.held or block.outputs + per_row + 4 <= _REGISTERS
    reloaded = per_row * block.kernel[0] - 2 if block.reload else -1
    for row in range(block.pixel_rows):
        products = block.products(row)
        used = {product.index for product in products}
        words = {product.word for product in products}
        pixels = {word: pair for pair in _pairs(words, min(words)) for word in pair}
        if 0 <= reloaded <= max(used):
            steps.append(LoadWeights(reloaded, 2))
            reloaded = -1
        parts = [products]
        if not block.held:
            weights = _pairs(used)
            if by_pixels:
                steps += [LoadWeights(pair[0], len(pair)) for pair in weights]
            else:
                parts = [[product for product in products if product.index in pair] for pair in weights]
        loaded: set[int] = set()
        for part in parts:
            for at, product in enumerate(part):
                if product.word not in loaded:
                    pair = pixels[product.word]
                    steps.append(LoadPixels(row, pair[0], len(pair)))
                    loaded.update(pair)
                if at == 0 and not block.held and not by_pixels:
                    both = sorted({each.index for each in part})
                    steps.append(LoadWeights(both[0], len(both)))
                steps.append(product)
    return tuple(steps)
