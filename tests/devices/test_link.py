"""Devices that lie, stay silent, or go away: every one ends in one sentence, soon."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ofa_mcu.devices.framing import frame, parse
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Session
from ofa_mcu.errors import DeviceError, UsageError

HELLO = (
    *("ok", "protocol=2", "firmware=0", "board=b", "model=m", "crc=0000000A", "input=4", "output=4", "arena=16"),
    *("counter=virtual", "counter_hz=25000000", "overhead=0", "core_hz=0", "stack=2048", "payload=220"),
    *("window=8", "baud=0"),
)

Answer = Callable[[int, tuple[str, ...]], bytes | None]


@contextmanager
def device(answer: Answer) -> Iterator[str]:
    """A socket behind which `answer(sequence, words)` gives the bytes to send; None hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                for text in lines:
                    line = parse(text.rstrip(b"\n"))
                    if line is None:
                        continue
                    data = answer(line.sequence, line.words)
                    if data is None:
                        return
                    connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def good(sequence: int, words: tuple[str, ...]) -> bytes:
    return frame(sequence, *HELLO) if words[0] == "hello" else frame(sequence, "ok")


def failure(url: str, *words: str, attempts: int = 2, timeout_s: float = 0.2) -> str:
    """The sentence of the DeviceError, which must come in time."""
    begin = time.monotonic()
    with Link(url, timeout_s=timeout_s, attempts=attempts) as link, pytest.raises(DeviceError) as caught:
        link.request(*words)
    assert time.monotonic() - begin < 2 * attempts * timeout_s + 5
    text = str(caught.value)
    assert text.startswith(url)
    assert text.endswith(".") and "\n" not in text
    return text


def test_a_silent_device() -> None:
    with device(lambda sequence, words: b"") as url:
        assert "gave no answer to 'stack' within 0.4 s" in failure(url, "stack")


def test_a_silent_terminal() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        assert "gave no answer" in failure(os.ttyname(theirs), "stack")
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_that_goes_away() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    with Link(name) as link:
        threading.Timer(0.1, os.close, (ours,)).start()
        with pytest.raises(DeviceError, match="disconnected during 'stack'"):
            link.request("stack", waits=(5,))
    os.close(theirs)


def test_a_terminal_that_goes_away_before_the_greeting() -> None:
    ours, theirs = pty.openpty()
    with Link(os.ttyname(theirs)) as link:
        os.close(theirs)
        os.close(ours)
        with pytest.raises(DeviceError, match="check cable and power"):
            link.greet(1.0)


def test_a_device_that_hangs_up() -> None:
    with device(lambda sequence, words: None) as url:
        assert "disconnected during 'load'" in failure(url, "load", "0")


def test_a_device_that_garbles_everything() -> None:
    with device(lambda sequence, words: frame(sequence, "ok").replace(b"ok", b"oK")) as url:
        assert "only garbled data came back for 'stack'" in failure(url, "stack")


def test_noise_without_end() -> None:
    with device(lambda sequence, words: b"\xff" * 500_000) as url:
        assert "garbled" in failure(url, "stack")


def test_a_chatterbox_cannot_hold_the_host() -> None:
    """Sound lines, for ever, but none of them an answer."""
    with device(lambda sequence, words: frame(sequence + 1, "ok") * 20_000) as url:
        failure(url, "stack")


def test_a_garbled_answer_is_asked_for_again() -> None:
    seen: list[int] = []

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        seen.append(sequence)
        return frame(sequence, "ok", "used=1")[:: 1 if len(seen) > 2 else -1] + b"\n"

    with device(answer) as url, Link(url, timeout_s=0.2) as link:
        assert link.request("stack") == ("used=1",)
        assert link.resent == 2
    assert len(set(seen)) == 1


def test_a_request_that_came_garbled_is_sent_again_at_once() -> None:
    seen: list[int] = []

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        seen.append(sequence)
        return frame(sequence, "ok") if len(seen) > 1 else frame(0, "err", "crc")

    with device(answer) as url, Link(url, timeout_s=30) as link:
        begin = time.monotonic()
        link.request("stack")
        assert time.monotonic() - begin < 5


