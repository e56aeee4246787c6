"""Many boards at once: what is killed, or hangs, is told in a sentence and takes nothing else along."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ofa_mcu import schemas
from ofa_mcu.cluster import Cluster, held
from ofa_mcu.devices import board_job
from ofa_mcu.devices import farm as farm_module
from ofa_mcu.devices.board_job import BoardJob
from ofa_mcu.devices.emulator import QEMU
from ofa_mcu.devices.farm import held_boards, measure_boards
from ofa_mcu.devices.farm_boards import held_places, on_boards, port_names, usb_places
from ofa_mcu.devices.farm_report import FarmRequest, failure_of, farm
from ofa_mcu.devices.farm_runs import runs_in
from ofa_mcu.devices.firmware import project_of
from ofa_mcu.devices.overseen import oversee
from ofa_mcu.devices.trial import Trial
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.results import read_results
from ofa_mcu.runs import Run
from ofa_mcu.search.fleet import FleetRequest, fleet
from tests.cli.verbs import run
from tests.devices.attached import plug_in
from tests.devices.pty_board import PtyBoard
from tests.search.made_up_source import TASK, write_pictures, write_supernet

BOARDS = ("mps3_an547", "rp2040", "stm32f103", "stm32f446", "stm32f746", "stm32u585")
"""One of each core that there are twins of."""
KILLED, HANGING = "stm32f746", "rp2040"
IMAGES = 40


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 300)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A small network for each of the boards, in folders as `ofa-mcu fleet` leaves them; it is the same for all."""
    folder = tmp_path_factory.mktemp("fleet")
    supernet = write_supernet(folder / "supernet")
    fleet(FleetRequest({load_profile("stm32f103"): None}, TASK, supernet, data_dir=pictures), folder / "one")
    for board in BOARDS:
        copy = Run(folder / "runs" / board)
        shutil.copytree(folder / "one" / "stm32f103", copy.folder)
        copy.write("report.json", copy.report() | {"board": board})
    return folder / "runs"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of results of this test alone."""
    monkeypatch.setenv("OFA_MCU_RESULTS", str(tmp_path / "results.sqlite"))


def emulators(folder: Path) -> list[int]:
    """Process ids of the emulators that run an image below a folder."""
    return [
        process.pid
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == QEMU and any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


@contextmanager
def sent(folder: Path, number: signal.Signals) -> Iterator[list[int]]:
    """The first emulator of an image below the folder gets the signal as soon as its serial line is open, when its
    guest starts; its process id is kept."""
    over = threading.Event()
    pids: list[int] = []

    def look() -> None:
        while not over.wait(0.002) and not pids:
            for pid in emulators(folder):
                with suppress(psutil.NoSuchProcess):
                    lines = psutil.Process(pid).net_connections("tcp")
                    if any(line.status == psutil.CONN_ESTABLISHED for line in lines):
                        os.kill(pid, number)
                        pids.append(pid)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield pids
    finally:
        over.set()
        looking.join()


@pytest.mark.slow
def test_six_boards_of_which_one_is_killed_and_one_hangs(runs: Path, pictures: Path, kept: None) -> None:
    said: list[str] = []
    request = FarmRequest([runs], emulate=True, images=IMAGES, workers=len(BOARDS), data_dir=pictures)
    with sent(runs / HANGING, signal.SIGSTOP) as stopped, sent(runs / KILLED, signal.SIGKILL) as killed:
        report = farm(request, said.append, lambda *progress: None)
    assert len(stopped) == len(killed) == 1 and not said and not report["left_out"] and not emulators(runs)
    rows = {row["board"]: row for row in report["boards"]}
    assert list(rows) == list(BOARDS)
    for board in set(BOARDS) - {KILLED, HANGING}:
        bench, built = rows[board]["bench"], Run(runs / board).read("build.json")
        assert rows[board]["error"] is None and bench == Run(runs / board).read("bench.json")
        assert bench["differing_bytes"] == 0 and bench["bytes_compared"] == 4 * IMAGES
        assert bench["sram_linked"] == built["sram_promised"]
        assert abs(bench["instructions"] / built["instructions_promised"] - 1) < 0.05
    errors = {board: rows[board]["error"] for board in (KILLED, HANGING)}
    assert all(error["code"] == "device" and rows[board]["bench"] is None for board, error in errors.items())
    assert "was ended by SIGKILL in the midst of it" in errors[KILLED]["message"]
    silent = errors[HANGING]["message"]
    assert re.match(r"QEMU \(.*\) runs, .* no answer to 'hello' within .* \[emulator\]", silent)
    measured = {row["board"]: row for row in read_results("measurements")}
    assert set(measured) == set(BOARDS) - {KILLED, HANGING}
    assert all(row["instructions"] == rows[board]["bench"]["instructions"] for board, row in measured.items())
    failures = {row["board"]: (row["code"], row["error"], row["run"]) for row in read_results("failures")}
    assert failures == {board: ("device", errors[board]["message"], str(runs / board)) for board in errors}
    failure = failure_of(report)
    assert isinstance(failure, DeviceError) and f"2 of 6 boards failed: {HANGING}, {KILLED}" in str(failure)


@contextmanager
def silent_port() -> Iterator[str]:
    """Somebody listens there and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
