"""The accuracy predictor: how good it is on what it has not seen, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.search.labelling import train_predictor
from ofa_mcu.search.predictor import Label, fit_predictor, load_predictor, save_predictor
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.supernet.store import save_supernet
from tests.search.made_up import labels_of, true_accuracy
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA


def test_it_predicts_subnets_it_has_not_seen() -> None:
    labels = labels_of(FASHION_MNIST, 200, noise=0.001)
    predictor = fit_predictor(FASHION_MNIST, labels)
    assert predictor.quality.subnets == 200
    assert predictor.quality.kendall > 0.9 and predictor.quality.spearman > 0.97
    assert predictor.quality.rmse_points < 0.3
    assert predictor.quality.kendall > predictor.quality.kendall_macs > 0.3
    others = list(FASHION_MNIST.sample_balanced(np.random.default_rng(9), 60))
    errors = [predictor.predict(subnet) - true_accuracy(FASHION_MNIST, subnet) for subnet in others]
    measured = 100 * float(np.sqrt(np.mean(np.square(errors))))
    assert measured < 0.3
    # the stored quality is what new subnets show: neither flattering nor far too shy
    assert 0.3 < predictor.quality.rmse_points / np.hypot(measured, 0.1) < 3


def test_its_quality_is_measured_on_held_out_subnets() -> None:
    """Labels that nothing explains: a model that saw its test subnets would seem to know them."""
    rng = np.random.default_rng(1)
    labels = [Label(label.subnet, float(rng.uniform(0.5, 0.9))) for label in labels_of(TINY, 80)]
    quality = fit_predictor(TINY, labels).quality
    assert abs(quality.kendall) < 0.35
    assert quality.rmse_points > 9  # the spread itself is 11.5 points


def test_where_all_are_alike_nothing_is_ranked() -> None:
    """As with a handful of validation examples: no warning, and numbers that JSON knows."""
    labels = [Label(label.subnet, 0.5) for label in labels_of(TINY, 40)]
    quality = fit_predictor(TINY, labels).quality
    assert (quality.kendall, quality.spearman, quality.kendall_macs) == (0.0, 0.0, 0.0) and not quality.clear


def test_the_order_of_labels_matters_little() -> None:
    labels = labels_of(TINY, 100, noise=0.002)
    first, second = fit_predictor(TINY, labels), fit_predictor(TINY, labels[::-1])
    assert first.predict(TINY.largest) == pytest.approx(second.predict(TINY.largest), abs=0.003)
    again = fit_predictor(TINY, labels)
    assert np.array_equal(again.weights, first.weights) and again.quality == first.quality


def test_a_stored_predictor_predicts_the_same(tmp_path: Path) -> None:
    labels = labels_of(TINY, 60, noise=0.002)
    predictor = fit_predictor(TINY, labels)
    path = tmp_path / "predictor.json"
    save_predictor(path, predictor, labels)
    back = load_predictor(path)
    assert back.space == TINY and back.quality == predictor.quality
    for subnet in (TINY.largest, TINY.smallest, *TINY.sample_balanced(np.random.default_rng(0), 20)):
        assert back.predict(subnet) == predictor.predict(subnet)
    stored = json.loads(path.read_text())["labels"]
    assert stored == {str(label.subnet): round(label.accuracy, 6) for label in labels}
    first = path.read_bytes()
    save_predictor(path, predictor, labels)
    assert path.read_bytes() == first


@pytest.mark.slow
def test_a_missing_or_damaged_predictor_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "predictor.json"
    with pytest.raises(OfaMcuError, match="there is no predictor .*predictor.json; ofa-mcu train writes it"):
        load_predictor(path)
    save_predictor(path, fit_predictor(TINY, labels_of(TINY, 30)), [])
    whole = path.read_text()
    for content in ("", "[]", "{}", whole[: len(whole) // 2], whole.replace('"kendall"', '"kandell"')):
        path.write_text(content)
        with pytest.raises(OfaMcuError, match="is no predictor, or is damaged") as caught:
            load_predictor(path)
        assert "\n" not in str(caught.value)


def test_labelling_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Measured subnets are kept beside the predictor, for this supernet alone, and cleared away at the end."""
    supernet, path = tmp_path / "supernet.npz", tmp_path / "predictor.json"
    save_supernet(supernet, lively_supernet(0), {})

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 24:
            raise Killed

    with pytest.raises(Killed):
        train_predictor(supernet, DATA, path, 30, report=kill)
    assert not path.exists()
    partial = json.loads((tmp_path / "labels.partial.json").read_text())
    assert len(partial["labels"]) == 20
    partial["labels"][str(TINY.largest)] = 0.125  # so that it shows that nothing is measured twice
    (tmp_path / "labels.partial.json").write_text(json.dumps(partial))
    seen: list[tuple[int, int]] = []
    train_predictor(supernet, DATA, path, 30, report=lambda done, total: seen.append((done, total)))
    stored = json.loads(path.read_text())["labels"]
    assert seen[-1] == (30, 30) and len(stored) == 30 and stored[str(TINY.largest)] == 0.125
    assert stored.items() >= {k: round(v, 6) for k, v in partial["labels"].items()}.items()
    assert not (tmp_path / "labels.partial.json").exists()

    (tmp_path / "labels.partial.json").write_text(json.dumps(partial | {"supernet": "another one"}))
    train_predictor(supernet, DATA, path, 30)
    assert json.loads(path.read_text())["labels"][str(TINY.largest)] != 0.125
