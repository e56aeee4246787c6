"""Two processes train as one: equal to each other bit for bit, and to a single process up to rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.run import parse_args

from ofa_mcu.errors import UsageError
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.registry import TASKS
from ofa_mcu.training import __main__
from ofa_mcu.training.data import ImageSet, TrainingStream
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.loop import fit
from ofa_mcu.training.ranks import Ranks, joined
from tests.space.spaces import TINY
from tests.training.made_up import DATA, QUARTERS, RECIPE
from tests.training.train_together import WEIGHTED, WEIGHTS

ROOT = Path(__file__).parents[2]


def arguments(folder: Path, *options: str) -> list[str]:
    return [
        *("--task", "quarters", "--out", str(folder), "--threads", "1", "--device", "cpu"),
        *("--epochs", "1", "--batch", "32", "--rate", "0.05", "--students", "2", "--seed", "3", *options),
    ]


def train_as_two(folder: Path, *options: str) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, "-m", "--", "tests.training.train_together", *arguments(folder, *options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder)  # the first process speaks for all


def test_no_option_of_a_training_is_taken_for_one_of_the_launcher() -> None:
    training = [text for action in __main__._parser()._actions for text in action.option_strings[:1]]
    parsed = parse_args(["--nproc-per-node", "2", "-m", "--", "ofa_mcu.training", *training])
    assert parsed.training_script == "ofa_mcu.training"
    assert parsed.training_script_args == training


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--no-warmup",), ("--method", "progressive")])
def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    """Eight steps with balanced subnets, distillation, class weights, sort (progressive) and batch norm of all."""
    train_as_two(tmp_path / "two", *options)
    monkeypatch.setitem(TASKS, "quarters", WEIGHTED)
    monkeypatch.setitem(SPACES, "quarters", TINY)
    monkeypatch.setattr(sys, "argv", ["training", *arguments(tmp_path / "one", *options)])
    __main__.main()
    first, second = (torch.load(tmp_path / "two" / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)["module"]
    start = PlainLearner(shape_graph(TINY, TINY.largest), RECIPE).module.state_dict()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert float((first[name] - value).abs().max()) < 2e-4, name
    moved = max(float((alone[name] - start[name]).abs().max()) for name in alone)
    assert moved > 0.05  # the weights went far further than they differ
    configuration = json.loads((tmp_path / "two" / "config.json").read_text())
    assert configuration["processes"] == 2 and configuration["device"] == "cpu"
    supernet, header = load_supernet(tmp_path / "two" / "supernet.npz")
    assert header["processes"] == 2 and supernet.space == TINY


def test_shares_are_a_partition_with_equal_weight() -> None:
    weighted = ImageSet(DATA.train, TINY.resolutions)
    weighted.class_weights = torch.from_numpy(WEIGHTS)
    batch = TrainingStream(QUARTERS, weighted, 32, 0).batch(1)
    shares = [batch.share(rank, 4) for rank in range(4)]
    for resolution in TINY.resolutions:
        whole = torch.stack([share.at(resolution) for share in shares], 1).flatten(0, 1)
        assert torch.equal(whole, batch.at(resolution))
    assert torch.equal(torch.stack([share.labels for share in shares], 1).flatten(), batch.labels)
    total = float(torch.from_numpy(WEIGHTS)[batch.labels].sum())
    assert [share.weight_of_share for share in shares] == pytest.approx([total / 4] * 4)


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    learner = PlainLearner(shape_graph(TINY, TINY.largest), RECIPE)
    with pytest.raises(UsageError, match="a batch of 32 does not divide into 3 equal shares; change --batch"):
        fit(learner, QUARTERS, DATA, TINY.resolutions, RECIPE, tmp_path, "alone", Ranks(1, 3))


def test_devices() -> None:
    with joined("auto") as ranks:
        assert ranks.world == 1 and ranks.first
        assert ranks.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    with joined("cpu") as ranks, ranks.precision():
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == torch.float32  # no mixed precision on a CPU
    with pytest.raises(UsageError, match="there is no device 'tpu'; known: auto, cpu, cuda"), joined("tpu"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none() -> None:
    with (
        pytest.raises(UsageError, match="--device cuda: process 0 of this machine finds 0 CUDA devices"),
        joined("cuda"),
    ):
        pass
