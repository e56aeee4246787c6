"""All tasks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.tasks.audio_folder import AUDIO_FOLDER
from ofa_mcu.tasks.cifar10 import CIFAR10
from ofa_mcu.tasks.csv_windows import CSV_WINDOWS
from ofa_mcu.tasks.fashion_mnist import FASHION_MNIST
from ofa_mcu.tasks.gestures import GESTURES
from ofa_mcu.tasks.image_folder import IMAGE_FOLDER, PERSON
from ofa_mcu.tasks.keywords import KEYWORDS
from ofa_mcu.tasks.options import TaskKind, fixed
from ofa_mcu.tasks.task import Task

__all__ = ["TASKS", "task_named"]

_KINDS: tuple[TaskKind[Any], ...] = (
    fixed(FASHION_MNIST),
    fixed(CIFAR10),
    KEYWORDS,
    GESTURES,
    IMAGE_FOLDER,
    PERSON,
    AUDIO_FOLDER,
    CSV_WINDOWS,
)
TASKS: dict[str, TaskKind[Any]] = {kind.name: kind for kind in _KINDS}


def task_named(text: str, data_dir: Path | None = None) -> Task:
    """The task written as `text`: a name, or a name with options (`image-folder:size=64`).

    Args:
        text: what the user wrote.
        data_dir: folder of the data; tasks that learn whatever lies in a folder need it.

    Raises:
        UsageError: there is no such task or option, or its folder is missing.
        OfaMcuError: the folder does not hold what the task learns.
    """
    name = text.partition(":")[0]
    if name not in TASKS:
        raise UsageError(f"there is no task '{name}'; known: {', '.join(sorted(TASKS))}")
    return TASKS[name].named(text, data_dir)
