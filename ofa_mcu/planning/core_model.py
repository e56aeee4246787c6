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
from ofa_mcu.planning.features import FEATURES
from ofa_mcu.profiles.profile import BoardProfile

__all__ = ["DATA", "CoreModel", "FitError", "core_model", "core_of", "known_cores"]

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

    static_bytes: variables of the firmware in SRAM, everything but arena and stack; exact.
    base_flash_bytes: firmware without kernels and model.
    kernel_code_bytes: code of each kernel, where a model uses it; shared_code: (kernels, bytes) of code that any of
    these kernels brings along, once. layer_code_bytes: code that calls each kernel, per layer.
    instructions: for each kernel the weights of its numbers in `FEATURES`; inference_instructions: what one inference
    takes besides its layers. errors: of the fit, by kernel.
    """

    core: str
    compiler: str
    flags: str
    static_bytes: int
    base_flash_bytes: int
    kernel_code_bytes: Mapping[str, int]
    shared_code: tuple[tuple[frozenset[str], int], ...]
    layer_code_bytes: Mapping[str, float]
    instructions: Mapping[str, tuple[float, ...]]
    inference_instructions: float
    errors: Mapping[str, FitError]


def known_cores() -> tuple[str, ...]:
    """Names of the cores with measured figures, sorted."""
    return tuple(sorted(path.stem for path in DATA.glob("*.json")))


def core_of(profile: BoardProfile) -> str:
    """The core whose figures hold for the board: its emulated twin's, or its own where it has no twin."""
    return profile.emulator.core if profile.emulator is not None else profile.core


@cache
def core_model(core: str) -> CoreModel:
    """Figures of the core, read once; UsageError where none were measured, naming the cores that have some."""
    if core not in known_cores():
        raise UsageError(
            f"no cost figures were measured for core '{core}', only for {', '.join(known_cores())}: choose a board "
            f"with one of these, or measure it with benchmarks/calibrate_cost.py --cores {core}"
        )
    path = DATA / f"{core}.json"
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise OfaMcuError(
            f"{path} does not hold the cost figures of {core} ({error!r}): run benchmarks/calibrate_cost.py again"
        ) from error


def _read(values: Mapping[str, object]) -> CoreModel:
    def table(name: str) -> Mapping[str, object]:
        value = values[name]
        if not isinstance(value, dict):
            raise TypeError(name)
        return value

    def number(value: object) -> float:
        if not isinstance(value, int | float):
            raise TypeError(value)
        return value

    weights: dict[str, tuple[float, ...]] = {}
    for kernel, names in FEATURES.items():
        by_name = table("instructions")[kernel]
        if not isinstance(by_name, dict) or set(by_name) != set(names):
            raise ValueError(f"instructions of {kernel}")
        weights[kernel] = tuple(number(by_name[name]) for name in names)
    errors: dict[str, FitError] = {}
    for kernel, error in table("errors").items():
        assert isinstance(error, dict)
        errors[kernel] = FitError(int(error["layers"]), float(error["largest"]), float(error["mean"]))
    shared = {frozenset(names.split()): int(number(size)) for names, size in table("shared_code_bytes").items()}
    return CoreModel(
        core=str(values["core"]),
        compiler=str(values["compiler"]),
        flags=str(values["flags"]),
        static_bytes=int(number(values["static_bytes"])),
        base_flash_bytes=int(number(values["base_flash_bytes"])),
        kernel_code_bytes={name: int(number(size)) for name, size in table("kernel_code_bytes").items()},
        shared_code=tuple(shared.items()),
        layer_code_bytes={name: number(size) for name, size in table("layer_code_bytes").items()},
        instructions=weights,
        inference_instructions=number(values["inference_instructions"]),
        errors=errors,
    )
