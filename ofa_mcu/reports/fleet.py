"""A fleet as a picture: accuracy against SRAM, a mark for every board."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["fleet_plot"]


def fleet_plot(report: dict[str, Any]) -> bytes:
    """PNG: int8 accuracy over SRAM in use, a line to the SRAM that the board has; boards without a subnet are named."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    without = []
    for row in report["boards"]:
        pick = row["pick"]
        if pick is None:
            without.append(row["board"])
            continue
        used, has, accuracy = pick["sram_bytes"] / 1024, row["ram_bytes"] / 1024, 100 * pick["accuracy_int8"]
        axes.plot([used, has], [accuracy, accuracy], color="#b8c8d8", lw=1.0, zorder=1)
        axes.scatter([used], [accuracy], s=22, color="#2f6f9f", zorder=2)
        axes.annotate(row["board"], (has, accuracy), fontsize=7, xytext=(4, -2), textcoords="offset points")
    axes.set(xscale="log", xlabel="SRAM, KiB: mark in use, line to what the board has", ylabel="int8 accuracy, %")
    title = f"{report['task']}: {len(report['boards']) - len(without)} boards"
    axes.set_title(title + (f"; nothing fits {', '.join(without)}" if without else ""), fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
