"""A GitHub Actions workflow that measures a firmware in QEMU on every push and holds it against a baseline."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu import __version__
from ofa_mcu.errors import UsageError
from ofa_mcu.files import write_text
from ofa_mcu.profiles import profile_path
from ofa_mcu.tasks.registry import TASKS

__all__ = ["Workflow", "write_workflow"]

_TOOLS = ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm")
_PACKAGED_TASK, _PACKAGED_DATA = "fashion-mnist", "dataset-fashion-mnist"

MOST_IMAGES = 10_000
"""As many as the largest test set among the tasks' own has; the job ends after an hour."""

_TEXT = """\
# Written by `ofa-mcu init ci`; yours from here on.
#
# Searches, builds, and measures in QEMU, with no board. The job fails where an output byte differs from the reference,
# or where SRAM, flash, instructions or accuracy are worse than in {baseline} by more than --max-regress allows.
# Without that file the job only measures: commit the bench.json of its artifact under that name.

name: ofa-mcu

on:
  push:
  pull_request:
  workflow_dispatch:

permissions:
  contents: read

jobs:
  firmware:
    runs-on: ubuntu-latest
    # Debian 12: compiler and emulator of the versions that ofa-mcu's promises were measured with.
    container: python:3.11-bookworm
    timeout-minutes: 60
    defaults:
      run:
        shell: bash
    steps:
      - uses: actions/checkout@v4

      - name: Install compiler and emulator
        run: |
          apt-get update
          apt-get install --yes --no-install-recommends {packages}

      # Downloads shrink with torch's CPU build: set the repository's variable TORCH_PIP_ARGS to the pip options for it.
      - name: Install ofa-mcu
        run: |
          python -m pip install ${{{{ vars.TORCH_PIP_ARGS }}}} torch
          python -m pip install {requirement}

      - name: Search
        run: |
          mkdir -p ofa-mcu-ci
          ofa-mcu search --task {task} --board {board} --seed 0 {data}--out ofa-mcu-ci/run \\
            --json > ofa-mcu-ci/search.json

      - name: Build
        run: |
          ofa-mcu build --run ofa-mcu-ci/run --json > ofa-mcu-ci/build.json

      - name: Measure
        run: |
          against=()
          if [ -f {baseline} ]; then
            against=(--baseline {baseline} --max-regress {bounds})
          else
            echo "::warning::there is no baseline; commit bench.json of this job's artifact as "{baseline}
          fi
          ofa-mcu bench --run ofa-mcu-ci/run --emulate --images {images} {data}--junit ofa-mcu-ci/junit.xml \\
            "${{against[@]}}" --json > ofa-mcu-ci/bench.json

      - name: Keep results
        if: always()
        uses: actions/upload-artifact@v4
        with:
          name: ofa-mcu
          path: |
            ofa-mcu-ci/*.json
            ofa-mcu-ci/junit.xml
            ofa-mcu-ci/run/model.tflite
"""


@dataclass(frozen=True)
class Workflow:
    """What the workflow measures: board and task by name, the folder in the repository with the task's data (None: what
    Debian packages), the baseline's path in the repository, allowances as `--max-regress` takes them, test images."""

    board: str
    task: str = _PACKAGED_TASK
    data_dir: str | None = None
    baseline: str = "ofa-mcu-baseline.json"
    bounds: str = "sram=0,flash=0,instructions=0.5%,accuracy=0"
    images: int = 200

    def text(self) -> str:
        """The YAML.

        Raises:
            UsageError: the task's data come with no package and no folder is named; a text cannot be written there, or
                names what the job does not have: a task, or a file outside of the repository; too many images.
        """
        name = self.task.partition(":")[0]
        if name not in TASKS:
            raise UsageError(f"there is no task '{name}'; known: {', '.join(sorted(TASKS))}")
        packaged = name == _PACKAGED_TASK and self.data_dir is None
        if self.images > MOST_IMAGES:
            raise UsageError(
                f"--images {self.images} are more than the job can run in its hour; take {MOST_IMAGES} at most"
            )
        own = profile_path(self.board)
        if own is not None:
            _inside("--board", str(own))
        if self.data_dir is not None:
            _inside("--data-dir", self.data_dir)
        _inside("--baseline", self.baseline)
        if self.data_dir is None and not packaged:
            raise UsageError(f"the data of task {self.task} come with no package; name their folder with --data-dir")
        return _TEXT.format(
            packages=" ".join((*_TOOLS, _PACKAGED_DATA) if packaged else _TOOLS),
            requirement=_word("version", f"ofa-mcu=={__version__}"),
            task=_word("--task", self.task),
            board=_word("--board", self.board),
            data="" if self.data_dir is None else f"--data-dir {_word('--data-dir', self.data_dir)} ",
            baseline=_word("--baseline", self.baseline),
            bounds=_word("--max-regress", self.bounds),
            images=self.images,
        )


def write_workflow(workflow: Workflow, path: Path, *, force: bool = False) -> None:
    """Write the file, and the folders that it lies in.

    Raises:
        UsageError: it exists and `force` does not say that it may be replaced, or as `Workflow.text` has it.
    """
    text = workflow.text()
    if path.is_dir() or (path.exists() and not force):
        what = "is a folder; name a file with --out" if path.is_dir() else "exists; keep it, or replace it with --force"
        raise UsageError(f"{path} {what}")
    write_text(path, text)


def _inside(option: str, path: str) -> None:
    """UsageError where a path is not one that the job's checkout of the repository has, seen from its root."""
    if os.path.isabs(path) or Path(os.path.normpath(path)).parts[:1] == ("..",) or path.startswith("~"):
        raise UsageError(
            f"{option} names {path}, which the job cannot have: it has the repository alone, and starts in its root; "
            "put it there, and name it by its path from there"
        )


def _word(option: str, text: str) -> str:
    """A word of a shell's command line, on one line of YAML, with nothing that the workflow's own syntax expands."""
    if not text.isprintable() or not text or "${{" in text:
        raise UsageError(f"{option} {text!r} cannot stand in a workflow; use another name")
    return shlex.quote(text)
