"""`ofa-mcu flash`: a run onto a real board."""

from __future__ import annotations

from typing import Annotated

import typer

from ofa_mcu.cli.common import Run, say


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(flash)


def flash(
    run: Run = None,
    port: Annotated[str | None, typer.Option(help="Port to upload through, where the protocol takes one.")] = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
) -> None:
    """Build a run for the board itself and upload it through PlatformIO."""
    from ofa_mcu.devices.firmware import project_of
    from ofa_mcu.devices.flash import flash_board
    from ofa_mcu.profiles import load_profile
    from ofa_mcu.runs import find_run

    chosen = find_run(run)
    profile = load_profile(chosen.board(board))
    with chosen.locked():
        project, _ = project_of(chosen, profile, say)
        done = flash_board(project, profile, port=port, say=say)
    print(f"{profile.id} took the firmware of {chosen.folder} in {done.seconds:.0f} s; next: ofa-mcu bench --port PORT")
