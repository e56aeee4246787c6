"""A compiled model as the JSON object of `ofa-mcu compile`."""

from __future__ import annotations

from typing import Any

from ofa_mcu import schemas
from ofa_mcu.codegen.ends import accessor
from ofa_mcu.devices.model_build import BoardModel, TwinTrial
from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import stand_in
from ofa_mcu.planning.cost import Estimate, milliseconds
from ofa_mcu.reports.layers import layer_figures, shape_text

__all__ = ["BORDER_HEADS", "border_rows", "border_sentences", "borders", "compilation_json", "time_estimate"]

BORDER_HEADS = ("", "in C", "shape", "type", "bytes", "scale", "zero point")
"""Headings of `border_rows`."""


def time_estimate(made: BoardModel) -> Estimate | None:
    """Milliseconds of one inference, estimated; None where the board has no basis for it."""
    try:
        return milliseconds(made.cost, made.profile, latency=made.latency)
    except UsageError:
        return None


def borders(made: BoardModel) -> list[dict[str, Any]]:
    """Inputs and outputs of the device: int8 codes, and of float32 in the file those that were left to the caller.

    In the model's order, inputs first; shapes are the file's.
    """
    graph, source = made.compiled.graph, made.compiled.source.structure
    structure = graph.structure
    ends = [("input", *pair) for pair in zip(structure.inputs, source.inputs, strict=True)]
    ends += [("output", *pair) for pair in zip(structure.outputs, source.outputs, strict=True)]
    index = dict.fromkeys(("input", "output"), 0)
    found = []
    for kind, name, original in ends:
        given = graph.quantization.get(name)
        real = name in structure.floats
        found.append(
            {
                "kind": kind,
                "name": name,
                "shape": list(source.shapes[original]),
                "type": "float32" if real else "int8",
                "scale": given.scale if given else None,
                "zero_point": given.zero_point if given else None,
                "stands_for": original if original in source.floats and not real else None,
                "bytes": structure.bytes_of(name),
                "accessor": accessor(structure, kind, index[kind]),
            }
        )
        index[kind] += 1
    return found


def border_rows(made: BoardModel) -> list[tuple[str, ...]]:
    """Of every input and output: what the file calls it, where it is in C, shape, type, bytes, scale, zero point."""
    return [
        (
            f"{border['kind']} '{border['stands_for'] or border['name']}'",
            border["accessor"],
            shape_text(tuple(border["shape"])),
            border["type"],
            f"{border['bytes']:,}",
            "" if border["scale"] is None else f"{border['scale']:.9g}",
            "" if border["zero_point"] is None else str(border["zero_point"]),
        )
        for border in borders(made)
    ]


def border_sentences(made: BoardModel) -> list[str]:
    """What the caller of the device must know where the file took or gave float32."""
    sentences = []
    for border in borders(made):
        if border["stands_for"] is not None:
            verb = "takes" if border["kind"] == "input" else "gives"
            rule = (
                "code = round(value / scale) + zero point, clamped to -128…127"
                if border["kind"] == "input"
                else "value = scale * (code - zero point)"
            )
            sentences.append(
                f"{border['kind']} '{border['stands_for']}' is float32 in the file; the device {verb} its int8 codes "
                f"('{border['name']}', scale {border['scale']:.9g}, zero point {border['zero_point']}): {rule}"
            )
    return sentences


def compilation_json(made: BoardModel, trial: TwinTrial | None = None) -> dict[str, Any]:
    """What `compile --json` prints; with a trial also what was measured."""
    cost, memory, compiled = made.cost, made.compiled.plan.memory, made.compiled
    time = time_estimate(made)
    value: dict[str, Any] = {
        "schema": schemas.COMPILE,
        "model": str(made.model.path),
        "model_crc32": made.model.crc32,
        "board": made.profile.id,
        "core": cost.core,
        "stand_in": stand_in(made.profile),
        "optimize": made.options.optimize.value,
        "dead_channels": made.options.dead_channels,
        "macs": compiled.source.structure.macs,
        "live_macs": compiled.graph.structure.macs,
        "arena_bytes": memory.arena_bytes,
        "arena_lower_bound": memory.lower_bound,
        "sram_bytes": cost.sram_bytes,
        "flash_bytes": cost.flash_bytes,
        "flash_firmware_bytes": cost.flash_firmware_bytes,
        "flash_code_bytes": cost.flash_code_bytes,
        "flash_weight_bytes": cost.flash_weight_bytes,
        "instructions_predicted": cost.instructions,
        "estimated_ms": None if time is None else {"value": time.value, "basis": time.basis, "band": time.band},
        "seconds": round(made.seconds, 3),
        "borders": borders(made),
        "layers": [
            {
                "name": row.name,
                "op": row.op,
                "macs": row.macs,
                "instructions": row.instructions,
                "arena_live_bytes": row.arena_live_bytes,
                "flash_bytes": row.flash_bytes,
                "kernel": row.kernel,
                "variant": row.variant,
                "inputs": [list(shape) for shape in row.inputs],
                "output": list(row.output),
            }
            for row in layer_figures(compiled)
        ],
    }
    return value if trial is None else value | _measured(trial)


def _measured(trial: TwinTrial) -> dict[str, Any]:
    measured, image, tflm = trial.measurement, trial.build.image, trial.tflm
    counts = measured.instructions
    return {
        "instructions": counts.median if counts else None,
        "instructions_min": counts.minimum if counts else None,
        "instructions_max": counts.maximum if counts else None,
        "inputs": measured.images,
        "bytes_compared": measured.bytes_compared,
        "differing_bytes": trial.differing_bytes,
        "stack_used": measured.stack.used,
        "stack_reserved": measured.stack.reserved,
        "flash_linked": image.flash_bytes,
        "sram_linked": image.sram_bytes,
        "tflm": None
        if tflm is None
        else {
            "interpreter": tflm.interpreter,
            "bytes_compared": tflm.bytes_compared,
            "differing_bytes": tflm.differing_bytes,
        },
        "tflm_skipped": trial.tflm_skipped,
    }
