from __future__ import annotations

from ofa_mcu.devices.framing import frame
from ofa_mcu.devices.link import Link, Request
from ofa_mcu.devices.window import Window
from tests.devices.test_link import device


def test_a_window_halves_and_grows_again() -> None:
    window = Window()
    assert window.size == 1
    window.answered()
    assert window.size == 1
    window.open(8)
    sizes = []
    for event in (window.lost, window.lost, window.lost, window.lost, window.answered, window.silent):
        event()
        sizes.append(window.size)
    assert sizes == [4, 2, 1, 1, 2, 1]
    for _ in range(40):
        window.answered()
    assert window.size == 8
    window.open(0)
    assert window.size == window.limit == 1


def test_garbled_lines_make_it_smaller_and_only_they_are_sent_again() -> None:
    """A device that cannot read every third line; what it acknowledged does not come again."""
    seen: list[str] = []
    obeyed: list[str] = []

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        seen.append(words[1])
        if len(seen) % 3 == 0:
            return frame(0, "err", "crc")
        obeyed.append(words[1])
        return frame(sequence, "ok")

    requests = [Request(("load", str(index))) for index in range(60)]
    with device(answer) as url, Link(url) as link:
        link.window.open(8)
        assert link.exchange(requests) == [()] * 60
        assert link.window.size < 8
        assert link.resent == len(seen) - 60
    assert sorted(obeyed, key=int) == [str(index) for index in range(60)]


def test_lost_answers_are_made_up_for_by_the_next() -> None:
    """No wait in vain: whoever is overtaken is sent again at once."""
    lost = {"3", "7", "8"}

    def answer(sequence: int, words: tuple[str, ...]) -> bytes:
        if words[1] in lost:
            lost.remove(words[1])
            return b""
        return frame(sequence, "ok")

    with device(answer) as url, Link(url, timeout_s=60) as link:
        link.window.open(4)
        link.exchange([Request(("load", str(index))) for index in range(20)])
        assert link.resent == 3
