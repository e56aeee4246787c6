"""What a model's outputs and inputs mean, as a C header for the application around it; it costs what is used of it."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_mcu.codegen.c_text import comment
from ofa_mcu.tasks.scaling import Scaling

__all__ = ["task_header"]

_HEAD = """\
#ifndef OFA_TASK_H
#define OFA_TASK_H

#include <stdint.h>

#define OFA_CLASSES {count}

/* What the outputs stand for, in UTF-8. */
static const char *const ofa_labels[OFA_CLASSES] = {{
{labels}
}};
"""

_CODE = """
/* Input code of a reading of a channel. Readings are whole numbers in units of {units}. */
static inline int8_t ofa_input_code(int32_t reading, int channel) {{
    static const int64_t multipliers[{channels}] = {{{multipliers}}};
    static const int64_t offsets[{channels}] = {{{offsets}}};
    int64_t byte = (reading * multipliers[channel] + offsets[channel]) >> {shift};
    if (byte < 0) {{
        byte = 0;
    }}
    if (byte > 255) {{
        byte = 255;
    }}
    return (int8_t)(byte - 128);
}}
"""


def task_header(task: str, labels: Sequence[str], scaling: Scaling | None = None) -> str:
    """Text of `ofa_task.h`: the labels, and where inputs are readings of sensors, the function that gives their codes.

    Args:
        task: its name, for the comment on top.
        labels: names of the classes, in the order of the outputs.
        scaling: how readings become bytes; None where inputs are pixels or features already.
    """
    text = (
        comment(f"Task {task}.")
        + "\n"
        + _HEAD.format(count=len(labels), labels="\n".join(f"    {_literal(label)}," for label in labels))
    )
    if scaling is not None:
        text += _CODE.format(
            channels=len(scaling.unit),
            units=", ".join(f"{unit:.12g}" for unit in scaling.unit),
            multipliers=", ".join(f"{value}LL" for value in scaling.multiplier),
            offsets=", ".join(f"{value}LL" for value in scaling.offset),
            shift=scaling.shift,
        )
    return text + "\n#endif\n"


def _literal(text: str) -> str:
    """A C string with the bytes of the text; what is not plain ASCII in octal, which cannot swallow what follows."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "surrogateescape")) + '"'
