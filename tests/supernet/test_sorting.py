"""Channel order: groups, importance, and that sorting changes no function."""

from __future__ import annotations

import pytest
import torch

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.sorting import channel_groups, importance, sort_channels
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY
from tests.supernet.networks import lively_supernet


def test_groups_of_tensors_that_share_an_order() -> None:
    groups = channel_groups(shape_graph(TINY, TINY.largest))
    sets: dict[str, set[str]] = {}
    for tensor, group in groups.items():
        sets.setdefault(group, set()).add(tensor)
    assert sorted(map(sorted, sets.values())) == sorted(
        [
            ["input"],
            ["s0b0.add", "s0b0.project", "s0b1.add", "s0b1.project", "stem"],
            ["s0b0.depthwise", "s0b0.expand"],
            ["s0b1.depthwise", "s0b1.expand"],
            ["s1b0.depthwise", "s1b0.expand"],
            ["s1b0.project", "s1b1.add", "s1b1.project"],
            ["s1b1.depthwise", "s1b1.expand"],
            ["head", "pool"],
            ["logits"],
        ]
    )


def test_groups_of_separable_blocks() -> None:
    """A depthwise layer keeps the order of its input; what mixes channels starts a new one."""
    groups = channel_groups(shape_graph(SPECTRUM, SPECTRUM.smallest))
    assert groups["s0b0.depthwise"] == groups["stem"] != groups["s0b0.pointwise"]
    assert groups["s1b0.depthwise"] == groups["s0b0.pointwise"]
    assert groups["pool"] == groups["s1b0.pointwise"] != groups["logits"]


def test_importance_is_the_l1_norm_of_all_reading_weights() -> None:
    supernet = lively_supernet(0)
    weights = {name: value.detach() for name, value in supernet.weights.weight.items()}
    norms = {frozenset(["stem", "s0b0.add"]): ["s0b0_expand", "s0b1_expand", "s1b0_expand"]}
    groups = channel_groups(shape_graph(TINY, TINY.largest))
    found = importance(supernet)
    for tensors, readers in norms.items():
        (group,) = {groups[tensor] for tensor in tensors}
        for channel in range(8):
            wanted = sum(float(weights[reader][:, channel].abs().sum()) for reader in readers)
            assert float(found[group][channel]) == pytest.approx(wanted, rel=1e-5)
    assert float(found[groups["pool"]][3]) == pytest.approx(float(weights["logits"][:, 3].abs().sum()), rel=1e-5)
    assert "logits" not in found  # nobody reads the classes


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM, FASHION_MNIST], ids=lambda space: space.name)
def test_sorting_leaves_the_largest_network_as_it_was(space: SearchSpace) -> None:
    supernet = lively_supernet(1, space).double()
    height, width = space.input_size(space.largest.resolution)
    shape = (4, space.input_channels, height, width)
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    rows, columns = space.input_size(space.smallest.resolution)
    before, smaller = supernet(x, space.largest), supernet(x[..., :rows, :columns], space.smallest)
    weights = {name: value.clone() for name, value in supernet.state_dict().items()}
    sort_channels(supernet)
    assert torch.allclose(supernet(x, space.largest), before, rtol=1e-9, atol=1e-9)
    assert any(not torch.equal(value, weights[name]) for name, value in supernet.state_dict().items())
    # the small network does change: it now holds the most important channels
    after = supernet(x[..., :rows, :columns], space.smallest)
    assert not torch.allclose(after, smaller, atol=1e-3)


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM, FASHION_MNIST], ids=lambda space: space.name)
def test_sorting_orders_importance_descending(space: SearchSpace) -> None:
    supernet = lively_supernet(3, space).double()
    unsorted = importance(supernet)
    assert any(bool((norms.diff() > 0).any()) for norms in unsorted.values())
    sort_channels(supernet)
    for group, norms in importance(supernet).items():
        if group != "input":
            assert bool((norms.diff() <= 1e-9).all()), group
        assert torch.allclose(norms.sort().values, unsorted[group].sort().values)


def test_sorting_twice_is_sorting_once() -> None:
    supernet = lively_supernet(4).double()
    sort_channels(supernet)
    once = {name: value.clone() for name, value in supernet.state_dict().items()}
    sort_channels(supernet)
    assert all(torch.equal(value, once[name]) for name, value in supernet.state_dict().items())


def test_inputs_and_classes_keep_their_places() -> None:
    supernet = lively_supernet(5)
    beta, sums = supernet.weights.beta["logits"].clone(), supernet.weights.weight["logits"].abs().sum(1)
    columns = supernet.weights.weight["stem"].abs().sum((0, 2, 3))
    sort_channels(supernet)
    assert torch.equal(supernet.weights.beta["logits"], beta)
    assert torch.allclose(supernet.weights.weight["logits"].abs().sum(1), sums)
    assert torch.allclose(supernet.weights.weight["stem"].abs().sum((0, 2, 3)), columns)
