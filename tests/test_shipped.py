"""The supernets that come with the package: complete, small, and as accurate as they are said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ofa_mcu.planning.compile import compile_graph
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.predictor import load_predictor
from ofa_mcu.search.recommend import Source
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import space_named
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE, SUPERNET_FILE, supernet_folder
from ofa_mcu.supernet.store import load_supernet

TASKS = ("cifar10", "fashion-mnist", "gestures", "keywords")


@pytest.mark.parametrize("task", TASKS)
def test_a_shipped_supernet_is_complete_and_small(task: str) -> None:
    folder = supernet_folder(task)
    assert (folder / SUPERNET_FILE).stat().st_size < 1_500_000
    supernet, meta = load_supernet(folder / SUPERNET_FILE)
    assert supernet.space == space_named(task) == load_predictor(folder / PREDICTOR_FILE).space
    assert meta["task"] == task
    config = json.loads((folder / "config.json").read_text())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert log[-1]["epoch"] == len(log) == config["recipe"]["epochs"] and log[-1]["kwh"] > 0
    words = (folder / "README.md").read_text()
    assert f"ofa-mcu train --task {task}" in words
    assert any(licence in words for licence in ("MIT", "CC BY", "Apache", "names no licence"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "data", "subnet", "most_macs", "least", "fits"),
    [
        ("keywords", "kws_gsc1_en", "r49-w1-k9e1.k5e1.k5e1.k9e1.k5e1", 1_350_000, 0.96, "stm32f746"),
        ("keywords", "kws_gsc1_en", "r49-w0.5-k9e1.k5e1.k5e1.k9e1", 320_000, 0.955, "stm32f103"),
        ("gestures", "magic_wand", "r128-w1-k5e2-k5e3.k5e3-k5e2", 300_000, 0.900, "stm32f103"),
        ("cifar10", "cifar10_jpeg", "r32-w1-k3e1-k3e2.k3e2-k5e4.k5e4.k5e4-k3e4.k3e2", 12_500_000, 0.85, "stm32f446"),
        ("cifar10", "cifar10_jpeg", "r32-w0.5-k3e1-k3e4.k3e4-k5e2.k5e4.k5e2-k3e4.k3e4", 4_000_000, 0.81, "stm32f446"),
    ],
)
def test_int8_accuracy(
    data_dir: Path, task: str, data: str, subnet: str, most_macs: int, least: float, fits: str
) -> None:
    """On the test examples; float statistics of another processor may turn an answer or two."""
    source = Source(task, data_dir=data_dir / data)
    chosen = Subnet.parse(subnet)
    assert shape_graph(source.predictor.space, chosen).macs <= most_macs
    found = source.evaluator.specialise(chosen)
    accuracy = source.evaluator.int8_accuracy(found.graph, "test")
    assert accuracy >= least - 2 / len(source.evaluator.data.test)
    board = load_profile(fits)
    cost = compile_graph(found.graph, board).cost
    assert cost.sram_bytes <= board.ram_bytes and cost.flash_bytes <= board.flash_bytes
