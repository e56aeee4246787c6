"""`ofa-mcu farm`: many runs on many boards, all beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, DataDir, Scheduler, Workers, emit, failing_as_json, say, show_table

_WIDTH = 150


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(farm)


def farm(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Runs, or folders of runs as fleet leaves them (default: runs/fleet).")
    ] = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Every run in the twin of its board.")] = False,
    port: Annotated[
        list[str] | None,
        typer.Option(metavar="BOARD=PORT", help="Where a board is, if USB ids do not tell; may be repeated."),
    ] = None,
    flash: Annotated[
        bool, typer.Option("--flash", help="Build for the boards and upload first, as ofa-mcu flash does.")
    ] = False,
    images: Annotated[int, typer.Option(min=1, help="Test images for each board.")] = 200,
    timeout: Annotated[
        float,
        typer.Option(
            min=1, max=1e6, metavar="SECONDS", help="The most that a board may take, builds and uploads included."
        ),
    ] = 900,
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out what was measured before, just so and without an error.")
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Build and measure many runs at once, each on its board or in its twin; a board that fails stops no other.

    Exit code 4: a board failed; else the code of what went wrong first. Measurements and failures are kept
    (ofa-mcu results).
    """
    with failing_as_json(as_json, schemas.FARM):
        from ofa_mcu.devices.farm_report import FarmRequest, failure_of
        from ofa_mcu.devices.farm_report import farm as farmed

        request = FarmRequest(
            folders=runs or [Path("runs/fleet")],
            emulate=emulate,
            ports=port or [],
            flash=flash,
            images=images,
            limit_s=timeout,
            resume=resume,
            workers=workers,
            scheduler=scheduler,
            data_dir=data_dir,
        )
        with _showing() as show:
            report = farmed(request, say, show)
    if as_json:
        emit(report)
    else:
        _print(report)
    failure = failure_of(report)
    if failure is not None:
        raise failure


@contextmanager
def _showing() -> Iterator[Callable[[str, str, int, int], None]]:
    """A line for each run on a terminal; elsewhere a line when one is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, markup=False, emoji=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    lines: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def show(run: str, what: str, done: int, total: int) -> None:
            if run not in lines:
                lines[run] = progress.add_task(run, total=None)
            progress.update(lines[run], description=f"{run}: {what}", completed=done, total=total or None)
            if what in ("done", "failed"):
                progress.stop_task(lines[run])
                if not console.is_terminal:
                    say(f"{run}: {what}")

        yield show


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    rows = report["boards"]
    failed = [row for row in rows if row["error"] is not None]
    table = Table(title=f"{len(rows)} boards in {report['seconds']} s")
    for heading in ("board", "where", "SRAM B", "flash B", "inference", "int8 %", "differing bytes", "s"):
        table.add_column(heading, justify="left" if heading in ("board", "where") else "right", overflow="fold")
    if failed:
        table.add_column("error", overflow="fold", ratio=1)
    for row in rows:
        bench, error = row["bench"], row["error"]
        where = row["port"] or ("" if bench is None or bench["transport"] != "emulator" else "twin")
        seconds = "kept" if row["resumed"] else f"{row['seconds']:.1f}"
        cells = ["", "", "", "", ""] if bench is None else _figures(bench)
        last = [] if not failed else [""] if error is None else [error["message"]]
        table.add_row(row["board"], where, *cells, seconds, *last)
    show_table(table, _WIDTH)
    if report["results"] is not None:
        say(f"kept in {report['results']} (ofa-mcu results)")


def _figures(bench: dict[str, Any]) -> list[str]:
    bytes_of = ["" if bench[f"{name}_linked"] is None else f"{bench[f'{name}_linked']:,}" for name in ("sram", "flash")]
    counted, time = bench["instructions"], bench["milliseconds"]
    return [
        *bytes_of,
        f"{counted:,} instructions" if counted is not None else f"{time:.3f} ms",
        f"{100 * bench['accuracy']:.2f}",
        f"{bench['differing_bytes']} of {bench['bytes_compared']:,}",
    ]
