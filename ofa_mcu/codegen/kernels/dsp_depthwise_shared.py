"""Depthwise layers for the DSP extension by functions that layers of different sizes share, in C."""

from __future__ import annotations

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.dsp_depthwise import function_name, padding_word, planes_fields, table_of
from ofa_mcu.codegen.kernels.dsp_depthwise_functions import code_lines, constant_lines, sum_lines
from ofa_mcu.planning.kernels.dsp_depthwise_shared import narrow_blocks, shared_design_of
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Pattern

__all__ = ["write_dsp_depthwise_shared"]


def _indented(lines: list[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


def _stores(pattern: Pattern, columns: int) -> list[str]:
    """Lines that store a block's codes and move the output on."""
    steps = len(pattern.rounded.header) + 2 * pattern.reload
    if pattern.unit == 1:
        lines = ["uint32_t pitch;", f"OFA_LDR(pitch, header + {steps});"]
        for column in range(0, columns, 2):
            lines.append(f"output[0] = (int8_t)s{column};")
            if column + 1 < columns:
                lines.append(f"output[pitch] = (int8_t)s{column + 1};")
            lines += [f"output += {min(columns, 2)} * pitch;", "OFA_OPAQUE(output);"]
        return lines
    lines = ["uint32_t pitch, below;", f"OFA_LDRD(pitch, below, header + {steps});"]
    for column in range(columns):
        lines += [f"output[0] = (int8_t)s{column};", f"output[below] = (int8_t)s{columns + column};"]
        lines += ["output += pitch;", "OFA_OPAQUE(output);"]
    return lines


def _block(pattern: Pattern, columns: int) -> list[str]:
    advance = columns * pattern.stride[1] // 2
    sums = sum_lines(pattern, columns, 0, advance)
    return [*sums, *code_lines(pattern.rounded, pattern.unit * columns), *_stores(pattern, columns)]


def _sweep_lines(name: str, pattern: Pattern) -> tuple[str, ...]:
    """The function that computes units of rows of up to four channels, as wide as the descriptor says."""
    lines = constant_lines(pattern, ("layer->channels", "(uint32_t)layer->output_row")[: pattern.unit])
    row = [
        "const int8_t *const stop = output + shared->whole_bytes;",
        "while (output != stop) {",
        *_indented(_block(pattern, pattern.columns)),
        "}",
    ]
    for columns in narrow_blocks(pattern):
        row += [f"if (shared->rest & {columns}) {{", *_indented(_block(pattern, columns)), "}"]
    row += ["OFA_OPAQUE(x);", "x += shared->skip_words;"]
    if pattern.unit == 2:
        row.append("output += layer->output_row;")
    words = pattern.unit * pattern.stride[0] * pattern.row_words
    lines += [
        "const int8_t *const end = output + bytes;",
        "do {",
        *_indented(row),
        "} while (output != end);",
        "output -= bytes - 1;",
        f"x += layer->plane_words - (int32_t)units * {words};",
        f"table += {pattern.channel_words};",
    ]
    return (
        f"static __attribute__((noinline)) void {name}(int8_t *output, const ofa_word *x, const ofa_word *table,",
        "    uint32_t units, uint32_t channels, const ofa_dsp_planes_layer *layer)",
        "{",
        "    const ofa_dsp_shared_layer *const shared = (const ofa_dsp_shared_layer *)(const void *)layer;",
        "    const int8_t *const last = output + channels;",
        f"    const int32_t bytes = (int32_t)units * layer->output_row{' * 2' * (pattern.unit == 2)};",
        "    do {",
        *_indented(lines, 2),
        "    } while (output != last);",
        "}",
    )


def write_dsp_depthwise_shared(layer: PlacedLayer) -> LayerCode:
    """C of a layer run as `DSP_DEPTHWISE_SHARED` plans it."""
    design = shared_design_of(layer.view, layer.way)
    planes, pattern = design.planes, design.pattern
    table, sweep = f"{layer.prefix}_table", function_name("shared", pattern)
    fields: Fields = {
        "planes": {
            "split": "ofa_dsp_split_any",
            "sweep": sweep,
            "table": table,
            "padding": padding_word(layer),
            **planes_fields(planes, pattern, design.strip),
            "plane_words": design.plane_words,
            "span_words": design.span_words,
        },
        "whole_bytes": design.blocks * pattern.columns * planes.channels,
        "skip_words": design.skip_words,
        "quads": design.quads,
        "left": design.left,
        "rest_pixels": design.rest_pixels,
        "rest": design.rest,
    }
    output, scratch = layer.output, layer.scratch
    return LayerCode(
        arrays={table: table_of(layer, planes, pattern.rounded)},
        body=(
            *descriptor("ofa_dsp_shared_layer", fields),
            f"ofa_dsp_depthwise_planes(&layer.planes, {layer.inputs[0]}, {output}, (ofa_word *)({scratch}));",
        ),
        functions={sweep: _sweep_lines(sweep, pattern)},
        headers=("ofa_dsp_depthwise.h",),
    )
