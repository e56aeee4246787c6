"""`ofa-mcu farm`: every run on its board, all boards beside each other; a row for each, right or wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_mcu import schemas
from ofa_mcu.cluster import Cluster, cores
from ofa_mcu.devices.board_job import LIMIT_S, BoardJob
from ofa_mcu.devices.farm import Outcome, boards_held, held_boards, measure_boards
from ofa_mcu.devices.farm_boards import (
    Assigned,
    Places,
    held_places,
    on_boards,
    on_twins,
    port_names,
    usb_places,
)
from ofa_mcu.devices.farm_kept import failed_last, kept_bench
from ofa_mcu.devices.farm_runs import FarmRun, UnfitRun, runs_in
from ofa_mcu.devices.ports import usb_ports
from ofa_mcu.errors import BusyError, DeviceError, InfeasibleError, MismatchError, OfaMcuError, UsageError
from ofa_mcu.results import note_results, results_file, run_column

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["FarmRequest", "Show", "failure_of", "farm"]

Show = Callable[[str, str, int, int], None]
"""Called with the name of a run, what is being done with it, and how much of how much of that."""


@dataclass(frozen=True)
class FarmRequest:
    """What is asked for: runs, or folders of runs; where they are measured, and how.

    `ports` are `BOARD=PORT` texts. `limit_s` is the most seconds that a board may take. With `resume` a run that was
    measured well before, just so, is not measured again, unless it failed since.
    """

    folders: Sequence[Path]
    emulate: bool = False
    ports: Sequence[str] = ()
    flash: bool = False
    images: int = 200
    limit_s: float = LIMIT_S
    resume: bool = False
    workers: int | None = None
    scheduler: str | None = None
    data_dir: Path | None = None


def farm(request: FarmRequest, say: Callable[[str], None], show: Show) -> dict[str, Any]:
    """What `farm --json` prints; measurements and failures go into the file of results as they arrive.

    Raises:
        UsageError: options that contradict each other, or no runs.
        DeviceError: no board is there for any of the runs, or which one is meant is not clear.
        OfaMcuError: no workers can be had.
    """
    began = time.monotonic()
    stray = [name for name, given in (("--port", request.ports), ("--flash", request.flash)) if given]
    if request.emulate and stray:
        raise UsageError(
            f"--emulate measures twins, which have no ports and are not flashed; leave out {' and '.join(stray)}"
        )
    runs, named = runs_in(request.folders, say), port_names(request.ports)
    unknown = sorted(set(named) - {each.profile.id for each in runs.fit} - {each.board for each in runs.unfit})
    if unknown:
        raise UsageError(f"--port names {', '.join(unknown)}, and no run is for such a board")
    book = _Book(say)
    with _connected(request) as client:
        assigned = _assigned(request, runs.fit, named, client) if runs.fit else Assigned((), (), ())
        for each in assigned.left_out:
            say(f"left out: {each.run.folder} ({each.board}: {each.reason})")
        rows = [_row(job, board) for job, board in zip(assigned.jobs, assigned.boards, strict=True)]
        if request.resume:
            _keep(assigned.jobs, rows)
        _measure(request, assigned.jobs, rows, client, book, show)
    for unfit in runs.unfit:
        rows.append(_unfit(unfit))
        book.failed(rows[-1], unfit.error)
    return {
        "schema": schemas.FARM,
        "results": str(results_file()) if book.complete else None,
        "seconds": round(time.monotonic() - began, 1),
        "boards": rows,
        "left_out": [
            {"run": str(each.run.folder), "board": each.board, "reason": each.reason} for each in assigned.left_out
        ],
    }


def failure_of(report: dict[str, Any]) -> OfaMcuError | None:
    """The error that ends the verb: a device's where there is one, else that of the first row with one."""
    failed = [row for row in report["boards"] if row["error"] is not None]
    if not failed:
        return None
    codes = {kind.code: kind for kind in (OfaMcuError, UsageError, InfeasibleError, MismatchError)}
    said = [row["error"]["code"] for row in failed]
    kind = DeviceError if DeviceError.code in said else codes[said[0]]
    names = ", ".join(row["board"] for row in failed)
    return kind(f"{len(failed)} of {len(report['boards'])} boards failed: {names}; mend them, and add --resume")


