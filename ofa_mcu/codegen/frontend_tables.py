"""The audio front-end's tables as C; `python -m ofa_mcu.codegen.frontend_tables` writes them into the firmware."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.resources import resource
from ofa_mcu.tasks.audio.tables import WINDOW, tables

__all__ = ["TABLES_FILE", "tables_c"]

TABLES_FILE = "lib/ofa_frontend/src/ofa_frontend_tables.c"
"""Inside the firmware's folder."""

_HEAD = """\
/* Written by ofa_mcu/codegen/frontend_tables.py; what each table holds is said in the header. */
#include "ofa_frontend_private.h"
"""


def tables_c() -> str:
    """The C file that defines all tables."""
    table = tables()
    arrays: dict[str, NDArray[np.integer]] = {
        "window": table.window[: WINDOW // 2 + 1].astype(np.int16),
        "twiddles": table.twiddles.astype(np.int16),
        "split": table.split.astype(np.int16),
        "rising": table.rising.astype(np.uint16),
        "ends": table.ends.astype(np.uint8),
        "log2": table.log2.astype(np.uint16),
        "cosines": table.cosines.astype(np.int16),
        "offsets": table.offsets.astype(np.int32),
    }
    return "\n".join(
        [_HEAD, *(array_definition(f"ofa_frontend_{name}", values) for name, values in arrays.items()), ""]
    )


if __name__ == "__main__":
    (resource("firmware") / TABLES_FILE).write_text(tables_c())
