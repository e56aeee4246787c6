"""`ofa-mcu bench`: a run on a board or its twin, measured over serial."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, DataDir, Run, counting, emit, failing_as_json, say


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(bench)


def bench(
    run: Run = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Run on the board's emulated twin.")] = False,
    port: Annotated[str | None, typer.Option(help="Serial port of the board, /dev/ttyACM0 for example.")] = None,
    baud: Annotated[
        int | None,
        typer.Option(
            min=9600, help="Speed of the serial line, where it is sound; without it the highest of several that is."
        ),
    ] = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images to run.")] = 200,
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Run test images on a device: every output byte compared, instructions or time, accuracy, stack."""
    with failing_as_json(as_json, schemas.BENCH):
        from ofa_mcu.devices.trial import try_run
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.runs import find_run

        if emulate == (port is not None):
            raise UsageError("bench needs either --emulate or --port (a board's serial port)")
        if emulate and baud is not None:
            raise UsageError("--baud is the speed of a board's port and an emulator has none: leave it out")
        chosen = find_run(run)
        profile = load_profile(chosen.board(board))
        with chosen.locked(), counting("measuring") as progress:
            trial = try_run(chosen, profile, port, images, data_dir, progress, say, baud)
        if as_json:
            emit(trial.to_json())
        else:
            _print(trial.to_json())
    trial.check()


def _print(result: dict[str, Any]) -> None:
    print(f"board         {result['board']} ({result['transport']}, counter: {result['counter']})")
    if result["baud"] is not None:
        print(f"line          {result['baud']} baud")
    print(f"bytes         {result['differing_bytes']} of {result['bytes_compared']} differ from the reference")
    print(f"accuracy      {100 * result['accuracy']:.2f} % of {result['images']} test images")
    if result["instructions"] is not None:
        print(
            f"instructions  {result['instructions']} per inference (median of {result['runs']}, after "
            f"{result['warmup']} warm-up; {result['instructions_min']} to {result['instructions_max']}); "
            "an emulator counts instructions, not time"
        )
        print(f"repeated      {', '.join(map(str, result['instructions_repeated']))} for one and the same input")
    if result["milliseconds"] is not None:
        print(f"time          {result['milliseconds']:.3f} ms per inference (median of {result['runs']})")
    if result["cycles"] is not None:
        print(f"cycles        {result['cycles']} per inference (median)")
    print(f"stack         {result['stack_used']} B used of {result['stack_reserved']} B reserved")
