"""Sums of two tensors on cores with M-profile vectors: the affine form, eight codes at a time."""

from __future__ import annotations

from math import prod

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.space.shapes import Add, Sub

__all__ = ["MVE_ADD"]

_CODES = 8
_DESCRIPTOR_BYTES = 28
_KINDS = ("", "_clamped", "_signed", "_signed_clamped")


def _ways(view: LayerView) -> tuple[Way, ...]:
    operator, facts, structure = view.operator, view.facts, view.structure
    if not isinstance(operator, Add | Sub) or not facts.affine:
        return ()
    count = prod(view.target)
    if any(name in structure.constants or prod(structure.shapes[name]) != count for name in operator.inputs):
        return ()
    signed, clamped = bool(facts.dead_zone), facts.clamp_low or facts.clamp_high
    words = ["signed"] * signed + ["clamped"] * clamped
    eights = -(-count // _CODES)
    way = Way(
        kernel="ofa_mve_add",
        variant=" ".join(words),
        counts=(1, count % _CODES > 0, eights, eights * signed, eights * clamped),
        constant_bytes=_DESCRIPTOR_BYTES,
        code=(Code("_".join(["ofa_mve_add", *words])),),
        forward_gap=0,
        in_place_second=True,
    )
    return (way,)


MVE_ADD = Kernel(
    name="ofa_mve_add",
    flavour=Flavour.MVE,
    features=("layer", "rests", "eights", "signed", "clamped"),
    ways=_ways,
    code_terms={f"ofa_mve_add{kind}": ("function",) for kind in _KINDS},
)
