"""Lines of the firmware's protocol: `<sequence> <words...> [:<bytes>] *<CRC-32, 8 hex digits>` and a line feed.

`firmware/src/protocol.c` describes the commands and how the bytes are coded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zlib import crc32

from ofa_mcu.devices import cobs

__all__ = ["Line", "frame", "parse"]

TRAILER = re.compile(rb" \*([0-9A-F]{8})\Z")
TRAILER_CHARACTERS = 10
BYTES = b" :"
"""What stands before the bytes; no word begins so."""


@dataclass(frozen=True)
class Line:
    """A line whose checksum is right. `sequence` is 0 where the firmware answers no request in particular."""

    sequence: int
    words: tuple[str, ...]
    data: bytes = b""


def frame(sequence: int, *words: str, data: bytes | None = None) -> bytes:
    """The line to send, with checksum and line feed; `sequence` is 1..65535.

    Words hold no space and begin with no colon. `data` None: a line without bytes.
    """
    body = " ".join((str(sequence), *words)).encode("ascii")
    if data is not None:
        body += BYTES + cobs.encode(data)
    return b"%s *%08X\n" % (body, crc32(body))


def parse(line: bytes) -> Line | None:
    """The line received, without its line feed; None where it is garbled."""
    trailer = TRAILER.search(line)
    body = line[:-TRAILER_CHARACTERS]
    if trailer is None or int(trailer[1], 16) != crc32(body):
        return None
    text, _, code = body.partition(BYTES)
    try:
        sequence, *words = text.decode("ascii").split(" ")
        return Line(int(sequence), tuple(words), cobs.decode(code))
    except ValueError:
        return None
