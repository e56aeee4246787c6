"""What a board and a user allow, and what a subnet needs of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.cost import (
    INSTRUCTIONS_BAND,
    Cost,
    active_power,
    millijoules,
    millijoules_each,
    milliseconds,
    milliseconds_each,
)
from ofa_mcu.planning.latency import LatencyTable
from ofa_mcu.planning.places import check_there, sram_limit
from ofa_mcu.planning.runtime import Runtime, counts_instructions
from ofa_mcu.planning.tflm_cost import TFLM_BASIS, TFLM_INSTRUCTIONS_BAND
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.lifetime import Lifetime

__all__ = ["Budget", "Violation", "budget_for"]


@dataclass(frozen=True)
class Violation:
    """A constraint that is not met: how much is needed and how much is allowed, in the constraint's unit.

    `region` names the memory that sets the limit; None where the user does.
    """

    constraint: str
    needed: float
    budget: float
    region: str | None = None

    @property
    def excess(self) -> float:
        """Needed over allowed, less one."""
        return self.needed / self.budget - 1 if self.budget else float("inf")


@dataclass(frozen=True)
class Budget:
    """Upper bounds by constraint name: sram and flash in bytes, instructions, ms and mj (estimates).

    Time is estimated by the board's latency table where there is one, and nobody gave cycles per instruction.
    """

    profile: BoardProfile
    bounds: Mapping[str, float]
    cycles_per_instruction: float | None = None
    power_mw: float | None = None
    latency: LatencyTable | None = None
    lifetime: Lifetime | None = None
    runtime: Runtime = Runtime.COMPILED

    @property
    def table(self) -> LatencyTable | None:
        """The latency table that estimates rest on; it is one of compiled code."""
        given = self.cycles_per_instruction is not None
        return None if given or self.runtime is not Runtime.COMPILED else self.latency

    @property
    def max_sram(self) -> float | None:
        """Bytes of SRAM there are; None where nothing bounds them."""
        return self.bounds.get("sram")

    @property
    def counted(self) -> bool:
        """Whether it is known how many instructions the runtime takes on the board's core."""
        return counts_instructions(self.profile, self.runtime)

    @property
    def bounds_time(self) -> bool:
        """Whether a bound is one of estimated time, or follows from it."""
        return "ms" in self.bounds or "mj" in self.bounds

    def needs(self, sram_bytes: Any, flash_bytes: Any, instructions: Any, ticks: Any = None) -> dict[str, Any]:
        """What a subnet, or an array of them, needs of every bounded quantity.

        `ticks` are by the model of the latency table, in its unit; ValueError where they are needed and not given.
        """
        result = {"sram": sram_bytes, "flash": flash_bytes, "instructions": instructions}
        if self.bounds_time and self.table is not None:
            if ticks is None:
                raise ValueError("the budget has a latency table, but the subnets were not looked up by it")
            result["ms"] = ticks * self.table.milliseconds_each
            if "mj" in self.bounds:
                result["mj"] = result["ms"] * active_power(self.profile, self.power_mw) / 1e3
        elif self.bounds_time:
            if "ms" in self.bounds:
                result["ms"] = instructions * milliseconds_each(self.profile, self.cycles_per_instruction)
            if "mj" in self.bounds:
                result["mj"] = instructions * millijoules_each(self.profile, self.power_mw, self.cycles_per_instruction)
        return {name: value for name, value in result.items() if name in self.bounds}

    def fits(self, sram_bytes: Any, flash_bytes: Any, instructions: Any, ticks: Any = None) -> NDArray[np.bool_]:
        """Whether each of an array of subnets meets every bound."""
        needs = self.needs(sram_bytes, flash_bytes, instructions, ticks)
        return np.asarray(np.all([need <= self.bounds[name] for name, need in needs.items()], axis=0))

    def estimates(self, cost: Cost) -> dict[str, dict[str, Any] | None]:
        """Estimated "ms" and "mj" with basis and band (a share); None where their basis is unknown."""
        result: dict[str, dict[str, Any] | None] = {"ms": None, "mj": None}
        if not self.counted:
            return result
        with suppress(UsageError):
            result["ms"] = asdict(milliseconds(cost, self.profile, self.cycles_per_instruction, self.table))
            given = self.power_mw, self.cycles_per_instruction
            result["mj"] = asdict(millijoules(cost, self.profile, *given, self.table))
        if self.runtime is Runtime.TFLM:
            for found in filter(None, result.values()):
                band = found["band"]
                wider = (
                    None if band is None else (1 + band) * (1 + TFLM_INSTRUCTIONS_BAND) / (1 + INSTRUCTIONS_BAND) - 1
                )
                found |= {"basis": f"{TFLM_BASIS}: {found['basis']}", "band": wider}
        return result

    def violations(self, cost: Cost) -> list[Violation]:
        """Constraints the subnet does not meet, the worst first."""
        ticks = self.table.model.network(cost.runs) if self.table is not None else None
        needs = self.needs(cost.sram_bytes, cost.flash_bytes, cost.instructions, ticks)
        limits = _limits(self.profile)
        found = [
            Violation(name, value, bound, limits[name][1] if name in limits and bound == limits[name][0] else None)
            for name, value in needs.items()
            if value > (bound := self.bounds[name])
        ]
        return sorted(found, key=lambda v: -v.excess)


