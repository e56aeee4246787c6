"""Latency tables for the tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.latency import Errors, LatencyModel, LatencyTable, Unit
from ofa_mcu.planning.latency_files import kernels_fingerprint
from ofa_mcu.profiles import load_profile

__all__ = ["MODEL", "table_of"]

MODEL = LatencyModel(700.0, 1.3, {"ofa_dsp_pointwise": 0.6, "ofa_pointwise": 2.0, "depthwise": 1.9}, 0.7)


def table_of(board: str, /, **changes: Any) -> LatencyTable:
    """A table of the board in cycles, made up."""
    profile = load_profile(board)
    core = core_of(profile)
    table = LatencyTable(
        board=profile.id,
        core=core,
        unit=Unit.CYCLES,
        clock_hz=profile.clock_hz,
        counter="dwt",
        compiler="toolchain-gccarmnoneeabi @ 1.120301.0",
        flags="-O2",
        kernels=kernels_fingerprint(core),
        version="0.1.0",
        date="2026-01-02T03:04:05+00:00",
        model=MODEL,
        probes=64,
        fitted=Errors(64, 0.01, 0.06),
        held_out=Errors(12, 0.012, 0.034),
        one_factor=Errors(12, 0.08, 0.2),
    )
    return replace(table, **changes)
