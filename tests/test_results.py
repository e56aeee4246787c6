"""One file of results: several writers, a kill at any time, other versions, and what the verb prints."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.results import TABLES, VERSION, add_results, note_results, read_results, run_column
from tests.cli.verbs import run

WRITER = """
import sys
from pathlib import Path
from ofa_mcu.results import add_results
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    add_results("evaluations", [{"task": name, "examples": number}, {"task": name, "examples": number}], path)
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "kept" / "results.sqlite"
    monkeypatch.setenv("OFA_MCU_RESULTS", str(file))
    return file


def writer(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE)


def test_rows_come_back(path: Path) -> None:
    add_results("picks", [{"board": "a", "instructions": 5}, {"board": "b"}])
    add_results("picks", [{"board": "a", "instructions": 6}])
    rows = read_results("picks")
    assert [(row["id"], row["board"], row["instructions"]) for row in rows] == [
        (1, "a", 5),
        (2, "b", None),
        (3, "a", 6),
    ]
    assert set(rows[0]) == {"id", "at", "version", *TABLES["picks"]}
    assert [row["id"] for row in read_results("picks", {"board": "a"}, limit=1)] == [3]
    assert [row["id"] for row in read_results("picks", {"instructions": "5"})] == [1]
    assert read_results("measurements") == []
    with pytest.raises(UsageError, match="no table 'nothing'"):
        read_results("nothing")
    with pytest.raises(UsageError, match="no column 'nothing'"):
        read_results("picks", {"nothing": "1"})
    with pytest.raises(ValueError, match="no columns"):
        add_results("picks", [{"nothing": 1}])


def test_several_writers_lose_nothing(path: Path) -> None:
    writers = [writer(path, f"writer {number}", 25) for number in range(4)]
    assert [one.wait(120) for one in writers] == [0] * 4
    rows = read_results("evaluations")
    for number in range(4):
        mine = [row["examples"] for row in rows if row["task"] == f"writer {number}"]
        assert mine == [i for i in range(25) for _ in range(2)]


def test_who_write_first_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """The tables appear between two looks of another at a new file."""
    writers = 6
    with ThreadPoolExecutor(writers) as pool:
        for number in range(25):
            path, together = tmp_path / f"{number}.sqlite", threading.Barrier(writers)

            def write(row: int, path: Path = path, together: threading.Barrier = together) -> None:
                together.wait()
                add_results("picks", [{"instructions": row}], path)

            list(pool.map(write, range(writers)))
            assert {row["instructions"] for row in read_results("picks", path=path)} == set(range(writers))


def test_a_writer_that_is_killed_leaves_whole_transactions(path: Path) -> None:
    seen = 0
    for turn in range(4):
        one = writer(path, "killed", 100_000)
        assert one.stdout is not None
        for _ in range(3 + turn):
            one.stdout.readline()
            seen += 1
        time.sleep(0.01 * turn)
        os.kill(one.pid, signal.SIGKILL)
        one.wait(30)
        one.stdout.close()
    rows = read_results("evaluations")
    assert len(rows) % 2 == 0 and len(rows) >= 2 * seen
    assert all(rows[i]["examples"] == rows[i + 1]["examples"] for i in range(0, len(rows), 2))
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_other_files_are_refused_in_a_sentence(path: Path) -> None:
    with pytest.raises(OfaMcuError, match="there are no results in"):
        read_results("picks")
    assert not path.parent.exists()
    add_results("picks", [{}])
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(OfaMcuError, match="was written by a later release"):
        read_results("picks")
    path.write_bytes(b"no database at all" * 100)
    told: list[str] = []
    note_results("picks", [{}], told.append)
    assert len(told) == 1 and told[0].startswith("not kept: results in") and "\n" not in told[0]


def test_a_file_of_an_earlier_version_gets_what_it_lacks(path: Path) -> None:
    add_results("picks", [{"board": "a"}])
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE failures")
        database.execute("PRAGMA user_version = 1")
    database.close()
    assert read_results("failures") == []
    add_results("failures", [{"board": "a", "error": "gone"}])
    assert [row["error"] for row in read_results("failures")] == ["gone"]
    assert [row["board"] for row in read_results("picks")] == ["a"]


def test_the_database_of_another_program_stays_as_it_is(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE measurements (name TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(OfaMcuError, match="is the database of another program; name another file in OFA_MCU_RESULTS"):
        read_results("measurements")
    with pytest.raises(OfaMcuError, match="is the database of another program"):
        add_results("picks", [{}])
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_reading_changes_nothing(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert read_results("picks") == [] and path.read_bytes() == b""
    add_results("measurements", [{"accuracy": math.inf, "milliseconds": 1.5}])
    (row,) = read_results("measurements")
    assert (row["accuracy"], row["milliseconds"]) == (None, 1.5)


def test_how_rows_name_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a folder that is moved with its results, and several folders with one file, find their runs again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFA_MCU_RESULTS", raising=False)
    assert run_column(Path("runs") / "a") == str(Path("runs") / "a")
    monkeypatch.setenv("OFA_MCU_RESULTS", "elsewhere.sqlite")
    assert run_column("runs/a") == str(tmp_path.resolve() / "runs" / "a")


def test_the_verb(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("results") == 1
    assert "there are no results" in capsys.readouterr().err
    add_results("picks", [{"board": "a[b]", "run": "runs/1"}, {"board": "b", "run": "runs/2"}])
    assert run("results", "picks", "--where", "board=a[b]", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["schema"], value["table"], value["file"]) == (1, "picks", str(path))
    assert [row["run"] for row in value["rows"]] == ["runs/1"]
    assert run("results", "picks", "--csv", "--limit", "1") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["board"], row["run"], row["sram_bytes"]) == ("b", "runs/2", "")
    assert run("results", "picks") == 0
    assert "a[b]" in capsys.readouterr().out
    twice = ["picks", "--where", "board=a", "--where", "board=b"]
    for wrong in (
        ["nothing"],
        ["picks", "--where", "board"],
        ["picks", "--csv", "--json"],
        ["--limit", "9" * 20],
        twice,
    ):
        assert run("results", *wrong) == 2
