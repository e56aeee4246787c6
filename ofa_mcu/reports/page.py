"""The report of a compiled model: one HTML page that needs nothing beside itself, its plots as files, its figures."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa_mcu.devices.model_build import BoardModel, TwinTrial
from ofa_mcu.files import write_bytes, write_json, write_text
from ofa_mcu.reports.compilation import BORDER_HEADS, border_rows, border_sentences, compilation_json, time_estimate
from ofa_mcu.reports.explanation import Explanation
from ofa_mcu.reports.layers import LayerFigures, layer_figures, short_name
from ofa_mcu.reports.plots import all_plots

__all__ = ["write_report"]

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
td, th { padding: .2em .6em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
td.text, th.text { text-align: left; } tr.chosen { font-weight: 600; }
img { max-width: 100%; } details { margin: .4em 0; } .note { color: #555; }
"""

_TITLES = {
    "sram": "SRAM over time",
    "instructions": "Instructions per layer",
    "macs": "MACs per layer",
    "instructions_per_mac": "Instructions per MAC",
    "flash": "Flash per layer",
}


def write_report(folder: Path, made: BoardModel, explanation: Explanation, trial: TwinTrial | None = None) -> Path:
    """Writes `report.html`, `report.json` and the plots as PNG into the folder; the path of the page."""
    layers = layer_figures(made.compiled)
    plots = all_plots(made.compiled, layers)
    for name, data in plots.items():
        write_bytes(folder / f"{name}.png", data)
    value = compilation_json(made, trial) | {"explanation": explanation.to_json()}
    write_json(folder / "report.json", value)
    page = folder / "report.html"
    write_text(page, _page(made, value, layers, plots, explanation))
    return page


def _page(
    made: BoardModel,
    value: Mapping[str, Any],
    layers: Sequence[LayerFigures],
    plots: Mapping[str, bytes],
    explanation: Explanation,
) -> str:
    title = html.escape(f"{made.model.path.name} on {made.profile.name}")
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        _table(("", ""), _totals(made, value), text=(0,)),
        '<p class="note">SRAM counts arena (input and output included), static data of the firmware and stack reserve; '
        "flash counts firmware, kernels, code of the layers and constants. Instructions are those of one inference; an "
        "emulator counts instructions, never time.</p>",
        "<h2>Inputs and outputs</h2>",
        _table(BORDER_HEADS, border_rows(made), text=(0, 1, 2, 3)),
        *(f"<p>{html.escape(sentence)}</p>" for sentence in border_sentences(made)),
        "<h2>Layers</h2>",
        _table(
            ("", "layer", "operator", "kernel", "shapes", "MACs", "instructions", "per MAC", "arena B", "flash B"),
            [_layer(row) for row in layers],
            text=(1, 2, 3, 4),
        ),
    ]
    for name, data in plots.items():
        image = base64.b64encode(data).decode("ascii")
        parts.append(f'<h2>{_TITLES[name]}</h2><img alt="{_TITLES[name]}" src="data:image/png;base64,{image}">')
    parts += [_passes(explanation), "<h2>Ways of each layer</h2>"]
    for index, layer in enumerate(explanation.layers):
        rows = [
            (
                w.kernel,
                w.variant,
                f"{w.instructions:,}",
                f"{w.arena_bytes:,}",
                f"{w.scratch_bytes:,}",
                f"{w.code_bytes:,}",
            )
            for w in layer.ways
        ]
        chosen = [position for position, way in enumerate(layer.ways) if way.chosen]
        heads = ("kernel", "variant", "instructions", "arena B", "scratch B", "code B")
        parts.append(
            f"<details><summary>{index} {html.escape(short_name(layer.name))} ({layer.op}): "
            f"{html.escape(layer.reason)}</summary>"
            f"{_table(heads, rows, text=(0, 1), marked=chosen)}</details>"
        )
    return "\n".join([*parts, "</body></html>", ""])


def _totals(made: BoardModel, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    time = time_estimate(made)
    rows = [
        ("board", f"{made.profile.name} ({made.profile.id}), {value['core']}"),
        ("MACs", f"{value['macs']:,} in the file, {value['live_macs']:,} live"),
        ("arena", f"{value['arena_bytes']:,} B, lower bound {value['arena_lower_bound']:,} B"),
        ("SRAM", f"{value['sram_bytes']:,} of {made.profile.sram_bytes:,} B"),
        ("flash", f"{value['flash_bytes']:,} of {made.profile.flash_bytes:,} B"),
        ("of it firmware", f"{value['flash_firmware_bytes']:,} B"),
        ("of it code, weights", f"{value['flash_code_bytes']:,} B, {value['flash_weight_bytes']:,} B"),
        ("instructions, predicted", f"{value['instructions_predicted']:,}"),
    ]
    if value["stand_in"] is not None:
        rows.append(("whose figures", value["stand_in"]))
    if time is not None:
        band = f" ±{100 * time.band:.0f} %" if time.band is not None else ""
        rows.append(("time, estimated", f"{time.value:.3g} ms{band}: {time.basis}"))
    if "instructions" in value:
        rows += [
            ("instructions, measured in the twin", f"{value['instructions']:,}"),
            ("output bytes", f"{value['differing_bytes']:,} of {value['bytes_compared']:,} differ from the reference"),
            ("SRAM, flash, linked", f"{value['sram_linked']:,} B, {value['flash_linked']:,} B"),
            ("stack", f"{value['stack_used']:,} B used of {value['stack_reserved']:,} B"),
        ]
    return rows


def _layer(row: LayerFigures) -> tuple[str, ...]:
    per_mac = row.instructions_per_mac
    return (
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


def _passes(explanation: Explanation) -> str:
    parts = ["<h2>Passes</h2>"]
    for step in explanation.passes:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in step.changes)
        parts.append(
            f"<details><summary>{html.escape(step.name)}: {len(step.changes)} changes</summary>"
            f"<ul>{lines}</ul></details>"
        )
    gone = "".join(f"<li>{html.escape(name)} ({html.escape(by)})</li>" for name, by in explanation.eliminated.items())
    if gone:
        parts.append(
            f"<details><summary>{len(explanation.eliminated)} tensors eliminated</summary><ul>{gone}</ul></details>"
        )
    return "\n".join(parts)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = (), marked: Sequence[int] = ()
) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = [' class="text"' if index in text else "" for index in range(len(values))]
        return "".join(f"<{tag}{kind}>{html.escape(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    lines = [f"<tr>{cells('th', heads)}</tr>"] if any(heads) else []
    for index, row in enumerate(rows):
        kind = ' class="chosen"' if index in marked else ""
        lines.append(f"<tr{kind}>{cells('td', row)}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"
