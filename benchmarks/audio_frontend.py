"""The audio front-end: instructions of a column on every core, cycles on Cortex-M4, memory, and speed of the reference.

python benchmarks/audio_frontend.py
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.m4_timing import cycles_of, plugin, profile_command
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.resample import to_codes
from tests.kernels.toolchain import ARM_CORES, build
from tests.tasks.audio.device import emulate, frontend_flags, frontend_sources

COLUMNS_A_SECOND = 50


def sounds() -> dict[str, NDArray[np.int16]]:
    """A tenth of a second and a little each: silence, noise, full-scale noise."""
    rng = np.random.default_rng(0)
    return {
        "silence": np.zeros(2080, np.int16),
        "noise": rng.normal(0, 1000, 2080).astype(np.int16),
        "full-scale noise": rng.integers(-32768, 32768, 2080).astype(np.int16),
    }


def instructions(core: str, folder: Path) -> tuple[int, int]:
    """The fewest and the most instructions of a column; the bytes are checked on the way."""
    counts = []
    for sound in sounds().values():
        codes, count = emulate(core, sound, folder)
        assert np.array_equal(codes, to_codes(features(sound[None]))[0, ..., 0])
        counts += count.tolist()
    return min(counts), max(counts)


def sizes(core: str, folder: Path) -> tuple[int, int, int]:
    """Bytes of code and of tables, and the stack of the three deepest functions."""
    code = tables = 0
    for source in frontend_sources():
        target = folder / f"{source.stem}.o"
        flags = (*ARM_CORES[core], *frontend_flags(), "-std=gnu11", "-ffunction-sections", "-fstack-usage", "-c")
        build("arm-none-eabi-gcc", flags, source, "-o", target)
        listed = build("arm-none-eabi-size", ("-A",), target)
        for section, size in re.findall(r"^\.(text|rodata)\S*\s+(\d+)", listed, re.MULTILINE):
            code, tables = code + int(size) * (section == "text"), tables + int(size) * (section == "rodata")
    stack = [int(line.split("\t")[1]) for path in folder.glob("*.su") for line in path.read_text().splitlines()]
    return code, tables, sum(sorted(stack)[-3:])


def cortex_m4_cycles(folder: Path) -> tuple[int, int]:
    """Instructions and cycles of a column of noise, no wait states."""
    library, out = plugin(folder), folder / "profile"
    emulate(
        "cortex-m4",
        sounds()["noise"],
        folder,
        options=lambda program: profile_command(library, program, "ofa_frontend_push", "test_emit", out),
    )
    return cycles_of(folder / "frontend.elf", out)


def main() -> None:
    """Print the tables."""
    print("| core | instructions a column | million a second | code, B | tables, B | stack at most, B |")
    print("| --- | --- | --- | --- | --- | --- |")
    for core in ARM_CORES:
        with tempfile.TemporaryDirectory() as name:
            least, most = instructions(core, Path(name))
            code, tables, stack = sizes(core, Path(name))
        second = most * COLUMNS_A_SECOND / 1e6
        print(f"| {core} | {least:,} to {most:,} | {second:.2f} | {code:,} | {tables:,} | {stack} |")
    with tempfile.TemporaryDirectory() as name:
        count, cycles = cortex_m4_cycles(Path(name))
    print(f"\nCortex-M4: {count:,} instructions of a column of noise are {cycles:,} cycles by Arm's published timing")
    clips = np.random.default_rng(0).normal(0, 1000, (500, 16_000)).astype(np.int16)
    begin = time.process_time()
    features(clips)
    print(f"numpy reference: {(time.process_time() - begin) * 10:.1f} s of one core for 5,000 clips of one second")


if __name__ == "__main__":
    main()
