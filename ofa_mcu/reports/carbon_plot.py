"""The account as a picture: cost over the number of boards."""

from __future__ import annotations

import io

from ofa_mcu.reports.carbon import Account

__all__ = ["carbon_plot"]

_STYLES = {
    "supernet": ("one supernet", "#5b8db8"),
    "scratch": ("each trained from scratch", "#b03030"),
    "early_bird": ("each an early-bird ticket", "#e0a040"),
}


def carbon_plot(found: Account) -> bytes:
    """PNG: kWh over boards, both logarithmic, with the break-even marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    first, last = found.rows[0], found.rows[-1]
    for name, (label, color) in _STYLES.items():
        if first[name] is None:
            continue
        slope = (last[name] - first[name]) / (last["boards"] - first["boards"])
        boards = [10 ** (3 * i / 60) for i in range(61)]
        axes.plot(boards, [first[name] + slope * (n - 1) for n in boards], color=color, label=label)
        pays = found.break_even.get(name)
        if pays is not None and pays <= last["boards"]:
            axes.axvline(pays, color=color, lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="boards", ylabel="energy, kWh")
    axes.legend(fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
