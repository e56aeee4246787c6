"""`ofa-mcu bench`: a run on a board or its twin, measured over serial."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    Arena,
    DataDir,
    Patch,
    Run,
    Runtime,
    TflmLib,
    TflmPath,
    counting,
    emit,
    failing_as_json,
    say,
    show_table,
    tflm_options,
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(bench)


def bench(
    run: Run = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Run on the board's emulated twin.")] = False,
    port: Annotated[str | None, typer.Option(help="Serial port of the board, /dev/ttyACM0 for example.")] = None,
    board: Annotated[str | None, typer.Option(help="Another board than the one searched for.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images to run.")] = 200,
    data_dir: DataDir = None,
    runtime: Runtime = "compiled",
    tflm_path: TflmPath = None,
    tflm_lib: TflmLib = None,
    arena: Arena = None,
    patch: Patch = False,
    as_json: JSON = False,
) -> None:
    """Run test images on a device: every output byte compared, instructions or time, accuracy, stack.

    With --runtime tflm and --emulate both runtimes are built and run, and stand side by side.
    """
    with failing_as_json(as_json, schemas.BENCH):
        from ofa_mcu.devices.trial import try_run
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.runs import find_run

        if emulate == (port is not None):
            raise UsageError("bench needs either --emulate or --port (a board's serial port)")
        options = None
        if patch or runtime != "tflm" or port is None:
            options = tflm_options(runtime, tflm_path, tflm_lib, arena, patch)
        if options is not None and options.library.tree is None:
            raise UsageError("the emulated twin with --runtime tflm is built from sources: give --tflm-path DIR")
        chosen = find_run(run)
        profile = load_profile(chosen.board(board))
        with chosen.locked(), counting("measuring") as progress:
            trials = []
            if options is not None:  # the cheaper one first
                trials.append(try_run(chosen, profile, port, images, data_dir, progress, say))
            trials.append(try_run(chosen, profile, port, images, data_dir, progress, say, options))
        result = trials[-1].to_json()
        if len(trials) > 1:
            result["beside"] = trials[0].to_json()
        if as_json:
            emit(result)
        else:
            _print(result)
            if len(trials) > 1:
                _print_side_by_side([trial.to_json() for trial in trials])
    for trial in trials:
        trial.check()


def _print_side_by_side(results: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from ofa_mcu.devices.tflm_build import side_by_side

    head, *rows = side_by_side({result["runtime"]: result for result in results})
    table = Table(title=f"{results[0]['board']}, emulated: both runtimes on the same {results[0]['images']} images")
    for index, heading in enumerate(head):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    show_table(table, 100)


def _print(result: dict[str, Any]) -> None:
    print(f"board         {result['board']} ({result['transport']}, counter: {result['counter']})")
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
