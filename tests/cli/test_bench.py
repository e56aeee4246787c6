"""The options of `bench`, through the command line."""

from __future__ import annotations

import pytest

from tests.cli.verbs import run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "bench needs either --emulate or --port"),
        (("--emulate", "--port", "/dev/ttyACM0"), "bench needs either --emulate or --port"),
        (("--emulate", "--baud", "115200"), "--baud is the speed of a board's port"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", *options) == 2
    assert words in capsys.readouterr().err
