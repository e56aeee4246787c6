"""`ofa-mcu build`: from a run to a PlatformIO project and its image."""

from __future__ import annotations

from typing import Annotated

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, Run, emit, failing_as_json, say


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(build)


def build(
    run: Run = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    as_json: JSON = False,
) -> None:
    """Write a run's PlatformIO project, build it for the board's emulated twin, and compare promise and image."""
    with failing_as_json(as_json, schemas.BUILD):
        from ofa_mcu.devices.firmware import build_run
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.runs import find_run

        chosen = find_run(run)
        with chosen.locked():
            built = build_run(chosen, load_profile(chosen.board(board)), say)
    if as_json:
        emit(built.to_json())
        return
    promise, image = built.promise, built.image
    print(f"image    {built.build.elf}")
    print(f"SRAM     promised {promise.sram_bytes} B, linked {image.sram_bytes} B")
    print(f"flash    promised {promise.flash_bytes} B, linked {image.flash_bytes} B")
