"""`init ci`: the workflow is run here step by step, as far as a machine that is not GitHub's can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from ofa_mcu.resources import resource
from tests.cli.verbs import run

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(".github/workflows/ofa-mcu.yml")
BOARD = "stm32f103"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def steps(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """Steps of the only job by name, or by the action that they use."""
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["defaults"]["run"]["shell"] == "bash" and job["container"]
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    return {step.get("name", step.get("uses")): step for step in job["steps"]}


def test_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init", "ci") == 0
    assert "commit it, and ofa-mcu-baseline.json" in capsys.readouterr().out
    found = steps()
    assert list(found) == [
        "actions/checkout@v4",
        "Install compiler and emulator",
        "Install ofa-mcu",
        "Search",
        "Build",
        "Measure",
        "Keep results",
    ]
    tools = found["Install compiler and emulator"]["run"].split()
    assert {"gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "qemu-system-arm", "dataset-fashion-mnist"} <= set(tools)
    kept = found["Keep results"]
    assert kept["if"] == "always()" and "ofa-mcu-ci/junit.xml" in kept["with"]["path"]


def test_an_existing_file_stays(capsys: pytest.CaptureFixture[str]) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_text("mine")
    assert run("init", "ci", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage" and FILE.read_text() == "mine"
    assert run("init", "ci", "--out", FILE.parent) == 2
    assert run("init", "ci", "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "file": str(FILE),
        "board": "stm32f746",
        "task": "fashion-mnist",
        "baseline": "ofa-mcu-baseline.json",
    }
    assert steps()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--board", "stm32f7"), "There is no board"),
        (("--task", "gestures"), "come with no package; name their folder with --data-dir"),
        (("--max-regress", "speed=1"), "names 'speed'"),
        (("--baseline", "a\nb"), "cannot stand in a workflow"),
        (("--data-dir", "${{ secrets.X }}"), "cannot stand in a workflow"),
        (("--task", "nosuch"), "there is no task 'nosuch'; known: audio-folder, "),
        (("--task", "nosuch:size=1", "--data-dir", "data"), "there is no task 'nosuch'"),
        (("--data-dir", "/abs/dir"), "--data-dir names /abs/dir, which the job cannot have"),
        (("--data-dir", "../up"), "--data-dir names ../up, which"),
        (("--data-dir", "a/../../up"), "--data-dir names a/../../up, which"),
        (("--baseline", "/elsewhere/base.json"), "--baseline names /elsewhere/base.json, which"),
        (("--images", "999999"), "--images 999999 are more than the job can run in its hour; take 10000 at most"),
    ],
)
def test_what_cannot_be_written(options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init", "ci", *options) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not FILE.exists()


def test_a_board_of_the_users_own_must_lie_in_the_repository(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = repository / "boards"
    boards.mkdir()
    text = (resource("boards") / "stm32f407.toml").read_text(encoding="utf-8")
    (boards / "mine.toml").write_text(text.replace('"stm32f407"', '"mine"'))
    assert run("init", "ci", "--board", boards / "mine.toml") == 2
    assert f"--board names {boards / 'mine.toml'}, which the job cannot have" in capsys.readouterr().err
    monkeypatch.setenv("OFA_MCU_BOARDS", str(boards))
    assert run("init", "ci", "--board", "mine") == 2
    assert "put it there, and name it by its path from there" in capsys.readouterr().err
    assert not FILE.exists()
    assert run("init", "ci", "--board", "boards/mine.toml") == 0
    assert "--board boards/mine.toml " in steps()["Search"]["run"]


def test_names_with_spaces_stay_words() -> None:
    assert run("init", "ci", "--data-dir", "my data/it's", "--baseline", "a b.json") == 0
    text = steps()["Measure"]["run"]
    assert "if [ -f 'a b.json' ]" in text and "--data-dir 'my data/it'\"'\"'s' " in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.slow
def test_what_it_runs(repository: Path, data_dir: Path) -> None:
    """Twice, the second time against what the first measured; then against a baseline that was better."""
    (repository / "data").symlink_to(data_dir / "magic_wand")
    assert run("init", "ci", "--board", BOARD, "--task", "gestures", "--data-dir", "data") == 0
    found, environment = steps(), stubs(repository)
    for name in ("Install compiler and emulator", "Install ofa-mcu", "Search", "Build", "Measure"):
        done = bash(found[name]["run"], environment)
        assert done.returncode == 0, done.stderr
    assert "::warning::there is no baseline" in done.stdout
    results = Path("ofa-mcu-ci")
    measured = json.loads((results / "bench.json").read_text())
    built = json.loads((results / "build.json").read_text())
    assert measured["differing_bytes"] == 0 and measured["board"] == BOARD and "comparison" not in measured
    assert measured["sram_linked"] == built["sram_linked"] and measured["flash_linked"] == built["flash_linked"]
    for pattern in ("junit.xml", "run/model.tflite"):
        assert (results / pattern).is_file()

    baseline = Path("ofa-mcu-baseline.json")
    baseline.write_bytes((results / "bench.json").read_bytes())
    done = bash(found["Measure"]["run"], environment)
    assert done.returncode == 0, done.stderr
    again = json.loads((results / "bench.json").read_text())
    assert again["comparison"]["regressed"] == [] and len(again["comparison"]["figures"]) == 6

    baseline.write_text(json.dumps(measured | {"instructions": round(measured["instructions"] / 1.02)}))
    done = bash(found["Measure"]["run"], environment)
    assert done.returncode == 6 and "stm32f103 is worse than ofa-mcu-baseline.json: instructions went" in done.stderr
    assert json.loads((results / "bench.json").read_text())["comparison"]["regressed"] == ["instructions"]
    root = ElementTree.parse(results / "junit.xml").getroot()
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == ["instructions"]


def bash(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A `run:` as the job's runner runs it."""
    script = script.replace("${{ vars.TORCH_PIP_ARGS }}", "")
    assert "${{" not in script
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)


def stubs(folder: Path) -> dict[str, str]:
    """Installing is not tried here: what it gives is here already, and it would need root and a network."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in {
        "apt-get": "exit 0",
        "python": f'[ "$1 $2 $3" = "-m pip install" ] || exec {sys.executable} "$@"',
        "ofa-mcu": f'PYTHONPATH={ROOT} exec {sys.executable} -m ofa_mcu "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
