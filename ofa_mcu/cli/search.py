"""`ofa-mcu search`: the best subnet for a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import (
    JSON,
    DataDir,
    Patch,
    PlannedRuntime,
    emit,
    failing_as_json,
    quantity,
    runtime_named,
    say,
    status,
)

_ROWS = 12


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(search)


def search(
    board: Annotated[str, typer.Option(help="Board id (see ofa-mcu boards) or a profile's .toml file.")],
    task: Annotated[str, typer.Option(help="Task whose supernet is searched.")] = "fashion-mnist",
    runtime: PlannedRuntime = "compiled",
    supernet: Annotated[Path | None, typer.Option(help="Folder of another supernet than the shipped one.")] = None,
    max_sram: Annotated[str | None, typer.Option(help="SRAM in bytes: arena, buffers, data and stack (20k).")] = None,
    max_flash: Annotated[str | None, typer.Option(help="Flash in bytes: code and weights (64k).")] = None,
    max_instructions: Annotated[str | None, typer.Option(help="Instructions per inference (4M).")] = None,
    max_ms: Annotated[float | None, typer.Option(min=0, help="Milliseconds per inference, estimated.")] = None,
    max_mj: Annotated[float | None, typer.Option(min=0, help="Millijoules per inference, estimated.")] = None,
    cycles_per_instruction: Annotated[
        float | None, typer.Option(min=0.01, help="Basis of --max-ms where the profile has none.")
    ] = None,
    latency: Annotated[
        Path | None, typer.Option(help="Latency table of the board (default: its own, from ofa-mcu boards calibrate).")
    ] = None,
    power_mw: Annotated[
        float | None, typer.Option(min=0.01, help="Active power; basis of --max-mj where the profile has none.")
    ] = None,
    battery: Annotated[
        str | None, typer.Option(help="Cell that is to last for --lives: cr2032, 2xaa, lipo:500mAh, 500mAh@3.7V.")
    ] = None,
    lives: Annotated[str | None, typer.Option(help="How long it is to last: 6months, 2y.")] = None,
    every: Annotated[str | None, typer.Option(help="From one inference to the next: 10s, 5min.")] = None,
    sleep_ua: Annotated[
        float | None, typer.Option(min=0, help="Microamperes between inferences (default: the chip's, by the profile).")
    ] = None,
    objective: Annotated[str, typer.Option(help="accuracy, instructions, sram or flash.")] = "accuracy",
    give_up: Annotated[
        float, typer.Option(min=0, max=100, help="Points of accuracy to give up for another objective.")
    ] = 1.0,
    measure: Annotated[
        int, typer.Option(min=3, help="Subnets measured on validation examples before one is recommended.")
    ] = 3,
    finetune: Annotated[
        int, typer.Option(min=0, help="Epochs of fine-tuning of the chosen subnet, taught by the largest.")
    ] = 0,
    qat: Annotated[int, typer.Option(min=0, help="Epochs of quantization-aware training after that.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same answer.")] = 0,
    patch: Patch = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/TASK-BOARD-NUMBER).")] = None,
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Find the most accurate subnet that fits a board, quantize it, and measure its int8 accuracy.

    The pick is the most accurate that fits; among those within 0.2 point, the one with the fewest instructions.
    """
    with failing_as_json(as_json, schemas.SEARCH):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.planning.latency_files import latency_for
        from ofa_mcu.profiles import load_profile, named_file
        from ofa_mcu.search.budget import budget_for
        from ofa_mcu.search.lifetime import lifetime_for
        from ofa_mcu.search.recommend import Request, recommend

        profile, own_profile = load_profile(board), named_file(board)
        lifetime = lifetime_for(profile, battery, lives, every, sleep_ua, power_mw)
        if lifetime is not None:
            if sleep_ua is None:
                say(f"{lifetime.duty.sleep_ua:g} uA between inferences: {lifetime.sleep_basis}")
            say(f"for {lives} of {battery} an inference may take {lifetime.most_ms:.4g} ms")
        budget = budget_for(
            profile,
            quantity("--max-sram", max_sram, memory=True),
            quantity("--max-flash", max_flash, memory=True),
            quantity("--max-instructions", max_instructions),
            max_ms,
            max_mj,
            cycles_per_instruction,
            power_mw,
            latency_for(profile, latency, cycles_per_instruction, own_profile),
            lifetime,
            runtime_named(runtime, patch),
        )
        request = Request(
            budget,
            task,
            supernet,
            objective,
            give_up / 100,
            seed,
            data_dir,
            own_profile,
            finetune,
            qat,
            measure,
        )
        if latency is not None and budget.runtime != "compiled":
            raise UsageError("--latency is a table of compiled code: leave it out with --runtime tflm")
        with status() as show:
            report = recommend(request, out, say, show)
    if as_json:
        emit(report)
    else:
        print_report(report)


