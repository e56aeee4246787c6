"""`ofa-mcu energy`: what an inference takes, and how long a battery lasts with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_mcu import schemas
from ofa_mcu.cli.common import JSON, emit, failing_as_json, say

if TYPE_CHECKING:
    from ofa_mcu.devices.power_windows import MeasuredEnergy

_DAYS_PER_YEAR = 365
_BOUNDS: dict[str, tuple[float, float]] = {
    "--ms": (1e-6, 1e9),
    "--cycles-per-instruction": (0.01, 1e4),
    "--power-mw": (1e-3, 1e6),
    "--supply-v": (0.5, 60),
    "--sleep-ua": (0, 1e7),
    "--harvest-uw": (0, 1e9),
    "--inferences": (1, 1e9),
}
"""The least and the most that an option can mean."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(energy)


def energy(
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="Folder of a run (default: the newest under runs/, unless --board, --ms or --power-csv is given).",
        ),
    ] = None,
    board: Annotated[str | None, typer.Option(help="Instead of a run: a board, with --ms or --power-csv.")] = None,
    ms: Annotated[float | None, typer.Option(help="Milliseconds of an inference.")] = None,
    cycles_per_instruction: Annotated[
        float | None, typer.Option(help="Basis of a run's estimated time where the profile has none.")
    ] = None,
    power_mw: Annotated[float | None, typer.Option(help="Active power, where the profile has none.")] = None,
    supply_v: Annotated[float | None, typer.Option(help="Volts of the supply.")] = None,
    power_csv: Annotated[
        Path | None, typer.Option(help="Measured instead: a trace of a Joulescope, a PPK2 or another meter.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="Digital channel of the trace that is high during inferences.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="START,END", help="Without one: where inferences lie, in seconds.")
    ] = None,
    inferences: Annotated[int | None, typer.Option(help="How many lie in --window.")] = None,
    battery: Annotated[
        list[str] | None, typer.Option(help="cr2032, 2xaa, lipo:500mAh, 500mAh@3.7V; may be repeated.")
    ] = None,
    every: Annotated[str, typer.Option(help="From one inference to the next: 10s, 5min, 1h.")] = "10s",
    sleep_ua: Annotated[
        float | None,
        typer.Option(
            help="Microamperes between inferences, of everything on the supply (default: the chip's, by the profile).",
        ),
    ] = None,
    harvest_uw: Annotated[
        float | None, typer.Option(help="Microwatts harvested: how many inferences a day do they pay for?")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Energy of one inference, measured or estimated, and what it means for batteries and harvested power.

    The time is that of --ms, else what bench measured on the run's board, else the search's estimate.

    Lives are told of the batteries named, or with --sleep-ua of the usual ones.
    """
    with failing_as_json(as_json, schemas.ENERGY):
        from ofa_mcu.errors import UsageError
        from ofa_mcu.planning.battery import cell_named, duration
        from ofa_mcu.profiles import load_profile
        from ofa_mcu.reports.energy import DEFAULT_CELLS, Quantity, energy_of, energy_report, time_of_run
        from ofa_mcu.runs import find_run

        told = {"--ms": ms, "--cycles-per-instruction": cycles_per_instruction, "--power-mw": power_mw}
        others = {
            "--supply-v": supply_v,
            "--sleep-ua": sleep_ua,
            "--harvest-uw": harvest_uw,
            "--inferences": inferences,
        }
        for option, figure in (told | others).items():
            least, most = _BOUNDS[option]
            if figure is not None and not least <= figure <= most:
                raise UsageError(
                    f"{option} {str(figure)[:40]} is no sensible amount; give one from {least:g} to {most:g}"
                )
        if power_csv is None and (channel, window, inferences) != (None, None, None):
            raise UsageError("--channel, --window and --inferences are about a trace; name it with --power-csv")
        stray = [option for option, value in told.items() if value is not None]
        if power_csv is not None and stray:
            raise UsageError(f"--power-csv measures what {' and '.join(stray)} would tell; leave out one or the other")
        if run is not None and board is not None:
            raise UsageError("--run knows its board; leave out --board")
        bare = run is None and board is None and ms is None and power_csv is None
        chosen = find_run(run) if bare or run is not None else None
        name = board if chosen is None else chosen.board()
        profile = None if name is None else load_profile(name)
        names = battery or (DEFAULT_CELLS if sleep_ua is not None else ())
        cells, period = [cell_named(text) for text in names], duration("--every", every)
        trace = _measured(power_csv, channel, window, inferences, supply_v, profile.supply_v if profile else None)
        time = None if ms is None else Quantity(ms, f"{ms:g} ms as given")
        if time is None and trace is None and chosen is not None and profile is not None:
            time = time_of_run(chosen, profile, cycles_per_instruction, lambda note: say(f"note: {note}"))
        found = energy_of(profile, time, power_mw, supply_v, trace)
        report = energy_report(found, profile, period, sleep_ua, cells, harvest_uw)
    for note in trace.notes if trace else ():
        say(f"note: {note}")
    if as_json:
        emit(report)
    else:
        _print(report)


def _measured(
    path: Path | None,
    channel: str | None,
    window: str | None,
    inferences: int | None,
    supply_v: float | None,
    usual_v: float | None,
) -> MeasuredEnergy | None:
    """What the options say of a trace, if they name one; `usual_v` counts without a `supply_v` or a column of volts."""
    if path is None:
        return None
    from ofa_mcu.devices.power_trace import read_trace
    from ofa_mcu.devices.power_windows import by_channel, by_window
    from ofa_mcu.errors import UsageError

    if (window is None) != (inferences is None) or (window is not None and channel is not None):
        raise UsageError("a trace takes --window with --inferences, or --channel alone")
    trace = read_trace(path)
    if trace.voltage is not None and supply_v is not None:
        raise UsageError(
            f"{path} has a column of volts, and --supply-v {supply_v:g} tells others; leave out --supply-v"
        )
    volts = supply_v or usual_v
    if window is None or inferences is None:
        return by_channel(trace, channel, volts)
    try:
        begin, end = (float(part) for part in window.split(","))
    except ValueError:
        raise UsageError(f"--window '{window}' is no pair of seconds; write for example 0.5,1.25") from None
    return by_window(trace, begin, end, inferences, volts)


def _print(report: dict[str, Any]) -> None:
    for label, unit in (("energy", "mj"), ("time", "ms"), ("power", "mw")):
        part = report[label]
        band = "" if part["band"] is None else f" (+-{100 * part['band']:.0f} %)"
        shown = {"mj": "mJ per inference", "ms": "ms", "mw": "mW"}[unit]
        basis = "" if unit == "mj" else f": {part['basis']}"
        print(f"{label:<9} {part[unit]:.4g} {shown}{band}{basis}")
    trace = report["trace"]
    if trace is not None and trace["mj_least"] is not None:
        print(f"          {trace['mj_least']:.4g} to {trace['mj_most']:.4g} mJ in {trace['inferences']} inferences")
    if trace is not None and trace["between_ma"] is not None:
        print(f"          {trace['between_ma']:.4g} mA in the rest of the trace")
    duty = report["duty"]
    if duty is not None:
        print(
            f"duty      an inference every {duty['period_s']:g} s, {duty['sleep_ua']:g} uA between them, at "
            f"{duty['supply_v']:g} V: {duty['mean_ma']:.4g} mA on the average"
        )
        if duty["sleep_basis"] != "as given":
            print(f"sleep     {duty['sleep_ua']:g} uA: {duty['sleep_basis']}")
    for row in report["batteries"]:
        spread = "" if row["days_least"] is None else f" ({_span(row['days_least'])} to {_span(row['days_most'])})"
        warning = f"; but {row['warning']}" if row["warning"] else ""
        print(f"{row['battery']:<9} {_span(row['days'])}{spread} from {row['capacity_mah']:g} mAh{warning}")
    harvest = report["harvest"]
    if harvest is not None:
        print(f"harvest   {harvest['uw']:g} uW pay for {harvest['inferences_per_day']:,.4g} inferences a day")


def _span(days: float) -> str:
    """`12.3 days`, `2.4 years`."""
    return f"{days:.3g} days" if days < _DAYS_PER_YEAR else f"{days / _DAYS_PER_YEAR:.3g} years"