def budget_for(
    profile: BoardProfile,
    max_sram: int | None = None,
    max_flash: int | None = None,
    max_instructions: int | None = None,
    max_ms: float | None = None,
    max_mj: float | None = None,
    cycles_per_instruction: float | None = None,
    power_mw: float | None = None,
    latency: LatencyTable | None = None,
    lifetime: Lifetime | None = None,
    runtime: Runtime = Runtime.COMPILED,
) -> Budget:
    """The board's own memory, tightened by the user's options.

    Raises:
        UsageError: an option allows more than the board has, or bounds what is not known of the runtime on its core.
        InfeasibleError: the battery does not last as long as is asked for even without an inference.
    """
    finite = {
        "--max-ms": max_ms,
        "--max-mj": max_mj,
        "--cycles-per-instruction": cycles_per_instruction,
        "--power-mw": power_mw,
    }
    for name, number in finite.items():
        if number is not None and not (math.isfinite(number) and number > 0):
            raise UsageError(f"{name} {number:g} is no positive number; give one")
    limits = _limits(profile)
    for name, asked, there in (
        ("--max-sram", max_sram, profile.sram_bytes),
        ("--max-flash", max_flash, profile.flash_bytes),
    ):
        check_there(profile, name, asked, there)
    bounds: dict[str, float] = {
        name: limit if asked is None else min(asked, limit)
        for (name, (limit, _)), asked in zip(limits.items(), (max_sram, max_flash), strict=True)
    }
    if lifetime is not None:
        max_ms = min(lifetime.most_ms, max_ms or math.inf)
    for name, value in (("instructions", max_instructions), ("ms", max_ms), ("mj", max_mj)):
        if value is not None:
            bounds[name] = value
    counted = sorted({"instructions", "ms", "mj"} & bounds.keys())
    if counted and not counts_instructions(profile, runtime):
        raise UsageError(
            f"how many instructions TFLite Micro takes on a {core_of(profile)} is not known, so nothing can be bounded "
            f"by {' or '.join(counted)}: leave that out, or plan for --runtime compiled"
        )
    return Budget(profile, bounds, cycles_per_instruction, power_mw, latency, lifetime, runtime)


def _limits(profile: BoardProfile) -> dict[str, tuple[int, str]]:
    """What the board itself allows of sram and of flash, and the memory that sets the limit."""
    return {
        "sram": (sram_limit(profile), profile.arena_region or profile.ram_names),
        "flash": (profile.flash_bytes, profile.flash_region),
    }
