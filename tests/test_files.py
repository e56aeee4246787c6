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

from ofa_mcu.errors import UsageError
from ofa_mcu.files import check_file, check_folder, write_bytes, write_json, write_text

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


def test_a_refusal_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "inside"):
        with pytest.raises(OSError) as caught:
            write_bytes(path, b"new")
        assert caught.value.filename == str(path)


def test_places_are_checked_before_long_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    check_file(tmp_path / "new" / "file", "--out")
    check_file(tmp_path / "file", "--out")
    check_folder(tmp_path / "new" / "folder", "--out")
    check_folder(tmp_path / "folder", "--out")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder"]  # nothing is made
    with pytest.raises(UsageError, match=r"^--out .*folder is a folder; name a file$"):
        check_file(tmp_path / "folder", "--out")
    with pytest.raises(UsageError, match=r"^--out .*file is a file; name a folder$"):
        check_folder(tmp_path / "file", "--out")
    for check in (check_file, check_folder):
        for place in (tmp_path / "file" / "inside" / "more", Path("/proc/ofa-mcu/table.json")):
            with pytest.raises(UsageError, match=r"cannot be written .*; name another$"):
                check(place, "--out")
