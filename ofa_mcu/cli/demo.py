"""`ofa-mcu demo`: the whole road in one verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu.cli.common import DataDir, counting, say, status

if TYPE_CHECKING:
    from ofa_mcu.devices.trial import Trial
    from ofa_mcu.profiles import BoardProfile


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    board: Annotated[str, typer.Option(help="Board to search, build and emulate for.")] = "stm32f746",
    images: Annotated[int, typer.Option(min=1, help="Test images to run in the emulator.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/TASK-BOARD-NUMBER).")] = None,
    data_dir: DataDir = None,
) -> None:
    """Search the shipped supernet, quantize, build, run in the emulated twin, and compare with what was promised."""
    from ofa_mcu.cli.search import print_report
    from ofa_mcu.devices.trial import try_run
    from ofa_mcu.profiles import load_profile
    from ofa_mcu.runs import Run
    from ofa_mcu.search.budget import budget_for
    from ofa_mcu.search.recommend import Request, recommend

    profile = load_profile(board)
    with status() as show:
        report = recommend(Request(budget_for(profile), data_dir=data_dir), out, say, show)
    print_report(report)
    run = Run(Path(report["run"]))
    with run.locked(), counting("measuring in the emulator") as progress:
        trial = try_run(run, profile, None, images, data_dir, progress, say)
    _print(profile, report, run.read("build.json"), trial)
    trial.check()


def _print(profile: BoardProfile, report: dict[str, Any], build: dict[str, Any], trial: Trial) -> None:
    from rich.console import Console
    from rich.table import Table

    pick, result = report["pick"], trial.to_json()
    table = Table(title="From supernet to firmware, measured over serial", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    measured = f"{result['instructions']} measured, {build['instructions_promised']} promised"
    for name, value in (
        ("board", f"{profile.name} ({profile.id})"),
        ("budget", f"{profile.sram_bytes} B SRAM, {profile.flash_bytes} B flash"),
        ("subnet", pick["subnet"]),
        ("MACs", str(pick["macs"])),
        ("accuracy fp32", f"{100 * pick['accuracy_fp32']:.2f} % of {report['test_images']} test images"),
        ("accuracy int8", f"{100 * pick['accuracy_int8']:.2f} % of {report['test_images']} test images"),
        ("accuracy on device", f"{100 * result['accuracy']:.2f} % of the first {result['images']} test images"),
        ("output bytes", f"{result['differing_bytes']} of {result['bytes_compared']} differ from the reference"),
        ("SRAM", f"{build['sram_promised']} B promised, {build['sram_linked']} B linked"),
        ("flash", f"{build['flash_promised']} B promised, {build['flash_linked']} B linked"),
        ("instructions", measured),
        ("stack", f"{result['stack_used']} B used of {result['stack_reserved']} B reserved"),
    ):
        table.add_row(name, value)
    Console(width=None if Console().is_terminal else 110).print(table)
    print(f"everything is in {report['run']}; on a real board: ofa-mcu flash, then ofa-mcu bench --port PORT")
