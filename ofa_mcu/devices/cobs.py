"""Bytes as bytes without a line feed, at most one more in 254 (rounded up).

Consistent Overhead Byte Stuffing (Cheshire and Baker, IEEE/ACM Transactions on Networking 7, 1999) takes the zeros out;
every byte of the code is then XORed with a line feed, so that what is missing is the line feed instead.
"""

from __future__ import annotations

__all__ = ["decode", "encode"]

LONGEST_RUN = 254
"""Bytes that a block may hold; one as long as this is followed by no zero."""
MASK = bytes(value ^ ord("\n") for value in range(256))
"""Table of the XOR."""


def encode(data: bytes) -> bytes:
    """The code of `data`."""
    code = bytearray()
    *ended, last = data.split(b"\0")
    for run in ended:
        while len(run) >= LONGEST_RUN:
            code.append(LONGEST_RUN + 1)
            code += run[:LONGEST_RUN]
            run = run[LONGEST_RUN:]
        code.append(len(run) + 1)
        code += run
    while len(last) > LONGEST_RUN:
        code.append(LONGEST_RUN + 1)
        code += last[:LONGEST_RUN]
        last = last[LONGEST_RUN:]
    code.append(len(last) + 1)
    code += last
    return bytes(code.translate(MASK))


def decode(code: bytes) -> bytes:
    """The bytes that the code stands for; ValueError where it is none."""
    text = code.translate(MASK)
    data = bytearray()
    position = 0
    while position < len(text):
        end = position + text[position]
        run = text[position + 1 : end]
        if end == position or end > len(text) or 0 in run:
            raise ValueError("bytes that are no code of COBS")
        data += run
        if end - position <= LONGEST_RUN and end < len(text):
            data.append(0)
        position = end
    return bytes(data)
