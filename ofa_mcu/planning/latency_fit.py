"""Fits a board's latency model to measured networks: non-negative, least relative error, as simple as serves.

Whether there is one factor for all kernels or one for each, and whether bytes of weights count on their own, is decided
by cross-validation: the simplest form that is nearly as good as the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.planning.cost import Cost
from ofa_mcu.planning.latency import Errors, LatencyModel, kernel_group

__all__ = ["Fit", "Form", "Sample", "errors_of", "fit", "fit_form"]

FOLDS = 8
NEARLY = 1.02
"""A simpler form is taken where its error is at most so many times the best one's."""

_PULL = 0.02
"""Weight, against one probe, with which a factor is held to that of all: what hardly occurs stays there."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A network that was measured: what the planner says of its layers, and what it took."""

    cost: Cost
    measured: float


@dataclass(frozen=True)
class Form:
    """`by`: what has a factor of its own, all kernels together ("all"), each group, or each kernel; `weights`: whether
    bytes of weights count. A model by kernel has factors of groups, too, for kernels that no sample has."""

    by: str
    weights: bool

    def key(self, kernel: str) -> str:
        """Whose factor the kernel has."""
        return {"all": "all", "group": kernel_group(kernel), "kernel": kernel}[self.by]


FORMS = tuple(Form(by, weights) for by, weights in product(("all", "kernel"), (False, True)))
"""From simple to rich."""


@dataclass(frozen=True)
class Fit:
    """The fitted model, its form, and its cross-validated errors."""

    form: Form
    model: LatencyModel
    fitted: Errors


def fit(samples: Sequence[Sample]) -> Fit:
    """The model in the form that cross-validation chooses; equal samples, equal fit.

    Raises:
        OfaMcuError: there are too few samples, or one took no time at all.
    """
    timeless = sum(not sample.measured > 0 for sample in samples)
    if len(samples) < 2 * FOLDS or timeless:
        raise OfaMcuError(
            f"{len(samples)} networks were measured, {timeless} of which took no time at all; a latency table needs "
            f"{2 * FOLDS} and a counter that moves"
        )
    scores = [(form, _cross_validated(samples, form)) for form in FORMS]
    best = min(float(np.mean(errors)) for _, errors in scores)
    form, errors = next(pair for pair in scores if float(np.mean(pair[1])) <= NEARLY * best)
    return Fit(form, fit_form(samples, form), _errors(errors))


def fit_form(samples: Sequence[Sample], form: Form) -> LatencyModel:
    """The model in one form."""
    alone = _solve(samples, Form("all", False), ["all"], None)
    if form.by == "all":
        found = _solve(samples, form, ["all"], None) if form.weights else alone
        return LatencyModel(float(found[0]), float(found[1]), {}, float(found[2]) if form.weights else 0.0)
    keys = sorted({form.key(layer.kernel) for sample in samples for layer in sample.cost.runs})
    shared = float(alone[1])
    constant, *factors = _solve(samples, form, keys, shared).tolist()
    per_byte = factors.pop() if form.weights else 0.0
    groups = fit_form(samples, Form("group", form.weights)).factors if form.by == "kernel" else {}
    return LatencyModel(constant, shared, {**groups, **dict(zip(keys, factors, strict=True))}, per_byte)


def errors_of(model: LatencyModel, samples: Sequence[Sample]) -> Errors:
    """Relative errors of predictions against measurements."""
    return _errors(_relative(model, samples))


def _relative(model: LatencyModel, samples: Sequence[Sample]) -> Floats:
    return np.array([model.network(sample.cost.runs) / sample.measured - 1 for sample in samples])


def _errors(relative: Floats) -> Errors:
    sizes = np.abs(relative)
    return Errors(len(sizes), float(np.median(sizes)), float(sizes.max()))


def _cross_validated(samples: Sequence[Sample], form: Form) -> Floats:
    """Size of the relative error of every sample where it was not fitted to."""
    # Drawn, since samples come in a rhythm of kinds: a fold shall not be all there is of one.
    folds = np.random.default_rng(0).permutation(len(samples)) % FOLDS
    result = np.empty(len(samples))
    for fold in range(FOLDS):
        model = fit_form([sample for sample, other in zip(samples, folds, strict=True) if other != fold], form)
        apart = np.flatnonzero(folds == fold).tolist()
        result[apart] = np.abs(_relative(model, [samples[number] for number in apart]))
    return result


def _solve(samples: Sequence[Sample], form: Form, keys: Sequence[str], shared: float | None) -> Floats:
    """Constant, a factor for each of the keys, and units per byte of weights where the form has them."""
    from scipy.optimize import nnls

    column = {key: 1 + number for number, key in enumerate(keys)}
    width = 1 + len(keys) + form.weights
    rows = np.zeros((len(samples), width))
    for row, sample in zip(rows, samples, strict=True):
        row[0] = 1.0
        for layer in sample.cost.runs:
            row[column[form.key(layer.kernel)]] += layer.instructions
            if form.weights:
                row[-1] += layer.weight_bytes
        row /= sample.measured
    wanted = np.ones(len(samples))
    if shared and form.by != "all":
        pull = np.zeros((len(keys), width))
        pull[np.arange(len(keys)), 1 + np.arange(len(keys))] = _PULL / shared
        rows, wanted = np.concatenate([rows, pull]), np.concatenate([wanted, np.full(len(keys), _PULL)])
    scale = np.maximum(np.abs(rows).max(0), 1e-300)  # columns of like size, for the solver
    return np.asarray(nnls(rows / scale, wanted, maxiter=10_000)[0] / scale, np.float64)
