"""What uploaders print when they fail, and the sentence that `ofa-mcu flash` makes of it, as a Markdown table.

    python -m benchmarks.upload_errors

docs/flash.md has the table.
"""

from __future__ import annotations

import re

from ofa_mcu.devices.uploaders import upload_failure
from tests.devices.uploader_words import WORDS, Words


def row(words: Words) -> str:
    """A line of the table: who prints what (the words that tell, as the sentence quotes them), and what is said."""
    said = re.fullmatch(
        r"Flashing BOARD failed: (.*) \(the uploader said: (.*)\)", upload_failure(words.output, "BOARD")
    )
    if said is None:
        raise ValueError(f"no sentence for {words.output!r}")
    return f"| {words.uploader}{'' if words.seen else ' *'} | `{said[2].replace('`', '')}` | {said[1]} |"


def table() -> str:
    """All rows."""
    return "\n".join(["| uploader | prints | `flash` says |", "|---|---|---|", *map(row, WORDS)])


if __name__ == "__main__":
    print(table())
