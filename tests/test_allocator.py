"""Memory that is asked for again and again is mapped once."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from ofa_mcu.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    raise SystemExit("not this C library")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(200):
    np.empty(48 << 20, np.uint8)[::4096] = 1
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_stays_mapped() -> None:
    def faults(how: str) -> int:
        run = subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True)
        if "not this C library" in run.stderr:
            pytest.skip("this C library has no such settings")
        assert run.returncode == 0, run.stderr
        return int(run.stdout)

    # At least 200 * 24 where pages are huge; what stays mapped may begin and end with a thousand small ones.
    assert faults("kept") < faults("mapped anew each time") / 2
