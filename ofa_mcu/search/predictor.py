"""Accuracy predictor: ridge regression on a subnet's choices and size, with its held-out quality stored beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.files import write_json
from ofa_mcu.search.features import Genome, features, size_features
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.shapes import ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet

__all__ = ["Label", "Predictor", "Quality", "as_share", "fit_predictor", "load_predictor", "save_predictor"]

CLEARLY = 0.05
"""By how much a predictor's Kendall tau must exceed that of MACs alone, on subnets it did not see, to be relied on."""

_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_FOLDS = 5


@dataclass(frozen=True)
class Label:
    """A subnet and its measured accuracy (0..1) on validation images."""

    subnet: Subnet
    accuracy: float


@dataclass(frozen=True)
class Quality:
    """Agreement of predicted with measured accuracy on subnets the model did not see (5-fold cross-validation).

    `kendall_macs` is what ranking by MACs alone reaches; `rmse_points` in percentage points.
    """

    subnets: int
    kendall: float
    spearman: float
    rmse_points: float
    kendall_macs: float

    @property
    def margin(self) -> float:
        """Accuracy (0..1) by which most predictions are off at worst: two standard errors."""
        return 2 * self.rmse_points / 100

    @property
    def clear(self) -> bool:
        """Whether prediction ranks subnets clearly better than their size does."""
        return self.kendall >= self.kendall_macs + CLEARLY


@dataclass(frozen=True, eq=False)
class Predictor:
    """accuracy = intercept + weights . (features - centre)."""

    space: SearchSpace
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    intercept: float
    quality: Quality

    def predict(self, subnet: Subnet, graph: ShapeGraph | None = None) -> float:
        """Predicted validation accuracy (0..1)."""
        return float(self.intercept + (features(self.space, subnet, graph) - self.centre) @ self.weights)

    def predict_all(
        self, genes: NDArray[np.int64], macs: NDArray[np.int64], parameters: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Predicted accuracies (0..1) of subnets by genes (subnets, genes) and sizes (subnets,)."""
        genome = Genome.of(self.space)
        columns = genome.one_hot_columns()
        padded = np.append(self.weights, 0.0)  # genes without effect add nothing
        chosen = np.where(genome.effective(genes), columns + genes, len(self.weights))
        sizes = np.stack(size_features(macs, parameters), 1)
        result = padded[chosen].sum(1) + sizes @ self.weights[-sizes.shape[1] :]
        return np.asarray(self.intercept - float(self.centre @ self.weights) + result, np.float64)


def as_share(accuracy: float) -> float:
    """A predicted accuracy as it is told: a regression may predict more than all, which nothing reaches."""
    return round(min(accuracy, 1.0), 5)


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y), np.float64)


def _cross_validated(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Prediction of every sample by a model that was fitted without its fold."""
    out = np.empty_like(y)
    fold = np.arange(len(y)) % _FOLDS
    for f in range(_FOLDS):
        seen = fold != f
        centre, mean = x[seen].mean(0), y[seen].mean()
        out[~seen] = mean + (x[~seen] - centre) @ _ridge(x[seen] - centre, y[seen] - mean, penalty)
    return out


def _correlation(measure: Callable[..., Any], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Of two ranks; 0 where all of one side are alike, for then there is nothing to rank."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(measure(first, second).statistic)


def fit_predictor(space: SearchSpace, labels: Sequence[Label]) -> Predictor:
    """Ridge regression; the penalty and the stored quality come from cross-validation."""
    from scipy.stats import kendalltau, spearmanr  # slow to load, and only fitting needs it

    order = np.random.default_rng(0).permutation(len(labels))
    labels = [labels[i] for i in order]
    graphs = [shape_graph(space, label.subnet) for label in labels]
    x = np.array([features(space, label.subnet, graph) for label, graph in zip(labels, graphs, strict=True)])
    y = np.array([label.accuracy for label in labels])
    held_out = {penalty: _cross_validated(x, y, penalty) for penalty in _PENALTIES}
    penalty = min(_PENALTIES, key=lambda p: float(np.square(held_out[p] - y).mean()))
    predicted = held_out[penalty]
    quality = Quality(
        subnets=len(labels),
        kendall=_correlation(kendalltau, predicted, y),
        spearman=_correlation(spearmanr, predicted, y),
        rmse_points=100 * float(np.sqrt(np.square(predicted - y).mean())),
        kendall_macs=_correlation(kendalltau, np.array([graph.macs for graph in graphs], np.float64), y),
    )
    centre = x.mean(0)
    return Predictor(space, _ridge(x - centre, y - y.mean(), penalty), centre, float(y.mean()), quality)


def save_predictor(path: Path, predictor: Predictor, labels: Sequence[Label]) -> None:
    """Write the model, its quality and the labels it came from, atomically."""
    write_json(
        path,
        {
            "format": 1,
            "space": predictor.space.to_json(),
            "weights": predictor.weights.tolist(),
            "centre": predictor.centre.tolist(),
            "intercept": predictor.intercept,
            "quality": asdict(predictor.quality),
            "labels": {str(label.subnet): round(label.accuracy, 6) for label in labels},
        },
    )


def load_predictor(path: Path) -> Predictor:
    """The predictor in `path`.

    Raises:
        OfaMcuError: there is none, or it is damaged.
    """
    damaged = f"{path} is no predictor, or is damaged; ofa-mcu train writes a new one"
    try:
        value = json.loads(path.read_text())
        predictor = Predictor(
            SearchSpace.from_json(value["space"]),
            np.array(value["weights"], np.float64),
            np.array(value["centre"], np.float64),
            float(value["intercept"]),
            Quality(**value["quality"]),
        )
        wanted = features(predictor.space, predictor.space.smallest).shape
    except FileNotFoundError as error:
        raise OfaMcuError(f"there is no predictor {path}; ofa-mcu train writes it beside the supernet") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        raise OfaMcuError(damaged) from error
    numbers = np.concatenate([predictor.weights.ravel(), predictor.centre.ravel(), [predictor.intercept]])
    if predictor.weights.shape != wanted or predictor.centre.shape != wanted or not np.isfinite(numbers).all():
        raise OfaMcuError(damaged)
    return predictor
