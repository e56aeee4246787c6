"""The front-end: integers against slow arithmetic, against floating point, and C against numpy byte for byte."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ofa_mcu.codegen.frontend_tables import TABLES_FILE, tables_c
from ofa_mcu.resources import resource
from ofa_mcu.tasks.audio import tables as t
from ofa_mcu.tasks.audio.frontend import features, frames_of, log_energies, power_spectrum
from ofa_mcu.tasks.resample import to_codes
from tests.codegen.emulation import MICROBIT, needs_emulator
from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, needs_arm
from tests.tasks.audio.device import (
    emulate,
    extreme_clips,
    frontend_flags,
    frontend_sources,
    host_columns,
    host_program,
)
from tests.tasks.audio.float_mfcc import cepstra

SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CLIP = 480 + 2 * 320


@pytest.fixture(scope="module", params=["plain", "halves", "sanitized", "sanitized halves"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = SANITIZED if "sanitized" in request.param else ()
    halves = ("-DOFA_NO_LONG_MULTIPLY=1",) if "halves" in request.param else ()
    return host_program(tmp_path_factory.mktemp("frontend"), *options, *halves)


def speech_like(count: int, length: int = 16_000, seed: int = 0) -> NDArray[np.int16]:
    """Harmonics under a moving envelope, over noise: clips (N, S) with the dynamic range of speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(length) / 16_000
    out = np.empty((count, length), np.int16)
    for row in out:
        pitch = rng.uniform(80, 300) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 5) * time))
        phase = 2 * np.pi * np.cumsum(pitch) / 16_000
        formants = rng.uniform(300, 3500, 3)
        sound = np.zeros(length)
        for harmonic in range(1, 40):
            near = np.exp(-(((harmonic * 150 - formants) / 300) ** 2)).sum() + 0.01
            sound += near * np.sin(harmonic * phase)
        envelope = np.exp(-(((time - rng.uniform(0.2, 0.6)) / 0.15) ** 2))
        sound = sound * envelope * 10 ** rng.uniform(2, 4) + rng.normal(0, 10 ** rng.uniform(0, 2), length)
        row[:] = np.clip(np.rint(sound), -32768, 32767)
    return out


def slow_power(frame: NDArray[np.int16]) -> list[int]:
    """Bins 1 .. 127 with Python's integers, recursively: decimation in time by four, as the definition has it."""
    table = t.tables()
    values = [(int(x) * int(w)) >> 2 for x, w in zip(frame, table.window, strict=True)] + [0] * 32
    turns = [(int(c), int(s)) for c, s in table.twiddles]

    def turned(z: tuple[int, int], turn: tuple[int, int]) -> tuple[int, int]:
        (x, y), (c, s) = z, turn
        return (x * c >> 16) + (y * s >> 16), (y * c >> 16) - (x * s >> 16)

    def transform(z: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if len(z) == 1:
            return z
        parts = [transform(z[q::4]) for q in range(4)]
        quarter = len(z) // 4
        out = [(0, 0)] * len(z)
        for j in range(quarter):
            if quarter == 1:
                four = [part[j] for part in parts]
            else:
                step = j * (256 // len(z))
                four = [(parts[0][j][0] >> 2, parts[0][j][1] >> 2)]
                four += [turned(parts[q][j], turns[q * step]) for q in (1, 2, 3)]
            for k in range(4):
                rotated = [(x, y) for x, y in four]
                for q in range(4):
                    x, y = four[q]
                    rotated[q] = ((x, y), (y, -x), (-x, -y), (-y, x))[q * k % 4]
                out[j + k * quarter] = (sum(x for x, _ in rotated), sum(y for _, y in rotated))
        return out

    z = transform([(values[2 * n], values[2 * n + 1]) for n in range(256)])
    found = []
    for k in range(1, 128):
        (a, ai), (b, bi) = ((x >> 2, y >> 2) for x, y in (z[k], z[256 - k]))
        x, y = turned((ai + bi, b - a), (int(table.split[k - 1, 0]), int(table.split[k - 1, 1])))
        x, y = (x + (a + b >> 2)) >> t.SPECTRUM_SHIFT, (y + (ai - bi >> 2)) >> t.SPECTRUM_SHIFT
        found.append(x * x + y * y)
    return found


@pytest.mark.parametrize("name", extreme_clips(480))
def test_the_spectrum_equals_slow_arithmetic(name: str) -> None:
    frame = extreme_clips(480)[name]
    assert power_spectrum(frame[None])[:, 0].tolist() == slow_power(frame)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 30, 1000, 30000]))
@settings(max_examples=15)
def test_the_spectrum_of_noise_equals_slow_arithmetic(seed: int, level: int) -> None:
    frame = np.random.default_rng(seed).integers(-level, level + 1, 480).astype(np.int16)
    assert power_spectrum(frame[None])[:, 0].tolist() == slow_power(frame)


