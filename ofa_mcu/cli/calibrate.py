"""`ofa-mcu boards calibrate`: what a board takes for a network, measured on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, counting, emit, failing_as_json, say

__all__ = ["calibrate_board"]


def calibrate_board(
    board: Annotated[str, typer.Option(help="Board id (see ofa-mcu boards) or a profile's .toml file.")],
    port: Annotated[str | None, typer.Option(help="Serial port of the board, /dev/ttyACM0 for example.")] = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="On the emulated twin: instructions, no time.")] = False,
    upload_port: Annotated[
        str | None, typer.Option(help="Port to upload through, where the board's upload protocol takes one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the table (default: where search looks for it; see docs/boards.md).")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure all again; keep nothing of earlier runs.")] = False,
    as_json: JSON = False,
) -> None:
    """Measure probe networks on a board and fit its latency table, by which search estimates time.

    The board is flashed some times (at most two dozen) with many small networks in each image. A run that was broken
    off goes on where it was.
    """
    with failing_as_json(as_json, schemas.CALIBRATE):
        from ofa_mcu.devices.calibration import Request, calibrate
        from ofa_mcu.errors import UsageError
        from ofa_mcu.profiles import load_profile

        if emulate == (port is not None):
            raise UsageError("boards calibrate needs either --port (the board's serial port) or --emulate")
        request = Request(load_profile(board), port, out, upload_port, fresh)
        with counting("measuring") as progress:
            found = calibrate(request, say, say, progress)
    if as_json:
        emit(found.to_json())
    else:
        _print(found.to_json())


def _print(report: dict[str, Any]) -> None:
    unit, model, held = report["unit"], report["model"], report["held_out"]
    what = (
        "instructions, which are no time" if unit == "instructions" else f"{unit} at {report['clock_hz'] / 1e6:g} MHz"
    )
    print(f"board      {report['board']} ({report['core']}, counter: {report['counter']}); in {what}")
    print(f"probes     {report['probes']} networks in {report['images']} images")
    for kernel, factor in sorted(model["factors"].items()):
        if kernel.startswith("ofa_"):  # beside groups of kernels, which are for those that were not probed
            print(f"factor     {factor:.3f} per instruction of {kernel}")
    print(f"           {model['shared']:.3f} of what was not probed, {model['constant']:.0f} for an inference"
          + (f", {model['per_byte']:.3f} for a byte of weights" if model["per_byte"] else ""))  # fmt: skip
    print(
        f"held out   {held['networks']} networks: off by {100 * held['median']:.2f} % (median), at most "
        f"{100 * held['largest']:.2f} %; with one factor for all {100 * report['one_factor']['median']:.2f} %, at most "
        f"{100 * report['one_factor']['largest']:.2f} %"
    )
    print(f"table      {report['file']}")
