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
    """An inference for every time that the channel is high; those cut off at an end of the trace do not count, nor
    those with missing samples and those that are far shorter than the others.

    Raises:
        UsageError: no channel tells, it is never seen to rise and fall without missing samples, or there are no volts.
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
    cut = int(high[0]) + int(high[-1])
    notes = [f"{cut} cut off at an end of the trace"] if cut else []
    whole, told = _whole(trace, name, rises, falls)
    rises, falls = rises[whole], falls[whole]
    joules = _between(trace.watts(supply_v) * trace.width, rises, falls)
    seconds = _between(trace.width, rises, falls)
    inside = np.zeros(len(high), bool)
    for begin, end in zip(rises, falls, strict=True):
        inside[begin:end] = True
    basis = f"{name} of {trace.path.name}"
    least = float((falls - rises).min())
    return _measured(trace, inside, ~high, joules, seconds, supply_v, basis, [*notes, *told], least, alone=True)


def _whole(
    trace: PowerTrace, name: str, rises: NDArray[np.intp], falls: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which of the spans [rise, fall) of samples are whole inferences, and notes about the others: samples are missing
    in them or at their edges, or they have fewer than half of the samples that the median of the rest has.

    Raises:
        UsageError: samples are missing in all of them.
    """
    # one sample more on both sides: where the channel changes within a gap, the gap's sample is the one before or after
    missing = np.concatenate([[0], np.cumsum(trace.gaps)])
    holed = missing[np.minimum(falls + 1, len(missing) - 1)] > missing[rises - 1]
    notes = []
    if holed.all():
        raise UsageError(
            f"samples are missing in every inference that {name} of {trace.path} marks, or at its edges; record it "
            "again, with a slower sampling if the meter loses samples"
        )
    if holed.any():
        notes.append(f"{int(holed.sum())} left out: samples are missing inside or at the edges")
    samples = falls - rises
    usual = float(np.median(samples[~holed]))
    short = ~holed & (samples < usual / 2)
    if short.any():
        notes.append(
            f"{int(short.sum())} left out as too short, with less than half of the usual {usual:g} samples; look for "
            f"glitches on {name}"
        )
    return ~holed & ~short, notes


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
    each = int(inside.sum()) / inferences
    basis = (
        f"{inferences} inferences from {begin_s:g} s to {end_s:g} s of {trace.path.name}, with what lies between them"
    )
    return _measured(trace, inside, ~inside, joules, seconds, supply_v, basis, [], each, alone=False, count=inferences)


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
    samples: float,
    *,
    alone: bool,
    count: int | None = None,
) -> MeasuredEnergy:
    """The means; `samples` is how many the inference has that has the fewest."""
    if float(joules.mean()) <= 0:
        raise UsageError(f"the inferences in {trace.path} take no energy; check how the meter's leads are connected")
    gaps = int((trace.gaps & inside).sum())
    if gaps:
        notes = [*notes, f"samples are missing in {gaps} places inside of inferences"]
    if samples < 10:
        notes = [*notes, f"{samples:.3g} samples an inference are few; let the meter sample faster"]
    weight, rest = trace.width * inside, trace.width * (outside & ~trace.gaps)
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
