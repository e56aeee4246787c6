"""Tasks with options: `name:key=value,key=value` names a task and everything about it but its data's folder."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from ofa_mcu.errors import UsageError
from ofa_mcu.tasks.task import Task

__all__ = ["NoOptions", "TaskKind", "fixed", "read_options"]

T = TypeVar("T")


@dataclass(frozen=True)
class NoOptions:
    """For tasks that have none."""


@dataclass(frozen=True)
class TaskKind(Generic[T]):
    """A task before its options are known: `make(name as written, options, data folder)` gives it.

    Raises (`make`):
        UsageError, OfaMcuError: the folder is needed and missing, or holds no such data.
    """

    name: str
    options: type[T]
    make: Callable[[str, T, Path | None], Task]

    def named(self, text: str, data_dir: Path | None) -> Task:
        """The task written as `text`, which starts with this kind's name."""
        options = text.partition(":")[2]
        return self.make(text, read_options(self.options, self.name, options), data_dir)


def fixed(task: Task) -> TaskKind[NoOptions]:
    """The kind of a task that is the same whatever the folder."""
    return TaskKind(task.name, NoOptions, lambda name, options, data_dir: task)


def read_options(kind: type[T], task: str, text: str) -> T:
    """A dataclass of options from `key=value,key=value`; what is not named keeps its default.

    Fields are int, float, str or bool (yes/no), or one of them or None.

    Raises:
        UsageError: an unknown key, one given twice, or a value that cannot be read.
    """
    types = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"task '{task}' has no option '{key}'; {listed}")
        if not equals or key in found:
            raise UsageError(f"option '{part}' of task '{task}' is off; write each option once, like {key}=value")
        found[key] = _value(types[key], task, key, value)
    return kind(**found)


def _value(wanted: Any, task: str, key: str, text: str) -> Any:
    options = [one for one in typing.get_args(wanted) if one is not type(None)]
    kind = options[0] if options else wanted
    try:
        return {"yes": True, "no": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        what = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, "a text")
        raise UsageError(f"option {key} of task '{task}' is '{text}'; give {what}") from error
