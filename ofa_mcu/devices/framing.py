"""Lines of the firmware's protocol: `<sequence> <words...> *<CRC-16/CCITT, 4 hex digits>` and a line feed.

`firmware/src/protocol.c` describes the commands. Bytes travel in base64; this module is the only one that knows.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

__all__ = ["Line", "decode_bytes", "encode_bytes", "frame", "parse"]

CRC_START = 0xFFFF
TRAILER_CHARACTERS = 6


@dataclass(frozen=True)
class Line:
    """A line whose checksum is right. `sequence` is 0 where the firmware answers no request in particular."""

    sequence: int
    words: tuple[str, ...]


def checksum(body: bytes) -> int:
    """CRC-16/CCITT (polynomial 0x1021, start 0xFFFF) of the characters before the trailer."""
    return binascii.crc_hqx(body, CRC_START)


def frame(sequence: int, *words: str) -> bytes:
    """The line to send, with checksum and line feed; `sequence` is 1..65535, words hold no space."""
    body = " ".join((str(sequence), *words)).encode("ascii")
    return b"%s *%04X\n" % (body, checksum(body))


def parse(line: bytes) -> Line | None:
    """The line received, without its line feed; None where it is garbled."""
    body, trailer = line[:-TRAILER_CHARACTERS], line[-TRAILER_CHARACTERS:]
    try:
        if not body or trailer[:2] != b" *" or int(trailer[2:], 16) != checksum(body):
            return None
        sequence, *words = body.decode("ascii").split(" ")
        return Line(int(sequence), tuple(words))
    except ValueError:
        return None


def encode_bytes(data: bytes) -> str:
    """Bytes as one word."""
    return base64.b64encode(data).decode("ascii")


def decode_bytes(word: str) -> bytes:
    """The bytes of one word; ValueError where it is no base64."""
    return base64.b64decode(word, validate=True)
