"""Runs: killed and resumed, refused where they would clash, atomic on disk."""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.ledger import read_ledger
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.options import fixed
from ofa_mcu.tasks.registry import TASKS
from ofa_mcu.tasks.task import Dataset, Split, Task
from ofa_mcu.training import supernet_run
from ofa_mcu.training.learner import Learner
from ofa_mcu.training.learners import PlainLearner, SupernetLearner
from ofa_mcu.training.loop import fit, use_threads
from ofa_mcu.training.recipe import Recipe
from ofa_mcu.training.rollback import SpikeGuard
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY
from tests.training.made_up import DATA, QUARTERS, RECIPE
from tests.training.train_quarters import STRIKE, Struck, train_quarters


def run(
    folder: Path, learner: Learner | None = None, recipe: Recipe = RECIPE, label: str = "supernet"
) -> dict[str, Any]:
    learner = learner or SupernetLearner(TINY, recipe)
    return fit(learner, QUARTERS, DATA, TINY.resolutions, recipe, folder, label)


def saved(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return found


def equal(first: Any, second: Any) -> bool:
    """Bit for bit, through dictionaries and lists."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(value, second[key]) for key, value in first.items())
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder)
    return folder


def start(folder: Path) -> BaseProcess:
    """A process of its own; the server it is forked from has read torch, which is what takes so long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.train_quarters", "torch._dynamo", "codecarbon"])
    process = context.Process(target=train_quarters, args=(folder,), daemon=True)
    process.start()
    return process


def wait_for_steps(process: BaseProcess, folder: Path, steps: int) -> None:
    """Until the run's checkpoint is `steps` steps further than now."""
    path, deadline = folder / "checkpoint.pt", time.monotonic() + 120
    first = saved(folder)["step"] if path.exists() else 0
    seen = path.stat().st_mtime_ns if path.exists() else 0
    while time.monotonic() < deadline:
        assert process.exitcode is None, "the run ended before it could be killed"
        if path.exists() and path.stat().st_mtime_ns != seen:
            seen = path.stat().st_mtime_ns
            if saved(folder)["step"] >= first + steps:
                return
        time.sleep(0.005)
    raise AssertionError("no checkpoint within two minutes")


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run whose weights are spoilt at step 30."""
    folder = tmp_path_factory.mktemp("struck") / "run"
    run(folder, Struck(TINY, RECIPE))
    return folder


def test_a_loss_spike_is_rolled_back(struck: Path, whole: Path) -> None:
    """The state before the damage comes back, training goes on with half the rate, and ends about as well."""
    guard = saved(struck)["guard"]
    assert len(guard["rollbacks"]) == 1 and STRIKE <= guard["rollbacks"][0] < STRIKE + 4
    assert guard["rate_factor"] == 0.5 and saved(whole)["guard"]["rollbacks"] == []
    assert saved(struck)["optimizer"]["param_groups"][0]["lr"] == RECIPE.rate(39, 40) / 2
    assert saved(struck)["log"][-1]["accuracy_max"] > saved(whole)["log"][-1]["accuracy_max"] - 0.1


def test_without_the_guard_the_damage_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, struck: Path) -> None:
    monkeypatch.setattr(SpikeGuard, "spike", lambda *_: False)
    result = run(tmp_path, Struck(TINY, RECIPE))
    assert result["loss"] > 2 * saved(struck)["log"][-1]["loss"]


def test_a_run_that_breaks_out_again_and_again_is_given_up(tmp_path: Path) -> None:
    """A rate of infinity: every step ends in weights that are no numbers."""
    recipe = dataclasses.replace(RECIPE, peak_rate=1e30, epochs=8)
    with pytest.raises(OfaMcuError, match="broke out at step .* for the 6th time .*: train with a lower --rate"):
        run(tmp_path, PlainLearner(shape_graph(TINY, TINY.smallest), recipe), recipe)


@pytest.mark.slow
def test_a_run_killed_five_times_ends_in_the_same_weights(tmp_path: Path, struck: Path) -> None:
    """kill -9 at random points, through warm-up, sort and roll-back; while it runs nobody else may use its folder."""
    folder, rng = tmp_path / "run", random.Random(4)
    steps: list[int] = []
    for _ in range(5):
        process = start(folder)
        try:
            wait_for_steps(process, folder, rng.randint(1, 9))
            if not steps:
                with pytest.raises(OfaMcuError, match="another training run is writing to .*; wait for it or use"):
                    run(folder)
            time.sleep(rng.uniform(0, 0.1))
        finally:
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL
        steps.append(saved(folder)["step"])
    assert 0 < steps[0] < 40 and steps == sorted(set(steps))  # killed in the middle, further each time
    assert run(folder, Struck(TINY, RECIPE))["epoch"] == RECIPE.epochs
    killed, undisturbed = saved(folder), saved(struck)
    for part in ("module", "optimizer", "learner", "guard", "step"):
        assert equal(killed[part], undisturbed[part]), part
    for ours, theirs in zip(killed["log"], undisturbed["log"], strict=True):
        assert {k: v for k, v in ours.items() if k not in ("seconds", "kwh")} == {
            k: v for k, v in theirs.items() if k not in ("seconds", "kwh")
        }


def test_the_folder_holds_configuration_log_and_checkpoint(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {
        ".lock",
        "checkpoint.pt",
        "config.json",
        "ledger.json",
        "log.jsonl",
        "rankings.json",
    }
    configuration = json.loads((whole / "config.json").read_text())
    versions = configuration.pop("versions")
    assert set(versions) == {"ofa_mcu", "torch", "python"}
    assert configuration == {
        "label": "supernet",
        "task": "quarters",
        "resolutions": list(TINY.resolutions),
        "recipe": RECIPE.to_json(),
        "threads": torch.get_num_threads(),
        "processes": 1,
        "device": "cpu",
    }
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5]
    assert saved(whole)["log"] == log
    assert all(first["seconds"] <= second["seconds"] for first, second in itertools.pairwise(log))
    assert log[-1]["accuracy_max"] > 0.6 and log[-1]["loss"] < log[0]["loss"]  # it does learn


def test_a_finished_run_is_not_run_again(whole: Path) -> None:
    before = (whole / "checkpoint.pt").read_bytes()
    (whole / "log.jsonl").unlink()  # as where a kill came between checkpoint and log
    result = run(whole)
    assert (whole / "checkpoint.pt").read_bytes() == before
    assert json.loads((whole / "log.jsonl").read_text().splitlines()[-1]) == result


@pytest.mark.parametrize("change", [{"seed": 4}, {"epochs": 6}, {"peak_rate": 0.1}])
def test_another_recipe_is_refused(whole: Path, change: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match="holds a run with another recipe .*; use the same options to resume it"
    ) as caught:
        run(whole, recipe=dataclasses.replace(RECIPE, **change))
    assert "\n" not in str(caught.value)


def test_another_label_is_refused(whole: Path) -> None:
    with pytest.raises(UsageError, match=r'holds a run with another label \("supernet"\)'):
        run(whole, label="alone")


@pytest.mark.parametrize("content", [b"", b"PK\3\4garbage", "cut"])
def test_a_damaged_checkpoint_is_told_in_one_sentence(tmp_path: Path, whole: Path, content: bytes | str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    data = (whole / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(content if isinstance(content, bytes) else data[: len(data) // 2])
    with pytest.raises(OfaMcuError, match="is no checkpoint, or is damaged") as caught:
        run(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    folder = tmp_path / "run"
    folder.mkdir()
    torch.save({"step": Trap()}, folder / "checkpoint.pt")
    with pytest.raises(OfaMcuError):
        run(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_configuration_is_told(tmp_path: Path) -> None:
    for content in ("{", "3"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(OfaMcuError, match=r"config\.json is damaged"):
            run(tmp_path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk gives out in the middle of a checkpoint; simulated at fsync, after the bytes were written."""
    recipe = dataclasses.replace(RECIPE, epochs=2)
    graph = shape_graph(TINY, TINY.smallest)
    calls = 0
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:  # configuration, first epoch's checkpoint and log
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, PlainLearner(graph, recipe), recipe)
    monkeypatch.undo()
    assert saved(tmp_path)["step"] == 8
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
    assert run(tmp_path, PlainLearner(graph, recipe), recipe)["epoch"] == 2