@given(arrays.arrays(np.int64, (127, 2), elements=st.integers(0, 2**42)))
@settings(max_examples=30)
def test_logarithms_equal_those_of_big_numbers(power: NDArray[np.int64]) -> None:
    """Within two steps of 1/256 octave of the true logarithm of sums taken with Python's integers."""
    table, found = t.tables(), log_energies(power.astype(np.float64))
    assert found.shape == (40, 2)
    first = 1
    rising_before: list[int] = [0, 0]
    for interval, end in enumerate(table.ends.tolist()):
        bins = range(first, end)
        rising = [sum(int(power[k - 1, f]) * int(table.rising[k - 1]) for k in bins) for f in (0, 1)]
        whole = [sum(int(power[k - 1, f]) for k in bins) for f in (0, 1)]
        if interval:
            for f in (0, 1):
                energy = ((rising_before[f] + 4096 * whole[f] - rising[f]) >> t.MEL_SHIFT) + 2**t.LOG_FLOOR_BITS
                assert abs(found[interval - 1, f] + t.LOG_CENTRE - 256 * math.log2(energy)) <= 0.6
        first, rising_before = end, rising
    assert first == 128


def test_no_value_leaves_the_range_that_floats_hold_exactly() -> None:
    for clip in extreme_clips(4800).values():
        power = power_spectrum(frames_of(clip[None])[0])
        assert power.min() >= 0 and power.sum(axis=0).max() < 2**50
        logs = log_energies(power) + t.LOG_CENTRE
        assert logs.min() >= (t.LOG_FLOOR_BITS << t.LOG_BITS) and logs.max() < 54 << t.LOG_BITS


def test_fixed_point_keeps_what_floating_point_says() -> None:
    """Before they become bytes, coefficients are those of floating point to a fraction of a byte's step."""
    clips = speech_like(40)
    wanted = cepstra(clips)
    step, centre = np.array(t._STEPS), np.array(t._CENTRES)
    found = features(clips)[..., 0].astype(np.float64)
    exact = np.clip((wanted - centre) / step + 128, 0, 255)
    error = found - exact
    assert np.sqrt((error**2).mean(axis=(0, 1))).max() < 0.3, "a byte's rounding alone is 0.289"
    assert np.abs(error).max() < 1.2
    for i in range(10):
        assert np.corrcoef(found[..., i].ravel(), exact[..., i].ravel())[0, 1] > 0.9998


@pytest.mark.slow
def test_real_speech_fills_the_bytes(data_dir: Path) -> None:
    from ofa_mcu.tasks.audio.speech_commands import read_packed

    clips = read_packed(data_dir / "kws_gsc1_en", extra=False).clips[::20]
    found = features(clips)[..., 0]
    at_ends = ((found == 0) | (found == 255)).mean(axis=(0, 1))
    assert at_ends.max() < 0.005
    assert found.std(axis=(0, 1)).min() > 20
    exact = np.clip((cepstra(clips) - np.array(t._CENTRES)) / np.array(t._STEPS) + 128, 0, 255)
    assert min(np.corrcoef(found[..., i].ravel(), exact[..., i].ravel())[0, 1] for i in range(10)) > 0.9998


def test_a_second_gives_forty_nine_columns() -> None:
    assert features(np.zeros((2, 16_000), np.int16)).shape == (2, 49, 10, 1)
    assert features(np.zeros((2, 479), np.int16)).shape == (2, 0, 10, 1)
    assert features(np.zeros((0, 16_000), np.int16)).shape == (0, 49, 10, 1)


def test_blocks_do_not_show() -> None:
    clips = speech_like(7)
    together = features(clips)
    for i in range(7):
        assert np.array_equal(features(clips[i : i + 1])[0], together[i])


def test_extremes_are_equal_on_the_host(program: Path) -> None:
    clips = np.stack(list(extreme_clips(16_000).values()))
    assert np.array_equal(host_columns(program, clips), to_codes(features(clips))[..., 0])


def test_speech_is_equal_on_the_host(program: Path) -> None:
    clips = speech_like(20, seed=1)
    assert np.array_equal(host_columns(program, clips), to_codes(features(clips))[..., 0])


@given(
    st.one_of(
        arrays.arrays(
            np.int16, (3, CLIP), elements=st.integers(-32768, 32767), fill=st.sampled_from([0, -32768, 32767])
        ),
        st.builds(
            lambda seed, bits: np.random.default_rng(seed).integers(-(2**bits), 2**bits, (3, CLIP)).astype(np.int16),
            st.integers(0, 2**32 - 1),
            st.integers(0, 15),
        ),
    )
)
@settings(max_examples=40)
def test_any_sound_is_equal_on_the_host(program: Path, clips: NDArray[np.int16]) -> None:
    assert np.array_equal(host_columns(program, clips), to_codes(features(clips))[..., 0])


def test_the_tables_of_the_firmware_are_those_of_the_reference() -> None:
    assert (resource("firmware") / TABLES_FILE).read_text() == tables_c()


