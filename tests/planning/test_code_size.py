"""Small code: what is found for layers that can share functions, and what balanced plans of real models keep."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.planning import cascades, ways
from ofa_mcu.planning.code_size import small_code
from ofa_mcu.planning.compile import Compiled, CompileOptions, compile_graph
from ofa_mcu.planning.core_model import CoreModel, core_model
from ofa_mcu.planning.kernels.base import Code, Way
from ofa_mcu.planning.kernels.dsp_matrix import POINTWISE
from ofa_mcu.planning.plan import BALANCED_SLOWDOWN, Optimize
from ofa_mcu.planning.priced import PricedWay, plan_code
from ofa_mcu.profiles import all_profiles

MODELS = ("vww_96_int8", "kws_ref_model", "mcunet_vww1", "micro_speech_quantized")
HALVED = ("vww_96_int8", "mcunet_vww1")
KERNEL, KIND = "ofa_dsp_pointwise", "dsp_matrix_unrolled"


def figures() -> CoreModel:
    """A core where a function has as many bytes as its first count says and layers have none of their own."""
    known = core_model("cortex-m7")
    return replace(known, code={KIND: {"functions": 1.0}}, layer_code_bytes={KERNEL: 0.0})


def way(effort: float, *functions: tuple[str, int], constants: int = 0) -> PricedWay:
    """A way that needs functions, each a name and its bytes."""
    others = (0.0,) * (len(POINTWISE.code_terms[KIND]) - 1)
    code = tuple(Code(KIND, (name,), (size, *others)) for name, size in functions)
    return PricedWay(Way(KERNEL, "", (), constants, code), effort)


def test_functions_are_shared_where_no_layer_alone_would_gain() -> None:
    options = [[way(1000, (f"own {i}", 500)), way(1010, ("shared", 2000), ("driver", 900))] for i in range(10)]
    chosen = small_code(options, figures(), 10_100)
    assert [one.effort for one in chosen] == [1010] * 10
    assert [one.effort for one in small_code(options, figures(), 10_099)] == [1000] * 10


def test_constants_count_as_long_as_code_is_small_enough() -> None:
    options = [[way(100, ("own", 600), constants=500), way(105, ("own", 600)), way(105, ("small", 200), constants=500)]]
    (one,) = small_code(options, figures(), 110)
    assert one.way.constant_bytes == 0
    (one,) = small_code(options, figures(), 110, enough=300)
    assert one.way.code[0].key == ("small",)


def random_options(rng: np.random.Generator) -> list[list[PricedWay]]:
    names = [(f"function {i}", int(rng.integers(100, 2000))) for i in range(6)]
    options = []
    for _ in range(5):
        ways: list[PricedWay] = []
        for _ in range(4):
            picked = rng.choice(len(names), int(rng.integers(0, 3)), replace=False)
            ways.append(way(float(rng.integers(100, 200)), *(names[i] for i in picked), constants=4 * len(ways)))
        options.append(sorted(ways, key=lambda one: one.effort))
    return options


def flash(ways: Sequence[PricedWay]) -> float:
    return plan_code(ways, figures()) + sum(one.way.constant_bytes for one in ways)


def test_next_to_the_smallest_image_there_is() -> None:
    rng = np.random.default_rng(0)
    core, found, least = figures(), 0.0, 0.0
    for _ in range(30):
        options = random_options(rng)
        limit = 1.25 * sum(each[0].effort for each in options)
        chosen = small_code(options, core, limit)
        assert sum(one.effort for one in chosen) <= limit
        assert all(one in each for one, each in zip(chosen, options, strict=True))
        found += flash(chosen)
        least += min(flash(ways) for ways in product(*options) if sum(one.effort for one in ways) <= limit)
    assert least <= found <= 1.1 * least


def compiled(models_dir: Path, name: str, optimize: Optimize) -> Compiled:
    graph = read_tflite((models_dir / f"{name}.tflite").read_bytes(), name)
    profile = next(profile for profile in all_profiles() if profile.id == "stm32h743")
    return compile_graph(graph, profile, CompileOptions(optimize=optimize))


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_balanced_keeps_its_promise(models_dir: Path, name: str) -> None:
    fast, balanced, small = (compiled(models_dir, name, optimize).cost for optimize in Optimize)
    assert balanced.instructions <= (1 + BALANCED_SLOWDOWN) * fast.instructions
    assert balanced.flash_code_bytes <= (0.5 if name in HALVED else 1.0) * fast.flash_code_bytes
    assert small.flash_bytes <= balanced.flash_bytes <= fast.flash_bytes


def test_work_of_the_compiler(models_dir: Path) -> None:
    """Calls, not seconds: the same on any machine, idle or not."""
    for optimize in Optimize:
        cascades._known.cache_clear()  # whatever was priced before
        ways._known.cache_clear()
        profile = cProfile.Profile()
        profile.runcall(compiled, models_dir, "mcunet_vww1", optimize)
        calls = pstats.Stats(profile).prim_calls  # type: ignore[attr-defined]
        assert calls < MOST_CALLS[optimize], f"{calls:,} calls at {optimize.value}"


MOST_CALLS = {Optimize.SPEED: 950_000, Optimize.BALANCED: 2_300_000, Optimize.SIZE: 900_000}
