"""The training loop: seeded, shown, checkpointed atomically, rolled back at loss spikes, resumed to the same result."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from ofa_mcu.allocator import keep_freed_memory
from ofa_mcu.errors import UsageError
from ofa_mcu.files import write_json
from ofa_mcu.ledger import Entry, cpu_seconds, record
from ofa_mcu.tasks.resample import Size, resolution_of
from ofa_mcu.tasks.task import Dataset, Task
from ofa_mcu.training.checkpoint import (
    CHECKPOINT_FILE,
    check_configuration,
    locked,
    read_checkpoint,
    write_checkpoint,
    write_log,
)
from ofa_mcu.training.data import ImageSet, TrainingStream
from ofa_mcu.training.display import Display
from ofa_mcu.training.learner import Learner
from ofa_mcu.training.ledger import EnergyMeter
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe
from ofa_mcu.training.rollback import SpikeGuard

__all__ = ["fit", "use_threads"]

_CHECKPOINT_SECONDS = 60.0
_SNAPSHOTS = 4  # an epoch


def fit(
    learner: Learner,
    task: Task,
    data: Dataset,
    sizes: tuple[Size, ...],
    recipe: Recipe,
    folder: Path,
    label: str,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train `learner` to the end of the recipe in `folder`, resuming what is there.

    Writes `config.json`, `checkpoint.pt` (atomically, every minute and epoch), `log.jsonl`, a line an epoch, and
    `rankings.json` for a supernet, and keeps the ledger. With several processes the first one writes.

    Args:
        learner: what is trained.
        task: names it, and its augmentation.
        data: of the task.
        sizes: of the inputs that the learner asks for.
        recipe: how.
        folder: of the run.
        label: what is trained, in words; the first is the stage's name in the ledger.
        ranks: the processes that train together.

    Returns:
        The last line of the log: epoch, loss, accuracies, seconds, kWh.
    """
    keep_freed_memory()
    if recipe.batch % ranks.world:
        raise UsageError(f"a batch of {recipe.batch} does not divide into {ranks.world} equal shares; change --batch")
    if ranks.first:
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) if ranks.first else nullcontext():
        return _Run(learner, task, data, sizes, recipe, folder, label, ranks).run()


