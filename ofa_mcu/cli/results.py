"""`ofa-mcu results`: what was evaluated, picked and measured so far."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, emit, failing_as_json, show_table

_WIDTH = 170


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(results)


def results(
    table: Annotated[str, typer.Argument(help="evaluations, picks, measurements or failures.")] = "measurements",
    where: Annotated[list[str] | None, typer.Option(help="column=value; several must all hold.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=2**63 - 1, help="Only the newest so many.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values on stdout.")] = False,
    as_json: JSON = False,
) -> None:
    """Show what search, fleet, bench and farm have written to runs/results.sqlite (or the file in OFA_MCU_RESULTS)."""
    with failing_as_json(as_json, schemas.RESULTS):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.results import read_results, results_file

        if as_csv and as_json:
            raise UsageError("--csv and --json both say what to print; give one of them")
        conditions = {}
        for text in where or []:
            name, equals, value = text.partition("=")
            if not equals:
                raise UsageError(f"--where '{text}' is no column=value; write board=stm32f746 for example")
            if name.strip() in conditions:
                raise UsageError(f"--where names {name.strip()} twice; give it one value")
            conditions[name.strip()] = value.strip()
        rows = read_results(table, conditions, limit)
    if as_json:
        emit({"schema": schemas.RESULTS, "file": str(results_file()), "table": table, "rows": rows})
    elif as_csv:
        _write_csv(table, rows)
    else:
        _print(table, rows)


def _write_csv(table: str, rows: list[dict[str, Any]]) -> None:
    from ofa_mcu.results import TABLES

    writer = csv.DictWriter(sys.stdout, ["id", "at", "version", *TABLES[table]])
    writer.writeheader()
    writer.writerows(rows)


def _print(table: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not rows:
        print(f"{table}: none")
        return

    used = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    shown = Table(title=f"{table}: {len(rows)}")
    for name in used:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*("" if row[name] is None else str(row[name]) for name in used))
    show_table(shown, _WIDTH)
