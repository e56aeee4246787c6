"""The training loop: seeded, shown, checkpointed atomically, resumed to the same result."""

from __future__ import annotations

import io
import json
import os
import pickle
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ofa_mcu import __version__
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.files import write_bytes, write_json, write_text
from ofa_mcu.tasks.resample import Size, resolution_of
from ofa_mcu.tasks.task import Dataset, Task
from ofa_mcu.training.data import ImageSet, TrainingStream
from ofa_mcu.training.learners import Learner
from ofa_mcu.training.ledger import EnergyMeter
from ofa_mcu.training.recipe import Recipe

__all__ = ["fit"]

_CHECKPOINT_SECONDS = 60.0
_LINE_SECONDS = 30.0


class _Display:
    """A progress bar on a terminal, a line now and then elsewhere; both on stderr."""

    def __init__(self, label: str, steps: int, start: int) -> None:
        self._label, self._steps = label, steps
        self._text = ""
        self._live = sys.stderr.isatty()
        self._last = 0.0
        self._progress = Progress(
            TextColumn(label),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._live,
        )
        self._task = self._progress.add_task(label, total=steps, completed=start, text="")

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, step: int, text: str, eta: float) -> None:
        """Show that `step` steps are done."""
        if self._live:
            self._progress.update(self._task, completed=step, text=text)
        elif time.monotonic() - self._last > _LINE_SECONDS or step == self._steps:
            self._last = time.monotonic()
            print(f"{self._label} {step}/{self._steps} {text} ETA {eta / 60:.0f} min", file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """A line that stays."""
        self._progress.console.print(message, highlight=False, soft_wrap=True)


def _save(path: Path, learner: Learner, optimizer: torch.optim.Optimizer, fields: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "module": learner.module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "learner": learner.state(),
            **fields,
        },
        buffer,
    )
    write_bytes(path, buffer.getvalue())


def _load(path: Path) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True)
        return saved
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OfaMcuError(f"{path} is no checkpoint, or is damaged ({reason}); use another --out") from error


def _write_log(folder: Path, log: list[dict[str, Any]]) -> None:
    write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps two runs out of one folder; the lock goes with the process."""
    import fcntl

    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OfaMcuError(
                f"another training run is writing to {folder}; wait for it or use another --out"
            ) from error
        yield


def _check_configuration(folder: Path, configuration: dict[str, Any]) -> None:
    """Write the resolved configuration, or make sure that the folder's run was started with the same one."""
    path = folder / "config.json"
    if path.exists():
        try:
            known = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise OfaMcuError(f"{path} is damaged ({error}); use another --out") from error
        differing = [key for key in configuration if known.get(key) != configuration[key]]
        if differing:
            raise UsageError(
                f"{folder} holds a run with another {differing[0]} ({json.dumps(known.get(differing[0]))}); "
                "use the same options to resume it or another --out"
            )
    else:
        versions = {"ofa_mcu": __version__, "torch": torch.__version__, "python": platform.python_version()}
        write_json(path, {**configuration, "versions": versions})


def fit(
    learner: Learner, task: Task, data: Dataset, sizes: tuple[Size, ...], recipe: Recipe, folder: Path, label: str
) -> dict[str, Any]:
    """Train `learner` to the end of the recipe in `folder`, resuming what is there.

    Writes `config.json`, `checkpoint.pt` (atomically, every minute and epoch) and `log.jsonl`, a line an epoch.

    Returns:
        The last line of the log: epoch, loss, accuracies, seconds, kWh.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        configuration = {
            "label": label,
            "task": task.name,
            "resolutions": list(map(resolution_of, sizes)),
            "recipe": recipe.to_json(),
            "threads": torch.get_num_threads(),  # sums are split by them, so results depend on their number
        }
        _check_configuration(folder, configuration)
        return _fit(learner, task, data, sizes, recipe, folder, label)


def _fit(
    learner: Learner, task: Task, data: Dataset, sizes: tuple[Size, ...], recipe: Recipe, folder: Path, label: str
) -> dict[str, Any]:
    train, held_out = ImageSet(data.train, sizes), ImageSet(data.validation, sizes)
    stream = TrainingStream(task, train, recipe.batch, recipe.seed)
    steps = recipe.epochs * stream.steps_per_epoch
    if not steps:
        raise UsageError(f"task {task.name} has {len(train)} training examples, fewer than one batch of {recipe.batch}")
    decayed = [p for p in learner.module.parameters() if p.dim() > 1]
    free = [p for p in learner.module.parameters() if p.dim() <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}],
        lr=recipe.peak_rate,
        momentum=recipe.momentum,
        nesterov=True,
    )
    checkpoint = folder / "checkpoint.pt"
    start, seconds, kwh, log = 0, 0.0, 0.0, list[dict[str, Any]]()
    if checkpoint.exists():
        saved = _load(checkpoint)
        learner.module.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        learner.restore(saved["learner"])
        start, seconds, kwh, log = saved["step"], saved["seconds"], saved["kwh"], saved["log"]
        _write_log(folder, log)  # a kill may have come between checkpoint and log

    began = saved_at = time.monotonic()
    with EnergyMeter(kwh) as meter, _Display(label, steps, start) as display:
        if start:
            display.say(f"resuming {folder} at step {start} of {steps}")

        def save(step: int) -> None:
            # the log is part of the checkpoint, so that the two never disagree after a kill
            fields = {"step": step, "seconds": seconds + time.monotonic() - began, "kwh": meter.kwh(), "log": log}
            _save(checkpoint, learner, optimizer, fields)
            _write_log(folder, log)

        for step in range(start, steps):
            message = learner.before_step(step, steps, optimizer)
            if message:
                display.say(message)
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step, steps)
            optimizer.zero_grad(set_to_none=True)
            loss = learner.backward(stream.batch(step), step)
            torch.nn.utils.clip_grad_norm_(learner.module.parameters(), recipe.clip_norm)
            optimizer.step()

            done = step + 1
            pace = (time.monotonic() - began) / (done - start)
            if done % stream.steps_per_epoch == 0:
                scores = learner.validate(train, held_out)
                log.append(
                    {
                        "epoch": done // stream.steps_per_epoch,
                        "loss": round(loss, 4),
                        **{f"accuracy_{name}": round(score, 4) for name, score in scores.items()},
                        "seconds": round(seconds + time.monotonic() - began, 1),
                        "kwh": round(meter.kwh(), 6),
                    }
                )
            scores_text = " ".join(f"{k[9:]} {v:.3f}" for k, v in (log[-1] if log else {}).items() if "accuracy" in k)
            display.update(
                done,
                f"loss {loss:.3f} {scores_text} {recipe.batch / pace:.0f} img/s {meter.kwh():.4f} kWh",
                pace * (steps - done),
            )
            if done == steps or done % stream.steps_per_epoch == 0 or time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
                save(done)
                saved_at = time.monotonic()
    return log[-1]


def use_threads(threads: int | None) -> int:
    """Set torch's threads (default: the cores this process may use); results depend on their number."""
    count = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    return count
