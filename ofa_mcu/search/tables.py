"""Costs of many subnets at once: what the planner says of each layer, looked up and added.

The shapes of a block follow from resolution and width (a frame) and the block's own choices, so all costs of a subnet
are sums, maxima and unions over its blocks, and there are few blocks: some dozens a frame. The arena's size is taken to
be its lower bound, which the planner nearly always reaches; instructions, flash and the ways that the planner chooses
for a given arena follow exactly. Whatever is recommended has been planned, too.

Subnets that would not fit a limit of SRAM are looked up in a second set of tables, in which chains of layers run as
cascades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.planning.cascades import Segment, cheapest, least_room, segments_of, with_chains
from ofa_mcu.planning.core_model import CoreModel, core_model, core_of
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES, section_bytes
from ofa_mcu.planning.facts import SHAPES_ONLY
from ofa_mcu.planning.latency import LatencyModel
from ofa_mcu.planning.memory import lifetimes
from ofa_mcu.planning.places import arena_room
from ofa_mcu.planning.plan import GOALS, goal_of
from ofa_mcu.planning.priced import code_items, own_code_bytes, runs_of
from ofa_mcu.planning.runtime import Runtime, shape_cost
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.features import Genome
from ofa_mcu.space.lowering import block_prefix, shape_graph
from ofa_mcu.space.shapes import Operator, ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import BlockChoice, Subnet

__all__ = ["CostTables", "Costs", "PlannedCosts"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_WORD = 64
_AT_ONCE = 8192  # subnets, so that what is added stays in the cache


@dataclass(frozen=True)
class Costs:
    """Costs of subnets, an array each (subnets,): bytes, instructions and multiply-accumulates of one inference.

    `ticks`: what an inference takes by a latency model, in its unit; zeros without one.
    """

    sram_bytes: Ints
    flash_bytes: Ints
    instructions: Ints
    macs: Ints
    parameters: Ints
    ticks: Floats

    @classmethod
    def joined(cls, parts: Sequence[Costs]) -> Costs:
        """The subnets of all parts, one part behind the other."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def replaced(self, numbers: Ints, others: Costs) -> Costs:
        """The same with others in the places of some."""
        columns = []
        for one in fields(self):
            column = getattr(self, one.name).copy()
            column[numbers] = getattr(others, one.name)
            columns.append(column)
        return Costs(*columns)


@dataclass(frozen=True)
class _Option:
    """A block with its choices made, or what is around the blocks: segments by the layer that they begin with."""

    segments: tuple[list[Segment], ...]
    least: int
    macs: int
    parameters: int


@dataclass
class _Frame:
    """All options at one resolution and width; ids of the code that they may bring along, and its bytes."""

    options: list[_Option]
    items: dict[object, int] = field(default_factory=dict)
    sizes: list[float] = field(default_factory=list)


class _Rows:
    """A growing table of numbers, a row for each key and option of a frame."""

    def __init__(self, columns: int, dtype: Any) -> None:
        self._data = np.zeros((1, columns), dtype)  # row 0: of what is not there
        self._count = 1
        self.first: dict[object, int] = {}

    def add(self, key: object, rows: NDArray[Any]) -> None:
        while self._count + len(rows) > len(self._data) or rows.shape[1] > self._data.shape[1]:
            height, width = len(self._data), self._data.shape[1]
            larger = np.zeros((max(2 * height, 1024), max(width, rows.shape[1])), self._data.dtype)
            larger[:height, :width] = self._data
            self._data = larger
        self._data[self._count : self._count + len(rows), : rows.shape[1]] = rows
        self.first[key] = self._count
        self._count += len(rows)

    @property
    def data(self) -> NDArray[Any]:
        return self._data[: self._count]


