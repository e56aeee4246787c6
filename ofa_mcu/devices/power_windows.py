"""Inferences in a trace of power: found by a digital channel, or told by the user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.power_trace import PowerTrace
from ofa_mcu.errors import UsageError

__all__ = ["MeasuredEnergy", "by_channel", "by_window"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredEnergy:
    """What one inference took: means of all that were measured, and the extremes where each was seen on its own.

    inferences: how many. mj: energy in millijoules; ms: time; volts: mean supply while they ran, None where neither the
    trace nor the user tells; between_ma: mean current outside of them, None where nothing lies outside. basis: how they
    were found. notes: what makes the figures doubtful, in sentences.
    """

    inferences: int
    mj: float
    ms: float
    mj_least: float | None
    mj_most: float | None
    volts: float | None
    between_ma: float | None
    basis: str
    notes: tuple[str, ...]

    @property
    def mw(self) -> float:
        """Mean power while an inference runs."""
        return self.mj / self.ms * 1e3


def by_channel(trace: PowerTrace, channel: str | None = None, supply_v: float | None = None) -> MeasuredEnergy:
    """An inference for every time that the channel is high; those cut off at an end of the trace do not count.

    Raises:
        UsageError: no channel tells, it is never seen to rise and fall, or there are no volts.
    """
    name, high = trace.channel(channel)
    edges = np.diff(high.astype(np.int8))
    rises, falls = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    falls = falls[falls > rises[0]] if rises.size else falls[:0]
    rises = rises[: falls.size]
    if not rises.size:
        raise UsageError(
            f"{name} of {trace.path} never rises and falls again; export the whole inference, or say where it lies: "
            "--window START,END --inferences N"
        )
    watts = trace.watts(supply_v)
    joules = _between(watts * trace.width, rises, falls)
    seconds = _between(trace.width, rises, falls)
    inside = np.zeros(len(high), bool)
    for begin, end in zip(rises, falls, strict=True):
        inside[begin:end] = True
    cut = int(high[0]) + int(high[-1])
    notes = [f"{cut} cut off at an end of the trace"] if cut else []
    basis = f"{name} of {trace.path.name}"
    return _measured(trace, inside, ~high, joules, seconds, supply_v, basis, notes, alone=True)


def by_window(
    trace: PowerTrace, begin_s: float, end_s: float, inferences: int, supply_v: float | None = None
) -> MeasuredEnergy:
    """So many inferences back to back from `begin_s` to `end_s`, seconds after the trace's first row.

    Raises:
        UsageError: the window is empty, or not inside the trace, or there are no volts.
    """
    offset = trace.start - trace.start[0]
    if not 0 <= begin_s < end_s <= trace.seconds * (1 + 1e-9):
        raise UsageError(
            f"--window {begin_s:g},{end_s:g} is not inside {trace.path}, which lasts {trace.seconds:.6g} s; count from "
            "its first row"
        )
    width = np.clip(np.minimum(offset + trace.width, end_s) - np.maximum(offset, begin_s), 0, None)
    inside = width > 0
    joules = np.array([float((trace.watts(supply_v) * width).sum()) / inferences])
    seconds = np.array([(end_s - begin_s) / inferences])
    basis = (
        f"{inferences} inferences from {begin_s:g} s to {end_s:g} s of {trace.path.name}, with what lies between them"
    )
    return _measured(trace, inside, ~inside, joules, seconds, supply_v, basis, [], alone=False, count=inferences)


def _between(values: Floats, begins: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """Sum of the values of each span [begin, end)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[ends] - total[begins])


def _measured(
    trace: PowerTrace,
    inside: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    joules: Floats,
    seconds: Floats,
    supply_v: float | None,
    basis: str,
    notes: list[str],
    *,
    alone: bool,
    count: int | None = None,
) -> MeasuredEnergy:
    if float(joules.mean()) <= 0:
        raise UsageError(f"the inferences in {trace.path} take no energy; check how the meter's leads are connected")
    gaps = int((trace.gaps & inside).sum())
    if gaps:
        notes = [*notes, f"samples are missing in {gaps} places inside of inferences"]
    samples = int(inside.sum()) / (count or len(joules))
    if samples < 10:
        notes = [*notes, f"{samples:.3g} samples an inference are few; let the meter sample faster"]
    weight, rest = trace.width * inside, trace.width * outside
    volts = supply_v if trace.voltage is None else float((trace.voltage * weight).sum() / weight.sum())
    between = float((trace.current * rest).sum() / rest.sum()) * 1e3 if rest.sum() > 0 else None
    return MeasuredEnergy(
        inferences=count or len(joules),
        mj=float(joules.mean()) * 1e3,
        ms=float(seconds.mean()) * 1e3,
        mj_least=float(joules.min()) * 1e3 if alone else None,
        mj_most=float(joules.max()) * 1e3 if alone else None,
        volts=volts,
        between_ma=between,
        basis=basis,
        notes=tuple(notes),
    )
