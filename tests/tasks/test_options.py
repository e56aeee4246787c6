"""Options of a task, written behind its name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ofa_mcu.errors import UsageError
from ofa_mcu.tasks.options import NoOptions, read_options
from ofa_mcu.tasks.registry import task_named


@dataclass(frozen=True)
class Options:
    """One of every type."""

    size: int | None = None
    share: float = 0.1
    column: str = "label"
    grey: bool = False


def test_options_are_read_by_their_types() -> None:
    assert read_options(Options, "t", "") == Options()
    assert read_options(Options, "t", "size=64,grey=yes, share=0.25 ,column=a b") == Options(64, 0.25, "a b", True)
    assert read_options(Options, "t", "grey=no") == Options()
    assert read_options(NoOptions, "t", "") == NoOptions()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("width=3", "has no option 'width'; it has size, share, column, grey"),
        ("size", "write each option once"),
        ("size=1,size=2", "write each option once"),
        ("size=big", "option size of task 't' is 'big'; give a whole number"),
        ("share=half", "give a number"),
        ("grey=1", "give yes or no"),
    ],
)
def test_what_is_off_is_named(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_options(Options, "t", text)
    assert complaint in str(caught.value)


def test_a_task_without_options_says_so() -> None:
    assert task_named("fashion-mnist:").name == "fashion-mnist"
    with pytest.raises(UsageError, match="'fashion-mnist' has no option 'size'; it has none"):
        task_named("fashion-mnist:size=3")
