"""What a board takes for a network, by a table that was fitted to measurements of that very board.

    time = constant + sum over layers of (factor of the kernel * instructions + per_byte * bytes of weights)

Instructions are the planner's, so that a table follows every choice the planner makes; the factors are what core, flash
and caches make of them. All are non-negative. A kernel that was not probed has the factor of its group, and a group
that was not probed the factor of all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.files import write_json

if TYPE_CHECKING:
    from ofa_mcu.planning.cost import LayerCost

__all__ = ["SCHEMA", "Errors", "LatencyModel", "LatencyTable", "Unit", "kernel_group", "read_latency", "write_latency"]

SCHEMA = 1
"""Of the file."""

KIND = "latency table"

_GROUPS = {
    "pointwise": ("pointwise",),
    "conv": ("conv",),
    "depthwise": ("depthwise",),
    "dense": ("dense", "fully"),
    "elementwise": ("add", "mul", "sub", "table", "quantize", "dequantize", "softmax"),
    "pool": ("mean", "average", "max"),
    "move": ("move", "pad", "resize", "cascade"),
}
"""Groups of kernels, each with how the names of its kernels begin behind `ofa_`, `dsp_` and `mve_`."""


class Unit(Enum):
    """What a table adds up to: cycles of the core, or microseconds where no cycle counter moves; from an emulator only
    instructions, which are no time."""

    CYCLES = "cycles"
    MICROSECONDS = "microseconds"
    INSTRUCTIONS = "instructions"


@dataclass(frozen=True)
class Errors:
    """Relative errors of predictions for `networks` networks: the median and the largest, without sign."""

    networks: int
    median: float
    largest: float


@dataclass(frozen=True)
class LatencyModel:
    """The model above, in units of its table; `factors` by kernel or by group of kernels."""

    constant: float
    shared: float
    factors: Mapping[str, float]
    per_byte: float

    def factor(self, kernel: str) -> float:
        """Units per instruction of the kernel."""
        known = self.factors.get(kernel)
        return known if known is not None else self.factors.get(kernel_group(kernel), self.shared)

    def layer(self, kernel: str, instructions: float, weight_bytes: float) -> float:
        """What a layer adds."""
        return self.factor(kernel) * instructions + self.per_byte * weight_bytes

    def network(self, layers: Iterable[LayerCost]) -> float:
        """What an inference takes."""
        return self.constant + sum([self.layer(one.kernel, one.instructions, one.weight_bytes) for one in layers])


@dataclass(frozen=True)
class LatencyTable:
    """A board's latency model and where it comes from.

    board, core: whose; clock_hz: the core's clock as the firmware says it, or the profile's. counter: what was read.
    compiler, flags: of the firmware, as far as known. kernels: fingerprint of the kernels and of the core's figures, by
    which the planner counts instructions. version: of this package. date: UTC. probes: networks that the model was
    fitted to; fitted: their errors where each was left out of the fit in turn. held_out: of networks that nothing was
    fitted to or chosen by. one_factor: what one figure for all kernels would reach on these.
    """

    board: str
    core: str
    unit: Unit
    clock_hz: int
    counter: str
    compiler: str
    flags: str
    kernels: str
    version: str
    date: str
    model: LatencyModel
    probes: int
    fitted: Errors
    held_out: Errors
    one_factor: Errors

    @property
    def milliseconds_each(self) -> float:
        """Milliseconds of one unit; UsageError where the table counts instructions."""
        match self.unit:
            case Unit.CYCLES:
                return 1e3 / self.clock_hz
            case Unit.MICROSECONDS:
                return 1e-3
        raise UsageError(
            f"the latency table of {self.board} counts instructions of an emulator, which are no time: calibrate the "
            f"board itself (ofa-mcu boards calibrate --board {self.board} --port PORT), or leave the table out"
        )

    @property
    def basis(self) -> str:
        """What an estimate by this table rests on."""
        told = f"latency table of {self.board} ({self.probes} probes at {self.clock_hz / 1e6:g} MHz, {self.date[:10]})"
        held = self.held_out
        return (
            f"{told}; on {held.networks} networks that were not fitted it erred by {100 * held.median:.1f} % (median), "
            f"at most by {100 * held.largest:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """What a file holds."""
        return {"schema": SCHEMA, "kind": KIND, **asdict(self), "unit": self.unit.value}


def kernel_group(kernel: str) -> str:
    """The group of a kernel by its name: pointwise, conv, depthwise, dense, elementwise, pool, move or other."""
    name = kernel.removeprefix("ofa_").removeprefix("dsp_").removeprefix("mve_")
    for group, beginnings in _GROUPS.items():
        if name.startswith(beginnings):
            return group
    return "other"


def write_latency(path: Path, table: LatencyTable) -> None:
    """Writes the file, whole or not at all."""
    write_json(path, table.to_json())


def read_latency(path: Path) -> LatencyTable:
    """The table in a file.

    Raises:
        UsageError: it cannot be read, or is of a later release.
        OfaMcuError: it is damaged, or no latency table.
    """
    again = "measure it again (ofa-mcu boards calibrate), or remove it"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name the file of a latency table") from error
    except ValueError as error:
        raise OfaMcuError(f"{path} is damaged ({error}); {again}") from error
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise OfaMcuError(f"{path} holds no latency table; name one that ofa-mcu boards calibrate wrote")
    schema = value.get("schema")
    if schema != SCHEMA:
        raise UsageError(f"{path} has schema {schema!r} and this release knows {SCHEMA}; {again}")
    try:
        return _table(value)
    except (KeyError, TypeError, ValueError) as error:
        raise OfaMcuError(f"{path} is damaged ({error}); {again}") from error


def _table(value: Mapping[str, Any]) -> LatencyTable:
    table: LatencyTable = _read(LatencyTable, value, "")
    if table.clock_hz <= 0 or not (table.model.shared or any(table.model.factors.values())):
        raise ValueError("the clock or all factors are zero")
    return table


def _read(cls: type[Any], value: object, where: str) -> Any:
    """An instance of the dataclass from a JSON object."""
    hints = get_type_hints(cls, {"Mapping": Mapping, "Unit": Unit, "Errors": Errors, "LatencyModel": LatencyModel})
    values = _object(value, where)
    found = {}
    for each in fields(cls):
        name, hint = where + each.name, hints[each.name]
        if each.name not in values:
            raise ValueError(f"no {name}")
        given = values[each.name]
        if hint in (Errors, LatencyModel):
            found[each.name] = _read(hint, given, name + ".")
        elif hint in (int, float):
            found[each.name] = _number(given, name, hint)
        elif hint is Unit:
            found[each.name] = Unit(given)
        elif hint is str:
            if not isinstance(given, str):
                raise ValueError(f"{name} is {given!r}")
            found[each.name] = given
        else:
            found[each.name] = {
                key: _number(item, f"{name}.{key}", float) for key, item in _object(given, name).items()
            }
    return cls(**found)


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r}")
    return value


def _number(value: object, name: str, kind: type[float]) -> float:
    allowed = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return kind(value)
