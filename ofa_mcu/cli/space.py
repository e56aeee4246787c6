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
        from ofa_mcu.errors import InfeasibleError, UsageError
        from ofa_mcu.files import write_bytes, write_json
        from ofa_mcu.planning.core_model import core_of
        from ofa_mcu.reports.spaces import frames_plot
        from ofa_mcu.search.budget import budget_for
        from ofa_mcu.search.spaces import best_frame, recommended, survey

        if (task is None) == (preset is None):
            raise UsageError("name either --task or --preset")
        wide = _space(task, preset, data_dir)
        surveys: dict[str, Any] = {}
        rows, frames = [], {}
        for profile in boards_of(boards):
            budget = budget_for(
                profile, max_instructions=quantity("--max-instructions", max_instructions), max_ms=max_ms
            )
            core = core_of(profile)
            if core not in surveys:
                with counting(f"planning for {core}") as progress:
                    surveys[core] = survey(wide, profile, samples, seed, progress)
            frames[profile.id] = surveys[core].frames(budget)
            best = best_frame(frames[profile.id])
            rows.append({"board": profile.id, "feasible": best is not None, "best": best.to_json() if best else None})
        chosen = [frame for frame in map(best_frame, frames.values()) if frame is not None]
        if not chosen:
            raise InfeasibleError(
                f"no width and resolution of {wide.name} fits any of the boards; take larger boards, or allow more",
                {"code": "infeasible", "constraint": "all"},
            )
        found = recommended(wide, chosen)
        report = {
            "schema": schemas.SPACE,
            "space": wide.name,
            "subnets": wide.size,
            "samples": samples,
            "boards": [row | {"frames": [f.to_json() for f in frames[str(row["board"])]]} for row in rows],
            "recommended": found.to_json(),
            "recommended_subnets": found.size,
        }
        write_json(out / "space.json", found.to_json())
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
