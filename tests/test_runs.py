"""Run folders: fresh ones, found ones, and what is said about missing or damaged ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ofa_mcu.errors import BusyError, OfaMcuError, UsageError
from ofa_mcu.runs import RUNS, Run, find_run, new_run


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def complete(folder: Path) -> Run:
    """What every search leaves."""
    run = Run(folder)
    for name in ("report.json", "config.json", "evaluated.json"):
        run.write(name, {})
    return run


def finished(name: str, seconds: int) -> Run:
    """A run whose report was written at a given time."""
    run = Run(RUNS / name)
    run.write("report.json", {"run": name})
    os.utime(run.folder / "report.json", (seconds, seconds))
    return run


def test_new_runs_are_numbered_and_taken_at_once() -> None:
    with new_run("task-board") as run:
        assert run.folder == RUNS / "task-board-1" and run.name == "task-board-1" and run.folder.is_dir()
        with new_run("task-board") as second, new_run("other") as other:
            assert second.folder == RUNS / "task-board-2"
            assert other.folder == RUNS / "other-1"
    finished("task-board-3", 0)
    with new_run("task-board") as run:
        assert run.folder == RUNS / "task-board-4"


def test_a_search_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError), new_run("task-board", tmp_path / "out") as run:
        run.write("config.json", {})
        raise ValueError
    assert not (tmp_path / "out").exists()


def test_a_named_folder_is_taken_when_it_is_free_or_a_run(tmp_path: Path) -> None:
    empty, run = tmp_path / "empty", tmp_path / "run"
    empty.mkdir()
    complete(run)
    for folder in (tmp_path / "absent", empty, run):
        with new_run("any", folder) as taken:
            assert taken.folder == folder


def test_a_run_is_one_processes_at_a_time(tmp_path: Path) -> None:
    with new_run("any", tmp_path / "run") as run:
        run.write("report.json", {})
        with pytest.raises(OfaMcuError, match="another ofa-mcu is working in .*run; wait for it"), run.locked():
            pass
        with pytest.raises(OfaMcuError, match="another ofa-mcu"), new_run("any", tmp_path / "run"):
            pass
    assert (tmp_path / "run" / "report.json").exists()
    with run.locked():
        pass


def test_a_named_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose")
    refused = pytest.raises(UsageError, match="mine exists and holds no run; choose another --out or empty it")
    with refused, new_run("any", tmp_path / "mine"):
        pass
    refused = pytest.raises(UsageError, match="thesis.txt is no folder; choose another --out")
    with refused, new_run("any", tmp_path / "mine" / "thesis.txt"):
        pass
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("left", [[".lock"], [".lock", "refining"], [".lock", "config.json", "evaluated.json"]])
def test_a_folder_that_a_killed_search_left_is_taken(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).mkdir() if name == "refining" else (tmp_path / name).write_text("")
    with new_run("any", tmp_path) as run:
        assert run.folder == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == set(left)


@pytest.mark.parametrize(
    "names",
    [
        *(["config.json"], [".lock", "checkpoint.pt"], [".git"], [".lock", ".git"]),
        ["report.json", "finetune", "ledger.json"],
    ],
)
def test_what_only_looks_like_a_run_is_left_alone(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="holds no run; choose another --out or empty it"), new_run("any", tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_a_search_that_fails_leaves_an_empty_folder_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError), new_run("any", tmp_path):
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_who_finds_a_folder_busy_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished, too, and where it came after one had looked for it."""
    with new_run("any", tmp_path / "run") as run:
        run.write("config.json", {})
        monkeypatch.setattr("ofa_mcu.runs._created", lambda folder: True)
        with pytest.raises(BusyError, match="another ofa-mcu is working"), new_run("any", tmp_path / "run"):
            pass
        assert (tmp_path / "run" / "config.json").exists()


def test_a_training_that_was_interrupted_stays_where_the_user_named_the_folder(tmp_path: Path) -> None:
    for out in (None, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt), new_run("any", out) as run:
            run.write("refining/of.json", {})
            raise KeyboardInterrupt
        assert run.folder.exists() == (out is not None)
    with new_run("any", tmp_path / "new"):
        pass


def test_links_are_removed_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run = complete(tmp_path / "run")
    (run.folder / "finetune").symlink_to(tmp_path / "elsewhere")
    run.forget()
    assert not (run.folder / "finetune").is_symlink() and (tmp_path / "elsewhere").is_dir()


def test_a_new_result_forgets_all_of_the_old_one(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for name in ("report.json", "ledger.json", "build.json", "finetune/ledger.json", "qat/ledger.json"):
        run.write(name, {})
    run.forget()
    assert not list(run.folder.iterdir())


def test_a_folder_that_cannot_be_made_is_told() -> None:
    Path("file").write_text("")
    with pytest.raises(OfaMcuError, match="cannot create a run's folder"), new_run("any", Path("file/run")):
        pass


def test_a_run_names_its_board_and_damage_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.write("report.json", {"board": "mine", "pick": {"subnet": 5}})
    assert run.board() == "mine" and run.board("other") == "other"
    run.profile_path("mine").write_text("")
    assert run.board() == str(tmp_path / "run" / "mine.toml")
    with pytest.raises(OfaMcuError, match=r"report.json is damaged \(no pick.subnet\); search again"):
        _ = run.subnet
    for text in ("[]", "null", "{"):
        (run.folder / "config.json").write_text(text)
        with pytest.raises(OfaMcuError, match=r"config.json is damaged"):
            _ = run.task


def test_the_newest_finished_run_is_found() -> None:
    finished("b", 100)
    finished("a", 300)
    finished("c", 200)
    Run(RUNS / "unfinished").write("config.json", {})
    assert find_run(None).name == "a"
    assert find_run(RUNS / "c").folder == RUNS / "c"


def test_runs_of_the_same_moment_are_told_apart_by_name() -> None:
    for name in ("b", "c", "a"):
        finished(name, 100)
    assert find_run(None).name == "c"


def test_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run under runs/; make one with: ofa-mcu search --board ID"):
        find_run(None)
    with pytest.raises(UsageError, match=r"holds no run \(no report.json\)"):
        find_run(tmp_path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.write("report.json", {"pick": [1, 2]})
    run.write_model(b"\0TFL3")
    assert run.report() == {"pick": [1, 2]} and run.model() == b"\0TFL3"
    assert run.model_path == run.folder / "model.tflite" and run.project_path.parent == run.folder
    assert sorted(path.name for path in run.folder.iterdir()) == ["model.tflite", "report.json"]


@pytest.mark.parametrize(
    ("name", "verb"), [("report.json", "search --out"), ("build.json", "build --run"), ("bench.json", "bench --run")]
)
def test_what_is_missing_says_which_verb_makes_it(tmp_path: Path, name: str, verb: str) -> None:
    with pytest.raises(OfaMcuError, match=rf"{name} is missing; run first: ofa-mcu {verb} {tmp_path}"):
        Run(tmp_path).read(name)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_what_is_damaged_is_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(OfaMcuError, match=r"report.json is damaged \(.*\); run the verb that wrote it again") as caught:
        Run(tmp_path).report()
    assert "\n" not in str(caught.value)


def test_a_missing_model_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(OfaMcuError, match="model.tflite cannot be read .No such file or directory.; search again"):
        Run(tmp_path).model()
