"""Less code for somewhat more instructions: which functions a plan can do without.

Layers share functions, so what one way costs depends on the ways of all others: facility location, where ways are what
layers are served by and functions what must be opened for that. For a price of a byte in instructions a local search
moves while the sum of effort and priced bytes falls: a layer takes another way; a function is dropped by all that use
it; functions that several layers could use are opened for all of them at once. The price is found by bisection.

Ways that run slower often have fewer bytes of constants, too. As long as the code is small enough all bytes count the
same; else those of constants count less, for effort to be spent where code is saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.priced import PricedWay, function_bytes

__all__ = ["small_code"]

_LEAST_PRICE, _MOST_PRICE = 0.05, 5e6
"""Instructions that a byte may cost."""

_SHARES = (1.0, 0.6, 0.3, 0.1, 0.0)
"""Of that price, what a byte of constants may cost."""

_BISECTIONS = 14
_ROUNDS = 6
_ENOUGH = 1e-6

_Floats = NDArray[np.float64]


class _Prices(NamedTuple):
    """Instructions that a byte of code may cost, and one of constants as a share of that."""

    byte: float
    constants: float


class _Layer:
    """The ways of a layer: effort, bytes of its own, and which functions each uses, as numbers and as a matrix."""

    def __init__(self, ways: Sequence[PricedWay], uses: Sequence[frozenset[int]], figures: CoreModel) -> None:
        self.ways, self.uses = ways, uses
        self.effort = np.array([one.effort for one in ways])
        self.code = np.array([figures.layer_code_bytes[one.way.kernel] for one in ways])
        self.constants = np.array([float(one.way.constant_bytes) for one in ways])
        self.functions = np.array(sorted(frozenset().union(*uses)), np.int64)
        self.column = {int(function): column for column, function in enumerate(self.functions)}
        self.matrix = np.array([[function in each for function in self.column] for each in uses], float)
        self.matrix = self.matrix.reshape(len(ways), len(self.functions))

    def alone(self, prices: _Prices) -> _Floats:
        """What each way costs without its functions."""
        return np.asarray(self.effort + prices.byte * (self.code + prices.constants * self.constants))


class _Problem:
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

        self.layers = [_Layer(*_worth_a_look(each, [used(one) for one in each], figures), figures) for each in options]
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
        own = one.way.constant_bytes + figures.layer_code_bytes[one.way.kernel]
        if not any(bytes_ <= own and other <= used for _, other, bytes_ in kept):
            kept.append((one, used, own))
    return [one for one, _, _ in kept], [used for _, used, _ in kept]


class _Image:
    """A choice of ways with its effort, bytes of code and bytes of constants, kept up to date as layers move."""

    def __init__(self, problem: _Problem, chosen: Sequence[int], prices: _Prices) -> None:
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
    def cost(self) -> float:
        """Effort and priced bytes."""
        return self.effort + self.prices.byte * (self.code + self.prices.constants * self.constants)

    def costs(self, index: int, free: NDArray[np.int64] | None = None) -> _Floats:
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
        for index, way in enumerate(chosen):
            self.swap(index, way)


def _take_turns(image: _Image, layers: Iterable[int] | None = None) -> bool:
    """Every layer picks its cheapest way once; whether any changed."""
    changed = False
    for index in range(len(image.chosen)) if layers is None else layers:
        costs = image.costs(index)
        best = int(costs.argmin())
        if costs[best] < costs[image.chosen[index]] - _ENOUGH:
            image.swap(index, best)
            changed = True
    return changed


def _drop_functions(image: _Image) -> bool:
    """Tries to do without each function; whether that paid for any."""
    changed = False
    for function in np.flatnonzero(image.users).tolist():
        before, cost = list(image.chosen), image.cost
        for index, layer in enumerate(image.problem.layers):
            if function not in layer.uses[image.chosen[index]]:
                continue
            costs = image.costs(index)
            costs[layer.matrix[:, layer.column[function]] > 0.5] = inf
            best = int(costs.argmin())
            if costs[best] == inf:
                break
            image.swap(index, best)
        else:
            if image.cost < cost - _ENOUGH:
                changed = True
                continue
        image.back_to(before)
    return changed


def _open_functions(image: _Image) -> bool:
    """Tries functions that several layers could use, and that together are missing, for all of these at once."""
    changed = False
    for functions, layers in image.problem.bundles:
        if (image.users[functions] > 0.5).all():
            continue
        before, cost = list(image.chosen), image.cost
        for index in layers:
            image.swap(index, int(image.costs(index, functions).argmin()))
        if image.chosen != before:
            _take_turns(image, layers)
            if image.cost < cost - _ENOUGH:
                changed = True
                continue
            image.back_to(before)
    return changed


def _settle(image: _Image) -> _Image:
    """The image once no move makes it cheaper."""
    for _ in range(_ROUNDS):
        moved = _take_turns(image)
        moved |= _open_functions(image)
        moved |= _drop_functions(image)
        if not moved:
            break
    return image


def _shared(problem: _Problem, prices: _Prices) -> list[int]:
    """Ways of least cost if all layers that could use a function paid the same share of it."""
    shares = problem.sizes / np.maximum(problem.able, 1)
    return [
        int((layer.alone(prices) + prices.byte * (layer.matrix @ shares[layer.functions])).argmin())
        for layer in problem.layers
    ]


class _Search:
    """The best image seen: within the limit of effort, with code down to what is enough, then with fewest bytes."""

    def __init__(self, problem: _Problem, limit: float, enough: float) -> None:
        self._problem, self._limit, self._enough = problem, limit, enough
        self._fastest = [0] * len(problem.layers)
        self.best = _Image(problem, self._fastest, _Prices(0.0, 1.0))

    def _rank(self, image: _Image) -> tuple[float, float, float]:
        return max(image.code - self._enough, 0.0), image.code + image.constants, image.effort

    def _at(self, prices: _Prices, *starts: Sequence[int]) -> _Image:
        """The cheapest image found at the prices."""
        shared = _shared(self._problem, prices)
        found = [_settle(_Image(self._problem, start, prices)) for start in (*starts, shared)]
        for image in found:
            if image.effort <= self._limit and self._rank(image) < self._rank(self.best):
                self.best = image
        return min(found, key=lambda image: image.cost)

    def run(self, constants: float) -> None:
        """Bisects the price of a byte of code, those of constants being a share of it."""
        low, high = _LEAST_PRICE, _MOST_PRICE
        fast = self._fastest
        small = self._at(_Prices(high, constants), fast)
        if small.effort <= self._limit:
            return
        slow = small.chosen
        for _ in range(_BISECTIONS):
            image = self._at(_Prices(sqrt(low * high), constants), slow, fast)
            if image.effort <= self._limit:
                low, fast = image.prices.byte, image.chosen
            else:
                high, slow = image.prices.byte, image.chosen


def small_code(
    options: Sequence[Sequence[PricedWay]], figures: CoreModel, limit: float, enough: float = inf
) -> list[PricedWay]:
    """A way for every layer: the smallest image found whose effort is at most `limit`, if the fastest one's is.

    `options` are the ways of each layer, the fastest first. Constants are bought with code only while that takes no
    more than `enough` bytes.
    """
    problem = _Problem(options, figures)
    search = _Search(problem, limit, enough)
    for share in _SHARES:
        search.run(share)
        if search.best.code <= enough:
            break
    return [layer.ways[way] for layer, way in zip(problem.layers, search.best.chosen, strict=True)]
