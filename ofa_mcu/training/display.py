"""What a person sees while training runs: a progress bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Display"]

_LINE_SECONDS = 30.0


class Display:
    """Progress of one run on stderr; silent where `shown` is false."""

    def __init__(self, label: str, steps: int, start: int, shown: bool = True) -> None:
        self._label, self._steps, self._shown = label, steps, shown
        self._live = sys.stderr.isatty() and shown
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

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, step: int, steps: int, text: str, eta: float) -> None:
        """Show that `step` of `steps` steps are done; `eta` in seconds."""
        if self._live:
            self._progress.update(self._task, completed=step, total=steps, text=text)
        elif self._shown and (time.monotonic() - self._last > _LINE_SECONDS or step == steps):
            self._last = time.monotonic()
            print(f"{self._label} {step}/{steps} {text} ETA {eta / 60:.0f} min", file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._shown:
            self._progress.console.print(message, highlight=False, soft_wrap=True)
