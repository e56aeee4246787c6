"""Pieces of C text: arrays, initializers, identifiers, comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["C_TYPES", "Fields", "array_definition", "comment", "descriptor", "identifier", "initializer"]

Fields = Mapping[str, "int | str | Fields"]
"""Members of a C initializer in order: a number, an expression, or a nested initializer."""

_LINE = 118
C_TYPES = {
    np.dtype(kind): f"{np.dtype(kind).name}_t" for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)
}
"""The C type of an array's elements."""
_PER_LINE = {1: 20, 2: 14, 4: 8}


def identifier(name: str) -> str:
    """The name with everything but ASCII letters and digits turned to single underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def comment(text: str) -> str:
    """The text as a block comment; what could end it early is broken up."""
    safe = text.encode("ascii", "replace").decode("ascii").replace("*/", "* /").replace("/*", "/ *")
    return f"/* {safe} */"


def array_definition(
    name: str, values: NDArray[np.integer], per_line: int = 0, attribute: str = "", alignment: int = 4
) -> str:
    """`const <type> <name>[n] = {...};` aligned, in bytes, at most `per_line` numbers a line (0: as many as fit).

    `attribute` stands before the alignment.
    """
    numbers: list[str] = [_number(value) for value in values.ravel().tolist()]
    step = per_line or _PER_LINE[values.itemsize]
    attributes = f"{attribute} __attribute__((aligned({alignment})))".lstrip()
    lines = [f"const {C_TYPES[values.dtype]} {name}[{len(numbers)}] {attributes} = {{"]
    for start in range(0, len(numbers), step):
        lines.append("    " + ", ".join(numbers[start : start + step]) + ",")
    lines.append("};")
    return "\n".join(lines)


def descriptor(kind: str, fields: Fields, name: str = "layer") -> tuple[str, ...]:
    """Lines that define `static const <kind> <name>` with these members."""
    return (f"static const {kind} {name} = {{", *initializer(fields, 4), "};")


def initializer(fields: Fields, indent: int) -> Sequence[str]:
    """Lines of designated members, as many to a line as fit; nested initializers stand alone."""
    lines: list[str] = []
    margin = " " * indent
    current = ""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            if current:
                lines.append(margin + current)
            current = ""
            lines += [f"{margin}.{key} = {{", *initializer(value, indent + 4), f"{margin}}},"]
            continue
        item = f".{key} = {_number(value) if isinstance(value, int) else value},"
        if current and len(margin) + len(current) + 1 + len(item) > _LINE:
            lines.append(margin + current)
            current = ""
        current = f"{current} {item}" if current else item
    if current:
        lines.append(margin + current)
    return lines


def _number(value: int) -> str:
    # The literal -2147483648 is a long in C.
    return "INT32_MIN" if value == -(1 << 31) else str(value)
