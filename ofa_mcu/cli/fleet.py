"""`ofa-mcu fleet`: the best subnet of one supernet for every board."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    DataDir,
    PlannedRuntime,
    Scheduler,
    Workers,
    boards_of,
    cluster_of,
    emit,
    failing_as_json,
    quantity,
    runtime_named,
    say,
    show_table,
    status,
)

if TYPE_CHECKING:
    from ofa_mcu.errors import OfaMcuError

_WIDTH = 150
UNKNOWN = "unknown"
"""Constraint of a board whose profile lacks what a bound needs."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(fleet)


def fleet(
    boards: Annotated[str, typer.Option(help="all, or ids and profile files with commas between them.")] = "all",
    task: Annotated[str, typer.Option(help="Task whose supernet is specialised.")] = "fashion-mnist",
    runtime: PlannedRuntime = "compiled",
    supernet: Annotated[Path | None, typer.Option(help="Folder of another supernet than the shipped one.")] = None,
    max_instructions: Annotated[str | None, typer.Option(help="Instructions per inference (4M).")] = None,
    max_ms: Annotated[float | None, typer.Option(min=0, help="Milliseconds per inference, estimated.")] = None,
    max_mj: Annotated[float | None, typer.Option(min=0, help="Millijoules per inference, estimated.")] = None,
    synthetic: Annotated[
        int | None, typer.Option(min=1, help="So many made-up boards instead, by prediction alone; no runs.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same answer.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the runs, one for each board.")] = Path("runs/fleet"),
    workers: Workers = None,
    scheduler: Scheduler = None,
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Specialise one supernet for every board, without training: a table, a plot, and a run for each, ready for build.

    Exit code 3: nothing fits any of the boards. 2: what a bound needs is known of none of them.
    """
    with failing_as_json(as_json, schemas.FLEET):
        from ofa_mcu.files import check_folder, write_bytes, write_json
        from ofa_mcu.reports.fleet import fleet_plot
        from ofa_mcu.runs import FLEET, FLEET_PLOT
        from ofa_mcu.search.fleet import FleetRequest, made_up_fleet
        from ofa_mcu.search.fleet import fleet as specialised

        check_folder(out, "--out")
        bounds = {
            "max_instructions": quantity("--max-instructions", max_instructions),
            "max_ms": max_ms,
            "max_mj": max_mj,
        }
        request = FleetRequest(boards_of(boards), task, supernet, bounds, seed, data_dir, runtime_named(runtime))
        cluster = cluster_of(workers, scheduler)
        with status() as show, cluster.client() if cluster else nullcontext() as client:
            if synthetic is not None:
                report = made_up_fleet(request, synthetic, show, client)
            else:
                report = specialised(request, out, say, show, client)
        told = out / (FLEET if synthetic is None else "synthetic.json")
        if synthetic is None:
            write_bytes(out / FLEET_PLOT, fleet_plot(report))
        else:
            write_json(told, report)
    if as_json:
        emit(report)
    else:
        _print(report, told)
        say(f"fleet {told}" + ("" if synthetic else f", {out / FLEET_PLOT}"))
    if not any(row["feasible"] for row in report["boards"]):
        raise _nothing(report["boards"])


def _nothing(rows: list[dict[str, Any]]) -> OfaMcuError:
    """Why there is a subnet for none of the boards."""
    from ofa_mcu.errors import InfeasibleError, UsageError

    if any(row["constraint"] != UNKNOWN for row in rows):
        return InfeasibleError("nothing fits any of the boards; allow more, or take larger ones")
    others = f" (and the other {len(rows) - 1} boards lack something, too)" if len(rows) > 1 else ""
    return UsageError(f"{rows[0]['message']}{others}")


def _print(report: dict[str, Any], told: Path) -> None:
    from rich.table import Table

    table = Table(title=f"{report['task']}: {len(report['boards'])} boards in {report['seconds']} s")
    for heading in ("board", "subnet", "int8 %", "SRAM B", "flash B", "M instructions", "binding"):
        table.add_column(heading, justify="left" if heading in ("board", "subnet", "binding") else "right")
    for row in report["boards"][:40]:
        pick = row["pick"]
        if pick is None:
            unknown = row["constraint"] == UNKNOWN
            table.add_row(
                row["board"], "not searched" if unknown else "nothing fits", "", "", "", "", row["constraint"]
            )
            continue
        accuracy = pick.get("accuracy_int8", pick.get("accuracy_predicted"))
        table.add_row(
            row["board"],
            pick["subnet"],
            f"{100 * accuracy:.2f}",
            f"{pick['sram_bytes']:,}",
            f"{pick['flash_bytes']:,}",
            "" if pick["instructions"] is None else f"{pick['instructions'] / 1e6:.2f}",
            "",
        )
    show_table(table, _WIDTH)
    for row in report["boards"][:40]:
        for said in (row.get("stand_in"), row.get("message")):
            if said is not None:
                print(f"{row['board']}: {said}")
    more = len(report["boards"]) - 40
    if more > 0:
        print(f"and {more} more, in {told}")
