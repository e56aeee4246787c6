"""What holds for every verb: terminals that lack characters, a signal to end, what the system refuses."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ofa_mcu.errors import refusal
from tests.cli.verbs import run

_ENDED = """
import os, signal, time
from ofa_mcu import cli
def verb(**how):
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--board", "x", "--seed", "-1"], "Invalid value for '--seed': .*; see ofa-mcu search --help"),
        (["search"], "Missing option '--board'; see ofa-mcu search --help"),
        (["serch"], "No such command 'serch'.*; see ofa-mcu --help"),
        (["boards", "show"], "Missing argument 'ID'; see ofa-mcu boards show --help"),
        (["results", "--limit", "many"], "Invalid value for '--limit': .*; see ofa-mcu results --help"),
    ],
)
def test_options_that_cannot_be_read_are_one_sentence_and_json(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and re.fullmatch(f"ofa-mcu: {message}\n", said.err)
    assert run(*arguments, "--json") == 2
    said = capsys.readouterr()
    error = json.loads(said.out)
    assert error["schema"] == 1 and error["error"]["code"] == "usage"
    assert said.err == f"ofa-mcu: {error['error']['message']}\n" and re.fullmatch(message, error["error"]["message"])


def test_help_is_no_error_and_nothing_at_all_is_helped(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["--help"], 0), (["search", "--help"], 0), ([], 2)):
        assert run(*arguments) == code
        said = capsys.readouterr()
        assert "Usage: ofa-mcu" in said.out + said.err and "ofa-mcu: " not in said.err


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
