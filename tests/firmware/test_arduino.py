"""The Arduino side of the firmware, compiled on this computer against a shim of the Arduino API, behind a real pty."""

from __future__ import annotations

import os
import pty
import subprocess
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.framing import frame, parse
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.power_trace import read_trace
from ofa_mcu.devices.power_windows import by_channel
from ofa_mcu.devices.session import Session
from ofa_mcu.errors import DeviceError
from ofa_mcu.resources import resource
from tests.devices import tiny

SHIM = Path(__file__).parent / "arduino_shim"
FLAGS = ("-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware with the tiny model."""
    return firmware_program(tmp_path_factory.mktemp("arduino"), tiny.model_files())


def firmware_program(
    folder: Path,
    model: Mapping[str, str],
    kernels: Sequence[Path] = (),
    kernel_include: Path | None = None,
    defines: Sequence[str] = (),
) -> Path:
    """The firmware with a model as a program of this computer."""
    (folder / "model").mkdir()
    for name, text in model.items():
        (folder / "model" / name).write_text(text)
    source = resource("firmware") / "src"
    units = [
        ("gcc", "-std=gnu11", source / "protocol.c"),
        *(("gcc", "-std=gnu11", folder / "model" / name) for name in model if name.endswith(".c")),
        *(("gcc", "-std=gnu11", path) for path in kernels),
        ("g++", "-std=gnu++17", source / "hal_arduino.cpp"),
        ("g++", "-std=gnu++17", SHIM / "main.cpp"),
    ]
    objects = []
    for compiler, standard, unit in units:
        objects.append(folder / f"{unit.name}.o")
        include = [f"-I{path}" for path in (SHIM, source, folder, kernel_include) if path]
        board = '-DOFA_BOARD="shim board"'
        command = [compiler, standard, *FLAGS, board, *defines, *include, "-c", str(unit), "-o", str(objects[-1])]
        subprocess.run(command, check=True)
    subprocess.run(["g++", *FLAGS, *map(str, objects), "-o", str(folder / "firmware")], check=True)
    return folder / "firmware"


@contextmanager
def on_pty(program: Path) -> Iterator[str]:
    """Runs the program on a pseudo terminal; its name is a serial port's."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    process = subprocess.Popen([str(program)], stdin=ours, stdout=ours)
    os.close(ours)
    try:
        yield os.ttyname(theirs)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)


def test_measures_over_a_terminal(program: Path) -> None:
    data = tiny.inputs(4)
    with on_pty(program) as port, Link(port) as link:
        result = measure(link, data, tiny.outputs(data), model_crc32=tiny.CRC32)
    assert result.differing_bytes == 0
    assert (result.hello.board, result.hello.counter, result.hello.counter_hz) == ("shim_board", "micros", 1_000_000)
    assert result.hello.core_hz == 123_000_000
    assert (result.instructions, result.cycles) == (None, None)
    assert result.milliseconds is not None
    assert result.stack.reserved == 2048 and result.stack.spent  # frames of this computer are larger than a board's
    assert np.array_equal(result.outputs, tiny.outputs(data))


def test_a_second_conversation_works(program: Path) -> None:
    with on_pty(program) as port:
        for _ in range(2):
            with Link(port) as link:
                assert Session(link).hello.model == "tiny_model"


@pytest.mark.parametrize("define", ["-DSHIM_USB", "-DARDUINO_USB_CDC_ON_BOOT=1"])
def test_a_usb_port_has_no_speed(tmp_path: Path, define: str) -> None:
    program = firmware_program(tmp_path, tiny.model_files(), defines=[define])
    with on_pty(program) as port, Link(port) as link:
        assert Session(link).hello.baud is None
        assert link.baud == 115_200
        with pytest.raises(DeviceError, match="err range"):
            link.request("baud", "921600")


def test_it_tells_what_it_is(program: Path) -> None:
    with on_pty(program) as port, Link(port) as link:
        hello = Session(link).hello
    assert (hello.core_hz_basis, hello.caches, hello.runtime) == ("declared", "none", "compiled")
    assert (hello.kernels, hello.flags, hello.image_crc32) == (None, None, None)


@pytest.mark.parametrize(("declared", "told"), [(200_300_000, 200_300_000), (123_000_000, 200_000_000)])
def test_a_core_with_cycles_of_its_own_measures_its_clock(tmp_path: Path, declared: int, told: int) -> None:
    """It runs at 200 MHz: what is declared is told where it is as near as can be measured."""
    defines = ["-DOFA_CYCLES=ESP.getCycleCount", f"-DF_CPU={declared}ul", "-DSHIM_HZ=200000000u"]
    program = firmware_program(tmp_path, tiny.model_files(), defines=defines)
    data = tiny.inputs(2)
    with on_pty(program) as port, Link(port) as link:
        result = measure(link, data, tiny.outputs(data))
    hello = result.hello
    assert (hello.counter, hello.core_hz_basis, hello.counter_hz) == ("cycles", "measured", hello.core_hz)
    assert hello.core_hz is not None and abs(hello.core_hz - told) <= told / 100
    assert hello.core_hz == declared or told != declared
    assert result.cycles is not None


def test_a_pin_is_high_while_the_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a meter that samples it finds every inference."""
    pins = tmp_path / "pins"
    monkeypatch.setenv("SHIM_PINS", str(pins))
    program = firmware_program(tmp_path, tiny.model_files(), defines=["-DOFA_MARKER_PIN=PB12"])
    data = tiny.inputs(4)
    with on_pty(program) as port, Link(port) as link:
        result = measure(link, data, tiny.outputs(data), warmup=1, repeats=2)
    rows = [tuple(map(int, line.split())) for line in pins.read_text().splitlines()]
    assert {pin for _, pin, _ in rows} == {28}
    assert [level for _, _, level in rows] == [-1, 0, *[1, 0] * 7]
    spans = [end - begin for (begin, _, level), (end, _, _) in pairwise(rows) if level == 1]
    assert min(spans) >= 1000 * result.ticks.minimum
    trace = tmp_path / "meter.csv"
    levels = [level for _, _, level in rows[1:] for _ in range(20)]  # as if all took the same time: hosts may stall
    lines = [f"{time},{1000 + 4000 * level},{level}" for time, level in enumerate(levels)]
    trace.write_text("\n".join(["Timestamp(ms),Current(uA),D0", *lines, ""]))
    found = by_channel(read_trace(trace), supply_v=3.0)
    assert found.inferences == 7 and not found.notes
    assert found.mw == pytest.approx(15.0)


@pytest.mark.parametrize("line_bytes", [64, 300, 1024])
def test_lines_of_other_lengths(tmp_path: Path, line_bytes: int) -> None:
    """Runs of more than 254 bytes without a zero among them."""
    program = firmware_program(tmp_path, tiny.model_files(), defines=[f"-DOFA_LINE_BYTES={line_bytes}"])
    data = np.full((3, tiny.BYTES), 1, np.int8)
    data[:, :5] = 0
    data[1, 260:] = 0
    data[2, 259] = 0
    with on_pty(program) as port, Link(port) as link:
        result = measure(link, data, tiny.outputs(data), speeds=())
        assert line_bytes - 40 <= result.hello.payload_bytes <= line_bytes - 33
    assert result.differing_bytes == 0


lines = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda words, data: frame(7, *words, data=data)[:-1],
        st.lists(
            st.one_of(
                st.sampled_from(["hello", "load", "output", "baud", "stack", "infer", "0", "299", ":AAA", "12345678"]),
                st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
            ),
            max_size=5,
        ),
        st.one_of(st.none(), st.binary(max_size=240)),
    ),
    st.builds(lambda offset, data: frame(8, "load", str(offset), data=data)[:-1], st.integers(0, 320), st.binary()),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines, max_size=6))
def test_any_bytes_are_answered_in_order(program: Path, noise: list[bytes]) -> None:
    """Whatever comes, the firmware neither breaks (sanitizers are on) nor loses the next good request."""
    sent = b"\n".join([*noise, frame(9, "hello")])
    done = subprocess.run([str(program)], input=sent, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    answers = [parse(line) for line in done.stdout.splitlines()]
    assert None not in answers
    assert answers[-1] is not None
    assert (answers[-1].sequence, answers[-1].words[0]) == (9, "ok")
