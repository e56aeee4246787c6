"""All tasks by name."""

from __future__ import annotations

from ofa_mcu.errors import UsageError
from ofa_mcu.tasks.fashion_mnist import FASHION_MNIST
from ofa_mcu.tasks.task import Task

__all__ = ["TASKS", "task_named"]

TASKS = {task.name: task for task in (FASHION_MNIST,)}


def task_named(name: str) -> Task:
    """The task called `name`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in TASKS:
        raise UsageError(f"there is no task '{name}'; known: {', '.join(sorted(TASKS))}")
    return TASKS[name]
