"""Early-bird tickets: which channels go, what is left computes the same, when one is drawn, and what it saves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from ofa_mcu.errors import UsageError
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.quantization.single import export_single
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.supernet.network import PlainNetwork, extract
from ofa_mcu.supernet.plain_store import load_network
from ofa_mcu.supernet.sorting import channel_groups
from ofa_mcu.tasks.registry import TASKS
from ofa_mcu.training.calibrate import recalibrate
from ofa_mcu.training.data import ImageSet
from ofa_mcu.training.plain_run import PlainRun, train_ticket
from ofa_mcu.training.ticket import TicketLearner, channel_importance, slim, ticket_masks
from tests.space.spaces import SPECTRUM, TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA, RECIPE
from tests.training.train_together import WEIGHTED

IMAGES = ImageSet(DATA.train, TINY.resolutions)
GRAPH = shape_graph(TINY, TINY.largest)
GROUPS = channel_groups(GRAPH)


def test_importance_is_the_mean_of_the_gammas_that_write_a_group() -> None:
    network = extract(lively_supernet(0), TINY.largest)
    found = channel_importance(network)
    gamma = network.weights.gamma
    # the residual stream of stage 0: stem, both projections and the sums between them
    stream = torch.stack([gamma[key].abs() for key in ("stem", "s0b0_project", "s0b1_project")]).mean(0)
    assert torch.equal(found["stem"], stream.detach())
    hidden = (gamma["s1b0_expand"].abs() + gamma["s1b0_depthwise"].abs()) / 2
    assert torch.allclose(found["s1b0.expand"], hidden.detach())
    assert not {"input", "logits"} & found.keys()


@pytest.mark.parametrize("percentile", [10.0, 50.0, 90.0])
def test_masks_drop_a_share_of_all_channels_in_fours(percentile: float) -> None:
    scores = channel_importance(extract(lively_supernet(1), TINY.largest))
    masks = ticket_masks(scores, percentile)
    kept = {group: int(mask.sum()) for group, mask in masks.items()}
    assert all(count % 4 == 0 and count >= 4 for count in kept.values())
    total, wanted = sum(map(len, masks.values())), 1 - percentile / 100
    assert abs(sum(kept.values()) / total - wanted) < 4 * len(masks) / total
    for group, mask in masks.items():
        if not mask.all():
            assert float(scores[group][mask].min()) >= float(scores[group][~mask].max())


def test_a_network_without_dead_channels_computes_the_same() -> None:
    """Gammas and betas of what goes are zero, so nothing is lost."""
    network = extract(lively_supernet(2), TINY.largest)
    recalibrate(network, IMAGES.floats_at(12, slice(0, 64)))
    masks = ticket_masks(channel_importance(network), 40.0)
    with torch.no_grad():
        for op in network.graph.operators:
            key, group = op.name.replace(".", "_"), GROUPS[op.output]
            if key in network.weights.gamma and group in masks:
                network.weights.gamma[key][~masks[group]] = 0
                network.weights.beta[key][~masks[group]] = 0
        small = slim(network, masks)
        network.eval()
        small.eval()
        x = IMAGES.floats_at(12, slice(64, 128))
        assert torch.allclose(small(x), network(x), atol=1e-5)
    assert small.graph.parameters < 0.6 * network.graph.parameters and small.graph.macs < 0.6 * network.graph.macs


def test_separable_networks_are_slimmed_too() -> None:
    network = PlainNetwork(shape_graph(SPECTRUM, SPECTRUM.largest), 0)
    with torch.no_grad():
        for gamma in network.weights.gamma.values():
            gamma.copy_(torch.rand(gamma.shape, generator=torch.Generator().manual_seed(len(gamma))))
    small = slim(network, ticket_masks(channel_importance(network), 50.0))
    _, height, width, channels = small.graph.shapes[small.graph.inputs[0]]
    assert small(torch.rand(2, channels, height, width)).shape == (2, SPECTRUM.classes)
    assert small.graph.macs < network.graph.macs


def test_the_ticket_is_drawn_when_five_masks_agree() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    for late in (False, True):
        learner = TicketLearner(GRAPH, recipe, 50.0, late)
        told = [learner.before_step(step, 500, optimizer) for step in range(51)]
        assert told[:50] == [None] * 50 and "early-bird ticket at step 50 of 500" in str(told[50])
        assert learner.settled_at == 50 and learner.cooling == (None if late else (50, 50))
        again = TicketLearner(GRAPH, recipe, 50.0, late)
        again.restore(learner.state())
        assert (again.settled_at, again.cooling) == (50, learner.cooling)
    restless = TicketLearner(GRAPH, recipe, 50.0)
    for step in range(500):
        assert restless.before_step(step, 500, optimizer) is None
        with torch.no_grad():
            for key, gamma in restless.module.weights.gamma.items():
                gamma.copy_(torch.rand(gamma.shape, generator=torch.Generator().manual_seed(step + len(key))))
    assert restless.settled_at is None


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> PlainRun:
    monkeypatch.setitem(TASKS, "quarters", WEIGHTED)
    monkeypatch.setitem(SPACES, "quarters", TINY)
    return PlainRun("quarters", None, None)


@pytest.mark.slow
def test_a_ticket_from_start_to_file(tmp_path: Path, run: PlainRun) -> None:
    """Early against late: the same slimming, fewer epochs of the dense network; and it goes on after a stop."""
    recipe = dataclasses.replace(RECIPE, epochs=8)
    early = train_ticket(run, recipe, tmp_path / "early", 1, 50.0)
    late = train_ticket(run, recipe, tmp_path / "late", 1, 50.0, late=True)
    assert early["settled_at_step"] and 0 < early["epochs_dense"] < late["epochs_dense"] == 8
    assert early["epochs_saved"] == 8 - early["epochs_dense"] and late["epochs_saved"] == 0
    assert early["tera_macs"] < late["tera_macs"] and early["macs"] < early["macs_before"]
    assert json.loads((tmp_path / "early" / "ticket.json").read_text()) == early
    again = train_ticket(run, recipe, tmp_path / "early", 1, 50.0)
    assert again == early
    network, header = load_network(tmp_path / "early" / "network.npz")
    assert network.graph.macs == early["macs"] and header["ticket"] == early
    found = export_single(tmp_path / "early", DATA)
    assert found["accuracy_int8"] > 0.6 and found["macs"] == early["macs"]
    assert read_tflite((tmp_path / "early" / "model.tflite").read_bytes()).structure.macs == early["macs"]


def test_a_share_that_is_none_is_refused(tmp_path: Path, run: PlainRun) -> None:
    with pytest.raises(UsageError, match="--early-bird 100 is no share of the channels in per cent"):
        train_ticket(run, RECIPE, tmp_path, 1, 100.0)