def test_late_answers_are_not_taken_for_others() -> None:
    previous: list[bytes] = [b""]

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        late, previous[0] = previous[0], frame(sequence, "ok", "late")
        return late + frame(sequence, "ok", words[0])

    with device(answer) as url, Link(url) as link:
        assert [link.request(word) for word in ("a", "b", "c")] == [("a",), ("b",), ("c",)]


def test_refusals_name_the_reason() -> None:
    with device(lambda sequence, words: frame(sequence, "err", "range")) as url:
        assert "refused 'load' (err range)" in failure(url, "load", "0")


def test_another_protocol() -> None:
    old = [word.replace("protocol=2", "protocol=9") for word in HELLO]
    with (
        device(lambda sequence, words: frame(sequence, *old)) as url,
        Link(url) as link,
        pytest.raises(DeviceError, match="speaks protocol 9, this program 2"),
    ):
        Session(link)


@pytest.mark.parametrize("missing", ["input=4", "overhead=0", "crc=0000000A"])
def test_a_hello_that_lacks_a_word(missing: str) -> None:
    said = [word for word in HELLO if word != missing]
    with (
        device(lambda sequence, words: frame(sequence, *said)) as url,
        Link(url) as link,
        pytest.raises(DeviceError, match="no number for"),
    ):
        Session(link)


def test_output_is_checked_against_the_devices_own_crc() -> None:
    loads: list[int] = []

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        match words[0]:
            case "output":
                return frame(sequence, "ok", "0", data=b"\0\1\2\3")
            case "infer":
                return frame(sequence, "ok", "ticks=1", "crc=00000000")
            case "load":
                loads.append(sequence)
        return good(sequence, words)

    with device(answer) as url, Link(url) as link, pytest.raises(DeviceError, match="whose CRC-32 is"):
        Session(link).run(b"\0\1\2\3")
    assert len(loads) == 3


@pytest.mark.parametrize("said", [("0", b"12345"), ("-1", b"1"), ("3", b"12"), ("4", b""), ("x", b"1")])
def test_output_that_was_not_asked_for(said: tuple[str, bytes]) -> None:
    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        return frame(sequence, "ok", said[0], data=said[1]) if words[0] == "output" else good(sequence, words)

    with device(answer) as url, Link(url) as link, pytest.raises(DeviceError, match="flash it again"):
        Session(link).output()


def test_ports_that_cannot_be_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dead = f"socket://127.0.0.1:{server.getsockname()[1]}"
    file = tmp_path / "file"
    file.write_text("no port")
    for url, words in (
        (str(tmp_path / "ttyACM9"), "there is no such port"),
        (dead, "cannot open the port"),
        ("nonsense://x", "cannot open the port"),
        (str(file), "cannot open the port"),
    ):
        with pytest.raises(DeviceError, match=words) as caught:
            Link(url)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", r"^The name of the port is empty; name one, /dev/ttyACM0 for example \(ofa-mcu doctor lists them\)\.$"),
        (" ", r"^The name of the port is empty"),
        (
            "socket://127.0.0.1",
            r"^socket://127\.0\.0\.1: the address needs a host and a port number .*127\.0\.0\.1:5000\.$",
        ),
        ("socket://127.0.0.1:", "needs a host and a port number"),
        ("socket://127.0.0.1:0", "needs a host and a port number"),
        ("socket://127.0.0.1:99999", "a port number from 1 to 65535"),
        ("socket://127.0.0.1:abc", "needs a host and a port number"),
        ("socket://:5000", "needs a host"),
        ("rfc2217://127.0.0.1", r"write it like rfc2217://127\.0\.0\.1:5000"),
    ],
)
def test_names_that_no_port_can_have(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Link(url)


def test_a_port_is_used_by_one_program() -> None:
    ours, theirs = pty.openpty()
    try:
        with Link(os.ttyname(theirs)), pytest.raises(DeviceError, match="another program has the port open"):
            Link(os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)
