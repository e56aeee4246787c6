"""Large arrays without page faults: memory that was freed stays with the process."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

__all__ = ["keep_freed_memory"]

# of malloc.h, glibc
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_LARGE, _STEP = 1 << 30, 1 << 26


@cache
def keep_freed_memory() -> bool:
    """Whether the C library took it: arrays up to 1 GB then come from memory that is already mapped. Threads that begin
    later share it; memory of their own would be given back.

    By default glibc maps every array above 32 MB anew, and gives back what lies free at the end of its memory; the
    kernel clears each page again. Training and inference allocate the same sizes over and over, and spend up to a
    tenth of their time on that. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    settings = ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE), (_TOP_PAD, _STEP), (_ARENA_MAX, 1))
    return mallopt is not None and all(mallopt(name, value) for name, value in settings)
