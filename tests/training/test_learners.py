"""The steps of training: learning rate, warm-up and its early-bird test, students, and what validation leaves alone."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import Supernet
from ofa_mcu.supernet.sorting import importance, sort_channels
from ofa_mcu.training.data import ImageSet, TrainingStream
from ofa_mcu.training.early_bird import EarlyBird, normalised_distance, ranking_masks
from ofa_mcu.training.learners import ElasticLearner, PlainLearner, SupernetLearner
from ofa_mcu.training.recipe import Recipe
from tests.space.spaces import SPECTRUM, TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA, QUARTERS, RECIPE, quarters

TRAIN = ImageSet(DATA.train, TINY.resolutions)
HELD_OUT = ImageSet(DATA.validation, TINY.resolutions)
STREAM = TrainingStream(QUARTERS, TRAIN, 32, 0)


def optimizer_of(learner: ElasticLearner) -> torch.optim.SGD:
    return torch.optim.SGD(learner.module.parameters(), lr=0.05, momentum=0.9)


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    recipe = Recipe(peak_rate=0.1, rise_share=0.1, floor_share=0.01)
    rates = [recipe.rate(step, 1000) for step in range(1000)]
    assert rates[:100] == pytest.approx([0.001 * (step + 1) for step in range(100)])
    assert rates[100] == pytest.approx(0.1) == max(rates)
    assert rates[550] == pytest.approx(0.001 + 0.099 / 2)  # half way down
    assert rates[325] == pytest.approx(0.001 + 0.099 * (0.5 + 0.5**0.5 / 2))  # a quarter of the way: cos 45 degrees
    assert all(first > second for first, second in itertools.pairwise(rates[100:]))
    assert 0.001 < rates[-1] < 0.0011
    assert [recipe.rate(0, 1), recipe.rate(0, 5)] == [0.1, 0.1]  # a run too short to rise


def test_a_recipe_goes_through_json() -> None:
    recipe = Recipe(epochs=3, students=1, seed=9, warmup_share=0.3)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_masks_are_the_top_channels_of_every_block() -> None:
    supernet = lively_supernet(0)
    masks = ranking_masks(supernet)
    # hidden channels at full width, and those kept by every expand ratio below the largest
    shapes = [(24, 16), (24, 16), (32, 16), (64, 32)]
    assert [(len(mask), int(mask.sum())) for mask in masks] == shapes
    norms = importance(supernet)["s0b0.expand"]
    assert float(norms[masks[0]].min()) >= float(norms[~masks[0]].max())
    sort_channels(supernet)
    assert ranking_masks(supernet)[0].tolist() == [True] * 16 + [False] * 8


def test_masks_of_separable_blocks_are_those_of_the_widths() -> None:
    masks = ranking_masks(lively_supernet(0, SPECTRUM))
    # 16 channels at widths 0.5 and 0.75 in three blocks, 32 in two
    shapes = [(16, 8), (16, 12)] * 3 + [(32, 16), (32, 24)] * 2
    assert [(len(mask), int(mask.sum())) for mask in masks] == shapes


def random_masks(rng: np.random.Generator, density: float) -> list[torch.Tensor]:
    return [torch.from_numpy(rng.permutation(2000) < density * 2000) for _ in range(3)]


@pytest.mark.parametrize("density", [0.1, 0.5, 2 / 3])
def test_distance_is_0_for_equal_and_1_for_unrelated_rankings(density: float) -> None:
    rng = np.random.default_rng(0)
    first, second = random_masks(rng, density), random_masks(rng, density)
    assert normalised_distance(first, first) == 0.0
    assert normalised_distance(first, second) == pytest.approx(1.0, abs=0.1)
    assert normalised_distance(first, second) == normalised_distance(second, first)
    half = [torch.cat([a[:1000], b[1000:]]) for a, b in zip(first, second, strict=True)]
    assert normalised_distance(first, half) == pytest.approx(0.5, abs=0.15)


def test_the_test_needs_five_agreeing_rankings() -> None:
    bird, supernet = EarlyBird(), lively_supernet(1)
    assert [bird.settled(supernet) for _ in range(6)] == [False] * 4 + [True] * 2
    assert bird.distance == 0.0
    other = lively_supernet(2)
    assert [bird.settled(other) for _ in range(5)] == [False] * 4 + [True]
    first = EarlyBird()
    first.settled(supernet)
    first.settled(other)
    assert 0.5 < first.distance < 1.5


def test_the_test_goes_on_where_it_was() -> None:
    bird, supernet = EarlyBird(), lively_supernet(1)
    for _ in range(4):
        bird.settled(supernet)
    again = EarlyBird()
    again.restore(bird.state())
    assert again.settled(supernet) and again.history.maxlen == 5
    assert not EarlyBird().settled(supernet)


def warm_up(recipe: Recipe, frozen: bool, steps: int = 200) -> tuple[int, str]:
    """(step, message) at which the warm-up of `steps` steps ends; `frozen` keeps the ranking, else it is drawn anew."""
    learner = SupernetLearner(TINY, recipe)
    optimizer = optimizer_of(learner)
    for step in range(steps):
        message = learner.before_step(step, steps, optimizer)
        if message:
            return step, message
        if not frozen:
            with torch.no_grad():
                for weight in learner.module.weights.weight.values():
                    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(step)))
    raise AssertionError("the warm-up never ended")


def test_the_warm_up_ends_when_the_ranking_settles_but_not_before_its_least_length() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=2, warmup_least=0.3, warmup_share=0.8)
    step, message = warm_up(recipe, frozen=True)
    assert step == 60 and "channel ranking settled, distance 0.000" in message
    recipe = dataclasses.replace(recipe, warmup_least=0.0)
    assert warm_up(recipe, frozen=True)[0] == 50  # five ticks of a tenth of an epoch


def test_the_warm_up_ends_at_its_share_of_the_budget() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=2, warmup_least=0.0, warmup_share=0.5)
    step, message = warm_up(recipe, frozen=False)
    assert step == 100 and "share of the budget used up" in message


def test_sorting_at_the_end_of_the_warm_up_clears_momentum() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, warmup_least=0.0, warmup_share=0.1)
    learner = SupernetLearner(TINY, recipe)
    optimizer = optimizer_of(learner)
    learner.backward(STREAM.batch(0), 0)
    optimizer.step()
    assert len(optimizer.state) > 0
    assert learner.before_step(10, 100, optimizer)
    assert len(optimizer.state) == 0
    for group, norms in importance(learner.module).items():
        assert group == "input" or bool((norms.diff() <= 1e-4).all())
    assert learner.before_step(20, 100, optimizer) is None  # only once


class _Recorder(Supernet):
    """A supernet that writes down which subnets ran."""

    def forward(self, x: torch.Tensor, subnet: Subnet) -> torch.Tensor:
        assert x.shape[2] == subnet.resolution
        self.ran.append(subnet)
        return super().forward(x, subnet)

    ran: list[Subnet]


def recorded(students: int) -> tuple[SupernetLearner, _Recorder]:
    learner = SupernetLearner(TINY, dataclasses.replace(RECIPE, students=students))
    recorder = _Recorder(TINY, RECIPE.seed)
    recorder.ran = []
    learner.module = recorder
    return learner, recorder


def test_the_warm_up_trains_the_largest_network_alone() -> None:
    learner, recorder = recorded(students=2)
    learner.backward(STREAM.batch(0), 0)
    assert recorder.ran == [dataclasses.replace(TINY.largest, resolution=recorder.ran[0].resolution)]


def test_all_networks_of_a_step_see_one_resolution_and_each_has_its_turn() -> None:
    learner, recorder = recorded(students=2)
    learner.restore({**learner.state(), "elastic": True})
    turns: Counter[int] = Counter()
    for step in range(60):
        recorder.ran.clear()
        learner.backward(STREAM.batch(0), step)
        (resolution,) = {subnet.resolution for subnet in recorder.ran}
        turns[resolution] += 1
    assert set(turns) == set(TINY.resolutions) and min(turns.values()) >= 20


def test_students_are_the_smallest_and_a_balanced_sample() -> None:
    learner, recorder = recorded(students=4)
    learner.restore({**learner.state(), "elastic": True})
    for step in range(3):
        recorder.ran.clear()
        learner.backward(STREAM.batch(step), step)
        drawn = recorder.ran[0].resolution
        corners = [dataclasses.replace(each, resolution=drawn) for each in (TINY.largest, TINY.smallest)]
        assert recorder.ran[:2] == corners and len(recorder.ran) == 6
        random = recorder.ran[2:]
        for counts in (
            Counter(s.width for s in random),
            Counter(len(s.stages[0]) for s in random),
        ):
            assert list(counts.values()) == [2, 2]
    first = list(recorder.ran)
    recorder.ran.clear()
    learner.backward(STREAM.batch(2), 2)
    assert recorder.ran == first  # which subnets follows from seed and step
    recorder.ran.clear()
    learner.backward(STREAM.batch(2), 3)
    assert recorder.ran != first


def test_gradients_are_those_of_labels_and_of_the_teachers_predictions() -> None:
    learner, recorder = recorded(students=1)
    learner.restore({**learner.state(), "elastic": True})
    batch = STREAM.batch(0)
    shown = learner.backward(batch, 0)
    found = {name: value.grad.clone() for name, value in recorder.named_parameters() if value.grad is not None}
    largest, smallest, student = recorder.ran
    recorder.zero_grad()
    teacher = recorder(batch.at(largest.resolution), largest)
    target = F.softmax(teacher, 1).detach()
    loss = F.cross_entropy(teacher, batch.labels)
    total = loss
    for subnet in (smallest, student):
        total = total - (target * F.log_softmax(recorder(batch.at(subnet.resolution), subnet), 1)).sum(1).mean()
    total.backward()
    assert shown == pytest.approx(float(loss.detach()))
    for name, value in recorder.named_parameters():
        assert value.grad is not None
        assert torch.allclose(found[name], value.grad, atol=1e-5), name


def test_classes_weigh_in_the_loss_as_the_data_says() -> None:
    """The loss is the weighted mean over the examples, for one network and for the largest of a supernet."""
    weights = np.array([0.5, 1.0, 2.0, 4.0], np.float32)
    weighted = ImageSet(dataclasses.replace(quarters(64, 5), class_weights=weights), TINY.resolutions)
    batch = TrainingStream(QUARTERS, weighted, 32, 0).batch(0)
    assert len(batch.labels.unique()) == 4
    plain = PlainLearner(shape_graph(TINY, TINY.largest), RECIPE)
    at_twelve = dataclasses.replace(TINY, resolutions=(12,))
    for learner in (plain, SupernetLearner(at_twelve, RECIPE)):
        arguments = () if learner is plain else (TINY.largest,)
        learner.module.train()
        with torch.no_grad():
            losses = -F.log_softmax(learner.module(batch.at(12), *arguments), 1)[torch.arange(32), batch.labels]
        share = torch.from_numpy(weights)[batch.labels]
        assert learner.backward(batch, 0) == pytest.approx(float((losses * share).sum() / share.sum()), rel=1e-5)
        assert float((losses * share).sum() / share.sum()) != pytest.approx(float(losses.mean()), rel=1e-3)


def test_validation_of_a_plain_network_leaves_it_as_it_was() -> None:
    learner = PlainLearner(shape_graph(TINY, TINY.largest), RECIPE)
    learner.backward(STREAM.batch(0), 0)
    before = {name: value.clone() for name, value in learner.module.state_dict().items()}
    assert float(before["mean_stem"].abs().sum()) > 0
    first = learner.validate(TRAIN, HELD_OUT)
    assert first.keys() == {"net"} and 0 <= first["net"] <= 1
    assert all(torch.equal(value, before[name]) for name, value in learner.module.state_dict().items())
    assert learner.validate(TRAIN, HELD_OUT) == first
    learner.backward(STREAM.batch(1), 1)
    assert learner.module.training  # the next step is in training mode again


def test_validation_of_a_supernet_leaves_its_weights() -> None:
    learner = SupernetLearner(TINY, RECIPE)
    before = {name: value.clone() for name, value in learner.module.state_dict().items()}
    scores: dict[str, Any] = learner.validate(TRAIN, HELD_OUT)
    assert scores.keys() == {"max", "min"}
    assert all(torch.equal(value, before[name]) for name, value in learner.module.state_dict().items())
