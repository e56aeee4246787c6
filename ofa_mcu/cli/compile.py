"""`ofa-mcu compile`: any int8 .tflite file to a PlatformIO project for a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, counting, emit, failing_as_json, quantity, say, show_table

if TYPE_CHECKING:
    from ofa_mcu.devices.model_build import BoardModel, TwinTrial
    from ofa_mcu.reports.explanation import Explanation

_WIDTH = 170


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compile")(compile_verb)


def compile_verb(
    model: Annotated[Path, typer.Argument(help="An int8 .tflite file.")],
    board: Annotated[str, typer.Option(help="Board id (see ofa-mcu boards) or a profile's .toml file.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the project (default: MODEL-BOARD).")] = None,
    emulate: Annotated[
        bool, typer.Option("--emulate", help="Build for the board's emulated twin, run, compare.")
    ] = False,
    no_dead_channels: Annotated[
        bool, typer.Option("--no-dead-channels", help="Keep channels that are constant or that nobody needs.")
    ] = False,
    optimize: Annotated[
        str, typer.Option(help="speed; balanced: little code at a tenth more instructions; size: least code.")
    ] = "speed",
    arena_limit: Annotated[
        str | None,
        typer.Option(help="Arena that speed may take (64k), an allowance; default: as little as is sensible."),
    ] = None,
    max_sram: Annotated[
        str | None,
        typer.Option(help="SRAM it may take in all (20k), where that is less than the board has."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what each pass changed and which ways each layer had.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for report.html, report.json and plots.")] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Call ofa_model_observe() with every tensor, to be defined by you.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Compile an int8 .tflite file to C for a board: a PlatformIO project, and what every layer costs.

    Chains of layers run some rows at a time where that takes hardly more instructions, and wherever the model would not
    fit the board's SRAM, or --max-sram, otherwise.

    Instructions, SRAM and flash are the planner's prediction. With --emulate the project is built with the board's own
    memory sizes and run in QEMU on extreme and random inputs; every output byte is compared with the reference, and the
    reference with TFLite Micro.

    Exit codes: 1 the model cannot be compiled (nothing is written), 3 it does not fit the board, 4 no emulator or
    compiler, 5 a byte differs or a promise is broken.
    """
    with failing_as_json(as_json, schemas.COMPILE):
        from ofa_mcu.devices.build import check_path
        from ofa_mcu.devices.model_build import (
            compile_model,
            default_folder,
            model_files,
            try_on_twin,
            write_model_project,
        )
        from ofa_mcu.devices.validation_twin import require_twin
        from ofa_mcu.errors import UsageError
        from ofa_mcu.files import check_folder
        from ofa_mcu.planning.compile import CompileOptions
        from ofa_mcu.planning.latency_files import latency_for
        from ofa_mcu.planning.places import sram_allowed
        from ofa_mcu.planning.plan import Optimize
        from ofa_mcu.profiles import load_profile, named_file
        from ofa_mcu.reports.compilation import compilation_json
        from ofa_mcu.reports.explanation import explain as explained

        goals = [goal.value for goal in Optimize]
        if optimize not in goals:
            raise UsageError(f"--optimize '{optimize}' is none of {', '.join(goals)}; choose one of these")
        if debug and emulate:
            raise UsageError("--debug changes what the image weighs; leave out --emulate, or run ofa-mcu validate")
        limit = quantity("--arena-limit", arena_limit, memory=True) or 0
        profile = load_profile(board)
        if emulate:
            require_twin(profile)
        most = sram_allowed(profile, quantity("--max-sram", max_sram, memory=True))
        options = CompileOptions(Optimize(optimize), not no_dead_channels, limit, max_sram=most)
        latency = latency_for(profile, profile_path=named_file(board))
        for folder, option in ((out, "--out"), (report, "--report")):
            if folder is not None:
                check_folder(folder, option)
        made = compile_model(model, profile, options, latency)
        files = model_files(made, debug=debug)
        if not as_json:
            print_layers(made)
        account = explained(made.compiled, options) if explain or report else None
        if account and explain and not as_json:
            print_explanation(account)
        made.check_fit()
        target = out or default_folder(model, profile.id)
        if emulate:
            check_path(target)
        if report is not None:
            check_report_folder(report, target)
        project = write_model_project(made, target, files, say)
        trial = None
        if emulate:
            say(f"building {project.emulated_environment} in {project.folder}")
            with counting("running in the emulator") as progress:
                trial = try_on_twin(made, project, progress=progress)
        if account and report is not None:
            from ofa_mcu.reports.page import write_report

            say(f"report {write_report(report, made, account, trial)}")
        if as_json:
            value = compilation_json(made, trial) | {"project": str(project.folder)}
            emit(value | (account.to_json() if account and explain else {}))
        else:
            if trial is not None:
                print_trial(made, trial)
            print(f"project       {project.folder}")
    if trial is not None:
        trial.check()


def check_report_folder(report: Path, project: Path) -> None:
    """Makes the folder, before anything else is written; UsageError where it cannot be the report's."""
    from ofa_mcu.errors import UsageError

    if report.resolve().is_relative_to(project.resolve()):
        raise UsageError(f"--report {report} is inside the project {project}, which is made anew; name another folder")
    report.mkdir(parents=True, exist_ok=True)


