"""What a network costs with TFLite Micro: against published counts, and against the files that are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.runtime import Runtime, settled, shape_cost, whose_figures
from ofa_mcu.planning.tflm import TFLM_STACK_BYTES, tflm_arena_needs
from ofa_mcu.planning.tflm_cost import file_bytes, knows_instructions, tflm_cost
from ofa_mcu.profiles import load_profile
from ofa_mcu.quantization.evaluate import Evaluator
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.candidates import CandidatePool
from ofa_mcu.search.feasibility import candidate_json
from ofa_mcu.search.run import SearchOptions, search
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST, KEYWORDS
from ofa_mcu.space.subnet import Subnet
from tests.codegen.models import random_weights
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA

BOARD = load_profile("stm32f746")
PUBLISHED = {"vww_96_int8": 24.03e6, "kws_ref_model": 7.65e6, "mcunet_vww1": 47.80e6, "micro_speech_quantized": 1.489e6}
"""Instructions of an inference by TFLite Micro of 2026-08-20 with CMSIS-NN on a Cortex-M7."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_instructions_are_near_the_published_ones(name: str, models_dir: Path) -> None:
    structure = read_tflite((models_dir / f"{name}.tflite").read_bytes()).structure
    assert tflm_cost(structure, BOARD).instructions == pytest.approx(PUBLISHED[name], rel=0.10)


@pytest.mark.parametrize("space", [FASHION_MNIST, KEYWORDS, TINY], ids=lambda space: space.name)
def test_the_length_of_a_file_follows_from_shapes(space) -> None:
    rng = np.random.default_rng(0)
    for subnet in [space.largest, space.smallest, *space.sample_balanced(rng, 12)]:
        structure = shape_graph(space, subnet)
        assert abs(file_bytes(structure) - len(write_tflite(random_weights(structure, rng)))) <= 128, str(subnet)


def test_sram_is_arena_stack_and_statics_and_flash_holds_the_file() -> None:
    graph = random_weights(shape_graph(TINY, TINY.largest), np.random.default_rng(1))
    needs, found = tflm_arena_needs(graph.structure, cmsis_nn=True), settled(graph, BOARD, Runtime.TFLM)
    cost = found.cost
    assert cost.arena_bytes - needs.arena_bytes in range(8) and found.arena_lower_bound < needs.arena_bytes
    assert cost.sram_bytes == cost.arena_bytes + cost.static_bytes + TFLM_STACK_BYTES
    assert cost.flash_weight_bytes == len(write_tflite(graph))
    assert cost.flash_bytes == cost.flash_firmware_bytes + cost.flash_code_bytes + cost.flash_weight_bytes
    compiled = settled(graph, BOARD, Runtime.COMPILED).cost
    assert compiled.sram_bytes < cost.sram_bytes and compiled.instructions < cost.instructions
    assert shape_cost(graph.structure, BOARD, Runtime.TFLM).instructions == cost.instructions


def test_an_archive_holds_what_single_planning_gives() -> None:
    predictor = predictor_of(TINY)
    archive = Archive(predictor, BOARD, runtime=Runtime.TFLM)
    archive.evaluate(archive.genome.encode_all(TINY.sample_balanced(np.random.default_rng(2), 20)))
    pool = CandidatePool(predictor, budget_for(BOARD, runtime=Runtime.TFLM))
    for genes, objectives in zip(archive.genes.tolist(), archive.objectives, strict=True):
        assert objectives == pytest.approx(pool(archive.genome.decode(genes)).objectives)


def test_a_search_keeps_tflms_bounds() -> None:
    smallest = shape_cost(shape_graph(TINY, TINY.smallest), BOARD, Runtime.TFLM)
    largest = shape_cost(shape_graph(TINY, TINY.largest), BOARD, Runtime.TFLM)
    bound = (smallest.sram_bytes + largest.sram_bytes) // 2
    budget = budget_for(BOARD, max_sram=bound, runtime=Runtime.TFLM)
    found = search(Evaluator(lively_supernet(0), DATA), predictor_of(TINY), SearchOptions(budget))
    pick = found.report["pick"]
    own = tflm_cost(shape_graph(TINY, Subnet.parse(pick["subnet"])), BOARD, len(found.model))
    assert found.report["runtime"] == "tflm"
    assert (pick["sram_bytes"], pick["flash_bytes"]) == (own.sram_bytes, own.flash_bytes) and own.sram_bytes <= bound
    assert "published" in pick["estimates"]["ms"]["basis"] and pick["estimates"]["ms"]["band"] > 0.4
    with pytest.raises(InfeasibleError, match="B of sram"):
        tight = budget_for(BOARD, max_sram=smallest.sram_bytes - 1, runtime=Runtime.TFLM)
        search(Evaluator(lively_supernet(0), DATA), predictor_of(TINY), SearchOptions(tight))


def test_no_instructions_are_bounded_on_cores_without_figures() -> None:
    f103 = load_profile("stm32f103")
    assert knows_instructions(BOARD) and not knows_instructions(f103)
    with pytest.raises(UsageError, match="cortex-m3 is not known, so nothing can be bounded by instructions"):
        budget_for(f103, max_instructions=1000, runtime=Runtime.TFLM)
    with pytest.raises(UsageError, match="bounded by mj or ms"):
        budget_for(f103, max_ms=1, max_mj=1, runtime=Runtime.TFLM)
    budget_for(f103, runtime=Runtime.TFLM)


def test_no_instructions_are_told_on_cores_without_figures() -> None:
    for board in ("stm32f103", "esp32c3"):
        budget = budget_for(load_profile(board), cycles_per_instruction=1.5, runtime=Runtime.TFLM)
        candidate = CandidatePool(predictor_of(TINY), budget)(TINY.smallest)
        assert candidate_json(candidate)["instructions"] is None
        assert budget.estimates(candidate.cost) == {"ms": None, "mj": None}
        sentence = whose_figures(budget.profile, Runtime.TFLM)
        assert sentence is not None and "is not known" in sentence
    assert whose_figures(BOARD, Runtime.TFLM) is None