def test_workers_that_die_or_hang(runs: Path, pictures: Path, kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose worker is killed is begun again; one that never ends is ended, and so is waiting for a worker that is
    stopped."""
    monkeypatch.setattr(farm_module, "GRACE_S", 5.0)
    with silent_port() as port:
        jobs = [
            BoardJob(runs / "stm32f103", "killed", images=IMAGES, data_dir=pictures, limit_s=240),
            BoardJob(runs / "stm32f446", "endless", port, data_dir=pictures, limit_s=3),
            BoardJob(runs / "stm32u585", "stopped", port, data_dir=pictures, limit_s=3),
        ]
        with Cluster(len(jobs), resources=held_boards(jobs)).client() as client:
            holders = {name: address for address, boards in held(client).items() for name in boards}
            processes = client.run(os.getpid)
            signals = {(0, "measuring"): signal.SIGKILL, (2, "starting"): signal.SIGSTOP}
            arrived: list[int] = []

            def watch(number: int, what: str, done: int, total: int) -> None:
                sent = signals.pop((number, what), None)
                if sent is not None:
                    os.kill(processes[holders[f"board:{jobs[number].board}"]], sent)

            outcomes = measure_boards(jobs, client, lambda number, outcome: arrived.append(number), watch)
        assert not signals and sorted(arrived) == [0, 1, 2]
    again, endless, stopped = (outcome.result for outcome in outcomes)
    assert isinstance(again, Trial) and again.measurement.differing_bytes == 0 and again.measurement.images == IMAGES
    assert isinstance(endless, DeviceError) and re.match(r"not done within 3 s \(it was .*--timeout$", str(endless))
    assert isinstance(stopped, DeviceError) and str(stopped).startswith("its worker fell silent within 8 s; look at")
    assert not emulators(runs)


def test_the_process_of_a_job_is_told_of(runs: Path, tmp_path: Path) -> None:
    """No run, a damaged one, and a process that is killed: each is an error of the job."""
    (tmp_path / "report.json").write_text("{")
    assert "report.json is damaged" in str(oversee(BoardJob(tmp_path), nothing).result)
    assert "report.json is missing" in str(oversee(BoardJob(tmp_path / "none"), nothing).result)

    def kill(what: str, done: int, total: int) -> None:
        (child,) = (each for each in psutil.Process().children() if any("overseen" in word for word in each.cmdline()))
        child.kill()

    with silent_port() as port:
        outcome = oversee(BoardJob(runs / "stm32f746", port=port), kill)
    assert "the process that measured was ended by SIGKILL; run the same command again" in str(outcome.result)


def test_an_emulator_has_no_cable(runs: Path) -> None:
    for port, words in ((None, "measure fewer --images"), ("/dev/ttyACM0", "check the board's cable and reset it")):
        result = oversee(BoardJob(runs / "stm32f746", port=port, limit_s=0.01), nothing).result
        assert str(result) == f"not done within 0.01 s (it was starting); {words}, or allow more with --timeout"


def nothing(what: str, done: int, total: int) -> None:
    pass


def test_runs_are_found(runs: Path, tmp_path: Path) -> None:
    assert [each.profile.id for each in runs_in([runs]).fit] == list(BOARDS)
    assert [each.profile.id for each in runs_in([runs / "rp2040", runs / "stm32f103"]).fit] == ["rp2040", "stm32f103"]
    with pytest.raises(UsageError, match="neither is a run nor holds any; make some with: ofa-mcu fleet"):
        runs_in([tmp_path])
    with pytest.raises(UsageError, match="rp2040 is named twice"):
        runs_in([runs, runs / "rp2040"])


def test_boards_are_found_by_their_usb_ids(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = runs_in([runs]).fit
    plug_in(monkeypatch, ttyACM0=(0x0483, 0x374B), ttyACM1=(0x2E8A, 0x00C0), ttyUSB0=(0x1A86, 0x7523))
    with pytest.raises(
        DeviceError, match=r"ttyACM0 \(0483:374b\) may be stm32f446 or stm32f746.*; say which with --port"
    ):
        usb_places(found, {})
    named = port_names(["stm32f746 = /dev/ttyACM0"])
    places = usb_places(found, named)
    assert places["stm32f746"] == ["stm32f746@/dev/ttyACM0"] and set(places) == {"stm32f746", "rp2040"}
    assigned = on_boards(found, places, BoardJob(Path(), flash=True))
    assert [(job.run.name, job.board, job.port, job.flash, job.emulated) for job in assigned.jobs] == [
        ("rp2040", "rp2040@/dev/ttyACM1", "/dev/ttyACM1", True, False),
        ("stm32f746", "stm32f746@/dev/ttyACM0", "/dev/ttyACM0", True, False),
    ]
    assert {each.board for each in assigned.left_out} == set(BOARDS) - {"rp2040", "stm32f746"}


def test_two_equal_boards(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, ttyACM0=(0x2E8A, 0x00C0), ttyACM1=(0x2E8A, 0x00C0))
    one = runs_in([runs / "rp2040"]).fit
    with pytest.raises(DeviceError, match=r"2 boards may be the rp2040 of .*; choose one with --port rp2040=PORT"):
        on_boards(one, usb_places(one, {}), BoardJob(Path()))
    named = port_names(["rp2040=/dev/ttyACM1"])
    assert [job.port for job in on_boards(one, usb_places(one, named), BoardJob(Path())).jobs] == ["/dev/ttyACM1"]
    for name in ("b", "c"):
        shutil.copytree(runs / "rp2040", tmp_path / name)
    three = runs_in([runs / "rp2040", tmp_path]).fit
    dealt = on_boards(three, usb_places(three, {}), BoardJob(Path()))
    assert [job.port for job in dealt.jobs] == ["/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyACM0"]


def test_boards_that_workers_hold(runs: Path) -> None:
    places = held_places(["rp2040", "stm32f746@/dev/ttyACM0", "stm32f746@/dev/ttyACM1"], {})
    both = runs_in([runs / "rp2040"]).fit
    (job,) = on_boards(both, places, BoardJob(Path())).jobs
    assert (job.board, job.port, job.attached, job.emulated) == ("rp2040", None, True, False)
    assert job.needs == {"board:rp2040": 1.0}
    one = runs_in([runs / "stm32f746"]).fit
    chosen = held_places(["stm32f746@a", "stm32f746@b"], port_names(["stm32f746=b"]))
    assert [job.board for job in on_boards(one, chosen, BoardJob(Path())).jobs] == ["stm32f746@b"]


@pytest.fixture
def pty_board(runs: Path, tmp_path: Path) -> Iterator[PtyBoard]:
    """An STM32F103 on a serial port; nothing runs there yet."""
    with PtyBoard("stm32f103", tmp_path / "board") as board:
        yield board


@pytest.mark.slow
def test_the_verb(
    runs: Path,
    pictures: Path,
    pty_board: PtyBoard,
    kept: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Boards of which nobody plugged one in, then twins, then nothing, for it is all there."""
    plug_in(monkeypatch)
    first, second = Run(runs / "stm32f103"), Run(runs / "stm32f446")
    pty_board.flash(project_of(first, load_profile("stm32f103"))[0])

    def farm_of(*options: str) -> tuple[int, dict[str, Any], str]:
        code = run("farm", first.folder, second.folder, "--images", "5", "--data-dir", pictures, *options, "--json")
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    code, report, _ = farm_of()
    assert code == 4 and report["error"]["code"] == "device"
    assert "no board of these runs is attached (USB serial ports here: none)" in report["error"]["message"]

    code, report, said = farm_of("--port", f"stm32f103={pty_board.port}")
    assert code == 0 and report["left_out"] == [
        {"run": str(second.folder), "board": "stm32f446", "reason": "no such board attached"}
    ]
    assert f"left out: {second.folder} (stm32f446: no such board attached)" in said
    (row,) = report["boards"]
    assert report["schema"] == schemas.FARM and set(report) == {"schema", "results", "seconds", "boards", "left_out"}
    assert set(row) == {"run", "board", "port", "flashed", "resumed", "seconds", "bench", "error"}
    assert row["port"] == pty_board.port and row["bench"]["milliseconds"] > 0 and row["bench"]["differing_bytes"] == 0

    ports = ("--port", f"stm32f103={pty_board.port}", "--port", "stm32f446=/dev/ttyLost")
    code, report, said = farm_of(*ports, "--resume")
    assert code == 4 and "ofa-mcu: 1 of 2 boards failed: stm32f446" in said
    assert [row["resumed"] for row in report["boards"]] == [True, False]
    error = report["boards"][1]["error"]
    assert error["code"] == "device" and "/dev/ttyLost: there is no such port" in error["message"]

    common = ("farm", first.folder, second.folder, "--images", "5", "--data-dir", pictures)
    assert run(*common, *ports, "--resume") == 4
    said = capsys.readouterr().out
    assert " ms " in said and "kept" in said and "/dev/ttyLost: there is no such port" in " ".join(said.split())
    assert run(*common, "--emulate", "--workers", "1") == 0
    told = capsys.readouterr()
    assert "0 of 20" in told.out and "twin" in told.out and f"{first.folder}: done" in told.err
    code, report, _ = farm_of("--emulate", "--resume")
    assert code == 0 and [(row["resumed"], row["seconds"]) for row in report["boards"]] == [(True, None)] * 2
    assert len(read_results("measurements")) == 3 and len(read_results("failures")) == 2


@pytest.mark.slow
def test_a_board_that_is_flashed_first(
    runs: Path, pictures: Path, pty_board: PtyBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PlatformIO's upload is made up, for no board is attached; the firmware and its answers are not."""
    monkeypatch.setattr(board_job, "flash_board", pty_board.flash)
    told: list[str] = []
    job = BoardJob(runs / "stm32f103", "one", pty_board.port, images=5, data_dir=pictures, attached=True, flash=True)
    trial, port = board_job.obey(job, lambda what, done, total: told.append(what))
    assert port == pty_board.port and pty_board.flashed == 1
    assert trial.measurement.differing_bytes == 0 and trial.measurement.milliseconds
    assert list(dict.fromkeys(told)) == [
        "building and uploading",
        "waiting for the new firmware",
        "asking the board",
        "measuring",
    ]


@pytest.mark.slow
def test_boards_of_a_cluster_of_others_making(
    runs: Path, pictures: Path, kept: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from distributed import LocalCluster

    held_there = {"board:stm32f103@/dev/ttyLost": 1}
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", resources=held_there) as own:
        common = ("--scheduler", own.scheduler_address, "--images", "5", "--data-dir", pictures, "--json")
        assert run("farm", runs, *common) == 4
        report = json.loads(capsys.readouterr().out)
        (row,) = report["boards"]
        assert (row["board"], row["port"]) == ("stm32f103", "/dev/ttyLost") and "no such port" in row["error"][
            "message"
        ]
        assert {each["board"] for each in report["left_out"]} == set(BOARDS) - {"stm32f103"}
        assert run("farm", runs / "rp2040", *common) == 4
        assert '--resources "board:rp2040=1"' in json.loads(capsys.readouterr().out)["error"]["message"]
        assert run("farm", runs / "stm32f446", "--emulate", *common) == 0
        (row,) = json.loads(capsys.readouterr().out)["boards"]
        assert row["bench"]["differing_bytes"] == 0 and row["port"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--emulate", "--flash"], "are not flashed; leave out --flash\n"),
        (["--emulate", "--port", "rp2040=/dev/x"], "are not flashed; leave out --port\n"),
        (["--emulate", "--port", "rp2040=/dev/x", "--flash"], "leave out --port and --flash"),
        (["--port", "rp2040"], "is no BOARD=PORT"),
        (["--port", "rp2040=a", "--port", "rp2040=a"], "names a twice"),
        (["--port", "nrf52840=a"], "no run is for such a board"),
        (["--scheduler", "nonsense"], "is no address"),
        (["nothing"], "neither is a run nor holds any"),
    ],
)
def test_what_cannot_be_meant(runs: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("farm", runs, *options) == 2
    assert words in capsys.readouterr().err
