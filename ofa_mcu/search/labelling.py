"""The predictor of a supernet: measure subnets, resumably, and fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ofa_mcu.files import write_json
from ofa_mcu.search.predictor import Label, Predictor, fit_predictor, save_predictor
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.tasks.task import Dataset

__all__ = ["train_predictor"]

_SAVE_EVERY = 10


def _known_labels(path: Path, fingerprint: str) -> dict[str, float]:
    """Labels of an interrupted run on the same supernet."""
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text())
        return dict(stored["labels"]) if stored["supernet"] == fingerprint else {}
    except (ValueError, KeyError, TypeError):
        return {}  # nothing is lost but the time to measure them again


def train_predictor(
    supernet_path: Path,
    data: Dataset,
    path: Path,
    count: int,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    label: Callable[[Sequence[Subnet]], Iterable[tuple[Subnet, float]]] | None = None,
) -> Predictor:
    """Measure `count` subnets (the corners and a balanced sample) on validation images; fit and write `path`.

    Killed at any time, it goes on where it was: labels are kept beside `path` until the predictor is written. `label`
    gives subnets and their accuracies (0..1) in any order; without it this process measures one after the other.
    """
    from ofa_mcu.quantization.evaluate import Evaluator
    from ofa_mcu.supernet.store import load_supernet

    supernet, _ = load_supernet(supernet_path)
    space = supernet.space
    fingerprint = hashlib.sha256(supernet_path.read_bytes()).hexdigest()
    partial = path.with_name("labels.partial.json")
    known = _known_labels(partial, fingerprint)
    wanted = dict.fromkeys([space.largest, space.smallest])
    wanted |= dict.fromkeys(space.sample_balanced(np.random.default_rng(seed), 2 * count))
    subnets = list(wanted)[:count]
    missing = [subnet for subnet in subnets if str(subnet) not in known]

    def measured() -> Iterator[tuple[Subnet, float]]:
        evaluator = Evaluator(supernet, data)
        for subnet in missing:
            yield subnet, evaluator.float_accuracy(evaluator.float_network(subnet), "validation")

    for done, (subnet, accuracy) in enumerate(label(missing) if label else measured(), count - len(missing) + 1):
        known[str(subnet)] = accuracy
        if len(known) % _SAVE_EVERY == 0:
            write_json(partial, {"supernet": fingerprint, "labels": known})
        report(done, count)
    labels = [Label(Subnet.parse(str(subnet)), known[str(subnet)]) for subnet in subnets]
    predictor = fit_predictor(space, labels)
    save_predictor(path, predictor, labels)
    partial.unlink(missing_ok=True)
    return predictor
