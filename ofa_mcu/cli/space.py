"""`ofa-mcu space`: which space to train for some boards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, DataDir, boards_of, counting, emit, failing_as_json, quantity, say, show_table

_WIDTH = 120


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(space)


def space(
    boards: Annotated[str, typer.Option(help="all, or ids and profile files with commas between them.")] = "all",
    task: Annotated[str | None, typer.Option(help="Task whose inputs and classes are meant.")] = None,
    preset: Annotated[str | None, typer.Option(help="A planning space instead of a task: mcunet.")] = None,
    samples: Annotated[int, typer.Option(min=50, help="Subnets drawn of every resolution and width.")] = 1000,
    max_instructions: Annotated[str | None, typer.Option(help="Instructions per inference (4M).")] = None,
    max_ms: Annotated[float | None, typer.Option(min=0, help="Milliseconds per inference, estimated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same answer.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for space.json, space.png and report.json.")] = Path("runs/space"),
    data_dir: DataDir = None,
    as_json: JSON = False,
) -> None:
    """Compare widths and resolutions by the work of the subnets that fit each board, and recommend a space to train.

    space.json is what ofa-mcu train --space takes. Exit code 3: no width and resolution fits any of the boards.
    """
    with failing_as_json(as_json, schemas.SPACE):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.files import check_folder, write_bytes, write_json
        from ofa_mcu.planning.latency_files import latency_for
        from ofa_mcu.reports.spaces import frames_plot
        from ofa_mcu.search.budget import budget_for
        from ofa_mcu.search.spaces import comparison, surveyed

        if (task is None) == (preset is None):
            raise UsageError("name either --task or --preset")
        check_folder(out, "--out")
        wide = _space(task, preset, data_dir)
        most = quantity("--max-instructions", max_instructions)
        budgets = [
            budget_for(
                profile,
                max_instructions=most,
                max_ms=max_ms,
                latency=latency_for(profile, profile_path=path) if max_ms is not None else None,
            )
            for profile, path in boards_of(boards).items()
        ]
        with counting("planning") as progress:
            frames = surveyed(wide, budgets, samples, seed, progress)
        report = comparison(wide, frames, samples)
        write_json(out / "space.json", report["recommended"])
        write_json(out / "report.json", report)
        write_bytes(out / "space.png", frames_plot(frames))
    if as_json:
        emit(report)
    else:
        _print(report)
        say(f"plot {out / 'space.png'}; train the space with: ofa-mcu train --space {out / 'space.json'}")


def _space(task: str | None, preset: str | None, data_dir: Path | None) -> Any:
    from ofa_mcu.errors import UsageError
    from ofa_mcu.search.spaces import widened
    from ofa_mcu.space.presets import PLANNING_SPACES, space_for
    from ofa_mcu.tasks.registry import task_named

    if preset is not None:
        if preset not in PLANNING_SPACES:
            raise UsageError(f"there is no planning space '{preset}'; known: {', '.join(PLANNING_SPACES)}")
        return PLANNING_SPACES[preset]
    assert task is not None
    named = task_named(task, data_dir)
    return widened(space_for(named.name, named.shape, len(named.labels)))


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{report['space']}: {report['subnets']:.3g} subnets, {report['samples']} drawn of every frame")
    for heading in ("board", "resolution", "width", "fit %", "mean MMACs", "median MMACs"):
        table.add_column(heading, justify="left" if heading == "board" else "right")
    for row in report["boards"]:
        best = row["best"]
        if best is None:
            table.add_row(row["board"], "nothing fits", "", "", "", "")
            continue
        table.add_row(
            row["board"],
            str(best["resolution"]),
            f"{best['width']:g}",
            f"{100 * best['share']:.0f}",
            f"{best['mean_macs'] / 1e6:.3g}",
            f"{best['deciles'][5] / 1e6:.3g}",
        )
    show_table(table, _WIDTH)
    found = report["recommended"]
    print(
        f"recommended: resolutions {', '.join(map(str, found['resolutions']))}; "
        f"widths {', '.join(f'{width:g}' for width in found['widths'])}; "
        f"{report['recommended_subnets']:.3g} subnets"
    )