class PlannedCosts:
    """As `CostTables` for a runtime that has no tables: subnets are planned one by one, some thousand a second."""

    def __init__(self, space: SearchSpace, profile: BoardProfile, runtime: Runtime) -> None:
        self._space, self._profile, self._runtime = space, profile, runtime
        self._genome = Genome.of(space)

    def __call__(self, genes: Ints, max_sram: float | None = None) -> Costs:
        """Costs of the subnets of genes (subnets, genes); what memory there is does not change them."""
        structures = [shape_graph(self._space, self._genome.decode(row)) for row in np.asarray(genes).tolist()]
        costs = [shape_cost(structure, self._profile, self._runtime) for structure in structures]

        def column(name: str) -> Ints:
            return np.array([getattr(cost, name) for cost in costs], np.int64)

        return Costs(
            column("sram_bytes"),
            column("flash_bytes"),
            column("instructions"),
            column("macs"),
            np.array([structure.parameters for structure in structures], np.int64),
            np.zeros(len(costs)),
        )


class CostTables:
    """Costs of the subnets of a space on a board, for genes as `Genome` has them."""

    def __init__(
        self,
        space: SearchSpace,
        profile: BoardProfile,
        stack_bytes: int = DEFAULT_STACK_BYTES,
        latency: LatencyModel | None = None,
    ) -> None:
        self.space = space
        self._profile, self._stack_bytes = profile, stack_bytes
        self._whole = _Tables(space, profile, stack_bytes, latency, cascades=False)
        self._cascaded = _Tables(space, profile, stack_bytes, latency, cascades=True)

    def __call__(self, genes: Ints, max_sram: float | None = None) -> Costs:
        """Costs of the subnets of genes (subnets, genes); of those that need more than `max_sram` bytes as they are,
        with as many cascades as that takes."""
        genes = np.asarray(genes, np.int64)
        whole = self._whole(genes)
        return whole if max_sram is None else self.fitted(genes, whole, max_sram)

    def fitted(self, genes: Ints, whole: Costs, max_sram: float) -> Costs:
        """What the subnets cost within that limit, from what they cost without one."""
        over = np.flatnonzero(whole.sram_bytes > max_sram)
        if not len(over):
            return whole
        room = arena_room(self._profile, self._stack_bytes, max_sram)
        return whole.replaced(over, self._cascaded(genes[over], room))