class _Book:
    """The file of results: `complete` as long as it took everything; why not is said once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._said = say, set[str]()

    @property
    def complete(self) -> bool:
        return not self._said

    def measured(self, row: dict[str, Any]) -> None:
        note_results("measurements", [row], self._refused)

    def failed(self, row: dict[str, Any], error: OfaMcuError) -> None:
        """Of the board, which it is not where another process is at work with the run."""
        if not isinstance(error, BusyError):
            failure = {
                "board": row["board"],
                "port": row["port"],
                "run": row["run"] and run_column(row["run"]),
            }
            note_results("failures", [failure | {"code": error.code, "error": str(error)}], self._refused)

    def _refused(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


@contextmanager
def _connected(request: FarmRequest) -> Iterator[Client | None]:
    """A user's cluster, which is asked for its boards; None where workers are started for the boards that are found."""
    if request.scheduler is None:
        yield None
        return
    with Cluster(request.workers, request.scheduler).client() as client:
        yield client


def _assigned(request: FarmRequest, runs: Sequence[FarmRun], named: Places, client: Client | None) -> Assigned:
    common = BoardJob(
        Path(),
        images=request.images,
        data_dir=request.data_dir,
        flash=request.flash,
        limit_s=request.limit_s,
    )
    if request.emulate:
        assigned = on_twins(runs, common)
        if not assigned.jobs:
            raise UsageError("none of these runs is for a board with a twin; leave out --emulate and plug boards in")
        return assigned
    places = usb_places(runs, named) if client is None else held_places(boards_held(client), named)
    assigned = on_boards(runs, places, common)
    if assigned.jobs:
        return assigned
    if client is not None:
        raise DeviceError(
            f"no worker of {request.scheduler} holds a board of these runs; start one where a board is plugged in: "
            f'dask worker ADDRESS --nworkers 1 --nthreads 1 --resources "board:{runs[0].profile.id}=1"'
        )
    present = ", ".join(f"{port.name} ({port.description}, {port.usb})" for port in usb_ports()) or "none"
    raise DeviceError(
        f"no board of these runs is attached (USB serial ports here: {present}); plug one in, name its port with "
        "--port BOARD=PORT, or measure the twins with --emulate"
    )


def _measure(
    request: FarmRequest,
    jobs: Sequence[BoardJob],
    rows: Sequence[dict[str, Any]],
    client: Client | None,
    book: _Book,
    show: Show,
) -> None:
    """Fill the rows that have nothing yet."""
    left = [number for number, row in enumerate(rows) if row["bench"] is None]
    wanted = [jobs[number] for number in left]

    def arrived(number: int, outcome: Outcome) -> None:
        row = rows[left[number]]
        error = _fill(row, outcome)
        if not isinstance(outcome.result, OfaMcuError):
            book.measured(outcome.result.row(wanted[number].run))
        if error is not None:
            book.failed(row, error)
        show(row["run"], "failed" if row["error"] else "done", 1, 1)

    def watch(number: int, what: str, done: int, total: int) -> None:
        show(rows[left[number]]["run"], what, done, total)

    if not wanted:
        return
    if client is not None:
        measure_boards(wanted, client, arrived, watch)
        return
    held = held_boards(wanted)
    count = request.workers or (len(held) if held else min(cores(), len(wanted)))
    with Cluster(min(count, len(wanted)), resources=held).client() as own:
        measure_boards(wanted, own, arrived, watch)


def _keep(jobs: Sequence[BoardJob], rows: Sequence[dict[str, Any]]) -> None:
    """Fill the rows of what was measured before, just so, and has not failed since."""
    try:
        failed = failed_last()
    except OfaMcuError:
        return  # nobody knows what has failed
    for job, row in zip(jobs, rows, strict=True):
        row["bench"] = None if job.run.resolve() in failed else kept_bench(job, row["board"])
        row["resumed"] = row["bench"] is not None


def _row(job: BoardJob, board: str) -> dict[str, Any]:
    return _blank(job.run, board) | {"port": job.port, "flashed": job.flash}


def _unfit(each: UnfitRun) -> dict[str, Any]:
    return _blank(each.run.folder, each.board) | {"seconds": 0.0, "error": _told(each.error)}


def _blank(run: Path, board: str) -> dict[str, Any]:
    return {
        "run": str(run),
        "board": board,
        "port": None,
        "flashed": False,
        "resumed": False,
        "seconds": None,
        "bench": None,
        "error": None,
    }


def _fill(row: dict[str, Any], outcome: Outcome) -> OfaMcuError | None:
    """Fill the row; the error in it."""
    row["seconds"], row["port"] = round(outcome.seconds, 1), outcome.port
    try:
        if isinstance(outcome.result, OfaMcuError):
            raise outcome.result
        row["bench"] = outcome.result.to_json()
        outcome.result.check()
    except OfaMcuError as error:
        row["error"] = _told(error)
        return error
    return None


def _told(error: OfaMcuError) -> dict[str, str]:
    return {"code": error.code, "message": str(error)}
