"""Every evaluation, pick, measurement and failed measurement in one SQLite file: `runs/results.sqlite`.

The file has a version, is written in WAL mode with short transactions, and so is safe under several writers and a kill
at any time. OFA_MCU_RESULTS names another file.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ofa_mcu import __version__
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.runs import RUNS

__all__ = ["TABLES", "VERSION", "add_results", "note_results", "read_results", "results_file", "run_column"]

VERSION = 2
"""Of the tables; a file of a later one is refused."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "evaluations": {
        "task": "TEXT",
        "supernet": "TEXT",
        "subnet": "TEXT",
        "part": "TEXT",
        "precision": "TEXT",
        "accuracy": "REAL",
        "examples": "INTEGER",
    },
    "picks": {
        "task": "TEXT",
        "supernet": "TEXT",
        "board": "TEXT",
        "subnet": "TEXT",
        "accuracy_int8": "REAL",
        "sram_bytes": "INTEGER",
        "flash_bytes": "INTEGER",
        "instructions": "INTEGER",
        "bounds": "TEXT",
        "run": "TEXT",
    },
    "measurements": {
        "task": "TEXT",
        "board": "TEXT",
        "subnet": "TEXT",
        "model_crc32": "INTEGER",
        "runtime": "TEXT",
        "transport": "TEXT",
        "counter": "TEXT",
        "instructions": "INTEGER",
        "cycles": "INTEGER",
        "milliseconds": "REAL",
        "accuracy": "REAL",
        "images": "INTEGER",
        "differing_bytes": "INTEGER",
        "bytes_compared": "INTEGER",
        "stack_used": "INTEGER",
        "run": "TEXT",
    },
    "failures": {
        "board": "TEXT",
        "port": "TEXT",
        "code": "TEXT",
        "error": "TEXT",
        "run": "TEXT",
    },
}
"""Columns of every table, beside `id`, `at` (UTC) and `version` (of this package)."""

_BUSY_SECONDS = 30.0


def results_file() -> Path:
    """Where results are kept."""
    return Path(os.environ.get("OFA_MCU_RESULTS") or RUNS / "results.sqlite")


def run_column(folder: str | Path) -> str:
    """How rows name a run: as it was given where the file of results moves with the runs, and with the whole path where
    OFA_MCU_RESULTS names a file for several working folders."""
    return str(Path(folder).resolve() if os.environ.get("OFA_MCU_RESULTS") else folder)


def add_results(table: str, rows: Sequence[Mapping[str, Any]], path: Path | None = None) -> None:
    """Adds rows to a table, all of them or none; columns that a row lacks are null.

    Raises:
        OfaMcuError: the file cannot be written, is damaged, or of a later version.
    """
    known = TABLES[table]
    names = ["at", "version", *known]
    unknown = {name for row in rows for name in row} - set(known)
    if unknown:
        raise ValueError(f"table {table} has no columns {sorted(unknown)}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    values = [(now, __version__, *(row.get(name) for name in known)) for row in rows]
    with _opened(path or results_file(), create=True) as database:
        database.execute("BEGIN IMMEDIATE")
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
        database.execute("COMMIT")


def note_results(table: str, rows: Sequence[Mapping[str, Any]], say: Callable[[str], None] = lambda text: None) -> None:
    """`add_results`, but what hinders it is told and hinders nothing else."""
    try:
        add_results(table, rows)
    except OfaMcuError as error:
        say(f"not kept: {error}")


def read_results(
    table: str, where: Mapping[str, str] | None = None, limit: int | None = None, path: Path | None = None
) -> list[dict[str, Any]]:
    """Rows of a table, the oldest first, of which columns have the values of `where`; with `limit` the newest of them.

    Raises:
        UsageError: no such table or column.
        OfaMcuError: there is no file, or it is damaged or of a later version.
    """
    if table not in TABLES:
        raise UsageError(f"there is no table '{table}' of results; known: {', '.join(TABLES)}")
    wanted = dict(where or {})
    columns = ("id", "at", "version", *TABLES[table])
    for name in wanted:
        if name not in columns:
            raise UsageError(f"table '{table}' has no column '{name}'; known: {', '.join(columns)}")
    condition = " AND ".join(f"CAST({name} AS TEXT) = ?" for name in wanted)
    query = (
        f"SELECT {', '.join(columns)} FROM {table}" + (f" WHERE {condition}" if condition else "") + " ORDER BY id DESC"
    )
    query += "" if limit is None else f" LIMIT {int(limit)}"
    with _opened(path or results_file(), create=False) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
            return []  # of an earlier version
        rows = database.execute(query, tuple(wanted.values())).fetchall()
        return [dict(zip(columns, map(_finite, row), strict=True)) for row in reversed(rows)]


def _finite(value: Any) -> Any:
    """No number where it is infinite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _opened(path: Path, create: bool) -> Iterator[sqlite3.Connection]:
    if not create and not path.is_file():
        raise OfaMcuError(f"there are no results in {path}; search and bench write them")
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        # In WAL mode reading asks for files beside it, too.
        reading = "?mode=rw" if os.access(path.parent, os.W_OK) else "?immutable=1"
        where = path.absolute().as_uri() + ("" if create else reading)
        database = sqlite3.connect(where, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
        try:
            version = _version(database, path)
            if create and version < VERSION:
                _make_tables(database)
            yield database
        finally:
            database.close()
    except (sqlite3.Error, OSError) as error:
        raise OfaMcuError(f"results in {path} cannot be used ({error}); move the file away to begin anew") from error


def _version(database: sqlite3.Connection, path: Path) -> int:
    """Of the tables; 0 where there are none yet."""
    database.execute("BEGIN")  # one view of both, for another process may be making the tables
    (version,) = database.execute("PRAGMA user_version").fetchone()
    there = database.execute("SELECT 1 FROM sqlite_master").fetchall()
    database.execute("COMMIT")
    if version > VERSION:
        raise OfaMcuError(f"{path} was written by a later release (version {version}); this one knows {VERSION}")
    if not version and there:
        raise OfaMcuError(f"{path} is the database of another program; name another file in OFA_MCU_RESULTS")
    return int(version)


def _make_tables(database: sqlite3.Connection) -> None:
    """WAL mode, and the tables that are missing: all of them, or those of a later version than the file's."""
    _use_wal(database)
    database.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        spelled = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        database.execute(
            f"CREATE TABLE IF NOT EXISTS {table} "
            f"(id INTEGER PRIMARY KEY, at TEXT NOT NULL, version TEXT NOT NULL, {spelled})"
        )
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("COMMIT")


def _use_wal(database: sqlite3.Connection) -> None:
    """Changing the mode does not wait for other writers by itself."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