def test_a_plain_network_learns_and_keeps_its_own_statistics(tmp_path: Path) -> None:
    learner = PlainLearner(shape_graph(TINY, TINY.largest), RECIPE)
    result = run(tmp_path, learner, label="alone")
    assert result["accuracy_net"] > 0.6
    assert equal(saved(tmp_path)["module"], dict(learner.module.state_dict()))
    assert float(learner.module.get_buffer("mean_stem").abs().sum()) > 0


def test_nothing_but_progress_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, recipe=dataclasses.replace(RECIPE, epochs=1))
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[-1].startswith("supernet 8/8 loss ") and " img/s " in lines[-1]
    assert not [line for line in lines if not line.startswith(("supernet ", "warm-up ended at step "))]


@pytest.mark.parametrize(("rate", "said"), [(1e9, True), (0.05, False)])
def test_networks_that_learned_nothing_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], rate: float, said: bool
) -> None:
    last = run(tmp_path, recipe=dataclasses.replace(RECIPE, peak_rate=rate))
    guess = np.bincount(DATA.validation.labels).max() / len(DATA.validation)
    assert (max(last["accuracy_max"], last["accuracy_min"]) <= guess) == said
    assert ("is better than a guess of the commonest class: train at a lower rate" in capfd.readouterr().err) == said


