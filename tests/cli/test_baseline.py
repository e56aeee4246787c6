"""What `bench` refuses before it measures; whole runs are in test_ci.py and tests/hil."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.verbs import run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "needs either --emulate or --port"),
        (("--emulate", "--max-regress", "sram=0"), "compares with --baseline"),
        (("--emulate", "--baseline", "base.json", "--max-regress", "x=1"), "names 'x'"),
        (("--emulate", "--baseline", "base.json"), "the baseline base.json cannot be read"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    """In JSON and in JUnit, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text(json.dumps({"board": "stm32f746"}))
    assert run("bench", "--run", "run", *options, "--json", "--junit", "out/j.xml") == 2
    answer = capsys.readouterr()
    error = json.loads(answer.out)["error"]
    assert error["code"] == "usage" and words in error["message"] and error["message"] in answer.err
    root = ElementTree.parse("out/j.xml").getroot()
    (case,) = root.iter("error")
    assert case.get("message") == error["message"] and root.get("errors") == "1"


@pytest.mark.parametrize(
    ("junit", "words"),
    [("file/j.xml", "--junit file/j.xml cannot be written"), ("base.json", "is the file of --baseline; name another")],
)
def test_where_the_checks_cannot_go_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], junit: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("base.json").write_text("{}")
    assert run("bench", "--run", "run", "--emulate", "--baseline", "base.json", "--junit", junit) == 2
    assert words in capsys.readouterr().err
    assert Path("base.json").read_text() == "{}"
