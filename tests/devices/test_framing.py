from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.devices import cobs
from ofa_mcu.devices.framing import Line, frame, parse

words = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).filter(lambda word: word[0] != ":"),
    min_size=1,
).map(tuple)
payloads = st.one_of(st.binary(), st.lists(st.sampled_from([b"\0", b"\n", b" :", b" *", b"x" * 254])).map(b"".join))


def test_the_checksum_is_crc_32() -> None:
    """That of zlib: 123456789 gives CBF43926 (the check value that catalogues of CRCs give)."""
    assert frame(123456789) == b"123456789 *CBF43926\n"


@given(st.integers(1, 65535), words, st.one_of(st.none(), payloads))
def test_a_line_comes_back(sequence: int, said: tuple[str, ...], data: bytes | None) -> None:
    line = frame(sequence, *said, data=data)
    assert line.find(b"\n") == len(line) - 1
    assert parse(line[:-1]) == Line(sequence, said, data or b"")


@given(st.integers(1, 65535), words, st.data())
def test_a_changed_character_is_noticed(sequence: int, said: tuple[str, ...], data: st.DataObject) -> None:
    line = bytearray(frame(sequence, *said)[:-1])
    index = data.draw(st.integers(0, len(line) - 1))
    line[index] ^= data.draw(st.integers(1, 255))
    assert parse(bytes(line)) is None


@given(st.binary(max_size=40))
def test_garbage_never_raises(line: bytes) -> None:
    parse(line)


@given(payloads)
def test_bytes_come_back_and_cost_one_in_254(data: bytes) -> None:
    code = cobs.encode(data)
    assert b"\n" not in code
    assert len(code) <= len(data) + 1 + len(data) // 254
    assert cobs.decode(code) == data


@pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 508, 509])
@pytest.mark.parametrize("end", [b"", b"\0", b"\0\0"])
def test_runs_at_the_borders(size: int, end: bytes) -> None:
    for data in (b"x" * size + end, end + b"x" * size):
        assert cobs.decode(cobs.encode(data)) == data


@given(st.binary(max_size=40))
def test_what_is_no_code_is_refused_or_stands_for_bytes(code: bytes) -> None:
    try:
        data = cobs.decode(code)
    except ValueError:
        return
    assert cobs.decode(cobs.encode(data)) == data


def test_codes_that_are_none() -> None:
    for code in (b"\n", b"\x09", b"\x08\n"):
        with pytest.raises(ValueError):
            cobs.decode(code)
