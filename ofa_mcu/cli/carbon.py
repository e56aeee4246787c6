"""`ofa-mcu carbon`: what runs have cost, and from how many boards on a supernet pays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, emit, failing_as_json


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(carbon)


def carbon(
    runs: Annotated[list[Path], typer.Argument(help="Folders of train, of searches, and of networks trained alone.")],
    region: Annotated[str | None, typer.Option(help="Country whose grid is meant: three-letter ISO code.")] = None,
    intensity: Annotated[float | None, typer.Option(min=0, help="Carbon intensity in kg CO2e per kWh.")] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG to write (default: carbon.png in the first folder).")] = None,
    as_json: JSON = False,
) -> None:
    """Add up the ledgers of runs: the cost for 1, break-even, 40 and 1000 boards against training for each of them.

    Networks trained alone come from: ofa-mcu train --method plain, and ofa-mcu train --early-bird P.
    """
    with failing_as_json(as_json, schemas.CARBON):
        from ofa_mcu.files import check_file, write_bytes
        from ofa_mcu.ledger import intensity_of
        from ofa_mcu.reports.carbon import account, read_sums
        from ofa_mcu.reports.carbon_plot import carbon_plot
        from ofa_mcu.reports.literature import CAVEATS, literature

        if plot is not None:
            check_file(plot, "--plot")
        found = account(read_sums(runs), intensity_of(region, intensity))
        path = plot or runs[0] / "carbon.png"
        write_bytes(path, carbon_plot(found))
        report = {
            "schema": schemas.CARBON,
            **found.to_json(),
            "literature": literature(),
            "caveats": list(CAVEATS),
            "plot": str(path),
        }
    if as_json:
        emit(report)
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    unit = "kWh" if report["intensity"] is None else "kWh (kg CO2e)"
    table = Table(title=f"Cost by number of boards, {unit}")
    names = {"supernet": "supernet", "scratch": "from scratch", "early_bird": "early-bird"}
    for heading in ("boards", *names.values()):
        table.add_column(heading, justify="right")
    for row in report["rows"]:
        cells = []
        for name in names:
            kg = row[f"{name}_kg"]
            cells.append("not measured" if row[name] is None else f"{row[name]:.5f}" + (f" ({kg:.5f})" if kg else ""))
        table.add_row(str(row["boards"]), *cells)
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    say = [report["at_one"]]
    for name, pays in report["break_even"].items():
        if report["rows"][0][name] is None:
            continue
        say.append(
            f"Against {names[name]} it pays from {pays} boards on." if pays else f"It never pays against {names[name]}."
        )
    if report["search_runs"] == 0:
        say.append("No search was named: the supernet's cost per board is missing from its column.")
    if report["intensity"] is None:
        say.append("CO2e is not computed: the carbon intensity is unknown; give --region or --intensity.")
    else:
        known = report["intensity"]
        say.append(f"CO2e with {known['kg_per_kwh']:g} kg/kWh: {known['source']}.")
    say.append(f"Energy: {' / '.join(report['bases']) or 'no figures'}.")
    if report["unmetered_seconds"]:
        power = f"{report['mean_watts']:.1f} W, the mean while training" if report["mean_watts"] else "no power known"
        say.append(f"{report['unmetered_seconds']:.0f} s of short stages had no meter and are counted with {power}.")
    console.print("\n".join(say), highlight=False)
    published = Table(title="Published, in GPU hours")
    for heading in ("method", "1 target", "40", "1000", "OFA costs less from"):
        published.add_column(heading, justify="left" if heading == "method" else "right")
    for row in report["literature"]:
        hours = [f"{row['gpu_hours'][n]:,.0f}" for n in ("1", "40", "1000")]
        published.add_row(row["method"], *hours, str(row["once_for_all_pays_from"] or ""))
    console.print(published)
    console.print("\n".join(f"- {caveat}" for caveat in report["caveats"]), highlight=False)
    console.print(f"plot {report['plot']}", highlight=False)
