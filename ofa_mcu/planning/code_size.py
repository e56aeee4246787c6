"""Less code for somewhat more instructions: which functions a plan can do without.

Layers share functions, so what one way costs depends on the ways of all others: facility location, where ways are what
layers are served by and functions what must be opened for that. For a price of a byte in instructions a local search
moves while the sum of effort and priced bytes falls: a layer takes another way; a function is dropped by all that use
it; functions that several layers could use are opened for all of them at once. The price is found by bisection.

Ways that run slower often have fewer bytes of constants, too. As long as the code is small enough all bytes count the
same; else those of constants count less, for effort to be spent where code is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, sqrt

import numpy as np

from ofa_mcu.planning.code_image import Image, Prices, Problem
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.priced import PricedWay

__all__ = ["small_code"]

_LEAST_PRICE, _MOST_PRICE = 0.05, 5e6
"""Instructions that a byte may cost."""

_SHARES = (1.0, 0.6, 0.3, 0.1, 0.0)
"""Of that price, what a byte of constants may cost."""

_BISECTIONS = 10
_ROUNDS = 6
_LEAST_GAIN = 1e-6


def _take_turns(image: Image, layers: Iterable[int] | None = None) -> bool:
    """Every layer picks its cheapest way once; whether any changed."""
    changed = False
    for index in range(len(image.chosen)) if layers is None else layers:
        costs = image.costs(index)
        best = int(costs.argmin())
        if costs[best] < costs[image.chosen[index]] - _LEAST_GAIN:
            image.swap(index, best)
            changed = True
    return changed


def _drop_functions(image: Image) -> bool:
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
            if image.cost < cost - _LEAST_GAIN:
                changed = True
                continue
        image.back_to(before)
    return changed


def _open_functions(image: Image) -> bool:
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
            if image.cost < cost - _LEAST_GAIN:
                changed = True
                continue
            image.back_to(before)
    return changed


def _settle(image: Image) -> Image:
    """The image once no move makes it cheaper."""
    for _ in range(_ROUNDS):
        moved = _take_turns(image)
        moved |= _open_functions(image)
        moved |= _drop_functions(image)
        if not moved:
            break
    return image


def _shared(problem: Problem, prices: Prices) -> list[int]:
    """Ways of least cost if all layers that could use a function paid the same share of it."""
    shares = problem.sizes / np.maximum(problem.able, 1)
    return [
        int((layer.alone(prices) + prices.byte * (layer.matrix @ shares[layer.functions])).argmin())
        for layer in problem.layers
    ]


class _Search:
    """The best image seen: within the limit of effort, with code down to what is enough, then with fewest bytes.

    None has more bytes in all than the fastest one.
    """

    def __init__(self, problem: Problem, limit: float, enough: float) -> None:
        self._problem, self._limit, self._enough = problem, limit, enough
        self._fastest = [0] * len(problem.layers)
        self.best = Image(problem, self._fastest, Prices(0.0, 1.0))
        self._most = self.best.flash + _LEAST_GAIN

    def _rank(self, image: Image) -> tuple[float, float, float]:
        return max(image.code - self._enough, 0.0), image.flash, image.effort

    def _at(self, prices: Prices, *starts: Sequence[int]) -> Image:
        """The cheapest image found at the prices."""
        shared = _shared(self._problem, prices)
        found = [_settle(Image(self._problem, start, prices)) for start in (*starts, shared)]
        for image in found:
            allowed = image.effort <= self._limit and image.flash <= self._most
            if allowed and self._rank(image) < self._rank(self.best):
                self.best = image
        return min(found, key=lambda image: image.cost)

    def run(self, constants: float) -> None:
        """Bisects the price of a byte of code, those of constants being a share of it."""
        low, high = _LEAST_PRICE, _MOST_PRICE
        fast = self._fastest
        small = self._at(Prices(high, constants), fast)
        if small.effort <= self._limit:
            return
        slow = small.chosen
        for _ in range(_BISECTIONS):
            image = self._at(Prices(sqrt(low * high), constants), slow, fast)
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
    problem = Problem(options, figures)
    search = _Search(problem, limit, enough)
    for share in _SHARES:
        search.run(share)
        if search.best.code <= enough:
            break
    return [layer.ways[way] for layer, way in zip(problem.layers, search.best.chosen, strict=True)]
