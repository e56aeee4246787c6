from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.devices.framing import Line, decode_bytes, encode_bytes, frame, parse

words = st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), min_size=1).map(tuple)


def test_the_checksum_is_crc_16_ccitt() -> None:
    """Start 0xFFFF, polynomial 0x1021: 123456789 gives 29B1 (the check value that catalogues of CRCs give)."""
    assert frame(123456789) == b"123456789 *29B1\n"


@given(st.integers(1, 65535), words)
def test_a_line_comes_back(sequence: int, said: tuple[str, ...]) -> None:
    assert parse(frame(sequence, *said).rstrip(b"\n")) == Line(sequence, said)


@given(st.integers(1, 65535), words, st.data())
def test_a_changed_character_is_noticed(sequence: int, said: tuple[str, ...], data: st.DataObject) -> None:
    line = bytearray(frame(sequence, *said).rstrip(b"\n"))
    index = data.draw(st.integers(0, len(line) - 7))
    line[index] ^= data.draw(st.integers(1, 255))
    assert parse(bytes(line)) is None


@given(st.binary(max_size=40))
def test_garbage_never_raises(line: bytes) -> None:
    parse(line)


@given(st.binary())
def test_bytes_come_back(data: bytes) -> None:
    assert decode_bytes(encode_bytes(data)) == data


def test_what_is_no_base64_is_refused() -> None:
    for word in ("A", "AA=", "A*AA"):
        with pytest.raises(ValueError):
            decode_bytes(word)
