"""Bytes and effort of a choice of ways, where layers share functions: kept up to date as layers change their ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.priced import PricedWay, function_bytes, own_code_bytes

__all__ = ["Image", "Layer", "Prices", "Problem"]

Floats = NDArray[np.float64]


class Prices(NamedTuple):
    """Instructions that a byte of code may cost, and one of constants as a share of that."""

    byte: float
    constants: float


class Layer:
    """The ways of a layer: effort, bytes of its own, and which functions each uses, as numbers and as a matrix."""

    def __init__(self, ways: Sequence[PricedWay], uses: Sequence[frozenset[int]], figures: CoreModel) -> None:
        self.ways, self.uses = ways, uses
        self.effort = np.array([one.effort for one in ways])
        self.code = np.array([own_code_bytes(one, figures) for one in ways])
        self.constants = np.array([float(one.way.constant_bytes) for one in ways])
        self.functions = np.array(sorted(frozenset().union(*uses)), np.int64)
        self.column = {int(function): column for column, function in enumerate(self.functions)}
        self.matrix = np.array([[function in each for function in self.column] for each in uses], float)
        self.matrix = self.matrix.reshape(len(ways), len(self.functions))

    def alone(self, prices: Prices) -> Floats:
        """What each way costs without its functions."""
        return np.asarray(self.effort + prices.byte * (self.code + prices.constants * self.constants))


class Problem:
    """All layers, and the bytes of every function and of every group of library functions that they can use."""

    def __init__(self, options: Iterable[Sequence[PricedWay]], figures: CoreModel) -> None:
        numbers: dict[object, int] = {}
        sizes: list[float] = []
        groups: dict[str, list[int]] = {}

        def number(name: object, size: float) -> int:
            if name not in numbers:
                numbers[name] = len(sizes)
                sizes.append(size)
            return numbers[name]

        def used(one: PricedWay) -> frozenset[int]:
            found = []
            for code in one.way.code:
                if code.key:
                    found.append(number((code.kind, code.key), function_bytes(code, figures)))
                    continue
                if code.kind not in groups:
                    groups[code.kind] = [
                        number(index, size) for index, (names, size) in enumerate(figures.library) if code.kind in names
                    ]
                found += groups[code.kind]
            return frozenset(found)

        self.layers = [Layer(*_worth_a_look(each, [used(one) for one in each], figures), figures) for each in options]
        self.sizes = np.array(sizes)
        able = Counter(int(function) for layer in self.layers for function in layer.functions)
        self.able = np.array([able[function] for function in range(len(sizes))])
        bundles: dict[frozenset[int], list[int]] = {}
        for index, layer in enumerate(self.layers):
            for each in dict.fromkeys(layer.uses):
                bundles.setdefault(each, []).append(index)
        self.bundles = [(np.array(sorted(each)), found) for each, found in bundles.items() if each and len(found) > 1]


def _worth_a_look(
    ways: Sequence[PricedWay], uses: Sequence[frozenset[int]], figures: CoreModel
) -> tuple[list[PricedWay], list[frozenset[int]]]:
    """The ways, fastest first, but those that a faster one beats with nothing but functions of theirs."""
    kept: list[tuple[PricedWay, frozenset[int], float]] = []
    for one, used in zip(ways, uses, strict=True):
        own = one.way.constant_bytes + own_code_bytes(one, figures)
        if not any(bytes_ <= own and other <= used for _, other, bytes_ in kept):
            kept.append((one, used, own))
    return [one for one, _, _ in kept], [used for _, used, _ in kept]


class Image:
    """A choice of ways with its effort, bytes of code and bytes of constants, kept up to date as layers move."""

    def __init__(self, problem: Problem, chosen: Sequence[int], prices: Prices) -> None:
        self.problem, self.prices = problem, prices
        self.chosen = list(chosen)
        self.users = np.zeros(len(problem.sizes))
        pairs = list(zip(problem.layers, chosen, strict=True))
        for layer, way in pairs:
            self.users[layer.functions] += layer.matrix[way]
        self.effort = sum(float(layer.effort[way]) for layer, way in pairs)
        self.code = float(problem.sizes[self.users > 0.5].sum()) + sum(float(layer.code[way]) for layer, way in pairs)
        self.constants = sum(float(layer.constants[way]) for layer, way in pairs)
        self.alone = [layer.alone(prices) for layer in problem.layers]

    @property
    def flash(self) -> float:
        """Bytes of code and constants."""
        return self.code + self.constants

    @property
    def cost(self) -> float:
        """Effort and priced bytes."""
        return self.effort + self.prices.byte * (self.code + self.prices.constants * self.constants)

    def costs(self, index: int, free: NDArray[np.int64] | None = None) -> Floats:
        """What each way of a layer adds, the layer's present one taken away; functions in `free` cost nothing."""
        layer = self.problem.layers[index]
        others = self.users[layer.functions] - layer.matrix[self.chosen[index]]
        sizes = np.where(others < 0.5, self.problem.sizes[layer.functions], 0.0)
        if free is not None:
            sizes[[layer.column[f] for f in free.tolist() if f in layer.column]] = 0.0
        return np.asarray(self.alone[index] + self.prices.byte * (layer.matrix @ sizes))

    def swap(self, index: int, way: int) -> None:
        """Gives a layer another way."""
        layer, before = self.problem.layers[index], self.chosen[index]
        if way == before:
            return
        self.effort += float(layer.effort[way] - layer.effort[before])
        self.code += float(layer.code[way] - layer.code[before])
        self.constants += float(layer.constants[way] - layer.constants[before])
        for function in layer.uses[before] - layer.uses[way]:
            self.users[function] -= 1
            if self.users[function] < 0.5:
                self.code -= float(self.problem.sizes[function])
        for function in layer.uses[way] - layer.uses[before]:
            self.users[function] += 1
            if self.users[function] < 1.5:
                self.code += float(self.problem.sizes[function])
        self.chosen[index] = way

    def back_to(self, chosen: Sequence[int]) -> None:
        """Undoes moves."""
        for index, (way, now) in enumerate(zip(chosen, self.chosen, strict=True)):
            if way != now:
                self.swap(index, way)