def test_the_constants_of_the_firmware_are_those_of_the_reference() -> None:
    folder = resource("firmware") / "lib" / "ofa_frontend"
    text = "".join(path.read_text() for path in sorted(folder.rglob("*.[ch]")))
    found = dict(re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE))
    names = ("BINS", "FILTERS", "SPECTRUM_SHIFT", "MEL_BITS", "MEL_SHIFT", "LOG_FLOOR_BITS", "LOG_BITS", "OUTPUT_SHIFT")
    assert {name: int(found[name]) for name in names} == {name: getattr(t, name) for name in names}
    assert int(found["OFA_FRONTEND_RATE"]) == t.SAMPLE_RATE and int(found["OFA_FRONTEND_HOP"]) == t.HOP
    assert int(found["OFA_FRONTEND_COLUMNS"]) == t.COLUMNS
    assert int(found["OFA_FRONTEND_COEFFICIENTS"]) == t.COEFFICIENTS
    assert int(found["OFA_FRONTEND_OVERLAP"]) == t.WINDOW - t.HOP


def test_a_stream_begins_in_silence_and_goes_on(tmp_path: Path) -> None:
    """A zero structure and a beginning without samples are silence before; the header is C++, too."""
    source = tmp_path / "main.cpp"
    source.write_text(
        """
        #include <cstring>
        #include "ofa_frontend.h"
        int main()
        {
            static ofa_frontend zero, begun;
            int16_t samples[OFA_FRONTEND_HOP];
            int32_t scratch[OFA_FRONTEND_SCRATCH];
            int8_t first[OFA_FRONTEND_COEFFICIENTS], second[OFA_FRONTEND_COEFFICIENTS];
            for (int i = 0; i < OFA_FRONTEND_HOP; ++i) {
                samples[i] = (int16_t)(i * 37 % 2000 - 1000);
            }
            ofa_frontend_push(&begun, samples, scratch, first);
            ofa_frontend_begin(&begun, nullptr);
            ofa_frontend_push(&begun, samples, scratch, first);
            std::memset(scratch, 0x5a, sizeof scratch);
            ofa_frontend_push(&zero, samples, scratch, second);
            return std::memcmp(first, second, sizeof first);
        }
        """
    )
    objects = [tmp_path / f"{path.stem}.o" for path in frontend_sources()]
    for path, target in zip(frontend_sources(), objects, strict=True):
        build("gcc", (*frontend_flags(), "-std=c11", "-c"), path, "-o", target)
    build("g++", (*frontend_flags(), "-std=c++17"), source, *objects, "-o", tmp_path / "main")
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


@needs_arm
@pytest.mark.parametrize("core", ARM_CORES)
def test_the_library_has_no_data_and_no_foreign_calls(core: str, tmp_path: Path) -> None:
    flags = (*ARM_CORES[core], *frontend_flags(), "-std=gnu11", *WARNINGS, "-fstack-usage", "-c")
    objects = [tmp_path / f"{source.stem}.o" for source in frontend_sources()]
    for source, target in zip(frontend_sources(), objects, strict=True):
        build("arm-none-eabi-gcc", flags, source, "-o", target)
    called = set(re.findall(r" U (\S+)", build("arm-none-eabi-nm", (), "--undefined-only", *objects)))
    helpers = {"memcpy", "memmove", "memset"} | ({"__aeabi_lmul", "__clzsi2"} if core == "cortex-m0plus" else set())
    assert {name for name in called if not name.startswith("ofa_")} <= helpers
    sizes = build("arm-none-eabi-size", ("-A",), *objects)
    assert not [size for size in re.findall(r"^\.(?:data|bss)\S*\s+(\d+)", sizes, re.MULTILINE) if int(size)]
    stack = [int(line.split("\t")[1]) for path in tmp_path.glob("*.su") for line in path.read_text().splitlines()]
    assert sum(sorted(stack)[-3:]) <= 512, "no chain of calls is longer"


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", ARM_CORES)
def test_emulated_cores_compute_the_same_bytes(core: str, tmp_path: Path) -> None:
    clip = np.concatenate([speech_like(1, 9600)[0], *extreme_clips(1600).values()])
    codes, instructions = emulate(core, clip, tmp_path)
    assert np.array_equal(codes, to_codes(features(clip[None]))[0, ..., 0])
    assert 0 < instructions.min() <= instructions.max() < 1_000_000


@needs_emulator
@pytest.mark.slow
def test_a_core_without_long_products_computes_the_same_bytes(tmp_path: Path) -> None:
    """microbit has a Cortex-M0 and stops at an instruction it lacks."""
    clip = np.concatenate([speech_like(1, 3200)[0], *extreme_clips(480).values()])
    codes, _ = emulate("cortex-m0plus", clip, tmp_path, MICROBIT)
    assert np.array_equal(codes, to_codes(features(clip[None]))[0, ..., 0])