class _Run:
    """One run between its start (or resumption) and its end."""

    def __init__(
        self,
        learner: Learner,
        task: Task,
        data: Dataset,
        sizes: tuple[Size, ...],
        recipe: Recipe,
        folder: Path,
        label: str,
        ranks: Ranks,
    ) -> None:
        self.learner, self.recipe, self.folder, self.label, self.ranks = learner, recipe, folder, label, ranks
        self.train, self.held_out = ImageSet(data.train, sizes), ImageSet(data.validation, sizes)
        self.stream = TrainingStream(task, self.train, recipe.batch, recipe.seed)
        self.steps = recipe.epochs * self.stream.steps_per_epoch
        if not self.steps:
            raise UsageError(
                f"task {task.name} has {len(self.train)} training examples, fewer than one batch of {recipe.batch}"
            )
        decayed = [p for p in learner.module.parameters() if p.dim() > 1]
        free = [p for p in learner.module.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.SGD(
            [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}],
            lr=recipe.peak_rate,
            momentum=recipe.momentum,
            nesterov=True,
        )
        self.stage = label.partition(" ")[0]
        self.guard = SpikeGuard(self.stream.steps_per_epoch // _SNAPSHOTS)
        self.configuration = {
            "label": label,
            "task": task.name,
            "resolutions": list(map(resolution_of, sizes)),
            "recipe": recipe.to_json(),
        }
        self.start, self.seconds, self.log = 0, 0.0, list[dict[str, Any]]()
        self.device_seconds, self.energy = 0.0, dict[str, float]()
        self.began, self.cpu_began = time.monotonic(), cpu_seconds()

    @property
    def end(self) -> int:
        """The step at which training ends."""
        return self.learner.cooling[1] if self.learner.cooling else self.steps

    def run(self) -> dict[str, Any]:
        """Train what is left."""
        path = self.folder / CHECKPOINT_FILE
        data = self.ranks.bytes_from_first(path.read_bytes() if self.ranks.first and path.exists() else None)
        if data is not None:
            self._restore(read_checkpoint(path, data, self.ranks.device))
        if self.ranks.first:
            machine = {
                "threads": torch.get_num_threads(),
                "processes": self.ranks.world,
                "device": self.ranks.device.type,
            }
            check_configuration(self.folder, self.configuration, machine, self.start >= self.end)
            if data is not None:
                self._write_logs()  # a kill may have come between checkpoint and log
        self.began = saved_at = time.monotonic()
        self.cpu_began = cpu_seconds()
        with self._metered() as meter, Display(self.label, self.end, self.start, self.ranks.first) as display:
            if self.start:
                display.say(f"resuming {self.folder} at step {self.start} of {self.end}")
            step = self.start
            while step < self.end:
                self.guard.before_step(step, self.learner, self.optimizer)
                message = self.learner.before_step(step, self.steps, self.optimizer)
                if message:
                    display.say(message)
                    self.guard.forget()
                if step >= self.end:  # the learner has just found that it is done
                    self._end_epoch(step, math.nan, meter, display)
                    self._save(step, meter)
                    break
                loss = self._step(step, display)
                step += 1
                if step % self.stream.steps_per_epoch == 0 or step == self.end:
                    self._end_epoch(step, loss, meter, display)
                self._show(step, loss, meter, display)
                late = time.monotonic() - saved_at > _CHECKPOINT_SECONDS
                if step >= self.end or step % self.stream.steps_per_epoch == 0 or late:
                    self._save(step, meter)
                    saved_at = time.monotonic()
            if not self._learned():
                display.say(
                    f"no network in {self.folder} is better than a guess of the commonest class: "
                    "train at a lower rate or for more epochs, or look at the data"
                )
        return self.log[-1]

    def _learned(self) -> bool:
        """Whether any network that the last epoch validated beats the share of the commonest class."""
        scores = [score for name, score in self.log[-1].items() if name.startswith("accuracy_")]
        guess = int(self.held_out.labels.bincount().max()) / len(self.held_out)
        return not scores or max(scores) > guess

    def _restore(self, saved: dict[str, Any]) -> None:
        self.learner.module.load_state_dict(saved["module"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.learner.restore(saved["learner"])
        self.guard.restore(saved["guard"])
        self.start, self.seconds, self.log = saved["step"], saved["seconds"], saved["log"]
        self.device_seconds, self.energy = saved["device_seconds"], saved["energy"]

    def _step(self, step: int, display: Display) -> float:
        """One step of the optimizer, or a step back; the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learner.rate(step, self.steps) * self.guard.rate_factor
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.stream.batch(step)
        if self.ranks.world > 1:
            batch = batch.share(self.ranks.rank, self.ranks.world)
        parameters = list(self.learner.module.parameters())
        loss = self.ranks.average_gradients(parameters, self.learner.backward(batch, step))
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        if self.guard.spike(loss, float(norm)):
            display.say(self.guard.roll_back(step, self.learner, self.optimizer))
        else:
            self.optimizer.step()
        return loss

    def _end_epoch(self, step: int, loss: float, meter: EnergyMeter | None, display: Display) -> None:
        if self.log and self.log[-1]["step"] == step:
            return
        epoch = -(-step // self.stream.steps_per_epoch)

        def measure() -> dict[str, Any]:
            return {
                "scores": self.learner.validate(self.train, self.held_out),
                "probes": self.learner.probe(epoch, self.train, self.held_out),
            }

        found = self.ranks.from_first(measure)
        message = self.learner.after_epoch(step, self.steps, found["probes"])
        if message:
            display.say(message)
        self.log.append(
            {
                "epoch": epoch,
                "step": step,
                "steps": self.steps,
                "loss": round(loss, 4) if math.isfinite(loss) else None,
                **{f"accuracy_{name}": round(score, 4) for name, score in found["scores"].items()},
                "tera_macs": round(self.learner.macs * self.ranks.world / 1e12, 6),
                "seconds": round(self._elapsed(), 1),
                "kwh": round(meter.kwh(now=step >= self.end), 6) if meter else 0.0,
            }
        )

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.began

    def _show(self, step: int, loss: float, meter: EnergyMeter | None, display: Display) -> None:
        pace = (time.monotonic() - self.began) / max(1, step - self.start)
        last = self.log[-1] if self.log else {}
        scores = " ".join(f"{key[9:]} {value:.3f}" for key, value in last.items() if key.startswith("accuracy_"))
        kwh = f" {meter.kwh():.4f} kWh" if meter else ""
        text = f"loss {loss:.3f} {scores} {self.recipe.batch / pace:.0f} img/s{kwh}"
        display.update(step, self.end, text, pace * (self.end - step))

    def _save(self, step: int, meter: EnergyMeter | None) -> None:
        if not self.ranks.first:
            return
        assert meter is not None
        # the log is part of the checkpoint, so that the two never disagree after a kill
        content = {
            "module": self.learner.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "learner": self.learner.state(),
            "guard": self.guard.state(),
            "step": step,
            "seconds": self._elapsed(),
            "device_seconds": self._device_seconds(),
            "energy": meter.parts(now=step >= self.end),
            "log": self.log,
        }
        write_checkpoint(self.folder, content)
        self._write_logs()
        parts = {part: round(kwh, 9) for part, kwh in content["energy"].items()}
        entry = Entry(
            self.stage,
            round(content["seconds"], 3),
            round(content["device_seconds"], 3),
            round(sum(parts.values()), 9),
            meter.basis,
            parts,
        )
        record(self.folder, entry, running=True)

    def _device_seconds(self) -> float:
        """Of processor cores in this process, or of all GPUs."""
        if self.ranks.device.type == "cuda":
            return self.device_seconds + self.ranks.world * (time.monotonic() - self.began)
        return self.device_seconds + self.ranks.world * (cpu_seconds() - self.cpu_began)

    def _write_logs(self) -> None:
        write_log(self.folder, self.log)
        rankings = self.learner.rankings()
        if rankings:
            write_json(self.folder / "rankings.json", rankings)

    @contextmanager
    def _metered(self) -> Iterator[EnergyMeter | None]:
        """The first process reads the machine's counters; they count all processes on it."""
        if not self.ranks.first:
            yield None
            return
        with EnergyMeter(self.energy) as meter:
            yield meter


def use_threads(threads: int | None) -> int:
    """Set torch's threads (default: this process' share of the cores it may use); results depend on their number."""
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    count = threads or max(1, len(os.sched_getaffinity(0)) // together)
    torch.set_num_threads(count)
    return count