def test_training_ends_in_a_supernet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "quarters", fixed(QUARTERS))
    monkeypatch.setitem(SPACES, "quarters", TINY)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    path = supernet_run.train_supernet("quarters", recipe, tmp_path, None, 1)
    supernet, header = load_supernet(path)
    module = saved(tmp_path)["module"]
    assert all(torch.equal(value, module[name].half().float()) for name, value in supernet.state_dict().items())
    assert header["task"] == "quarters" and header["threads"] == 1
    assert Recipe.from_json(header["recipe"]) == recipe


def test_a_supernet_goes_on_from_a_trained_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its weights, all subnets from the first step; and never resumed with other weights."""
    monkeypatch.setitem(TASKS, "quarters", fixed(QUARTERS))
    monkeypatch.setitem(SPACES, "quarters", TINY)
    recipe = dataclasses.replace(RECIPE, epochs=2)

    def train(name: str, start: Path | None, **changes: Any) -> Path:
        changed = dataclasses.replace(recipe, **changes)
        return supernet_run.train_supernet("quarters", changed, tmp_path / name, None, 1, start=start)

    first = train("first", None)
    still = train("still", first, peak_rate=0.0, weight_decay=0.0)
    assert equal(load_supernet(still)[0].state_dict(), load_supernet(first)[0].state_dict())
    assert saved(tmp_path / "still")["learner"]["elastic"] is True
    more = train("more", first)
    spent = {entry.stage: entry for entry in read_ledger(more.parent)}
    (before,) = read_ledger(first.parent)
    assert spent["start"].wall_seconds == before.wall_seconds and spent["start"].kwh == before.kwh
    train("most", more)
    (start,) = (entry for entry in read_ledger(tmp_path / "most") if entry.stage == "start")
    assert start.wall_seconds == pytest.approx(spent["start"].wall_seconds + spent["supernet"].wall_seconds, abs=0.01)
    with pytest.raises(UsageError, match="more holds a run with another label"):
        train("more", still.rename(tmp_path / "other.npz"), seed=recipe.seed)
    with pytest.raises(UsageError, match="goes with --method sandwich"):
        train("shrunk", first, method="progressive")
    monkeypatch.setitem(SPACES, "quarters", dataclasses.replace(TINY, head_channels=TINY.head_channels + 8))
    with pytest.raises(UsageError, match="is one of another space"):
        train("wider", first)
    assert not (tmp_path / "wider").exists()


@pytest.mark.parametrize("space", [SEQUENCE, SPECTRUM], ids=lambda space: space.name)
def test_supernets_of_other_shapes_are_trained_on_their_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: SearchSpace
) -> None:
    rng = np.random.default_rng(0)
    shape = (*space.input_size(max(space.resolutions)), space.input_channels)

    def part(count: int) -> Split:
        return Split(rng.integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % space.classes)

    data = Dataset(part(64), part(20), part(20))
    labels = tuple("abcdefg"[: space.classes])
    monkeypatch.setitem(TASKS, space.name, fixed(Task(space.name, labels, shape, lambda folder: data, "none")))
    monkeypatch.setitem(SPACES, space.name, space)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    supernet, header = load_supernet(supernet_run.train_supernet(space.name, recipe, tmp_path, None, 1))
    assert supernet.space == space and header["trained"]["epoch"] == 1


def test_threads_default_to_the_cores_of_the_process() -> None:
    before = torch.get_num_threads()
    assert use_threads(None) == len(os.sched_getaffinity(0)) == torch.get_num_threads()
    assert use_threads(1) == 1 == torch.get_num_threads()
    torch.set_num_threads(before)