class _Tables:
    """Costs of subnets whose layers run whole, or (with `cascades`) some of them in cascades."""

    def __init__(
        self,
        space: SearchSpace,
        profile: BoardProfile,
        stack_bytes: int,
        latency: LatencyModel | None,
        *,
        cascades: bool,
    ) -> None:
        self.space = space
        self._cascades = cascades
        self._latency = latency
        self._figures: CoreModel = core_model(core_of(profile))
        self._stack_bytes = stack_bytes
        self._blocks = Genome.of(space).blocks
        self._choices = [[BlockChoice(k, e) for k, e in product(s.kernels, s.expands)] for s in space.stages]
        counts = [len(self._choices[block.stage]) for block in self._blocks]
        # Options 0 and 1 are what is before and behind the blocks.
        self._first_option = 2 + np.concatenate([[0], np.cumsum(counts)])[:-1]
        self._options = 2 + sum(counts)
        self._frames: dict[int, _Frame] = {}
        # By frame: least need, macs, parameters. By frame and least need: effort and highest need at every goal. By
        # frame and goal: instructions, bytes of constants and layers, need, ticks; and the code brought along.
        self._sizes = _Rows(3, np.int64)
        self._goals = _Rows(2 * (GOALS + 1), np.float64)
        self._ways = _Rows(4, np.float64)
        self._masks = _Rows(1, np.uint64)
        self._item_bytes: dict[int, Floats] = {}

    def __call__(self, genes: Ints, room: int = 0) -> Costs:
        """Costs of the subnets of genes (subnets, genes), with cascades in an arena of `room` bytes."""
        starts = range(0, max(len(genes), 1), _AT_ONCE)
        return Costs.joined([self._part(genes[i : i + _AT_ONCE], room) for i in starts])

    def _part(self, genes: Ints, room: int) -> Costs:
        frames = genes[:, 0] * len(self.space.widths) + genes[:, 1]
        options = self._option_numbers(genes)
        for frame in np.unique(frames).tolist():
            self._frame(frame)
        rows = self._rows(self._sizes, frames, options)
        sizes = self._sizes.data
        least = _reduced(np.maximum, sizes[:, 0], rows)
        macs, parameters = (_reduced(np.add, sizes[:, column], rows) for column in (1, 2))

        goal = np.maximum(least, room) if self._cascades else self._best_goal(frames, least, options)

        keys, group = _groups(frames, goal)
        for key in keys:
            self._way_rows(*key)
        rows = self._rows(self._ways, group, options, keys)
        table = self._ways.data
        instructions, constant = (_reduced(np.add, table[:, column], rows) for column in (0, 1))
        model, ticks = self._latency, np.zeros(len(genes))
        if model is not None:
            ticks = model.constant + _reduced(np.add, table[:, 3], rows)
        arena = _reduced(np.maximum, table[:, 2], rows).astype(np.int64)
        code = self._code_bytes(frames, _reduced(np.bitwise_or, self._masks.data, rows))
        figures = self._figures
        return Costs(
            section_bytes(arena) + figures.static_bytes + self._stack_bytes,
            figures.base_flash_bytes + np.round(code + constant).astype(np.int64),
            np.round(figures.inference_instructions + instructions).astype(np.int64),
            macs,
            parameters,
            ticks,
        )

    def _best_goal(self, frames: Ints, least: Ints, options: Ints) -> Ints:
        """What `best_room` finds for every subnet (subnets,)."""
        keys, group = _groups(frames, least)
        for key in keys:
            self._goal_rows(*key)
        rows = self._rows(self._goals, group, options, keys)
        table = self._goals.data
        effort = _reduced(np.add, table[:, : GOALS + 1], rows)
        highest = _reduced(np.maximum, table[:, GOALS + 1 :], rows)
        best = (effort * highest).argmin(1)
        goal: Ints = np.maximum(highest[np.arange(len(options)), best].astype(np.int64), least)
        return goal

    def _option_numbers(self, genes: Ints) -> Ints:
        """Options of every subnet (subnets, 2 + blocks); -1 where a block is absent."""
        columns = [np.zeros(len(genes), np.int64), np.ones(len(genes), np.int64)]
        for block, first in zip(self._blocks, self._first_option, strict=True):
            kernel, expand = genes[:, block.gene], genes[:, block.gene + 1]
            option = first + kernel * len(self.space.stages[block.stage].expands) + expand
            columns.append(np.where(block.present(genes), option, -1))
        return np.stack(columns, 1)

    def _rows(self, table: _Rows, group: Ints, options: Ints, keys: Sequence[object] | None = None) -> Ints:
        """Row numbers (subnets, 2 + blocks) in a table; 0, the empty row, for absent blocks."""
        known = range(int(group.max()) + 1) if keys is None else keys
        first = np.array([table.first.get(key, 0) for key in known])
        return np.where(options < 0, 0, first[group][:, None] + options)

    def _frame(self, number: int) -> _Frame:
        known = self._frames.get(number)
        if known is None:
            resolution, width = divmod(number, len(self.space.widths))
            known = self._frames[number] = self._built(self.space.resolutions[resolution], self.space.widths[width])
            rows = [(option.least, option.macs, option.parameters) for option in known.options]
            self._sizes.add(number, np.array(rows, np.int64))
        return known

    def _built(self, resolution: int, width: float) -> _Frame:
        """Every option of a frame, from the shape graphs of a few subnets that have them all."""
        found: list[_Option | None] = [None] * self._options
        for turn in range(max(map(len, self._choices))):
            stages = tuple(
                (choices[turn % len(choices)],) * max(stage.depths)
                for choices, stage in zip(self._choices, self.space.stages, strict=True)
            )
            graph = shape_graph(self.space, Subnet(resolution, width, stages))
            blocks = [block_prefix(block.stage, block.block) + "." for block in self._blocks]
            pieces: list[list[Operator]] = [[] for _ in blocks]
            before: list[Operator] = []
            behind: list[Operator] = []
            for operator in graph.operators:
                slot = next((i for i, name in enumerate(blocks) if operator.name.startswith(name)), None)
                where = pieces[slot] if slot is not None else behind if any(pieces) else before
                where.append(operator)
            if self._cascades:  # the stem and the first block, which no subnet lacks, can be a chain
                before, pieces[0] = [], before + pieces[0]
            if turn == 0:
                found[0], found[1] = self._option(graph, before), self._option(graph, behind)
            for piece, block, first in zip(pieces, self._blocks, self._first_option.tolist(), strict=True):
                choice = turn % len(self._choices[block.stage])
                found[first + choice] = self._option(graph, piece)
        return _Frame([option for option in found if option is not None])

    def _option(self, graph: ShapeGraph, operators: Sequence[Operator]) -> _Option:
        if not operators:
            return _Option((), 0, 0, 0)
        piece = ShapeGraph(graph.name, graph.shapes, tuple(operators), operators[0].inputs[:1], (operators[-1].output,))
        times = lifetimes(piece)
        segments = segments_of(piece, times, self._figures, SHAPES_ONLY)
        if self._cascades:
            segments = with_chains(segments, piece, times, self._figures, SHAPES_ONLY)
        return _Option(tuple(segments), least_room(segments), piece.macs, piece.parameters)

    def _goal_rows(self, frame: int, least: int) -> None:
        if (frame, least) in self._goals.first:
            return
        goals = [goal_of(least, step) for step in range(GOALS + 1)]
        rows = np.zeros((self._options, 2 * len(goals)))
        for row, option in zip(rows, self._frames[frame].options, strict=True):
            for column, goal in enumerate(goals):
                for segment, way in cheapest(option.segments, goal):
                    row[column] += segment.ways[way].effort
                    row[GOALS + 1 + column] = max(row[GOALS + 1 + column], segment.needs[way])
        self._goals.add((frame, least), rows)

    def _way_rows(self, number: int, goal: int) -> None:
        if (number, goal) in self._ways.first:
            return
        frame = self._frames[number]
        rows = np.zeros((self._options, 4))
        brought: list[set[int]] = []
        for row, option in zip(rows, frame.options, strict=True):
            ids: set[int] = set()
            for segment, way in cheapest(option.segments, goal):
                one = segment.ways[way]
                row[0] += one.instructions
                row[1] += one.way.constant_bytes + own_code_bytes(one, self._figures)
                row[2] = max(row[2], segment.needs[way])
                if self._latency is not None:
                    row[3] += sum(self._latency.layer(*run) for run in runs_of(one))
                for item, size in code_items(one.way.code, self._figures).items():
                    if item not in frame.items:
                        frame.items[item] = len(frame.sizes)
                        frame.sizes.append(size)
                    ids.add(frame.items[item])
            brought.append(ids)
        words = -(-len(frame.sizes) // _WORD)
        masks = np.zeros((self._options, words), np.uint64)
        for mask, ids in zip(masks, brought, strict=True):
            for item in ids:
                mask[item // _WORD] |= np.uint64(1 << item % _WORD)
        self._ways.add((number, goal), rows)
        self._masks.add((number, goal), masks)
        self._item_bytes[number] = np.array(frame.sizes)

    def _code_bytes(self, frames: Ints, masks: NDArray[np.uint64]) -> Floats:
        """Bytes of the code that the masks (subnets, words) name, each once."""
        bits = np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little")
        most = bits.shape[1]
        sizes = np.zeros((int(frames.max()) + 1, most))
        for number in np.unique(frames).tolist():
            sizes[number, : len(self._item_bytes[number])] = self._item_bytes[number]
        return np.asarray(np.einsum("ij,ij->i", bits, sizes[frames]), np.float64)


def _reduced(operation: np.ufunc, table: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """The rows of each subnet put together by the operation."""
    result = table[rows[:, 0]]
    for column in range(1, rows.shape[1]):
        operation(result, table[rows[:, column]], out=result)
    return result


def _groups(frames: Ints, sizes: Ints) -> tuple[list[tuple[int, int]], Ints]:
    """The pairs of frame and size there are, and the pair's number of every subnet."""
    pairs, group = np.unique(np.stack([frames, sizes], 1), axis=0, return_inverse=True)
    return [(int(frame), int(size)) for frame, size in pairs], group.reshape(-1)
