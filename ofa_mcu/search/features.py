"""Numbers that describe a subnet: the genome of the search, and the predictor's features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.shapes import ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import BlockChoice, Subnet

__all__ = ["BlockGenes", "Genome", "features", "size_features"]


@dataclass(frozen=True, eq=False)
class BlockGenes:
    """Where a block's choices stand: `depth_gene` chooses of its stage's `depths`, `gene` its kernel, the next its
    expand ratio."""

    stage: int
    block: int
    depths: NDArray[np.int64]
    depth_gene: int
    gene: int

    def present(self, genes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which subnets of genes (subnets, genes) have the block."""
        return np.asarray(self.block < self.depths[genes[:, self.depth_gene]])


@dataclass(frozen=True)
class Genome:
    """Every choice of a space as one integer gene; genes of blocks beyond the depth have no effect."""

    space: SearchSpace
    options: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, space: SearchSpace) -> Genome:
        """The genome of a space: resolution, width, then per stage depth and (kernel, expand) of every block."""
        options: list[tuple[Any, ...]] = [space.resolutions, space.widths]
        for stage in space.stages:
            options.append(stage.depths)
            for _ in range(max(stage.depths)):
                options += [stage.kernels, stage.expands]
        return cls(space, tuple(options))

    def decode(self, genes: Sequence[int]) -> Subnet:
        """The subnet of integer genes."""
        values = [options[int(gene)] for options, gene in zip(self.options, genes, strict=True)]
        position, stages = 2, []
        for stage in self.space.stages:
            depth = values[position]
            pairs = values[position + 1 : position + 1 + 2 * max(stage.depths)]
            stages.append(tuple(BlockChoice(pairs[2 * b], pairs[2 * b + 1]) for b in range(depth)))
            position += 1 + 2 * max(stage.depths)
        return Subnet(values[0], values[1], tuple(stages))

    def encode(self, subnet: Subnet) -> list[int]:
        """Genes of a subnet; genes without effect are 0."""
        genes = [self.space.resolutions.index(subnet.resolution), self.space.widths.index(subnet.width)]
        for stage, blocks in zip(self.space.stages, subnet.stages, strict=True):
            genes.append(stage.depths.index(len(blocks)))
            for b in range(max(stage.depths)):
                if b < len(blocks):
                    genes += [stage.kernels.index(blocks[b].kernel), stage.expands.index(blocks[b].expand)]
                else:
                    genes += [0, 0]
        return genes

    def encode_all(self, subnets: Iterable[Subnet]) -> NDArray[np.int64]:
        """Genes of subnets (subnets, genes)."""
        return np.array([self.encode(subnet) for subnet in subnets], np.int64).reshape(-1, len(self.options))

    def effective(self, genes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which genes (subnets, genes) have an effect: not those of blocks beyond the depth."""
        result = np.ones(genes.shape, bool)
        for block in self.blocks:
            result[:, block.gene : block.gene + 2] = block.present(genes)[:, None]
        return result

    @cached_property
    def blocks(self) -> tuple[BlockGenes, ...]:
        """Every block that there may be, in order."""
        found, position = [], 2
        for number, stage in enumerate(self.space.stages):
            depths = np.array(stage.depths)
            found += [
                BlockGenes(number, block, depths, position, position + 1 + 2 * block)
                for block in range(max(stage.depths))
            ]
            position += 1 + 2 * max(stage.depths)
        return tuple(found)

    def one_hot_columns(self) -> NDArray[np.int64]:
        """For each gene the column of its first option among `features`."""
        return np.concatenate([[0], np.cumsum([len(options) for options in self.options])])[:-1].astype(np.int64)


def size_features(macs: Any, parameters: Any) -> list[Any]:
    """What `features` have behind the choices, of numbers or of arrays of them."""
    m, p = np.log10(macs) - 6, np.log10(parameters) - 4
    return [m, p, m * m, p * p, m * p]


def features(space: SearchSpace, subnet: Subnet, graph: ShapeGraph | None = None) -> NDArray[np.float64]:
    """One-hot of every choice (nothing for absent blocks), log MACs, log parameters and their squares."""
    one_hot: list[float] = []

    def add(options: Sequence[Any], value: Any) -> None:
        one_hot.extend(float(option == value) for option in options)

    add(space.resolutions, subnet.resolution)
    add(space.widths, subnet.width)
    for stage, blocks in zip(space.stages, subnet.stages, strict=True):
        add(stage.depths, len(blocks))
        for b in range(max(stage.depths)):
            block = blocks[b] if b < len(blocks) else BlockChoice(0, 0)
            add(stage.kernels, block.kernel)
            add(stage.expands, block.expand)
    graph = graph or shape_graph(space, subnet)
    return np.array([*one_hot, *size_features(graph.macs, graph.parameters)])
