"""How a convolution for M-profile vectors gets at its windows, in numbers that its instructions grow with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ofa_mcu.planning.kernels.mve_dots import VECTOR

__all__ = ["BLOCK_FEATURES", "BORDER_WINDOWS", "ROW_FEATURES", "Windows"]

BORDER_WINDOWS = 4
"""Windows gathered at a time where others are read where they lie."""

BLOCK_FEATURES = (
    "convolution",
    "rows gathered from",
    "runs of windows",
    "windows",
    "rows of windows",
    "long rows of windows",
    "vectors of long rows",
    "windows on the border",
    "vectors cleared",
    "rows of border windows",
    "rows inside of border windows",
    "vectors of these",
    "blocks of windows",
)
"""Of windows that are gathered a block at a time."""

ROW_FEATURES = (
    "convolution",
    "rows",
    "runs",
    "groups on the border",
    "windows above and below",
    "windows beside",
    "rows gathered",
    "rows of padding gathered",
)
"""Of windows whose rows are read where they lie, only those on the border being gathered."""


@dataclass(frozen=True)
class Windows:
    """Windows of a convolution; all pairs are (vertical, horizontal), `source` is (height, width, channels)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    source: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def row_vectors(self) -> int:
        """Vectors of a row of a window."""
        return -(-self.kernel[1] * self.source[2] // VECTOR)

    def _covered(self, axis: int) -> list[int]:
        """For every output position of the axis, how many rows or columns of its window lie inside the input."""
        kernel, stride, before = self.kernel[axis], self.stride[axis], self.before[axis]
        starts = range(-before, self.target[axis] * stride - before, stride)
        return [max(min(start + kernel, self.source[axis]) - max(start, 0), 0) for start in starts]

    @cached_property
    def rows(self) -> list[int]:
        """Rows inside the input of the windows of every row of outputs."""
        return self._covered(0)

    @cached_property
    def columns(self) -> list[int]:
        """Columns inside the input of the windows of every column of outputs."""
        return self._covered(1)

    @cached_property
    def _inside(self) -> tuple[int, int, int]:
        """Rows of outputs with windows inside the input, columns of them, columns before the first of these."""
        columns = [covered == self.kernel[1] for covered in self.columns]
        return (
            sum(covered == self.kernel[0] for covered in self.rows),
            sum(columns),
            columns.index(True) if any(columns) else 0,
        )

    def by_blocks(self, block: int, vectors: int) -> tuple[float, ...]:
        """Numbers named by `BLOCK_FEATURES` for so many windows at a time, so many vectors each."""
        width, channels = self.target[1], self.source[2]
        _, inside, left = self._inside
        runs = 0
        for row, covered in enumerate(self.rows):
            if covered == self.kernel[0] and inside:
                start = row * width + left
                runs += (start + inside - 1) // block - start // block + 1
        whole = self._inside[0] * inside
        border = self.target[0] * width - whole
        real = [-(-covered * channels // VECTOR) for covered in self.columns]
        at_side = [size for size, covered in zip(real, self.columns, strict=True) if covered < self.kernel[1]]
        copied_rows = copied = 0
        for covered in self.rows:
            copies = at_side if covered == self.kernel[0] else real
            copied_rows += covered * sum(size > 0 for size in copies)
            copied += covered * sum(copies)
        rows = whole * self.kernel[0]
        long_rows = rows if self.row_vectors > 1 else 0
        return (
            1,
            self.target[0],
            runs,
            whole,
            rows - long_rows,
            long_rows,
            long_rows * self.row_vectors,
            border,
            border * vectors,
            border * self.kernel[0],
            copied_rows,
            copied,
            -(-self.target[0] * width // block),
        )

    def _groups(self) -> Iterator[tuple[int, int]]:
        """(number, windows) of the groups gathered in a row of outputs beside windows inside the input."""
        _, inside, left = self._inside
        for part in (left, self.target[1] - left - inside):
            yield from _divided(part)

    def by_rows(self) -> tuple[float, ...]:
        """Numbers named by `ROW_FEATURES`."""
        rows_inside, inside, _ = self._inside
        whole = rows_inside if inside else 0
        outside = self.target[0] - whole
        beside = whole * (self.target[1] - inside)
        groups = whole * sum(count for count, _ in self._groups())
        groups += outside * sum(count for count, _ in _divided(self.target[1]))
        gathered = 0
        for covered in self.rows:
            within = inside if covered == self.kernel[0] else 0
            gathered += covered * (self.target[1] - within)
        windows = outside * self.target[1]
        return (
            1,
            self.target[0],
            whole,
            groups,
            windows,
            beside,
            gathered,
            (windows + beside) * self.kernel[0] - gathered,
        )

    def calls_by_rows(self) -> tuple[tuple[int, int], ...]:
        """(number, windows) of the calls of a function of dot products."""
        rows_inside, inside, _ = self._inside
        whole = rows_inside if inside else 0
        calls: Counter[int] = Counter()
        for count, size in _divided(self.target[1]):
            calls[size] += (self.target[0] - whole) * count
        if whole:
            calls[inside] += whole
            for count, size in self._groups():
                calls[size] += whole * count
        return tuple((count, size) for size, count in calls.items() if count)


def _divided(windows: int) -> Iterator[tuple[int, int]]:
    """(number, windows) of the groups gathered of so many."""
    if windows >= BORDER_WINDOWS:
        yield windows // BORDER_WINDOWS, BORDER_WINDOWS
    if windows % BORDER_WINDOWS:
        yield 1, windows % BORDER_WINDOWS
