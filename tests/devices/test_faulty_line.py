"""Conversations over a line that breaks: the right bytes or a DeviceError, soon, and nothing else."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ofa_mcu.devices.answers import RefusedError
from ofa_mcu.devices.link import BAUD, BAUD_HOLD_S, Link
from ofa_mcu.devices.session import ChangedError, Session
from ofa_mcu.errors import DeviceError
from ofa_mcu.resources import resource
from tests.devices import tiny
from tests.devices.faulty_line import KINDS, FaultyLine
from tests.firmware.test_arduino import firmware_program

LINES = 8
LONGEST_S = 60
"""A conversation takes two seconds where the computer has nothing else to do; this is for one that has."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware with the tiny model, whose input is gone after a run."""
    return firmware_program(tmp_path_factory.mktemp("faulty"), tiny.model_files())


@pytest.fixture
def line(program: Path) -> Iterator[FaultyLine]:
    with FaultyLine(program) as line:
        yield line


def image(rng: random.Random) -> tuple[bytes, bytes]:
    """An input and its output."""
    data = bytes(5) + rng.randbytes(tiny.BYTES - 5)
    return data, bytes(value ^ 0x55 for value in data)


def converse(line: FaultyLine, seed: int, every: float) -> str:
    """Two images in one conversation: "right", or the DeviceError in short."""
    rng = random.Random(seed)
    line.begin(seed, every)
    begin = time.monotonic()
    try:
        with Link(line.name, timeout_s=0.06, attempts=5) as link:
            session = Session(link, greet_timeout_s=3, infer_timeout_s=0.2, speeds=())
            for _ in range(2):
                data, wanted = image(rng)
                _, output = session.run(data)
                assert output == wanted, f"wrong bytes in the conversation of seed {seed}"
            stack = session.stack()
            assert stack.used > 0 and stack.reserved == 2048
        return "right"
    except DeviceError as error:
        text = str(error)
        assert text.endswith(".") and "\n" not in text
        return text.partition(": ")[2][:30]
    finally:
        assert time.monotonic() - begin < LONGEST_S, f"the conversation of seed {seed} hung"


def outcomes(program: Path, seeds: range, every: float) -> Counter[str]:
    """How many conversations ended how; each line is used for many of them, one after the other."""

    def series(first: int) -> list[str]:
        with FaultyLine(program) as line:
            return [converse(line, seed, every) for seed in seeds[first::LINES]]

    with ThreadPoolExecutor(LINES) as pool:
        return Counter(outcome for some in pool.map(series, range(LINES)) for outcome in some)


@pytest.mark.slow
def test_a_sound_line_loses_nothing(line: FaultyLine) -> None:
    with Link(line.name) as link:
        session = Session(link, speeds=())
        greeted = link.resent
        for seed in range(3):
            data, wanted = image(random.Random(seed))
            assert session.run(data)[1] == wanted
        assert (link.resent, session.begun_again) == (greeted, 0)


def test_conversations_over_a_bad_line(program: Path) -> None:
    found = outcomes(program, range(48), every=400)
    assert sum(found.values()) == 48
    assert found["right"] > 12, found


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it mostly waits: 8 s of processor time
def test_a_thousand_conversations(program: Path) -> None:
    """A fault in 500 bytes on the average, three in a conversation; every tenth is a reset or pulls the cable."""
    found = outcomes(program, range(1000, 2000), every=500)
    assert sum(found.values()) == 1000
    assert found["right"] > 300, found
    assert any("disconnected" in outcome for outcome in found), found


@pytest.mark.slow
def test_a_hundred_conversations_over_a_hopeless_line(program: Path) -> None:
    """Hardly a line gets through: what remains is to say so."""
    found = outcomes(program, range(100), every=30)
    assert sum(found.values()) == 100


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("reset", "disconnect")])
def test_every_kind_of_fault_is_overcome(line: FaultyLine, kind: str) -> None:
    rng = random.Random(kind)
    line.begin(5, 700, (kind,))
    with Link(line.name, timeout_s=0.3, attempts=10) as link:
        session = Session(link, infer_timeout_s=0.5, speeds=(), attempts=10)
        for _ in range(4):
            data, wanted = image(rng)
            assert session.run(data)[1] == wanted


