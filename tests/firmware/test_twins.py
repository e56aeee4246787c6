"""The firmware on every kind of emulated twin: protocol, counter, stack, faults, memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import pytest

from ofa_mcu.devices.bench import instructions
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.framing import frame
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Session
from ofa_mcu.errors import DeviceError
from ofa_mcu.profiles.profile import Emulator
from tests.devices import tiny
from tests.devices.fixtures import Images

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Device:
    name: str
    twin: Emulator
    link: Link
    session: Session
    image_crc32: int

    def run(self, turns: int = 0, switch: int = 0) -> int:
        """Loads, infers; raw ticks."""
        self.session.load(tiny.inputs(1, turns, switch)[0].tobytes())
        return self.session.infer()

    def instructions(self, ticks: int) -> int:
        return instructions([ticks], self.session.hello.overhead, self.twin).minimum


@pytest.fixture(params=sorted(tiny.TWINS), scope="module")
def device(request: pytest.FixtureRequest, image: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    twin = tiny.TWINS[request.param]
    crc = tiny.tiny_project(tmp_path_factory.mktemp("same"), request.param).image_crc32
    with RunningEmulator(twin, image(request.param)) as emulator, Link(emulator.url) as link:
        yield Device(request.param, twin, link, Session(link), crc)


def refusal(link: Link, *words: str, data: bytes | None = None) -> str:
    with pytest.raises(DeviceError) as caught:
        link.request(*words, data=data)
    return str(caught.value)


def test_hello_names_board_model_and_sizes(device: Device) -> None:
    hello = device.session.hello
    assert (hello.board, hello.model, hello.model_crc32) == (f"tiny_{device.name}", "tiny_model", tiny.CRC32)
    assert (hello.input_bytes, hello.output_bytes, hello.arena_bytes) == (tiny.BYTES, tiny.BYTES, 304)
    assert (hello.counter, hello.counter_hz, hello.core_hz) == ("virtual", device.twin.systick_hz, None)
    assert (hello.stack_bytes, hello.payload_bytes) == (2048, 220)
    assert (hello.core_hz_basis, hello.caches, hello.runtime) == (None, "none", "compiled")
    assert hello.flags == f"-O2,-mcpu={device.twin.core}"
    assert hello.image_crc32 == device.image_crc32


def test_outputs_are_the_models(device: Device) -> None:
    for data in tiny.inputs(3):
        device.session.load(data.tobytes())
        device.session.infer()
        assert device.session.output() == tiny.outputs(data).tobytes()
        assert device.session.run(data.tobytes())[1] == tiny.outputs(data).tobytes()
    assert device.session.begun_again == 0


def test_counter_counts_instructions(device: Device) -> None:
    """A loop of two instructions; the last two cases let the 24-bit counter wrap."""
    few = device.instructions(device.run(turns=1000))
    for turns in (2000, 100_000, 6_000_000, 23_000_000):
        more = device.instructions(device.run(turns=turns))
        # the handler of each wrap and the last tick are counted too
        wraps = more * 2**device.twin.icount_shift * device.twin.systick_hz // 10**9 >> 24
        assert 0 <= more - few - 2 * (turns - 1000) <= 1 + 20 * wraps


def test_equal_inputs_give_equal_counts(device: Device) -> None:
    assert len({device.run(turns=777) for _ in range(10)}) == 1


def test_repeated_request_runs_once(device: Device) -> None:
    """The answer to `infer` was lost: the same line again must not run the model on its own output."""
    data = tiny.inputs(1, turns=50)[0]
    device.session.load(data.tobytes())
    first = device.session.infer()
    device.link._sequence -= 1
    crcs = [f"{crc32(bytes(values)):08X}" for values in (data, tiny.outputs(data))]
    assert device.link.request("infer", crcs[0]) == (f"ticks={first}", f"crc={crcs[1]}")
    assert device.session.output() == tiny.outputs(data).tobytes()


@pytest.mark.parametrize(
    ("words", "data", "reason"),
    [
        (("sing",), None, "command"),
        (("hello", "you"), None, "command"),
        (("stack", "0"), None, "command"),
        (("load",), None, "arguments"),
        (("load", "0"), None, "arguments"),
        (("load", "x"), b"A", "arguments"),
        (("load", "0", "1"), b"A", "arguments"),
        (("load", "0", "AAAA"), None, "arguments"),
        (("load", "0", ":\x09A"), None, "bytes"),
        (("load", "0", ":"), None, None),
        (("load", "0"), b"", None),
        (("load", "299"), b"A", None),
        (("load", "299"), b"AA", "range"),
        (("load", "300"), b"", None),
        (("load", "300"), b"A", "range"),
        (("load", "4294967295"), b"A", "arguments"),
        (("load", "999999999"), b"A", "range"),
        (("output", "0", "301"), None, "range"),
        (("output", "299", "2"), None, "range"),
        (("output", "300", "0"), None, None),
        (("output", "299", "1"), None, None),
        (("output", "-1", "1"), None, "arguments"),
        (("output", "0", "1"), b"A", "arguments"),
        (("infer",), None, "arguments"),
        (("infer", "1"), None, "arguments"),
        (("infer", "1234567G"), None, "arguments"),
        (("infer", "123456789"), None, "arguments"),
        (("infer", "00000000"), None, "input"),
        (("baud", "x"), None, "arguments"),
        (("baud", "921600"), None, "range"),
    ],
)
def test_requests_are_checked(device: Device, words: tuple[str, ...], data: bytes | None, reason: str | None) -> None:
    if reason is None:
        device.link.request(*words, data=data)
    else:
        assert f"(err {reason})" in refusal(device.link, *words, data=data)


def test_broken_lines_are_asked_for_again(device: Device) -> None:
    port = device.link._port
    for noise in (b"\x00\xff\xfe\n", b"1 hello *0000\n", b"x" * 400 + b"\n", b"load 0 :AAAA", b"\n\n", b"7 *1234\n"):
        port.write(noise)
        assert device.link.request("stack")


def test_a_line_may_be_as_long_as_the_buffer(device: Device) -> None:
    device.link.request("load", "000000080", data=bytes(220))
    assert "(err arguments)" in refusal(device.link, "load", "0000000080", data=bytes(221))
    device.link._port.write(frame(1, "x" * 300))
    device.link.request("load", "80", data=bytes(220))


@pytest.mark.parametrize("byte", [0, ord("\n"), ord("\r"), ord(" "), ord("*"), ord(":"), 0xFF])
def test_any_byte_may_be_payload(device: Device, byte: int) -> None:
    data = bytes(5) + bytes([byte]) * (tiny.BYTES - 5)
    assert device.session.run(data)[1] == bytes(value ^ 0x55 for value in data)


def test_stack_stays_inside_its_reserve(device: Device) -> None:
    device.run(turns=8_000_000)  # an interrupt falls into it
    stack = device.session.stack()
    assert 0 < stack.used <= stack.reserved == 2048
    assert stack.used < 400


def test_memory_is_the_promised_sum(device: Device, image: Images) -> None:
    built = read_image(image(device.name))
    assert built.sram == {".stack": 2048, ".ofa_arena": 304, ".bss": 280}
    assert built.sram_bytes == 2048 + 304 + 280


@pytest.mark.parametrize("name", sorted(tiny.TWINS))
@pytest.mark.parametrize(
    ("switch", "words"), [(tiny.OVERFLOW, "ran over its stack during 'infer'"), (tiny.CRASH, "crashed during 'infer'")]
)
def test_faults_are_told(image: Images, name: str, switch: int, words: str) -> None:
    with RunningEmulator(tiny.TWINS[name], image(name)) as emulator, Link(emulator.url) as link:
        session = Session(link)
        session.load(tiny.inputs(1, switch=switch)[0].tobytes())
        before = link.resent
        with pytest.raises(DeviceError, match=words):
            session.infer()
        assert link.resent == before, "the first word of it was garbled"
        with pytest.raises(DeviceError, match="during 'stack'"):
            session.stack()
