"""Genes and features of subnets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.search.features import Genome, features
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.space import SearchSpace
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY, spaces


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM, FASHION_MNIST], ids=lambda space: space.name)
def test_decoding_undoes_encoding(space: SearchSpace) -> None:
    genome = Genome.of(space)
    for subnet in [*space.sample_balanced(np.random.default_rng(0), 300), space.largest, space.smallest]:
        genes = genome.encode(subnet)
        assert len(genes) == len(genome.options) and all(
            0 <= g < len(o) for g, o in zip(genes, genome.options, strict=True)
        )
        assert genome.decode(genes) == subnet


@given(spaces(), st.data())
@settings(max_examples=100)
def test_any_genes_are_a_subnet_and_only_silent_genes_are_lost(space: SearchSpace, data: st.DataObject) -> None:
    genome = Genome.of(space)
    genes = [data.draw(st.integers(0, len(options) - 1)) for options in genome.options]
    subnet = genome.decode(genes)
    space.validate(subnet)
    back = genome.encode(subnet)
    assert genome.decode(back) == subnet
    position = 2
    assert back[:2] == genes[:2]
    for stage, blocks in zip(space.stages, subnet.stages, strict=True):
        active = 1 + 2 * len(blocks)
        assert back[position : position + active] == genes[position : position + active]
        position += 1 + 2 * max(stage.depths)


def test_every_subnet_has_genes_of_its_own() -> None:
    genome = Genome.of(TINY)
    assert len({tuple(genome.encode(subnet)) for subnet in TINY}) == TINY.size


def test_features_tell_all_subnets_apart_and_hold_the_size() -> None:
    every = list(TINY)
    rows = np.array([features(TINY, subnet) for subnet in every])
    assert len(np.unique(rows, axis=0)) == TINY.size
    graph = shape_graph(TINY, every[77])
    assert np.array_equal(features(TINY, every[77], graph), rows[77])
    macs, parameters = rows[77, -5:-3]
    assert 10 ** (macs + 6) == pytest.approx(graph.macs) and 10 ** (parameters + 4) == pytest.approx(graph.parameters)
    assert rows[77, -3:].tolist() == pytest.approx([macs**2, parameters**2, macs * parameters])
    one_hot = rows[:, :-5]
    assert set(np.unique(one_hot)) == {0.0, 1.0}
    # resolution, width, two depths, and kernel and expand of each block
    blocks = [sum(map(len, subnet.stages)) for subnet in every]
    assert one_hot.sum(1).tolist() == [4 + 2 * count for count in blocks]