def test_a_reset_anywhere_is_noticed_and_overcome(line: FaultyLine) -> None:
    data, wanted = image(random.Random(1))
    line.begin()
    with Link(line.name, timeout_s=0.5, attempts=10) as link:
        session = Session(link, speeds=())
        session.load(data)
        line.reset()
        with pytest.raises(RefusedError, match="was reset before 'infer'"):
            session.infer()
        assert session.run(data)[1] == wanted
        line.reset()
        with pytest.raises(RefusedError, match="was reset before 'output'"):
            session.output()
        assert session.run(data)[1] == wanted
        line.reset()
        with pytest.raises(RefusedError, match="was reset before 'stack'; check its power"):
            session.stack()
        assert session.run(data)[1] == wanted
        assert session.begun_again == 3


def test_a_greeted_device_without_the_input_does_not_infer(line: FaultyLine) -> None:
    """As after a reset and a `hello` that came late."""
    data, wanted = image(random.Random(2))
    line.begin()
    with Link(line.name) as link:
        session = Session(link, speeds=())
        session.load(data)
        line.reset()
        link.request("hello")
        with pytest.raises(RefusedError, match="refused 'infer' .err input.") as caught:
            session.infer()
        assert caught.value.reason == "input"
        assert session.run(data)[1] == wanted
        link.request("load", "7", data=b"\1")
        with pytest.raises(ChangedError, match="an output whose CRC-32 is"):
            session.output()
        assert session.run(data)[1] == wanted


def test_another_firmware_after_a_reset_is_told(line: FaultyLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line.begin()
    with Link(line.name) as link:
        session = Session(link, speeds=())
        other = [word.replace("tiny_model", "another") for word in link.request("hello")]
        line.reset()
        # a firmware of another name would be a second program to build for one word
        monkeypatch.setattr(link, "greet", lambda timeout_s: link.request("hello") and tuple(other))
        with pytest.raises(DeviceError, match="now runs the model another for shim_board, not tiny_model"):
            session.run(image(random.Random(3))[0])


def test_a_pulled_cable_is_told(line: FaultyLine) -> None:
    line.begin(1, 2000, ("disconnect",))
    with Link(line.name, timeout_s=0.3) as link, pytest.raises(DeviceError, match="disconnected during"):
        session = Session(link, speeds=())
        for _ in range(20):
            session.run(image(random.Random(4))[0])


def test_both_ends_know_the_speed_of_the_start_and_how_long_another_holds() -> None:
    config = (resource("firmware") / "src" / "config.h").read_text()
    assert re.findall(r"#define OFA_BAUD (\d+)", config) == [str(BAUD)]
    assert re.findall(r"#define OFA_BAUD_HOLD_MS (\d+)", config) == [f"{1000 * BAUD_HOLD_S:.0f}"]


def test_the_highest_sound_speed_is_taken(line: FaultyLine) -> None:
    data, wanted = image(random.Random(5))
    for highest in (921_600, 460_800):
        line.begin(highest=highest)
        with Link(line.name) as link:
            session = Session(link)
            assert session.hello.baud == 115_200
            assert link.baud == highest
            assert session.run(data)[1] == wanted
            assert Session(link).hello.baud == highest
            assert session.run(data)[1] == wanted
        # the device was told to go back
        with Link(line.name) as link:
            assert Session(link, greet_timeout_s=1, speeds=()).hello.baud == link.baud == 115_200


def test_a_device_left_at_a_high_speed_comes_back(line: FaultyLine) -> None:
    line.begin()
    link = Link(line.name)
    Session(link)
    assert link.baud == 921_600
    link._port.close()
    with Link(line.name) as again:
        assert Session(again, speeds=()).hello.baud == 115_200


def test_a_host_that_took_its_time_finds_the_device(line: FaultyLine) -> None:
    line.begin()
    with Link(line.name) as link:
        session = Session(link)
        assert link.baud == 921_600
        time.sleep(1.6)  # the device is about to go back, or has just done so
        assert session.stack().reserved == 2048
        assert link.baud == 115_200


def test_a_reset_at_a_high_speed_is_overcome(line: FaultyLine) -> None:
    data, wanted = image(random.Random(6))
    line.begin()
    with Link(line.name, timeout_s=0.5, attempts=8) as link:
        session = Session(link, infer_timeout_s=2)
        session.run(data)
        line.reset()
        assert session.run(data)[1] == wanted
        assert session.begun_again == 1
        assert link.baud == 921_600


def test_a_device_without_the_speed_stays(line: FaultyLine) -> None:
    line.begin(highest=115_200)
    with Link(line.name) as link:
        session = Session(link, speeds=(100, 230_400))
        assert link.baud == 115_200
        assert session.stack().reserved == 2048
