"""Curves of a run as a picture: loss and accuracy, settling of the channel ranking and of the subnet ranking."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from ofa_mcu.files import write_bytes

__all__ = ["CURVES_FILE", "plot_curves"]

CURVES_FILE = "curves.png"


def plot_curves(folder: Path, threshold: float, stop_tau: float | None = None) -> None:
    """Write `curves.png` from the `log.jsonl` and `rankings.json` of a run's folder.

    Args:
        folder: of the run.
        threshold: mask distance at which the early-bird test passes.
        stop_tau: Kendall's tau at which the supernet is finished.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    path = folder / "rankings.json"
    rankings: dict[str, list[dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}
    channels = rankings.get("channels", [])
    subnets = [tick for tick in rankings.get("subnets", []) if tick["tau"] is not None]
    figure = Figure(figsize=(13.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    learning, masks, taus = figure.subplots(1, 3)
    steps = [line["step"] for line in log]
    learning.plot(steps, [line["loss"] for line in log], color="#b03030", label="loss of the last batch")
    learning.set(xlabel="step", ylabel="loss (nats)", title="training")
    right = learning.twinx()
    for name in (key for key in (log[-1] if log else {}) if key.startswith("accuracy_")):
        right.plot(steps, [100 * line[name] for line in log], label=f"accuracy, {name[9:]}")
    right.set_ylabel("accuracy on held-out examples, %")
    right.legend(fontsize=7, loc="center right")
    learning.legend(fontsize=7, loc="upper right")
    masks.plot([tick["step"] for tick in channels], [tick["distance"] for tick in channels], lw=0.9)
    masks.axhline(threshold, color="#b03030", lw=1.0, ls=":")
    masks.set(xlabel="step", ylabel="distance to the four ticks before", title="channel ranking", ylim=(0, None))
    taus.plot([tick["step"] for tick in subnets], [tick["tau"] for tick in subnets], marker="o", ms=3)
    if stop_tau is not None:
        taus.axhline(stop_tau, color="#b03030", lw=1.0, ls=":")
    taus.set(xlabel="step", ylabel="least tau to the four ticks before", title="subnet ranking", ylim=(-1, 1.02))
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    write_bytes(folder / CURVES_FILE, out.getvalue())
