"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ofa_mcu.files import write_bytes, write_json, write_text

ROOT = Path(__file__).parents[1]


def test_content_arrives_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_bytes(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_json(path, {"b": [1, 2.5, None], "a": "x"})
    text = path.read_text()
    assert json.loads(text) == {"b": [1, 2.5, None], "a": "x"} and text.endswith("}\n") and "\n  " in text
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_a_value_json_does_not_know_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_json(path, [1])
    with pytest.raises(TypeError):
        write_json(path, {1, 2})
    assert json.loads(path.read_text()) == [1]


def test_a_failed_write_leaves_the_old_content_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # a full disk cannot be had here
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        write_bytes(tmp_path / "file", b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


WRITER = """
import sys
from pathlib import Path
from ofa_mcu.files import write_bytes
letters = [bytes([letter]) * 3_000_000 for letter in b"ab"]
step = 0
while True:
    write_bytes(Path(sys.argv[1]), letters[step % 2])
    step += 1
"""


def test_readers_and_a_kill_never_see_a_part(tmp_path: Path) -> None:
    """A program that writes over and over, read all the while and killed in the middle."""
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT)
    try:
        deadline, seen = time.monotonic() + 60, set[bytes]()
        reads = 0
        while (reads < 30 or len(seen) < 2) and time.monotonic() < deadline:
            if not path.exists():
                time.sleep(0.01)
                continue
            data = path.read_bytes()
            assert len(data) == 3_000_000 and data.count(data[:1]) == len(data)
            seen.add(data[:1])
            reads += 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    data = path.read_bytes()
    assert seen == {b"a", b"b"}
    assert len(data) == 3_000_000 and data.count(data[:1]) == len(data)
