"""`ofa-mcu init`: files that a project begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, emit, failing_as_json


def register(app: typer.Typer) -> None:
    """Add the verb and its `ci`."""
    init = typer.Typer(help="Write the files that a project begins with.", no_args_is_help=True)
    init.callback()(_init)
    init.command("ci")(ci)
    app.add_typer(init, name="init")


def _init() -> None:
    """Write the files that a project begins with."""


def ci(
    board: Annotated[str, typer.Option(help="Board to search, build and emulate for.")] = "stm32f746",
    task: Annotated[str, typer.Option(help="Task whose supernet is searched.")] = "fashion-mnist",
    data_dir: Annotated[str | None, typer.Option(help="Folder in the repository that holds the task's data.")] = None,
    baseline: Annotated[str, typer.Option(help="The baseline's place in the repository.")] = "ofa-mcu-baseline.json",
    max_regress: Annotated[
        str, typer.Option(help="What may get worse by how much, as of bench.")
    ] = "sram=0,flash=0,instructions=0.5%,accuracy=0",
    images: Annotated[int, typer.Option(min=1, help="Test images to run.")] = 200,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path(".github/workflows/ofa-mcu.yml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    as_json: JSON = False,
) -> None:
    """Write a GitHub Actions workflow that searches, builds and measures in QEMU, and compares with a baseline."""
    with failing_as_json(as_json, schemas.INIT):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.reports.regression import allowances
        from ofa_mcu.reports.workflow import Workflow, write_workflow

        if load_profile(board).emulator is None:
            raise UsageError(f"board {board} has no emulated twin, which CI runs; choose another with --board")
        allowances(max_regress)
        write_workflow(Workflow(board, task, data_dir, baseline, max_regress, images), out, force=force)
    if as_json:
        emit({"schema": schemas.INIT, "file": str(out), "board": board, "task": task, "baseline": baseline})
        return
    print(f"wrote {out}; commit it, and {baseline} from its first run's artifact (bench.json)")