_ROWS_FROM = (
    "SRAM, flash and instructions of these rows are planned from shapes alone, and weights can ask for more flash "
    "(docs/search.md says how much); those of the pick, below, are planned with its weights."
)

_TFLM = (
    "With TFLite Micro SRAM is an upper bound, flash the file and the most code that was published for it, and "
    "instructions rest on published counts (+-15 % on cores with DSP instructions): leave room, and see what "
    "ofa-mcu build --runtime tflm says."
)


def _counted(report: dict[str, Any]) -> str:
    pick = report["pick"]
    bound = pick["arena_lower_bound"]
    return (
        f"SRAM counts arena, protocol buffers, HAL data and stack reserve; arena {pick['arena_bytes']} B "
        f"(lower bound {bound} B, {100 * (pick['arena_bytes'] / bound - 1):.1f} % above; TFLite Micro's planner "
        f"{pick['tflm_head_bytes']} B and its own structures). Instructions are estimated"
        f"{' for the twin' if report['twin'] else ''}."
    )


def print_report(report: dict[str, Any]) -> None:
    """The front and the pick, for a person."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Pareto front for {report['board']} (accuracy on validation images)",
        caption=_ROWS_FROM,
        caption_justify="left",
    )
    for heading in ("subnet", "MMACs", "predicted %", "int8 %", "SRAM B", "flash B", "M instructions"):
        table.add_column(heading, justify="left" if heading == "subnet" else "right")
    front = report["front"]
    shown = front if len(front) <= _ROWS else [front[round(i * (len(front) - 1) / (_ROWS - 1))] for i in range(_ROWS)]
    picked = [row for row in front if row["subnet"] == report["pick"]["subnet"]]
    rows = {row["subnet"]: row for row in (*picked, *(r for r in front if r["accuracy_int8_validation"]), *shown)}
    for row in sorted(rows.values(), key=lambda r: -r["accuracy_predicted"]):
        measured = row["accuracy_int8_validation"]
        mark = "[bold]* " if row["subnet"] == report["pick"]["subnet"] else ""
        table.add_row(
            f"{mark}{row['subnet']}",
            f"{row['macs'] / 1e6:.2f}",
            f"{100 * row['accuracy_predicted']:.2f}",
            f"{100 * measured:.2f}" if measured is not None else "",
            str(row["sram_bytes"]),
            str(row["flash_bytes"]),
            f"{row['instructions'] / 1e6:.2f}" if row["instructions"] is not None else "",
        )
    console = Console(width=None if Console().is_terminal else 130)
    console.print(table)
    pick = report["pick"]
    console.print(
        f"pick {pick['subnet']}: {100 * pick['accuracy_int8']:.2f} % int8 and {100 * pick['accuracy_fp32']:.2f} % fp32 "
        f"on {report['test_images']} test images, {pick['sram_bytes']} B SRAM, {pick['flash_bytes']} B flash"
        + (f", {pick['instructions'] / 1e6:.2f} M instructions" if pick["instructions"] is not None else ""),
        highlight=False,
    )
    for name, accuracy in pick["accuracy_int8_apart"].items():
        console.print(f"tested apart: {name} {100 * accuracy:.2f} % int8", highlight=False)
    refinement = report["refinement"]
    if refinement is not None:
        scores = ", ".join(f"{k} {100 * v:.2f} %" for k, v in refinement["accuracy_int8_validation"].items())
        console.print(
            f"trained further, int8 on validation examples: {scores}; kept: {refinement['kept']}", highlight=False
        )
    console.print(_TFLM if report["runtime"] == "tflm" else _counted(report), highlight=False)
    if report["stand_in"] is not None:
        console.print(report["stand_in"], highlight=False)
    for name, estimate in pick["estimates"].items():
        if estimate is not None:
            band = f" (+-{100 * estimate['band']:.0f} %)" if estimate["band"] is not None else ""
            console.print(f"estimate {estimate['value']:.3g} {name}{band}: {estimate['basis']}", highlight=False)
    asked = report["battery"]
    if asked is not None and asked["days"] is not None:
        warning = f"; {asked['warning']}" if asked["warning"] else ""
        console.print(f"{asked['battery']} lasts {asked['days']:.0f} days{warning}", highlight=False)
    if report["framework"] is not None:
        console.print(
            f"On the board itself the framework ({report['framework']}) takes SRAM and flash of its own, which no "
            "bound above counts; leave it room with --max-sram and --max-flash.",
            highlight=False,
        )
    if not report["twin"]:
        console.print("This board has no emulated twin: build and bench --emulate cannot run it.", highlight=False)
    console.print(f"run {report['run']} ({report['evaluations']} subnets, {report['seconds']} s)", highlight=False)
