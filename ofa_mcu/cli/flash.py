"""`ofa-mcu flash`: a run onto a real board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    Arena,
    DataDir,
    Run,
    Runtime,
    TflmLib,
    TflmPath,
    counting,
    emit,
    failing_as_json,
    say,
    say_runtime,
    tflm_options,
)

if TYPE_CHECKING:
    from ofa_mcu.devices.flash_plan import FlashPlan
    from ofa_mcu.devices.trial import Trial


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(flash)


def flash(
    run: Run = None,
    port: Annotated[
        str | None, typer.Option(help="The board's serial port, where it is not the only one of its kind.")
    ] = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="PlatformIO's upload protocol (default: by what is attached, and the profile).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell board, port, protocol and command; build and upload nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Wait until the board says that it runs this very model.")
    ] = True,
    bench: Annotated[bool, typer.Option("--bench", help="Then measure, as ofa-mcu bench does.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Test images of --bench.")] = 200,
    data_dir: DataDir = None,
    runtime: Runtime = "compiled",
    tflm_path: TflmPath = None,
    tflm_lib: TflmLib = None,
    arena: Arena = None,
    as_json: JSON = False,
) -> None:
    """Build a run for the board itself, upload it through PlatformIO, and check that the board runs it.

    With --runtime tflm the .tflite file runs there in TFLite Micro.

    Exit code 4: no board, or one that cannot be reached or does not answer.
    """
    trial: Trial | None = None
    with failing_as_json(as_json, schemas.FLASH):
        from ofa_mcu.devices.firmware import project_of, run_graph
        from ofa_mcu.devices.flash import flash_board
        from ofa_mcu.devices.flash_plan import plan_flash
        from ofa_mcu.devices.greeting import await_firmware
        from ofa_mcu.devices.tflm_build import tflm_files, tflm_folder, tflm_project_of
        from ofa_mcu.devices.trial import try_run
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.runs import find_run

        if bench and (dry_run or not verify):
            raise UsageError("--bench measures what was flashed and verified; leave out --dry-run and --no-verify")
        options = tflm_options(runtime, tflm_path, tflm_lib, arena)
        chosen = find_run(run)
        say_runtime(chosen, runtime)
        plan = plan_flash(load_profile(chosen.board(board)), port, protocol)
        result: dict[str, Any] = {"schema": schemas.FLASH, "run": str(chosen.folder), **plan.to_json()}
        folder = chosen.project_path if options is None else tflm_folder(chosen)
        result |= {"runtime": runtime, "command": plan.command(folder), "dry_run": dry_run}
        result |= {"seconds": None, "verified": False, "model_crc32": None, "bench": None}
        for note in plan.notes:
            say(f"note: {note}")
        if dry_run and options is not None:
            graph, crc = run_graph(chosen)
            # refuses what a build would refuse
            _, needs, _ = tflm_files(chosen.model(), graph, chosen.subnet, crc, options)
            options.check_fit(needs, plan.profile)
        if not dry_run:
            plan.check_port()
            with chosen.locked():
                _, crc = run_graph(chosen)
                if options is None:
                    project, _ = project_of(chosen, plan.profile, say)
                else:
                    project, _, _ = tflm_project_of(chosen, plan.profile, options, say)
                say(f"building and uploading {plan.profile.id} by {plan.protocol} ({plan.reason})")
                done = flash_board(
                    project, plan.profile, port=plan.upload_port, upload_flags=plan.upload_flags, say=say
                )
                result |= {"seconds": round(done.seconds, 2), "model_crc32": crc}
                if verify and (port or plan.profile.usb):
                    where, _ = await_firmware(plan.profile, port, crc, project.image_crc32)
                    result |= {"port": where, "verified": True}
                if bench and not result["verified"]:
                    raise UsageError(
                        f"the profile of {plan.profile.id} has no USB ids of its serial port; name it with --port"
                    )
                if bench:
                    with counting("measuring") as progress:
                        trial = try_run(
                            chosen, plan.profile, result["port"], images, data_dir, progress, say, runtime=runtime
                        )
                    result["bench"] = trial.to_json()
        if as_json:
            emit(result)
        else:
            _print(result, plan)
    if trial is not None:
        trial.check()


def _print(result: dict[str, Any], plan: FlashPlan) -> None:
    found = ", ".join(f"{p.name} ({p.description}, {p.usb})" for p in plan.boards)
    found = found or ", ".join(f"{d.name} at USB {d.place} ({d.usb})" for d in plan.devices) or "none in sight"
    if result["dry_run"]:
        print(f"board     {plan.profile.id}: {found}")
        print(f"port      {result['port'] or 'unknown until the board is plugged in'}")
        print(f"protocol  {plan.protocol} ({plan.reason})")
        print(f"runtime   {result['runtime']}")
        print(f"command   {result['command']}")
        return
    print(f"{plan.profile.id} took the firmware of {result['run']} in {result['seconds']:.0f} s")
    if result["verified"]:
        print(f"it runs the model with CRC-32 {result['model_crc32']:08x} and answers at {result['port']}")
    else:
        print("that it runs the model was not asked; bench asks first")
    if result["bench"] is None:
        other = "" if result["runtime"] == "compiled" else f" --runtime {result['runtime']}"
        print(f"next: ofa-mcu bench --run {result['run']} --port {result['port'] or 'PORT'}{other}")
    else:
        from ofa_mcu.cli.bench import print_trial

        print_trial(result["bench"])
