"""Ways to train that a benchmark compares: progressive shrinking, no warm-up, no distillation; and the early end."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch

from ofa_mcu.errors import UsageError
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.supernet.network import Supernet
from ofa_mcu.supernet.sorting import importance
from ofa_mcu.training.curves import plot_curves
from ofa_mcu.training.data import ImageSet
from ofa_mcu.training.learners import SupernetLearner
from ofa_mcu.training.loop import fit
from ofa_mcu.training.progressive import ProgressiveLearner, phase_space
from ofa_mcu.training.rankings import SubnetRanking, probe_subnets, ticks_of
from ofa_mcu.training.recipe import Recipe
from ofa_mcu.training.supernet_run import elastic_learner
from tests.space.spaces import SPECTRUM, TINY
from tests.training.made_up import DATA, QUARTERS, RECIPE
from tests.training.test_learners import STREAM, _Recorder, optimizer_of


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no method 'magic' of training; known: sandwich, progressive, plain"):
        Recipe(method="magic")
    with pytest.raises(UsageError, match="Kendall tau of 1.5"):
        Recipe(stop_tau=1.5)
    with pytest.raises(UsageError, match="progressive shrinking begins with the largest network"):
        Recipe(method="progressive", warmup=False)
    with pytest.raises(UsageError, match="trains one network, no supernet"):
        elastic_learner(TINY, Recipe(method="plain"))
    assert isinstance(elastic_learner(TINY, Recipe(method="progressive")), ProgressiveLearner)


def test_phases_add_kernel_then_depth_then_width() -> None:
    spaces = [phase_space(TINY, phase) for phase in range(4)]
    assert spaces[3] == TINY and phase_space(SPECTRUM, 3) == SPECTRUM
    assert [s.kernels for s in spaces[0].stages] == [(5,), (3,)] and spaces[0].widths == (1.0,)
    assert [s.kernels for s in spaces[1].stages] == [(3, 5), (3,)]
    assert {s.depths for s in spaces[1].stages} == {(2,)} and {s.depths for s in spaces[2].stages} == {(1, 2)}
    assert [s.expands for s in spaces[2].stages] == [(3,), (4,)] and spaces[2].widths == (1.0,)
    sizes = [space.size for space in spaces]
    assert sizes == sorted(set(sizes)) and all(space.resolutions == TINY.resolutions for space in spaces)


def test_progressive_shrinking_goes_through_its_phases() -> None:
    """What runs in each phase, the frozen teacher, the rates, and the sort before layers get narrower."""
    recipe = dataclasses.replace(RECIPE, method="progressive", epochs=1)
    learner = ProgressiveLearner(TINY, recipe)
    recorder = _Recorder(TINY, recipe.seed)
    recorder.ran = []
    learner.module = recorder
    optimizer = optimizer_of(learner)
    steps, told, counts, rates = 40, [], [], []
    for step in range(steps):
        message = learner.before_step(step, steps, optimizer)
        if message:
            told.append((step, message))
        if step == 12:
            teacher = {name: value.clone() for name, value in recorder.state_dict().items()}
        rates.append(learner.rate(step, steps))
        recorder.ran.clear()
        optimizer.zero_grad()
        learner.backward(STREAM.batch(step), step)
        optimizer.step()
        counts.append(len(recorder.ran))
        phase = 0 if step < 12 else 1 if step < 20 else 2 if step < 30 else 3
        for subnet in recorder.ran:
            phase_space(TINY, phase).validate(subnet)
            assert phase or subnet == TINY.largest
        if step == 30:
            norms = importance(recorder)["s0b0.expand"]
    assert [step for step, _ in told] == [12, 20, 30]
    assert told[2][1].endswith("elastic kernel, depth, width")
    assert counts == [1] * 20 + [2] * 10 + [4] * 10
    assert [rates[12], rates[20], rates[30]] == pytest.approx([0.05 * share for share in (0.375, 0.1, 0.1)])
    assert max(rates) == pytest.approx(0.05) and rates[39] < 0.001
    kept = learner.state()["teacher"]
    assert all(torch.equal(kept[name], value) for name, value in teacher.items())  # the largest, as it was
    assert float(norms.diff().max()) < 0.1 * float(norms.max())  # sorted one step before
    again = ProgressiveLearner(TINY, recipe)
    again.restore(learner.state())
    assert again.before_step(39, steps, optimizer) is None and again.state()["phase"] == 3


def gradients(recipe: Recipe) -> tuple[SupernetLearner, _Recorder]:
    learner = SupernetLearner(TINY, recipe)
    recorder = _Recorder(TINY, recipe.seed)
    recorder.ran = []
    learner.module = recorder
    learner.backward(STREAM.batch(0), 0)
    return learner, recorder


def test_without_warm_up_every_step_is_a_sandwich() -> None:
    learner, recorder = gradients(dataclasses.replace(RECIPE, warmup=False))
    drawn = recorder.ran[0].resolution
    corners = [dataclasses.replace(each, resolution=drawn) for each in (TINY.largest, TINY.smallest)]
    assert len(recorder.ran) == 4 and recorder.ran[:2] == corners
    before = {name: value.clone() for name, value in recorder.state_dict().items()}
    optimizer = optimizer_of(learner)
    assert all(learner.before_step(step, 40, optimizer) is None for step in range(40))
    assert all(torch.equal(value, before[name]) for name, value in recorder.state_dict().items())  # never sorted


def test_without_distillation_students_learn_from_the_labels() -> None:
    _, recorder = gradients(dataclasses.replace(RECIPE, warmup=False, distillation=False))
    net, batch = Supernet(TINY, RECIPE.seed), STREAM.batch(0)
    for subnet in recorder.ran:
        torch.nn.functional.cross_entropy(net(batch.at(subnet.resolution), subnet), batch.labels).backward()
    for name, value in net.named_parameters():
        assert torch.allclose(value.grad, recorder.get_parameter(name).grad, atol=1e-6), name


def test_what_was_computed_is_counted() -> None:
    learner, recorder = gradients(dataclasses.replace(RECIPE, warmup=False))
    assert learner.macs == 3 * 32 * sum(shape_graph(TINY, subnet).macs for subnet in recorder.ran)


def test_probes_are_measured_at_most_twenty_times_and_at_the_end() -> None:
    assert ticks_of(5) == [1, 2, 3, 4, 5] and ticks_of(20) == list(range(1, 21))
    assert ticks_of(50) == [*range(3, 50, 3), 50]
    assert all(len(ticks_of(epochs)) <= 21 for epochs in range(1, 300))
    probes = probe_subnets(TINY, 3)
    assert len(probes) == 16 and probes[:2] == [TINY.largest, TINY.smallest] and probes == probe_subnets(TINY, 3)


def test_the_ranking_settles_when_the_newest_agrees_with_four_before() -> None:
    order, swapped = [0.1 * i for i in range(16)], [0.1 * i for i in (1, 0, *range(2, 16))]
    ranking = SubnetRanking()
    for step, accuracies in enumerate((list(reversed(order)), order, order, order, order)):
        ranking.note(step, accuracies)
        assert not ranking.settled(0.9)
    assert [tick["tau"] for tick in ranking.history] == [None, -1, -1, -1, -1]
    ranking.note(5, swapped)
    # one of 120 pairs is in the other order: tau = 1 - 2/120
    assert ranking.history[-1]["tau"] == pytest.approx(1 - 2 / 120, abs=1e-4)
    assert ranking.settled(0.98) and not ranking.settled(0.99)
    ranking.note(6, [0.5] * 16)
    assert ranking.history[-1]["tau"] == 0.0  # no ranking at all


class _Ranked(SupernetLearner):
    """Probes that rank by size: the quarters are so easy that all networks end with the same accuracy."""

    def probe(self, epoch: int, train: ImageSet, held_out: ImageSet) -> list[float]:
        return [float(self._macs_of(subnet)) for subnet in self._probes]


def test_a_settled_ranking_ends_the_run_with_a_falling_rate(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=12, warmup=False, students=0, stop_tau=0.9)
    learner = _Ranked(TINY, recipe)
    last = fit(learner, QUARTERS, DATA, TINY.resolutions, recipe, tmp_path, "supernet")
    assert learner.cooling == (40, 48) and last["step"] == 48 and last["steps"] == 96  # five ticks, and a fifth more
    rates = [learner.rate(step, 96) for step in range(40, 49)]
    assert rates[0] == pytest.approx(recipe.rate(40, 96)) and rates[-1] == pytest.approx(0.0005)
    falls = [first - second for first, second in itertools.pairwise(rates)]
    assert falls == pytest.approx([falls[0]] * len(falls)) and falls[0] > 0
    written = json.loads((tmp_path / "rankings.json").read_text())
    assert written == learner.rankings() and len(written["channels"]) > 10 and len(written["subnets"]) == 6
    plot_curves(tmp_path, 0.2, 0.9)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    resumed = _Ranked(TINY, recipe)
    assert fit(resumed, QUARTERS, DATA, TINY.resolutions, recipe, tmp_path, "supernet") == last
    assert resumed.cooling == learner.cooling
