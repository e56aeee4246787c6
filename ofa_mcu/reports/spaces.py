"""Frames of a space as a picture: how the MACs of what fits are spread."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from ofa_mcu.search.spaces import Frame, best_frame

__all__ = ["frames_plot"]

_SHOWN = 8


def frames_plot(boards: Mapping[str, Sequence[Frame]]) -> bytes:
    """PNG: for every board the distributions of MACs of its best frames, as shares of subnets with at most so many."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, len(boards))
    rows = -(-len(boards) // columns)
    figure = Figure(figsize=(5.0 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes, (board, frames) in zip(panels, boards.items(), strict=False):
        best = best_frame(frames)
        shown = sorted((frame for frame in frames if frame.deciles), key=lambda frame: -frame.mean_macs)[:_SHOWN]
        for frame in shown:
            label = (
                f"r{frame.resolution} w{frame.width:g}: {frame.mean_macs / 1e6:.3g} M, {100 * frame.share:.0f} % fit"
            )
            macs = [value / 1e6 for value in frame.deciles]
            axes.plot(macs, np.linspace(0, 1, 11), lw=2.2 if frame == best else 0.9, label=label)
        axes.set(title=board, xlabel="MMACs of subnets that fit", ylabel="share of them with no more")
        if shown:
            axes.legend(fontsize=6, loc="lower right")
    for axes in panels[len(boards) :]:
        axes.axis("off")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
