"""What a core's compiler makes of firmware, kernels and layers: sizes and instruction weights, measured once per core.

The figures lie in data/<core>.json, written by benchmarks/calibrate_cost.py from linked and emulated firmware.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.profiles.profile import BoardProfile

__all__ = ["DATA", "CoreModel", "FitError", "core_model", "core_of", "known_cores", "stand_in"]

DATA = Path(__file__).parent / "data"
"""Folder of the measured figures, one JSON file per core."""


@dataclass(frozen=True)
class FitError:
    """Largest and mean relative error of predicted instructions on `layers` layers that were not fitted."""

    layers: int
    largest: float
    mean: float


@dataclass(frozen=True, eq=False)
class CoreModel:
    """Figures of one core, for firmware compiled by `compiler` with `flags`.

    flavour: what its instruction set allows. static_bytes: variables of the firmware in SRAM, everything but arena and
    stack; exact. base_flash_bytes: firmware around the layers of a model.
    code: for each kind of generated function the bytes per unit of its terms. library: bytes of code that any of some
    library functions brings along, once. layer_code_bytes: the function of a layer itself, by kernel.
    instructions: for each kernel the weight of each of its features that occurred. inference_instructions: what one
    inference takes besides its layers. cycles: cycles per instruction of a kernel's variant, by `variant_name`, where
    the core's published timing says so; empty where instructions are all that is known. errors: of the fit, by kernel.
    """

    core: str
    flavour: Flavour
    compiler: str
    flags: str
    static_bytes: int
    base_flash_bytes: int
    code: Mapping[str, Mapping[str, float]]
    library: tuple[tuple[frozenset[str], int], ...]
    layer_code_bytes: Mapping[str, float]
    instructions: Mapping[str, Mapping[str, float]]
    inference_instructions: float
    cycles: Mapping[str, float]
    errors: Mapping[str, FitError]


def known_cores() -> tuple[str, ...]:
    """Names of the cores with measured figures, sorted."""
    return tuple(sorted(path.stem for path in DATA.glob("*.json")))


def core_of(profile: BoardProfile) -> str:
    """The core whose figures hold for the board: its emulated twin's, or its own where it has no twin.

    Where nothing was measured on its own core, the one that the profile names in its stead (`figures_of`). UsageError
    where that one runs kernels which need an instruction set.
    """
    if profile.emulator is not None:
        return profile.emulator.core
    if profile.figures_of is None:
        return profile.core
    if core_model(profile.figures_of).flavour is not Flavour.PORTABLE:
        portable = [core for core in known_cores() if core_model(core).flavour is Flavour.PORTABLE]
        raise UsageError(
            f"figures_of of board {profile.id} names {profile.figures_of}, whose kernels need its instruction set: "
            f"name one of {', '.join(portable)}"
        )
    return profile.figures_of


def stand_in(profile: BoardProfile) -> str | None:
    """What to say of figures that are another core's, one sentence; None where nothing stands in."""
    if profile.emulator is not None or profile.figures_of is None:
        return None
    return (
        f"Instructions and the flash of code are those of {profile.figures_of}, which stands in for {profile.core} "
        f"({(profile.figures_basis or '').rstrip('.')}); arena and weights do not depend on the core."
    )


@cache
def core_model(core: str) -> CoreModel:
    """Figures of the core, read once; UsageError where none were measured, naming the cores that have some."""
    if core not in known_cores():
        raise UsageError(
            f"no cost figures were measured for core '{core}', only for {', '.join(known_cores())}: choose a board "
            f"with one of these, name one of them as figures_of in the board's profile, or measure the core with "
            f"benchmarks/calibrate_cost.py --cores {core}"
        )
    path = DATA / f"{core}.json"
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OfaMcuError(
            f"{path} does not hold the cost figures of {core} ({error!r}): run benchmarks/calibrate_cost.py again"
        ) from error


def _read(values: Mapping[str, object]) -> CoreModel:
    def number(value: object) -> float:
        if not isinstance(value, int | float):
            raise TypeError(value)
        return value

    def table(value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise TypeError(value)
        return value

    def numbers(value: object) -> dict[str, float]:
        return {name: number(figure) for name, figure in table(value).items()}

    groups = values["library"]
    if not isinstance(groups, list):
        raise TypeError(groups)
    errors = {name: numbers(error) for name, error in table(values["errors"]).items()}
    return CoreModel(
        core=str(values["core"]),
        flavour=Flavour(values["flavour"]),
        compiler=str(values["compiler"]),
        flags=str(values["flags"]),
        static_bytes=int(number(values["static_bytes"])),
        base_flash_bytes=int(number(values["base_flash_bytes"])),
        code={kind: numbers(terms) for kind, terms in table(values["code"]).items()},
        library=tuple((frozenset(table(group)["functions"]), int(number(table(group)["bytes"]))) for group in groups),  # type: ignore[call-overload]
        layer_code_bytes=numbers(values["layer_code_bytes"]),
        instructions={kernel: numbers(weights) for kernel, weights in table(values["instructions"]).items()},
        inference_instructions=number(values["inference_instructions"]),
        cycles=numbers(values.get("cycles", {})),
        errors={
            name: FitError(int(error["layers"]), error["largest"], error["mean"]) for name, error in errors.items()
        },
    )
