"""How many requests may be under way at a time: fewer where lines get lost, more again where none does."""

from __future__ import annotations

__all__ = ["Window"]


class Window:
    """Additive increase, multiplicative decrease (Chiu and Jain, Computer Networks and ISDN Systems 17, 1989).

    It begins at one; `limit` is what the device bears.
    """

    def __init__(self) -> None:
        self.limit = 1
        self._size = 1.0

    @property
    def size(self) -> int:
        """Requests that may be under way, 1..limit."""
        return int(self._size)

    def open(self, limit: int) -> None:
        """The device bears `limit` of them: begin with all."""
        self.limit = max(limit, 1)
        self._size = float(self.limit)

    def answered(self) -> None:
        """A request was answered: one more after as many as there may be."""
        self._size = min(self._size + 1 / self._size, float(self.limit))

    def lost(self) -> None:
        """A line was garbled or lost: half as many."""
        self._size = max(self._size / 2, 1.0)

    def silent(self) -> None:
        """Nothing came any more: one at a time."""
        self._size = 1.0
