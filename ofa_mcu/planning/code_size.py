"""Less code for somewhat more instructions: which functions a plan can do without.

Layers share functions, so what one way costs depends on the ways of all others. For a price of a byte in instructions,
layers take turns at picking the way that is cheapest given the others, and functions are dropped together with all that
use them, as long as the sum of effort and priced bytes falls. Several prices are tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.kernels.base import Code
from ofa_mcu.planning.priced import PricedWay, function_bytes

__all__ = ["small_code"]

_PRICES = tuple(0.5 * 6.0**step for step in range(9))
"""Instructions that a byte may cost, from a half to some hundred thousand."""

_ROUNDS = 4

_Function = tuple[str, object]


class _Image:
    """Bytes of code and constants of a choice of ways, kept up to date as ways come and go."""

    def __init__(self, chosen: Sequence[PricedWay], figures: CoreModel) -> None:
        self._figures = figures
        self._users: Counter[_Function] = Counter()
        self._group_users: Counter[int] = Counter()
        self._groups: Callable[[str], tuple[int, ...]] = cache(
            lambda name: tuple(i for i, (functions, _) in enumerate(figures.library) if name in functions)
        )
        self.chosen = list(chosen)
        self.bytes = sum(self._added(one) for one in chosen)

    def swap(self, index: int, way: PricedWay) -> float:
        """Gives a layer another way; by how many bytes the image grows."""
        grown = self._removed(self.chosen[index]) + self._added(way)
        self.chosen[index] = way
        self.bytes += grown
        return grown

    def users(self, function: _Function) -> list[int]:
        """Layers that use the function."""
        return [i for i, one in enumerate(self.chosen) if any((c.kind, c.key) == function for c in one.way.code)]

    @property
    def functions(self) -> list[_Function]:
        """Every function in use, in a fixed order."""
        return list(dict.fromkeys((code.kind, code.key) for one in self.chosen for code in one.way.code))

    def _own(self, one: PricedWay) -> float:
        return one.way.constant_bytes + self._figures.layer_code_bytes[one.way.kernel]

    def _added(self, one: PricedWay) -> float:
        grown = self._own(one)
        for code in one.way.code:
            self._users[code.kind, code.key] += 1
            if self._users[code.kind, code.key] == 1:
                grown += self._first(code)
        return grown

    def _first(self, code: Code) -> float:
        if code.key:
            return function_bytes(code, self._figures)
        grown = 0.0
        for group in self._groups(code.kind):
            self._group_users[group] += 1
            if self._group_users[group] == 1:
                grown += self._figures.library[group][1]
        return grown

    def _removed(self, one: PricedWay) -> float:
        shrunk = self._own(one)
        for code in one.way.code:
            self._users[code.kind, code.key] -= 1
            if self._users[code.kind, code.key] == 0:
                shrunk += self._last(code)
        return -shrunk

    def _last(self, code: Code) -> float:
        if code.key:
            return function_bytes(code, self._figures)
        shrunk = 0.0
        for group in self._groups(code.kind):
            self._group_users[group] -= 1
            if self._group_users[group] == 0:
                shrunk += self._figures.library[group][1]
        return shrunk


def _effort(chosen: Sequence[PricedWay]) -> float:
    return sum([one.effort for one in chosen])


def _take_turns(image: _Image, options: Sequence[Sequence[PricedWay]], price: float) -> bool:
    """Every layer picks its cheapest way once; whether any changed."""
    changed = False
    for index, each in enumerate(options):
        before = image.chosen[index]
        costs = []
        for one in each:
            grown = image.swap(index, one)
            costs.append(one.effort + price * grown)
            image.swap(index, before)
        best = each[min(range(len(each)), key=costs.__getitem__)]
        if best is not before and best.effort + price * image.swap(index, best) < before.effort - 1e-6:
            changed = True
        elif best is not before:
            image.swap(index, before)
    return changed


def _drop_functions(image: _Image, options: Sequence[Sequence[PricedWay]], price: float) -> bool:
    """Tries to do without each function; whether that paid for any."""
    changed = False
    for function in image.functions:
        before = list(image.chosen)
        total = _effort(before) + price * image.bytes
        for index in image.users(function):
            others = [one for one in options[index] if all((c.kind, c.key) != function for c in one.way.code)]
            if not others:
                break
            costs = []
            for one in others:
                now = image.chosen[index]
                costs.append(one.effort + price * image.swap(index, one))
                image.swap(index, now)
            image.swap(index, others[min(range(len(others)), key=costs.__getitem__)])
        else:
            if _effort(image.chosen) + price * image.bytes < total - 1e-6:
                changed = True
                continue
        for index, one in enumerate(before):
            if image.chosen[index] is not one:
                image.swap(index, one)
    return changed


def _worth_a_look(ways: Sequence[PricedWay]) -> list[PricedWay]:
    """The ways but those that another one beats with nothing but functions of theirs."""
    kept: list[tuple[PricedWay, set[_Function]]] = []
    for one in ways:
        functions: set[_Function] = {(code.kind, code.key) for code in one.way.code}
        if not any(other.way.constant_bytes <= one.way.constant_bytes and used <= functions for other, used in kept):
            kept.append((one, functions))
    return [one for one, _ in kept]


def small_code(options: Sequence[Sequence[PricedWay]], figures: CoreModel, slowdown: float | None) -> list[PricedWay]:
    """A way for every layer: the smallest image found that is at most `slowdown` (a share; None: any) slower.

    `options` are the ways of each layer, the fastest first.
    """
    options = [_worth_a_look(each) for each in options]
    fastest = [each[0] for each in options]
    limit = float("inf") if slowdown is None else _effort(fastest) * (1 + slowdown)
    plainest = [min(each, key=lambda one: sum(bool(code.key) for code in one.way.code)) for each in options]
    best, best_bytes = fastest, _Image(fastest, figures).bytes
    for start in (fastest,) if slowdown is not None else (fastest, plainest):
        chosen = list(start)
        for price in _PRICES if start is fastest else reversed(_PRICES):
            image = _Image(chosen, figures)
            for _ in range(_ROUNDS):
                if not (_take_turns(image, options, price) | _drop_functions(image, options, price)):
                    break
            chosen = image.chosen
            if _effort(chosen) <= limit and image.bytes < best_bytes:
                best, best_bytes = list(chosen), image.bytes
    return best