def print_layers(made: BoardModel) -> None:
    """The table of the layers, and the totals."""
    from rich.table import Table

    from ofa_mcu.planning.core_model import stand_in
    from ofa_mcu.reports.compilation import BORDER_HEADS, border_rows, border_sentences, time_estimate
    from ofa_mcu.reports.layers import layer_figures, short_name

    table = Table(title=f"{made.model.path.name} for {made.profile.id} ({made.cost.core})")
    left = ("layer", "operator", "kernel", "shapes")
    for heading in ("", *left, "MACs", "instructions", "per MAC", "arena B", "flash B"):
        table.add_column(heading, justify="left" if heading in left else "right", overflow="fold")
    for row in layer_figures(made.compiled):
        per_mac = row.instructions_per_mac
        table.add_row(
            str(row.index),
            short_name(row.name),
            row.op,
            f"{row.kernel} ({row.variant})" if row.variant else row.kernel,
            row.shapes,
            f"{row.macs:,}",
            f"{row.instructions:,}",
            "" if per_mac is None else f"{per_mac:.2f}",
            f"{row.arena_live_bytes:,}",
            f"{row.flash_bytes:,}",
        )
    show_table(table, _WIDTH)
    ends = border_rows(made)
    if len(ends) > 2:
        table = Table(title="inputs and outputs")
        for index, heading in enumerate(BORDER_HEADS):
            table.add_column(heading, justify="left" if index < 4 else "right", overflow="fold")
        for end in ends:
            table.add_row(*end)
        show_table(table, _WIDTH)
    cost, memory, profile = made.cost, made.compiled.plan.memory, made.profile
    print(f"MACs          {made.compiled.source.structure.macs:,} in the file, {cost.macs:,} live")
    print(
        f"arena         {memory.arena_bytes:,} B (input and output included; lower bound {memory.lower_bound:,} B, "
        f"{100 * memory.excess:.1f} % above)"
    )
    if profile.arena_region is None:
        print(
            f"SRAM          {cost.sram_bytes:,} of {profile.ram_bytes:,} B: arena {cost.arena_bytes:,}, static data "
            f"{cost.static_bytes:,}, stack reserve {cost.stack_bytes:,}"
        )
    else:
        print(
            f"SRAM          {cost.sram_bytes:,} B: arena {cost.arena_bytes:,} of {profile.arena_bytes:,} in "
            f"{profile.arena_region}, static data {cost.static_bytes:,} and stack reserve {cost.stack_bytes:,} of "
            f"{profile.ram_bytes:,} in {profile.ram_names}"
        )
    print(
        f"flash         {cost.flash_bytes:,} of {profile.flash_bytes:,} B: firmware {cost.flash_firmware_bytes:,}, "
        f"code {cost.flash_code_bytes:,}, weights {cost.flash_weight_bytes:,}"
    )
    print(f"instructions  {cost.instructions:,} per inference, predicted for {cost.core}")
    if (sentence := stand_in(profile)) is not None:
        print(sentence)
    time = time_estimate(made)
    if time is not None:
        band = f" (±{100 * time.band:.0f} %)" if time.band is not None else ""
        print(f"estimate      {time.value:.3g} ms{band}: {time.basis}")
    else:
        print(f"estimate      none in ms: the profile of {profile.id} has no cycles per instruction")
    print(f"compiled in   {made.seconds:.2f} s")
    for sentence in border_sentences(made):
        print(sentence)


def print_explanation(account: Explanation) -> None:
    """What the passes did, what is gone, and every layer's ways."""
    from ofa_mcu.reports.layers import short_name

    for step in account.passes:
        print(f"pass {step.name}: {len(step.changes)} changes")
        for line in step.changes:
            print(f"    {line}")
    print(f"tensors eliminated: {len(account.eliminated)}")
    for name, by in account.eliminated.items():
        print(f"    {name} ({by})")
    for index, layer in enumerate(account.layers):
        print(f"layer {index} {short_name(layer.name)} ({layer.op}): {layer.reason}")
        for way in layer.ways:
            print(
                f"  {'*' if way.chosen else ' '} {way.kernel} ({way.variant}): {way.instructions:,} instructions, "
                f"scratch {way.scratch_bytes:,} B, arena {way.arena_bytes:,} B, functions {way.code_bytes:,} B, "
                f"constants {way.constant_bytes:,} B"
            )


def print_trial(made: BoardModel, trial: TwinTrial) -> None:
    """What the twin did."""
    measured, image, cost = trial.measurement, trial.build.image, made.cost
    counts: Any = measured.instructions
    off = 100 * (cost.instructions / max(counts.median, 1) - 1)
    print(
        f"measured      {counts.median:,} instructions (predicted {off:+.1f} %), median of {measured.images} inputs "
        f"({counts.minimum:,} to {counts.maximum:,}); an emulator counts instructions, not time"
    )
    print(
        f"bytes         {trial.differing_bytes} of {measured.bytes_compared:,} output bytes differ from the reference"
    )
    if trial.tflm is not None:
        tflm = trial.tflm
        print(
            f"reference     {tflm.differing_bytes} of {tflm.bytes_compared:,} bytes of all tensors differ from "
            f"{tflm.interpreter}"
        )
    else:
        print(f"reference     not compared with TFLite Micro: {trial.tflm_skipped}")
    print(f"SRAM          {image.sram_bytes:,} B linked, {cost.sram_bytes:,} B promised")
    print(f"flash         {image.flash_bytes:,} B linked, {cost.flash_bytes:,} B promised")
    print(f"stack         {measured.stack.used:,} B used of {measured.stack.reserved:,} B reserved")
