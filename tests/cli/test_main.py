"""What holds for every verb: terminals that lack characters, a signal to end, what the system refuses."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ofa_mcu.errors import refusal

_ENDED = """
import os, signal, time
from ofa_mcu import cli
def verb(args):
    try:
        print("3 \u00d7 4")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        print("tidied up")
cli.app = verb
cli.main([])
"""


def test_an_end_from_outside_tidies_up_and_missing_characters_are_replaced() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _ENDED], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert run.stdout.splitlines() == ["3 ? 4", "tidied up"] and run.returncode != 0


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    assert refusal(OSError(errno.EACCES, "Permission denied", "/a/b")) == (
        "the system refused /a/b: Permission denied; check path and rights"
    )
    assert refusal(OSError(errno.ENOSPC, "No space left on device", "/a/b")) == (
        "no space is left for /a/b; make room on that disk"
    )
    assert refusal(OSError(errno.ENOSPC, "No space left on device")).startswith("no space is left for what is to be")
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("")

    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    with pytest.raises(shutil.Error) as failed:
        shutil.copytree(tmp_path / "from", tmp_path / "to", copy_function=full)
    assert refusal(failed.value) == f"no space is left for {tmp_path / 'to' / 'file'}; make room on that disk"
