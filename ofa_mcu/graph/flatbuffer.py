"""Tables and vectors of the flatbuffers binary format, written and read by slot number, without a schema compiler.

The format: https://flatbuffers.dev/internals/. A table starts with the distance to its vtable, which holds the
position of every field inside the table; references are distances forward. All numbers are little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import calcsize, pack, unpack_from
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["FlatBuilder", "FlatTable"]


_SIZES = {code: calcsize(f"<{code}") for code in "iIfbB?"}
_LARGEST_ALIGNMENT = 16


def _narrowness(field: tuple[int, str, float, float]) -> int:
    return -_SIZES[field[1]]


class FlatBuilder:
    """One buffer being written from its end to its start, so leaves come first.

    A method returns the offset by which later tables refer to what it wrote: its distance from the buffer's end,
    never 0, which stands for "absent". Equal vectors of scalars, equal strings and equal vtables are stored once.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._vtables: dict[bytes, int] = {}
        self._shared: dict[tuple[str, bytes], int] = {}

    def table(self, offsets: Sequence[tuple[int, int]], scalars: Sequence[tuple[int, str, float, float]] = ()) -> int:
        """A table of offset fields (slot, offset) and scalar fields (slot, type, value, default).

        A type is a struct format of four bytes (i, I, f) or one (b, B, ?). Fields at their default take no room.
        """
        references = [field for field in offsets if field[1]]
        numbers = sorted((field for field in scalars if field[2] != field[3]), key=_narrowness)
        slots = [field[0] for field in references] + [field[0] for field in numbers]
        codes = "I" * len(references) + "".join([field[1] for field in numbers])
        sizes = [_SIZES[code] for code in codes]
        size = 4 + sum(sizes)
        self._align(4, size)
        start = self._size + size
        entries = [0] * (max(slots, default=-1) + 1)
        position = 4
        values = []
        for index, (slot, width) in enumerate(zip(slots, sizes, strict=True)):
            entries[slot] = position
            reference = index < len(references)
            values.append(start - position - references[index][1] if reference else numbers[index - len(references)][2])
            position += width
        vtable = pack(f"<{2 + len(entries)}H", 4 + 2 * len(entries), size, *entries)
        place = self._vtables.setdefault(vtable, start + len(vtable))
        self._put(pack(f"<i{codes}", place - start, *values))
        if place > start:
            self._put(vtable)
        return start

    def data(self, content: bytes, count: int, alignment: int) -> int:
        """A vector of `count` elements; its first byte is aligned to `alignment`, at least 4."""
        self._align(alignment, len(content))
        self._put(content)
        self._put(pack("<I", count))
        return self._size

    def scalars(self, values: NDArray[Any]) -> int:
        """A vector of numbers of the array's type."""
        content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (values.dtype.char, content)
        if key not in self._shared:
            self._shared[key] = self.data(content, values.size, max(values.itemsize, 4))
        return self._shared[key]

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of references to tables."""
        self._align(4, 0)
        start = self._size + 4 * len(offsets)
        content = pack(f"<{len(offsets)}I", *(start - 4 * index - offset for index, offset in enumerate(offsets)))
        return self.data(content, len(offsets), 4)

    def string(self, text: str) -> int:
        """A UTF-8 string."""
        content = text.encode()
        key = ("string", content)
        if key not in self._shared:
            self._shared[key] = self.data(content + b"\0", len(content), 4)
        return self._shared[key]

    def finish(self, root: int, identifier: bytes) -> bytes:
        """The finished buffer with `root` as its root table and a four-byte identifier."""
        self._align(_LARGEST_ALIGNMENT, 8)
        self._put(identifier)
        self._put(pack("<I", self._size + 4 - root))
        return b"".join(reversed(self._chunks))

    def _align(self, alignment: int, following: int) -> None:
        """Pads so that the start of the `following` bytes written next is aligned."""
        padding = -(self._size + following) % alignment
        if padding:
            self._put(bytes(padding))

    def _put(self, content: bytes) -> None:
        self._chunks.append(content)
        self._size += len(content)


class FlatTable:
    """One table of a buffer being read. Missing fields read as their default; nothing is copied but numbers.

    Reading a damaged buffer raises struct.error, IndexError, ValueError or OverflowError.
    """

    def __init__(self, buffer: bytes, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - int(self._read("i", position))
        self._vtable_size = int(self._read("H", self._vtable))

    @classmethod
    def root(cls, buffer: bytes) -> FlatTable:
        """The root table of a finished buffer."""
        return cls(buffer, unpack_from("<I", buffer, 0)[0])

    def scalar(self, slot: int, code: str, default: int = 0) -> int:
        """A number; `code` is its struct format: b, B, i, I, ?."""
        position = self._field(slot)
        return self._read(code, position) if position else default

    def real(self, slot: int, default: float = 0.0) -> float:
        """A float32 number."""
        position = self._field(slot)
        return float(unpack_from("<f", self._buffer, position)[0]) if position else default

    def string(self, slot: int) -> str:
        """A string, empty where absent."""
        start, size = self._vector(slot)
        return self._buffer[start : start + size].decode()

    def table(self, slot: int) -> FlatTable | None:
        """A nested table, None where absent."""
        position = self._field(slot)
        return FlatTable(self._buffer, position + self._read("I", position)) if position else None

    def tables(self, slot: int) -> list[FlatTable]:
        """A vector of tables, empty where absent."""
        start, count = self._vector(slot)
        references = unpack_from(f"<{count}I", self._buffer, start)
        return [FlatTable(self._buffer, start + 4 * index + offset) for index, offset in enumerate(references)]

    def numbers(self, slot: int, dtype: DTypeLike) -> NDArray[Any]:
        """A read-only vector of numbers, empty where absent."""
        start, count = self._vector(slot)
        return np.frombuffer(self._buffer, np.dtype(dtype).newbyteorder("<"), count, start)

    def _read(self, code: str, position: int) -> int:
        if position < 0:
            raise IndexError("offset outside the buffer")
        return int(unpack_from(f"<{code}", self._buffer, position)[0])

    def _field(self, slot: int) -> int:
        """Absolute position of the field, 0 where it is absent."""
        entry = 4 + 2 * slot
        offset = self._read("H", self._vtable + entry) if entry < self._vtable_size else 0
        return self._position + offset if offset else 0

    def _vector(self, slot: int) -> tuple[int, int]:
        """Absolute position of a vector's first element, and how many it has."""
        position = self._field(slot)
        if not position:
            return 0, 0
        start = position + self._read("I", position)
        return start + 4, self._read("I", start)
