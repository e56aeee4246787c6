"""`ofa-mcu build`: from a run to a PlatformIO project and its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    Arena,
    Patch,
    Run,
    Runtime,
    TflmLib,
    TflmPath,
    emit,
    failing_as_json,
    say,
    say_runtime,
    tflm_options,
)

if TYPE_CHECKING:
    from ofa_mcu.devices.tflm_build import TflmOptions
    from ofa_mcu.profiles import BoardProfile
    from ofa_mcu.runs import Run as StoredRun


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(build)


def build(
    run: Run = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    runtime: Runtime = "compiled",
    tflm_path: TflmPath = None,
    tflm_lib: TflmLib = None,
    arena: Arena = None,
    patch: Patch = False,
    as_json: JSON = False,
) -> None:
    """Write a run's PlatformIO project, build it for the board's emulated twin, and compare promise and image.

    With --runtime tflm the .tflite file runs in TFLite Micro; from --tflm-lib only the board's project is written.
    """
    with failing_as_json(as_json, schemas.BUILD):
        from ofa_mcu.devices.firmware import build_run
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.runs import find_run

        options = tflm_options(runtime, tflm_path, tflm_lib, arena, patch)
        chosen = find_run(run)
        say_runtime(chosen, runtime)
        profile = load_profile(chosen.board(board))
        with chosen.locked():
            if options is not None:
                result = _tflm(chosen, profile, options)
                if as_json:
                    emit(result)
                return
            built = build_run(chosen, profile, say)
    if as_json:
        emit(built.to_json())
        return
    promise, image = built.promise, built.image
    print(f"image    {built.build.elf}")
    print(f"SRAM     promised {promise.sram_bytes} B, linked {image.sram_bytes} B")
    print(f"flash    promised {promise.flash_bytes} B, linked {image.flash_bytes} B")


def _tflm(run: StoredRun, profile: BoardProfile, options: TflmOptions) -> dict[str, Any]:
    """Build, or only write, the project for TFLite Micro; what --json prints."""
    from ofa_mcu.devices.tflm_build import build_tflm_run, tflm_project_of

    if options.library.tree is None:
        project, needs, arena = tflm_project_of(run, profile, options, say)
        say(f"project  {project.folder} (build it with: pio run -d {project.folder} -e {project.board_environment})")
        say(f"arena    {arena} B, {needs.arena_bytes} B by prediction (an upper bound)")
        return {"schema": schemas.BUILD, "runtime": "tflm", "project": str(project.folder), "arena_bytes": arena}
    built = build_tflm_run(run, profile, options, say)
    say(f"image    {built.build.elf}")
    say(f"SRAM     linked {built.image.sram_bytes} B, {built.arena_bytes} B of them arena")
    say(f"flash    linked {built.image.flash_bytes} B")
    return built.to_json()
